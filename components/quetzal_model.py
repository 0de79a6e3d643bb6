"""A Quetzal transport model on AWS: scenarios in a bucket, steps in a Lambda, runs in Step Functions.

See ``QuetzalModel``. Limits and their sources: Lambda quotas, Amazon States Language, S3 naming rules.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_aws import iam as aws_iam
from pulumi_aws import sfn

from components.parts import asl, iam, quetzal_iam
from components.parts.alerts import alarm
from components.parts.bucket import PrivateBucket, PrivateBucketArgs
from components.parts.common import LOG_DAYS, name_problem
from components.parts.directory import AccessGroup, AccessGroupArgs
from components.parts.function import (
    MEMORY_MB,
    STORAGE_MB,
    TIME_LIMIT_S,
    LambdaFunction,
    LambdaFunctionArgs,
    check_range,
)
from components.parts.http_api import JwtHttpApi, JwtHttpApiArgs
from components.parts.image import ContainerImage, ContainerImageArgs
from components.parts.service_role import ServiceRole, ServiceRoleArgs
from lambdas.quetzal_api.routes import ROUTES

DEFAULT_MEMORY_MB = 4016
DEFAULT_TIME_LIMIT_S = 300
DEFAULT_STORAGE_MB = 4016
DEFAULT_LOG_DAYS = 14
DEFAULT_ORIGINS = ("http://localhost:8081",)
"""Where the front end runs during its own development."""

API_FOLDER = Path(__file__).resolve().parents[1] / "lambdas" / "quetzal_api"


@dataclass(frozen=True, kw_only=True)
class QuetzalModelArgs:
    bucket_name: str
    """Globally unique; also names the function, the repository, the state machine and the API."""
    context: str
    """Folder of the image: Dockerfile, runner, and ``models/<source>/``."""
    source: str
    """The model's folder under ``models/``, with ``step-functions.json`` and ``notebooks/``."""
    user_pool_id: pulumi.Input[str]
    user_pool_client_id: pulumi.Input[str]
    identity_pool_id: pulumi.Input[str]
    alarm_topic_arn: pulumi.Input[str]
    group_name: str | None = None
    """Cognito group made for the model; the component's name when None."""
    shared_groups: Mapping[str, pulumi.Input[str]] | None = None
    """Other groups that may use the model: from a group to the name of its role."""
    access_table_arn: pulumi.Input[str] | None = None
    """Object with the table of groups and models, which the model's users may then read."""
    memory_mb: int | None = None
    """128 to 10240; 4016 when None. Lambda gives CPU in proportion."""
    time_limit_s: int | None = None
    """1 to 900 for one step; 300 when None."""
    storage_mb: int | None = None
    """512 to 10240 in ``/tmp``; 4016 when None."""
    log_days: int | None = None
    """14 when None: logs in CloudWatch and ``logs/`` in the bucket."""
    front_end_origins: Sequence[str] | None = None
    tracing: bool | None = None
    """True: X-Ray traces of the runs (they cost per trace)."""
    keep_data: bool | None = None
    """True: bucket and repository are protected and retained. Else destroyed with their contents."""
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        problem = name_problem(self.bucket_name)
        if problem:
            raise ValueError(f"bucket_name {problem}")
        for field, limits, unit in (
            ("memory_mb", MEMORY_MB, "MB"),
            ("time_limit_s", TIME_LIMIT_S, "s"),
            ("storage_mb", STORAGE_MB, "MB"),
        ):
            value = getattr(self, field)
            if value is not None:
                check_range(field, value, limits, unit)
        if self.log_days is not None and self.log_days not in LOG_DAYS:
            raise ValueError(f"log_days must be one of {', '.join(map(str, LOG_DAYS))}, got {self.log_days}")
        if not self.workflow_file.parent.is_dir():
            raise ValueError(f"source {self.source!r} is no folder of {self.workflow_file.parent.parent}")

    @property
    def workflow_file(self) -> Path:
        return workflow_file(Path(self.context), self.source)


def workflow_file(context: Path, source: str) -> Path:
    """``step-functions.json`` of a model in the image's context."""
    return context / "models" / source / "step-functions.json"


