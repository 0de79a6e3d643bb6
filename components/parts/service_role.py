"""The role of one workload with its policy and, where it has one, its log group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import cloudwatch
from pulumi_aws import iam as aws_iam

from components.parts import iam


@dataclass(frozen=True, kw_only=True)
class ServiceRoleArgs:
    service: str
    """Who takes the role, for example ``lambda.amazonaws.com``."""
    description: str
    statements: pulumi.Input[Sequence[Mapping[str, Any]]]
    """IAM statements of what the workload may do, besides writing its own log."""
    log_group_name: str | None = None
    log_days: int | None = None
    writes_log: bool = True
    """False: the service delivers the log by other means, and ``statements`` say which."""
    tags: Mapping[str, str] | None = None


class ServiceRole:
    """``<name>-logs``, ``<name>-role`` and ``<name>-policy``, made in that order.

    No component: the three are children of the workload's own component, as if it had made them.
    """

    def __init__(self, name: str, args: ServiceRoleArgs, parent: pulumi.Resource) -> None:
        child = pulumi.ResourceOptions(parent=parent)
        self._logs = (
            cloudwatch.LogGroup(
                f"{name}-logs",
                name=args.log_group_name,
                retention_in_days=args.log_days,
                tags=args.tags,
                opts=child,
            )
            if args.log_group_name
            else None
        )
        self.role = aws_iam.Role(
            f"{name}-role",
            assume_role_policy=pulumi.Output.json_dumps(iam.trust_service(args.service)),
            description=args.description,
            tags=args.tags,
            opts=child,
        )
        written = self._logs.arn if self._logs is not None and args.writes_log else None
        self.policy = aws_iam.RolePolicy(
            f"{name}-policy",
            role=self.role.name,
            policy=pulumi.Output.json_dumps(
                pulumi.Output.all(statements=args.statements, logs=written).apply(_document)
            ),
            opts=child,
        )

    @property
    def arn(self) -> pulumi.Output[str]:
        return pulumi.Output.from_input(self.role.arn)

    @property
    def logs(self) -> cloudwatch.LogGroup:
        """The log group; an error when ``log_group_name`` was None."""
        if self._logs is None:
            raise LookupError("this role was made without a log group")
        return self._logs

    @property
    def ready(self) -> list[pulumi.Resource]:
        """What must be there before the workload: its rights, and its log group."""
        return [self.policy] if self._logs is None else [self._logs, self.policy]


def _document(made: Mapping[str, Any]) -> iam.Document:
    own_log = [iam.write_logs(made["logs"])] if made["logs"] else []
    return iam.document(*own_log, *made["statements"])
