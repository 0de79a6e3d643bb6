"""A task definition for Fargate with the two roles that a task has: its own, and the one that starts it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import cloudwatch, ecs

from components.parts import iam, runner_iam
from components.parts.service_role import ServiceRole, ServiceRoleArgs

SERVICE = "ecs-tasks.amazonaws.com"
STOP_TIMEOUT_S = 120
"""From SIGTERM to SIGKILL: the most that Fargate gives, and what Spot gives before it takes the machine."""


def _steps(first: int, last: int, step: int = 1024) -> tuple[int, ...]:
    return tuple(range(first, last + 1, step))


SIZES: Mapping[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: _steps(1024, 4096),
    1024: _steps(2048, 8192),
    2048: _steps(4096, 16384),
    4096: _steps(8192, 30720),
    8192: _steps(16384, 61440, 4096),
    16384: _steps(32768, 122880, 8192),
}
"""From CPU units (1024 are a core) to the memories (MB) that Fargate has with them (ECS developer guide)."""


def size_problem(cpu: int, memory: int) -> str | None:
    """Why Fargate has no such size, None when it has.

    >>> size_problem(1024, 2048), size_problem(1000, 2048) is None
    (None, False)
    """
    if cpu not in SIZES:
        return f"cpu {cpu} is no size of Fargate; allowed: {', '.join(map(str, SIZES))}"
    if memory not in SIZES[cpu]:
        return f"memory {memory} is none that Fargate has with cpu {cpu}; allowed: {_listed(SIZES[cpu])}"
    return None


def _listed(sizes: Sequence[int]) -> str:
    if len(sizes) <= 4:
        return ", ".join(map(str, sizes))
    return f"{sizes[0]} to {sizes[-1]} in steps of {sizes[1] - sizes[0]}"


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of a task. ``secrets`` go from a variable's name to what ECS calls ``valueFrom``."""

    name: str
    image: pulumi.Input[str]
    command: Sequence[str] | None = None
    environment: Mapping[str, pulumi.Input[str]] | None = None
    secrets: Mapping[str, pulumi.Input[str]] | None = None
    port: int | None = None


@dataclass(frozen=True, kw_only=True)
class FargateTaskArgs:
    family: str
    cpu: int
    memory: int
    containers: Sequence[Container]
    log_group: cloudwatch.LogGroup
    log_prefix: str
    """Streams are ``<prefix>/<container>/<task id>``."""
    statements: pulumi.Input[Sequence[Mapping[str, Any]]]
    """What the containers may do."""
    repository_arns: Sequence[pulumi.Input[str]]
    secret_arns: Sequence[pulumi.Input[str]]
    region: pulumi.Input[str]
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        problem = size_problem(self.cpu, self.memory)
        if problem:
            raise ValueError(f"{self.family}: {problem}")


class FargateTask(pulumi.ComponentResource):
    """Task role, execution role, task definition."""

    arn: pulumi.Output[str]
    """Of the definition's present revision."""
    family: pulumi.Output[str]
    role_arns: pulumi.Output[Sequence[str]]
    """Both roles: who starts the task must be allowed to pass them."""

    def __init__(self, name: str, args: FargateTaskArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = FargateTaskArgs(**args) if isinstance(args, dict) else args
        super().__init__("benchtop:index:FargateTask", name, {}, opts)
        task = ServiceRole(
            f"{name}-task",
            ServiceRoleArgs(
                service=SERVICE,
                description=f"What the containers of {args.family} may do",
                statements=args.statements,
                tags=args.tags,
            ),
            self,
        )
        execution = ServiceRole(
            f"{name}-execution",
            ServiceRoleArgs(
                service=SERVICE,
                description=f"What ECS may do to start {args.family}: image, secrets, log",
                statements=pulumi.Output.all(
                    log=args.log_group.arn,
                    repositories=list(args.repository_arns),
                    secrets=list(args.secret_arns),
                ).apply(
                    lambda made: [
                        iam.write_logs(made["log"]),
                        *runner_iam.execution(made["repositories"], made["secrets"]),
                    ]
                ),
                tags=args.tags,
            ),
            self,
        )
        definitions = pulumi.Output.all(
            containers=[_inputs(container) for container in args.containers],
            log_group=args.log_group.name,
            region=args.region,
        ).apply(
            lambda made: [
                definition(item, made["log_group"], args.log_prefix, made["region"])
                for item in made["containers"]
            ]
        )
        made = ecs.TaskDefinition(
            f"{name}-definition",
            family=args.family,
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            cpu=str(args.cpu),
            memory=str(args.memory),
            runtime_platform={"operating_system_family": "LINUX", "cpu_architecture": "X86_64"},
            task_role_arn=task.arn,
            execution_role_arn=execution.arn,
            container_definitions=pulumi.Output.json_dumps(definitions),
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*task.ready, *execution.ready]),
        )
        self.arn = made.arn
        self.family = made.family
        self.role_arns = pulumi.Output.all(task.arn, execution.arn)
        self.register_outputs({"arn": self.arn, "family": self.family, "role_arns": self.role_arns})


def _inputs(container: Container) -> dict[str, Any]:
    return {
        "name": container.name,
        "image": container.image,
        "command": list(container.command or ()),
        "environment": dict(container.environment or {}),
        "secrets": dict(container.secrets or {}),
        "port": container.port,
    }


def definition(container: Mapping[str, Any], log_group: str, prefix: str, region: str) -> dict[str, Any]:
    """A container as ECS's ContainerDefinition, sorted, so that the same settings are the same revision."""
    # Fargate sets it by itself, but says so nowhere.
    environment = {"AWS_REGION": region, **container["environment"]}
    made: dict[str, Any] = {
        "name": container["name"],
        "image": container["image"],
        "essential": True,
        "stopTimeout": STOP_TIMEOUT_S,
        "environment": [{"name": key, "value": value} for key, value in sorted(environment.items())],
        "secrets": [{"name": key, "valueFrom": value} for key, value in sorted(container["secrets"].items())],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": log_group,
                "awslogs-region": region,
                "awslogs-stream-prefix": prefix,
            },
        },
    }
    if container["command"]:
        made["command"] = container["command"]
    if container["port"] is not None:
        made["portMappings"] = [
            {"containerPort": container["port"], "hostPort": container["port"], "protocol": "tcp"}
        ]
    return made
