"""The three functions that move runs on, and what calls them: S3, EventBridge, a queue and a clock."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi_aws import cloudwatch, lambda_, s3, sqs

from components.parts import iam, runner_iam
from components.parts.bucket import PrivateBucket
from components.parts.fargate_task import FargateTask
from components.parts.function import LambdaFunction, LambdaFunctionArgs
from components.parts.network import Network

FOLDER = Path(__file__).resolve().parents[2] / "lambdas" / "projections"
MEMORY_MB = 256
TIME_LIMIT_S = 30
VISIBILITY_S = 6 * TIME_LIMIT_S
"""Six times the function's limit, as AWS advises for a queue that a function reads."""
DELIVERIES = 5
EVENT_AGE_S = 6 * 3600
"""How long Lambda and EventBridge try to deliver an event before it is a dead letter."""
DEAD_LETTER_S = 14 * 86400
"""The most that SQS keeps."""


@dataclass(frozen=True, kw_only=True)
class RunFunctionsArgs:
    runner_name: str
    bucket: PrivateBucket
    table_name: pulumi.Input[str]
    table_arn: pulumi.Input[str]
    index_arn: pulumi.Input[str]
    cluster_arn: pulumi.Input[str]
    task: FargateTask
    network: Network
    security_group_id: pulumi.Input[str]
    """Of the model's tasks."""
    numbers: Mapping[str, int]
    """``lambdas.projections.states.Settings``, by field."""
    log_days: int
    tags: Mapping[str, str] | None = None


