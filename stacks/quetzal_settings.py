"""Settings of a ``quetzal-*`` stack, checked with the files they name before anything is made."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from components.parts import asl
from components.parts.common import NAME_RULE, name_problem
from components.parts.function import MEMORY_MB, STORAGE_MB, TIME_LIMIT_S
from components.quetzal_model import (
    DEFAULT_LOG_DAYS,
    DEFAULT_MEMORY_MB,
    DEFAULT_ORIGINS,
    DEFAULT_STORAGE_MB,
    DEFAULT_TIME_LIMIT_S,
    workflow_file,
)
from stacks.common_settings import EMAIL, LOG_DAYS_RULE, Tags, known_retention, stack_of
from stacks.settings import Settings, unusable

CONTEXT = Path("containers/quetzal-model")
"""The image's folder, from the repository's root."""

GROUP = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
ORIGIN = r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$"


def _root(info: ValidationInfo) -> Path:
    return Path((info.context or {})["root"])


class ModelSettings(Settings):
    """One model."""

    source: str = Field(description=f"a folder of {CONTEXT}/models")
    base_scenario: str = Field(
        description="the folder with the files of scenario base, from the repository's root or absolute"
    )
    memory_mb: int = Field(
        DEFAULT_MEMORY_MB, ge=MEMORY_MB[0], le=MEMORY_MB[1], description="128 to 10240 (MB)"
    )
    time_limit_s: int = Field(
        DEFAULT_TIME_LIMIT_S, ge=TIME_LIMIT_S[0], le=TIME_LIMIT_S[1], description="1 to 900 (seconds a step)"
    )
    storage_mb: int = Field(
        DEFAULT_STORAGE_MB, ge=STORAGE_MB[0], le=STORAGE_MB[1], description="512 to 10240 (MB)"
    )
    groups: tuple[Annotated[str, Field(pattern=GROUP)], ...] = Field(
        (),
        description="names of further Cognito groups: letters, digits, - _ . (the model has one of its own)",
    )
    tracing: bool = Field(False, description="true or false")

    @field_validator("source")
    @classmethod
    def _source_can_be_deployed(cls, value: str, info: ValidationInfo) -> str:
        folder = _root(info) / CONTEXT / "models"
        known = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        if value not in known:
            raise unusable(
                f"no such folder of {CONTEXT}/models; allowed: {', '.join(known) or 'none is there'}"
            )
        file = workflow_file(CONTEXT, value)
        problems = asl.check_file(_root(info) / file, label=str(file))
        if problems:
            raise unusable(*problems)
        return value

    @field_validator("base_scenario")
    @classmethod
    def _base_scenario_has_files(cls, value: str, info: ValidationInfo) -> str:
        folder = _root(info) / value
        if not folder.is_dir():
            raise unusable("no such folder; allowed: a folder with the files of scenario base (inputs/...)")
        if not any(path.is_file() and not path.name.startswith(".") for path in folder.rglob("*")):
            raise unusable(
                "the folder is empty; allowed: a folder with the files of scenario base (inputs/...)"
            )
        return value


class Directory(Settings):
    """A user directory that exists already; none of it is changed but for the models' own groups."""

    user_pool_id: str = Field(
        pattern=r"^[a-z]{2}(-[a-z]+)+-\d_[A-Za-z0-9]+$", description="like eu-west-3_AbCdEf123"
    )
    user_pool_client_id: str = Field(
        pattern=r"^[a-z0-9]+$", description="the id of the front end's app client"
    )
    identity_pool_id: str = Field(
        pattern=r"^[a-z]{2}(-[a-z]+)+-\d:[0-9a-f-]{36}$", description="like eu-west-3:01234567-89ab-..."
    )
    group_roles: dict[str, str] = Field(
        default_factory=dict, description="from an existing group to the name of its IAM role"
    )


def _fit_for_bucket(name: str, info: ValidationInfo) -> str:
    problem = name_problem(f"{info.data.get('bucket_prefix', '')}{name}")
    if problem:
        raise unusable(f"as a bucket, {problem}")
    return name


def _none_is_empty(value: Any) -> Any:
    """A key written with nothing after it is YAML's null."""
    return {} if value is None else value


class QuetzalSettings(Settings):
    """All of a stack."""

    bucket_prefix: str = Field(
        "", pattern=r"^([a-z0-9][a-z0-9-]*)?$", description="lower-case letters, digits and hyphens"
    )
    models: Annotated[
        dict[Annotated[str, AfterValidator(_fit_for_bucket)], ModelSettings], BeforeValidator(_none_is_empty)
    ] = Field(
        min_length=1, description=f"at least one model by name; with bucket_prefix a name has {NAME_RULE}"
    )
    keep_data: bool = Field(
        False,
        description="true (production: destroy is refused) or false (test: destroyed with its contents)",
    )
    config_bucket: str | None = Field(None, description=f"a bucket name: {NAME_RULE}")
    front_end_origins: tuple[Annotated[str, Field(pattern=ORIGIN)], ...] = Field(
        DEFAULT_ORIGINS, description="origins like https://maps.example.org, without a path"
    )
    alarm_emails: tuple[Annotated[str, Field(pattern=EMAIL)], ...] = Field(
        (), description="e-mail addresses like transport-team@example.org"
    )
    log_days: Annotated[int, AfterValidator(known_retention)] = Field(
        DEFAULT_LOG_DAYS, description=LOG_DAYS_RULE
    )
    user_directory: Directory | None = Field(None, description="ids of an existing directory, or left out")
    tags: Tags = Field(Tags.model_validate({}), description="project, owner and cost-centre")

    @field_validator("config_bucket")
    @classmethod
    def _config_bucket_fits(cls, value: str | None) -> str | None:
        problem = name_problem(value) if value is not None else None
        if problem:
            raise ValueError(problem)
        return value

    @model_validator(mode="after")
    def _names_are_apart(self, info: ValidationInfo) -> Self:
        problems = [
            f"model {name!r}: group {group!r} has the name of a model, which makes that group itself"
            for name, model in self.models.items()
            for group in model.groups
            if group in self.models
        ]
        bucket = self.access_bucket(stack_of(info))
        problem = name_problem(bucket)
        if problem:
            problems.append(f"the bucket of the access table: {problem}; set config_bucket")
        if bucket in map(self.bucket_of, self.models):
            problems.append(f"a model has the bucket of the access table, {bucket!r}: set config_bucket")
        if problems:
            raise unusable(*problems)
        return self

    def access_bucket(self, stack: str) -> str:
        """Bucket of the table of groups."""
        return self.config_bucket or f"{stack}-config"

    def bucket_of(self, model: str) -> str:
        return f"{self.bucket_prefix}{model}"

    def shared_groups(self) -> list[str]:
        """Groups besides the models' own, sorted."""
        return sorted({group for model in self.models.values() for group in model.groups})

    def models_of(self, group: str) -> list[str]:
        return sorted(name for name, model in self.models.items() if group == name or group in model.groups)

    def access_table(self) -> dict[str, list[str]]:
        """From each group to its models."""
        return {group: self.models_of(group) for group in [*self.models, *self.shared_groups()]}
