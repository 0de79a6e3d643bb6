"""Settings of a ``projections-*`` stack, checked with the folder they name before anything is made."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from components.fargate_spot_runner import (
    DEFAULT_CPU,
    DEFAULT_LOG_DAYS,
    DEFAULT_MEMORY_MB,
    LIMITS,
)
from components.parts.common import name_problem
from components.parts.fargate_task import SIZES, size_problem
from components.parts.network import NetworkArgs, cidr_problem
from components.parts.projections_site import DEFAULT_CPU as SITE_CPU
from components.parts.projections_site import DEFAULT_DATABASE_CLASS
from components.parts.projections_site import DEFAULT_MEMORY_MB as SITE_MEMORY_MB
from components.parts.web_service import NAME_LENGTH
from lambdas.projections.states import Settings as RunSettings
from stacks.common_settings import EMAIL, LOG_DAYS_RULE, Tags, known_retention, stack_of
from stacks.settings import Settings, unusable

MODEL_CONTEXT = Path("containers/projections-model")
WEB_CONTEXT = Path("containers")
WEB_DOCKERFILE = "projections-web/Dockerfile"
"""From the repository's root. The site's context is wider: it shares the inputs' rules with the model."""

SOURCE_INDEX = "commits.json"
_DEFAULTS = RunSettings()
_CPUS = ", ".join(map(str, SIZES))


def _range(name: str) -> Any:
    """The limits of a number, for its annotation."""
    low, high, unit = LIMITS[name]
    return Field(ge=low, le=high, description=f"{low} to {high} ({unit})")


def _network(value: str) -> str:
    problem = cidr_problem(value)
    if problem:
        raise unusable(problem)
    return value


def _addresses(value: str) -> str:
    try:
        ipaddress.IPv4Network(value)
    except ValueError as error:
        raise unusable(f"{error}; allowed: IPv4 networks like 192.0.2.0/24, or 0.0.0.0/0 for all") from error
    return value


class NetworkSettings(Settings):
    """A network of the stack's own (``cidr``), or an existing one."""

    cidr: Annotated[str, AfterValidator(_network)] | None = Field(
        None, description="a private network like 10.40.0.0/20, from /16 to /24"
    )
    vpc_id: str | None = Field(None, pattern=r"^vpc-[0-9a-f]+$", description="like vpc-0123456789abcdef0")
    public_subnets: tuple[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")], ...] | None = Field(
        None, description="two or more like subnet-0123456789abcdef0, for the load balancer"
    )
    private_subnets: tuple[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")], ...] | None = Field(
        None, description="two or more like subnet-0123456789abcdef0, for the database"
    )
    nat: bool = Field(False, description="true: tasks run in the private subnets, which reach the internet")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        try:
            self.arguments()
        except ValueError as error:
            raise unusable(str(error)) from error
        return self

    def arguments(self) -> NetworkArgs:
        return NetworkArgs(
            cidr=self.cidr,
            vpc_id=self.vpc_id,
            public_subnets=self.public_subnets,
            private_subnets=self.private_subnets,
            nat=self.nat,
        )