class RunFunctions(pulumi.ComponentResource):
    """Functions, triggers, the restart queue and the dead-letter queues.

    A dead-letter queue a way in: each holds one kind of message, which an operator can send back to where it
    came from; a shared one would mix what belongs to different places. The clock has none: the next minute
    does what this one missed, and errors raise an alarm.
    """

    dispatch: LambdaFunction
    resume: LambdaFunction
    sweep: LambdaFunction
    restart_queue_url: pulumi.Output[str]
    restart_queue_arn: pulumi.Output[str]
    dead_letter_queue_urls: pulumi.Output[Mapping[str, str]]
    dead_letters: Mapping[str, sqs.Queue]

    def __init__(self, name: str, args: RunFunctionsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("benchtop:index:RunFunctions", name, {}, opts)
        self._name, self._args = name, args
        dead = {
            key: self._queue(f"{key}-dead", message_retention_seconds=DEAD_LETTER_S)
            for key in ("dispatch", "events", "restarts")
        }
        restarts = self._queue(
            "restarts",
            visibility_timeout_seconds=VISIBILITY_S,
            redrive_policy=pulumi.Output.json_dumps(
                {"deadLetterTargetArn": dead["restarts"].arn, "maxReceiveCount": DELIVERIES}
            ),
        )
        self._restarts = restarts
        starting = {
            "cluster_arn": args.cluster_arn,
            "definition_arn": args.task.arn,
            "role_arns": args.task.role_arns,
            "table_arn": args.table_arn,
            "queue_arn": restarts.arn,
        }
        self.dispatch = self._function(
            "dispatch",
            "Starts a run for each new request object",
            runner_iam.dispatch,
            {**starting, "bucket_arn": args.bucket.arn, "dead_letter_arn": dead["dispatch"].arn},
        )
        self.resume = self._function(
            "resume",
            "Starts runs again whose task was interrupted",
            runner_iam.resume,
            {**starting, "dead_letter_arn": dead["events"].arn},
        )
        self.sweep = self._function(
            "sweep",
            "Finds runs whose task vanished, and starts that were lost",
            runner_iam.sweep,
            {
                "table_arn": args.table_arn,
                "index_arn": args.index_arn,
                "queue_arn": restarts.arn,
                "cluster_arn": args.cluster_arn,
            },
        )
        self._on_requests(dead["dispatch"])
        self._on_stopped_tasks(dead["events"])
        self._on_restarts()
        self._every_minute()
        self.restart_queue_url = restarts.url
        self.restart_queue_arn = restarts.arn
        self.dead_letters = dead
        self.dead_letter_queue_urls = pulumi.Output.all(**{key: queue.url for key, queue in dead.items()})
        self.register_outputs(
            {
                "restart_queue_url": self.restart_queue_url,
                "restart_queue_arn": self.restart_queue_arn,
                "dead_letter_queue_urls": self.dead_letter_queue_urls,
            }
        )

    # --- functions and queues ----------------------------------------------------------------------

    def _function(
        self,
        role: str,
        description: str,
        statements: Callable[..., Sequence[iam.Statement]],
        arns: Mapping[str, pulumi.Input[Any]],
    ) -> LambdaFunction:
        args = self._args
        tasks: dict[str, pulumi.Input[str]] = {
            "RUN_TABLE": args.table_name,
            "BUCKET_NAME": args.bucket.bucket_name,
            "CLUSTER_ARN": args.cluster_arn,
            "TASK_DEFINITION": args.task.arn,
            "SUBNETS": args.network.task_subnets.apply(",".join),
            "SECURITY_GROUPS": args.security_group_id,
            "ASSIGN_PUBLIC_IP": args.network.public_ip.apply(lambda public: "true" if public else "false"),
            "RESTART_QUEUE_URL": self._restarts.url,
        }
        return LambdaFunction(
            f"{self._name}-{role}",
            LambdaFunctionArgs(
                function_name=f"{args.runner_name}-{role}",
                description=description,
                folder=str(FOLDER),
                handler=f"projections.{role}.handle",
                memory_mb=MEMORY_MB,
                time_limit_s=TIME_LIMIT_S,
                log_days=args.log_days,
                environment={
                    **tasks,
                    **{key.upper(): str(number) for key, number in sorted(args.numbers.items())},
                },
                statements=pulumi.Output.all(**arns).apply(lambda known: statements(**known)),
                tags=args.tags,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _queue(self, role: str, **more: Any) -> sqs.Queue:
        return sqs.Queue(
            f"{self._name}-{role}",
            name=f"{self._args.runner_name}-{role}",
            sqs_managed_sse_enabled=True,
            tags=self._args.tags,
            opts=pulumi.ResourceOptions(parent=self),
            **more,
        )

    # --- who calls them ----------------------------------------------------------------------------

    def _on_requests(self, dead: sqs.Queue) -> None:
        """S3 tells of new request objects, and of nothing else in the bucket."""
        failures = self._when_it_fails("dispatch", self.dispatch, dead)
        allowed = lambda_.Permission(
            f"{self._name}-dispatch-permission",
            action="lambda:InvokeFunction",
            function=self.dispatch.function_name,
            principal="s3.amazonaws.com",
            source_arn=self._args.bucket.arn,
            # A bucket's ARN names no account: somebody else's later bucket of this name is not meant.
            source_account=self.dispatch.arn.apply(account_of),
            opts=pulumi.ResourceOptions(parent=self),
        )
        s3.BucketNotification(
            f"{self._name}-notification",
            bucket=self._args.bucket.bucket_name,
            lambda_functions=[
                {
                    "lambda_function_arn": self.dispatch.arn,
                    "events": ["s3:ObjectCreated:*"],
                    "filter_prefix": "requests/",
                    "filter_suffix": ".json",
                }
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed, failures]),
        )

    def _on_stopped_tasks(self, dead: sqs.Queue) -> None:
        """EventBridge tells of tasks of the cluster that were interrupted or could not start."""
        failures = self._when_it_fails("resume", self.resume, dead)
        rule = cloudwatch.EventRule(
            f"{self._name}-stopped",
            name=f"{self._args.runner_name}-stopped",
            description=f"Tasks of {self._args.runner_name} that were interrupted or could not start",
            event_pattern=pulumi.Output.json_dumps(
                pulumi.Output.from_input(self._args.cluster_arn).apply(stopped_pattern)
            ),
            tags=self._args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        policy = sqs.QueuePolicy(
            f"{self._name}-events-dead-policy",
            queue_url=dead.url,
            policy=pulumi.Output.json_dumps(
                pulumi.Output.all(dead.arn, rule.arn).apply(
                    lambda arns: runner_iam.deliver_dead_letters(arns[0], arns[1])
                )
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        allowed = self._allow_rule("resume", self.resume, rule)
        cloudwatch.EventTarget(
            f"{self._name}-stopped-target",
            rule=rule.name,
            target_id="resume",
            arn=self.resume.arn,
            retry_policy={"maximum_event_age_in_seconds": EVENT_AGE_S, "maximum_retry_attempts": 185},
            dead_letter_config={"arn": dead.arn},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed, policy, failures]),
        )

    def _on_restarts(self) -> None:
        """One message a call: what fails is delivered again alone."""
        lambda_.EventSourceMapping(
            f"{self._name}-restarts-mapping",
            event_source_arn=self._restarts.arn,
            function_name=self.resume.function_name,
            batch_size=1,
            tags=self._args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _every_minute(self) -> None:
        quiet = lambda_.FunctionEventInvokeConfig(
            f"{self._name}-sweep-failures",
            function_name=self.sweep.function_name,
            maximum_retry_attempts=0,
            maximum_event_age_in_seconds=60,
            opts=pulumi.ResourceOptions(parent=self),
        )
        rule = cloudwatch.EventRule(
            f"{self._name}-clock",
            name=f"{self._args.runner_name}-sweep",
            description=f"Looks at the unfinished runs of {self._args.runner_name}",
            schedule_expression="rate(1 minute)",
            tags=self._args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        allowed = self._allow_rule("sweep", self.sweep, rule)
        cloudwatch.EventTarget(
            f"{self._name}-clock-target",
            rule=rule.name,
            target_id="sweep",
            arn=self.sweep.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed, quiet]),
        )

    def _allow_rule(
        self, role: str, function: LambdaFunction, rule: cloudwatch.EventRule
    ) -> lambda_.Permission:
        return lambda_.Permission(
            f"{self._name}-{role}-permission",
            action="lambda:InvokeFunction",
            function=function.function_name,
            principal="events.amazonaws.com",
            source_arn=rule.arn,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _when_it_fails(
        self, role: str, function: LambdaFunction, dead: sqs.Queue
    ) -> lambda_.FunctionEventInvokeConfig:
        """Two more tries, then the dead-letter queue, with the event and what went wrong."""
        return lambda_.FunctionEventInvokeConfig(
            f"{self._name}-{role}-failures",
            function_name=function.function_name,
            maximum_retry_attempts=2,
            maximum_event_age_in_seconds=EVENT_AGE_S,
            destination_config={"on_failure": {"destination": dead.arn}},
            opts=pulumi.ResourceOptions(parent=self),
        )


def stopped_pattern(cluster_arn: str) -> dict[str, Any]:
    """EventBridge's pattern of the events that lead to a restart (ECS guide, "Task state change events")."""
    return {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "clusterArn": [cluster_arn],
            "lastStatus": ["STOPPED"],
            "stopCode": ["SpotInterruption", "TaskFailedToStart"],
        },
    }


def account_of(arn: str) -> str:
    """
    >>> account_of("arn:aws:lambda:eu-west-3:123456789012:function:f")
    '123456789012'
    """
    return arn.split(":")[4]
