"""A Lambda function with a role and a log group of its own, from a container image or a folder of Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi_aws import lambda_

from components.parts import sources
from components.parts.common import LOG_DAYS
from components.parts.service_role import ServiceRole, ServiceRoleArgs

RUNTIME = "python3.13"
MEMORY_MB = (128, 10240)
TIME_LIMIT_S = (1, 900)
STORAGE_MB = (512, 10240)
"""Lambda's own limits, both ends allowed."""


def check_range(field: str, value: int, limits: tuple[int, int], unit: str) -> None:
    """Raise ``ValueError`` naming field, value and what is allowed."""
    low, high = limits
    if not low <= value <= high:
        raise ValueError(f"{field} must be {low} to {high} {unit}, got {value}")


@dataclass(frozen=True, kw_only=True)
class LambdaFunctionArgs:
    function_name: str
    description: str
    memory_mb: int
    time_limit_s: int
    log_days: int
    statements: pulumi.Input[Sequence[Mapping[str, Any]]]
    """IAM statements of what the function may do, besides writing its own log."""
    storage_mb: int | None = None
    """Space in ``/tmp``; 512 when None, which is free of charge."""
    environment: Mapping[str, pulumi.Input[str]] | None = None
    image_uri: pulumi.Input[str] | None = None
    """Image by digest; either this or ``folder`` and ``handler``."""
    folder: str | None = None
    """Python package whose files become the archive, under the package's own name."""
    handler: str | None = None
    """Dotted path of the handler inside the package, for example ``quetzal_api.handler.handle``."""
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        check_range("memory_mb", self.memory_mb, MEMORY_MB, "MB")
        check_range("time_limit_s", self.time_limit_s, TIME_LIMIT_S, "s")
        check_range("storage_mb", self.storage_mb or STORAGE_MB[0], STORAGE_MB, "MB")
        if self.log_days not in LOG_DAYS:
            raise ValueError(f"log_days must be one of {', '.join(map(str, LOG_DAYS))}, got {self.log_days}")
        if (self.image_uri is None) == (self.folder is None) or (self.folder is None) != (
            self.handler is None
        ):
            raise ValueError(f"{self.function_name}: give either image_uri, or both folder and handler")


class LambdaFunction(pulumi.ComponentResource):
    """Role, policy, log group and function, made in that order."""

    function_name: pulumi.Output[str]
    arn: pulumi.Output[str]
    invoke_arn: pulumi.Output[str]
    log_group: pulumi.Output[str]
    role_arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: LambdaFunctionArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        args = LambdaFunctionArgs(**args) if isinstance(args, dict) else args
        super().__init__("benchtop:index:LambdaFunction", name, {}, opts)
        # The log group is made before the function, which would otherwise make one that keeps logs for ever.
        role = ServiceRole(
            name,
            ServiceRoleArgs(
                service="lambda.amazonaws.com",
                description=f"What the function {args.function_name} may do",
                statements=args.statements,
                log_group_name=f"/aws/lambda/{args.function_name}",
                log_days=args.log_days,
                tags=args.tags,
            ),
            self,
        )
        code: dict[str, Any] = (
            {"package_type": "Image", "image_uri": args.image_uri}
            if args.folder is None
            else {"runtime": RUNTIME, "handler": args.handler, "code": archive(Path(args.folder))}
        )
        function = lambda_.Function(
            f"{name}-function",
            name=args.function_name,
            description=args.description,
            role=role.arn,
            architectures=["x86_64"],
            memory_size=args.memory_mb,
            timeout=args.time_limit_s,
            ephemeral_storage={"size": args.storage_mb or STORAGE_MB[0]},
            environment={"variables": dict(args.environment)} if args.environment else None,
            tags=args.tags,
            **code,
            opts=pulumi.ResourceOptions(parent=self, depends_on=role.ready),
        )
        self.function_name = function.name
        self.arn = function.arn
        self.invoke_arn = function.invoke_arn
        self.log_group = role.logs.name
        self.role_arn = role.arn
        self.register_outputs(
            {
                "function_name": self.function_name,
                "arn": self.arn,
                "invoke_arn": self.invoke_arn,
                "log_group": self.log_group,
                "role_arn": self.role_arn,
            }
        )


def archive(folder: Path) -> pulumi.AssetArchive:
    """The package's Python files under the package's name.

    Text assets, not a folder: neither caches, nor times, nor where the repository was cloned count.
    """
    return pulumi.AssetArchive(
        {
            f"{folder.name}/{path.relative_to(folder).as_posix()}": pulumi.StringAsset(
                path.read_text(encoding="utf-8")
            )
            for path in sources.python_files(folder)
        }
    )