class QuetzalModel(pulumi.ComponentResource):
    """Everything one model needs; several live side by side and share only the user directory.

    Construction checks the workflow first (``asl.WorkflowError``), so that nothing is made for a broken one.
    """

    bucket_name: pulumi.Output[str]
    repository_url: pulumi.Output[str]
    image_digest_uri: pulumi.Output[str]
    function_name: pulumi.Output[str]
    log_group: pulumi.Output[str]
    state_machine_arn: pulumi.Output[str]
    api_url: pulumi.Output[str]
    user_role_arn: pulumi.Output[str]
    groups: pulumi.Output[Sequence[str]]
    steps: pulumi.Output[Sequence[str]]

    def __init__(self, name: str, args: QuetzalModelArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = QuetzalModelArgs(**args) if isinstance(args, dict) else args
        definition = asl.load(args.workflow_file)
        super().__init__("benchtop:index:QuetzalModel", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        full = args.bucket_name
        origins = args.front_end_origins if args.front_end_origins is not None else DEFAULT_ORIGINS
        log_days = args.log_days or DEFAULT_LOG_DAYS
        steps = asl.steps(definition)
        groups = sorted({args.group_name or name, *(args.shared_groups or {})})

        bucket = PrivateBucket(
            f"{name}-data",
            PrivateBucketArgs(
                bucket_name=full, origins=origins, log_days=log_days, keep=args.keep_data, tags=args.tags
            ),
            child,
        )
        image = ContainerImage(
            f"{name}-image",
            ContainerImageArgs(
                repository_name=full,
                context=args.context,
                build_args={"MODEL": args.source},
                keep=args.keep_data,
                tags=args.tags,
            ),
            child,
        )
        runner = LambdaFunction(
            f"{name}-runner",
            LambdaFunctionArgs(
                function_name=full,
                description=f"Runs one step of the Quetzal model {name}",
                image_uri=image.digest_uri,
                memory_mb=args.memory_mb or DEFAULT_MEMORY_MB,
                time_limit_s=args.time_limit_s or DEFAULT_TIME_LIMIT_S,
                storage_mb=args.storage_mb or DEFAULT_STORAGE_MB,
                log_days=log_days,
                environment={"BUCKET_NAME": bucket.bucket_name, "MODEL_TAG": image.tag},
                statements=bucket.arn.apply(quetzal_iam.runner),
                tags=args.tags,
            ),
            child,
        )
        machine = self._workflow(name, args, definition, runner, log_days)
        api_function = LambdaFunction(
            f"{name}-api-handler",
            LambdaFunctionArgs(
                function_name=f"{full}-api",
                description=f"Starts, shows and stops runs of the Quetzal model {name}",
                folder=str(API_FOLDER),
                handler="quetzal_api.handler.handle",
                memory_mb=256,
                time_limit_s=29,  # an HTTP API waits 30 s at most
                log_days=log_days,
                environment={
                    "MODEL": name,
                    "MODEL_TAG": image.tag,
                    "BUCKET_NAME": bucket.bucket_name,
                    "STATE_MACHINE_ARN": machine.arn,
                    "GROUPS": json.dumps(groups),
                    "STEPS": json.dumps(steps),
                },
                statements=pulumi.Output.all(bucket.arn, machine.arn).apply(
                    lambda arns: quetzal_iam.api(arns[0], arns[1])
                ),
                tags=args.tags,
            ),
            child,
        )
        api = JwtHttpApi(
            f"{name}-http",
            JwtHttpApiArgs(
                api_name=full,
                function_name=api_function.function_name,
                function_invoke_arn=api_function.invoke_arn,
                routes=ROUTES,
                user_pool_id=args.user_pool_id,
                user_pool_client_id=args.user_pool_client_id,
                origins=origins,
                log_days=log_days,
                tags=args.tags,
            ),
            child,
        )
        group = self._users(name, args, bucket.arn)
        self._alarms(name, args, runner.function_name, machine.arn, api.api_id)

        self.bucket_name = bucket.bucket_name
        self.repository_url = image.repository_url
        self.image_digest_uri = image.digest_uri
        self.function_name = runner.function_name
        self.log_group = runner.log_group
        self.state_machine_arn = machine.arn
        self.api_url = api.url
        self.user_role_arn = group.role_arn
        self.groups = pulumi.Output.from_input(groups)
        self.steps = pulumi.Output.from_input(list(steps))
        self.register_outputs(self.described())

    def described(self) -> dict[str, pulumi.Output[str] | pulumi.Output[Sequence[str]]]:
        """The outputs as operators' tools read them."""
        return {
            "bucket": self.bucket_name,
            "repository_url": self.repository_url,
            "image_digest_uri": self.image_digest_uri,
            "function_name": self.function_name,
            "log_group": self.log_group,
            "state_machine_arn": self.state_machine_arn,
            "api_url": self.api_url,
            "user_role_arn": self.user_role_arn,
            "groups": self.groups,
            "steps": self.steps,
        }

    def _workflow(
        self,
        name: str,
        args: QuetzalModelArgs,
        definition: Mapping[str, object],
        runner: LambdaFunction,
        log_days: int,
    ) -> sfn.StateMachine:
        """The state machine with its role and log group."""
        tracing = bool(args.tracing)
        role = ServiceRole(
            f"{name}-workflow",
            ServiceRoleArgs(
                service="states.amazonaws.com",
                description=f"What the workflow {args.bucket_name} may do",
                statements=runner.arn.apply(lambda arn: quetzal_iam.state_machine(arn, tracing=tracing)),
                # Under /aws/vendedlogs/, or each machine would lengthen the account's one policy for logs.
                log_group_name=f"/aws/vendedlogs/states/{args.bucket_name}",
                log_days=log_days,
                writes_log=False,
                tags=args.tags,
            ),
            self,
        )
        return sfn.StateMachine(
            f"{name}-workflow",
            name=args.bucket_name,
            type="STANDARD",
            role_arn=role.arn,
            definition=runner.arn.apply(lambda arn: asl.render(definition, arn)),
            logging_configuration={
                "log_destination": pulumi.Output.concat(role.logs.arn, ":*"),
                "level": "ERROR",
                # Inputs hold e-mail addresses; who may see those finds them in the execution.
                "include_execution_data": False,
            },
            tracing_configuration={"enabled": tracing},
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=role.ready),
        )

    def _users(self, name: str, args: QuetzalModelArgs, bucket_arn: pulumi.Output[str]) -> AccessGroup:
        """The model's own group; its role and those of the shared groups get access to the bucket."""
        child = pulumi.ResourceOptions(parent=self)
        group = AccessGroup(
            f"{name}-users",
            AccessGroupArgs(
                group_name=args.group_name or name,
                description=f"Users of the Quetzal model {name}",
                user_pool_id=args.user_pool_id,
                identity_pool_id=args.identity_pool_id,
                tags=args.tags,
            ),
            child,
        )
        document = pulumi.Output.json_dumps(
            pulumi.Output.all(bucket_arn, args.access_table_arn).apply(
                lambda arns: iam.document(*quetzal_iam.users(arns[0], arns[1]))
            )
        )
        roles: dict[str, pulumi.Input[str]] = {"users": group.role_name}
        roles |= {f"users-{key}": role for key, role in sorted((args.shared_groups or {}).items())}
        for key, role in roles.items():
            aws_iam.RolePolicy(f"{name}-{key}-policy", role=role, policy=document, opts=child)
        return group

    def _alarms(
        self,
        name: str,
        args: QuetzalModelArgs,
        function: pulumi.Output[str],
        machine: pulumi.Output[str],
        api: pulumi.Output[str],
    ) -> None:
        """E-mail when a run fails or times out, a step breaks or is throttled, or the API answers 5xx."""
        runs = {"StateMachineArn": machine}
        for key, what, namespace, metric, dimensions in (
            ("runs-failed", "a run failed", "AWS/States", "ExecutionsFailed", runs),
            ("runs-timed-out", "a run timed out", "AWS/States", "ExecutionsTimedOut", runs),
            ("step-errors", "a step raised an error", "AWS/Lambda", "Errors", {"FunctionName": function}),
            ("step-throttles", "a step had to wait", "AWS/Lambda", "Throttles", {"FunctionName": function}),
            ("api-5xx", "the API answered 5xx", "AWS/ApiGateway", "5xx", {"ApiId": api}),
        ):
            alarm(
                f"{name}-{key}",
                parent=self,
                what=f"Quetzal model {name}: {what}",
                namespace=namespace,
                metric=metric,
                dimensions=dimensions,
                topic_arn=args.alarm_topic_arn,
                tags=args.tags,
            )