class ProjectionsSettings(Settings):
    """All of a stack."""

    runner_name: str | None = Field(
        None, description=f"a bucket name of at most {NAME_LENGTH} characters; the stack's name when left out"
    )
    task_cpu: int = Field(DEFAULT_CPU, description=f"one of {_CPUS} (1024 a core)")
    task_memory: int = Field(DEFAULT_MEMORY_MB, description="a size (MB) that Fargate has with the CPU")
    max_interruptions: Annotated[int, _range("max_interruptions")] = _DEFAULTS.max_interruptions
    backoff_s: Annotated[int, _range("backoff_s")] = _DEFAULTS.backoff_s
    max_backoff_s: Annotated[int, _range("max_backoff_s")] = _DEFAULTS.max_backoff_s
    max_attempts: Annotated[int, _range("max_attempts")] = _DEFAULTS.max_attempts
    stale_after_s: Annotated[int, _range("stale_after_s")] = _DEFAULTS.stale_after_s
    run_days: Annotated[int, _range("run_days")] = _DEFAULTS.run_days
    log_days: Annotated[int, AfterValidator(known_retention)] = Field(
        DEFAULT_LOG_DAYS, description=LOG_DAYS_RULE
    )
    network: NetworkSettings = Field(
        NetworkSettings.model_validate({"cidr": "10.40.0.0/20"}),
        description="cidr, or an existing network's ids",
    )
    allowed_cidrs: tuple[Annotated[str, AfterValidator(_addresses)], ...] = Field(
        description="who reaches the site: IPv4 networks like 192.0.2.0/24, or 0.0.0.0/0 for all",
    )
    certificate_arn: str | None = Field(
        None,
        pattern=r"^arn:aws:acm:[a-z0-9-]+:\d{12}:certificate/.+$",
        description="arn:aws:acm:..., or left out",
    )
    domain: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$",
        description="the site's name, like projections.example.org",
    )
    site_cpu: int = Field(SITE_CPU, description=f"one of {_CPUS} (1024 a core)")
    site_memory: int = Field(SITE_MEMORY_MB, description="a size (MB) that Fargate has with the CPU")
    site_tasks: int = Field(1, ge=1, le=20, description="1 to 20 (tasks)")
    database_class: str = Field(
        DEFAULT_DATABASE_CLASS, pattern=r"^db\.[a-z0-9]+\.[a-z0-9]+$", description="like db.t4g.micro"
    )
    data_source: str = Field(
        description=f"a Git host's API (https://...), or a folder of this repository with {SOURCE_INDEX}"
    )
    data_source_token_arn: str | None = Field(
        None,
        pattern=r"^arn:aws:secretsmanager:[a-z0-9-]+:\d{12}:secret:.+$",
        description="a secret with a token for the Git host, or left out",
    )
    addhashes_schedule: str | None = Field(
        None, pattern=r"^(rate|cron)\(.+\)$", description="like rate(1 day), or left out: by hand"
    )
    alarm_emails: tuple[Annotated[str, Field(pattern=EMAIL)], ...] = Field(
        (), description="e-mail addresses like epidemiology@example.org"
    )
    keep_data: bool = Field(
        False,
        description="true (production: destroy is refused) or false (test: destroyed with its contents)",
    )
    tags: Tags = Field(Tags.model_validate({}), description="project, owner and cost-centre")

    @field_validator("allowed_cidrs")
    @classmethod
    def _somebody_gets_in(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # Not by min_length: pydantic counts what is valid, and would complain twice of one wrong network.
        if not value:
            raise ValueError("nobody would reach the site")
        return value

    @field_validator("data_source")
    @classmethod
    def _data_can_be_read(cls, value: str, info: ValidationInfo) -> str:
        if value.startswith("https://"):
            return value
        if "://" in value:
            raise unusable("allowed: https://..., or a folder of this repository")
        if not (Path((info.context or {})["root"]) / value / SOURCE_INDEX).is_file():
            raise unusable(f"the folder has no {SOURCE_INDEX}; allowed: https://..., or a folder that has it")
        return value

    @model_validator(mode="after")
    def _goes_together(self, info: ValidationInfo) -> Self:
        name = self.name(stack_of(info))
        problems = [
            f"{kind}: {problem}"
            for kind, problem in (
                ("runner_name", name_problem(name)),
                ("task_cpu, task_memory", size_problem(self.task_cpu, self.task_memory)),
                ("site_cpu, site_memory", size_problem(self.site_cpu, self.site_memory)),
            )
            if problem
        ]
        if len(name) > NAME_LENGTH:
            problems.append(
                f"runner_name: {name!r} is longer than {NAME_LENGTH} characters: set a shorter one"
            )
        if self.max_backoff_s < self.backoff_s:
            problems.append(
                f"max_backoff_s is {self.max_backoff_s}; allowed: backoff_s ({self.backoff_s}) or more"
            )
        if self.certificate_arn and not self.domain:
            problems.append("certificate_arn needs domain: the name in the certificate")
        if problems:
            raise unusable(*problems)
        return self

    def name(self, stack: str) -> str:
        """What the bucket, the cluster, the functions ... are called."""
        return self.runner_name or stack

    @property
    def source_folder(self) -> Path | None:
        """The folder of the data source, from the repository's root; None for one elsewhere."""
        return None if "://" in self.data_source else Path(self.data_source)
