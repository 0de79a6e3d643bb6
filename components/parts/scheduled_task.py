"""A task started by a clock, under a role that can do just that."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch

from components.parts import runner_iam
from components.parts.fargate_task import FargateTask
from components.parts.network import Network
from components.parts.service_role import ServiceRole, ServiceRoleArgs


@dataclass(frozen=True, kw_only=True)
class ScheduledTaskArgs:
    rule_name: str
    description: str
    schedule: str
    """``rate(...)`` or ``cron(...)``, as EventBridge has them; UTC."""
    cluster_arn: pulumi.Input[str]
    task: FargateTask
    """Its containers run the commands of their definition."""
    network: Network
    security_group_id: pulumi.Input[str]
    tags: Mapping[str, str] | None = None


class ScheduledTask(pulumi.ComponentResource):
    """Role, rule, target."""

    rule_name: pulumi.Output[str]

    def __init__(
        self, name: str, args: ScheduledTaskArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("benchtop:index:ScheduledTask", name, {}, opts)
        clock = ServiceRole(
            name,
            ServiceRoleArgs(
                service="events.amazonaws.com",
                description=f"{args.description}: starts its task",
                statements=pulumi.Output.all(args.cluster_arn, args.task.arn, args.task.role_arns).apply(
                    lambda arns: runner_iam.start_tasks(*arns)
                ),
                tags=args.tags,
            ),
            self,
        )
        rule = cloudwatch.EventRule(
            f"{name}-rule",
            name=args.rule_name,
            description=args.description,
            schedule_expression=args.schedule,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        cloudwatch.EventTarget(
            f"{name}-target",
            rule=rule.name,
            target_id="task",
            arn=args.cluster_arn,
            role_arn=clock.arn,
            ecs_target={
                "task_definition_arn": args.task.arn,
                "task_count": 1,
                "launch_type": "FARGATE",
                "propagate_tags": "TASK_DEFINITION",
                "network_configuration": {
                    "subnets": args.network.task_subnets,
                    "security_groups": [args.security_group_id],
                    "assign_public_ip": args.network.public_ip,
                },
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=clock.ready),
        )
        self.rule_name = rule.name
        self.register_outputs({"rule_name": self.rule_name})
