"""The benchmark's units as an AWS CDK app: as its users write them, or with its low-level constructs.

The usual constructs (``aws_s3.Bucket``) are what the CDK's guide teaches; the low-level ones (``CfnBucket``)
map one to one to resources and are its fastest. ``BENCHMARK_CONSTRUCTS`` chooses.
"""

import json
import os
import sys
from pathlib import Path

import aws_cdk as cdk  # type: ignore[import-not-found] # it is in an environment of its own
from aws_cdk import aws_ecr, aws_iam, aws_lambda, aws_logs, aws_s3, aws_sns, aws_sqs, aws_stepfunctions
from constructs import Construct  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import unit

PREFIX = "by-cdk"
GONE = cdk.RemovalPolicy.DESTROY


class Units(cdk.Stack):  # type: ignore[misc]
    """All units of one run in one stack."""

    def __init__(self, scope: Construct, name: str) -> None:
        super().__init__(scope, name)
        declare = self._low if os.environ[unit.CONSTRUCTS_VARIABLE] == "low" else self._usual
        for unit_name in unit.names(PREFIX):
            declare(unit_name)
        for key, value in unit.TAGS.items():
            cdk.Tags.of(self).add(key, value)

    def _usual(self, name: str) -> None:
        aws_s3.Bucket(self, f"{name}-bucket", bucket_name=f"{name}-bucket", removal_policy=GONE)
        principals = (aws_iam.ServicePrincipal(service) for service in unit.SERVICES)
        role = aws_iam.Role(
            self,
            f"{name}-role",
            role_name=f"{name}-role",
            assumed_by=aws_iam.CompositePrincipal(*principals),
        )
        # Without this the CDK would attach a policy for what it sees used; the unit has none, for every tool.
        bare = role.without_policy_updates()
        function = aws_lambda.Function(
            self,
            f"{name}-function",
            function_name=f"{name}-function",
            role=bare,
            runtime=aws_lambda.Runtime(
                unit.RUNTIME, aws_lambda.RuntimeFamily.PYTHON, supports_inline_code=True
            ),
            handler=unit.HANDLER,
            code=aws_lambda.Code.from_inline(unit.CODE),
            memory_size=unit.MEMORY_MB,
            timeout=cdk.Duration.seconds(unit.TIMEOUT_S),
        )
        aws_logs.LogGroup(
            self,
            f"{name}-logs",
            log_group_name=f"/aws/lambda/{name}-function",
            retention=aws_logs.RetentionDays.TWO_WEEKS,
            removal_policy=GONE,
        )
        aws_stepfunctions.StateMachine(
            self,
            f"{name}-machine",
            state_machine_name=f"{name}-machine",
            role=bare,
            definition_body=aws_stepfunctions.DefinitionBody.from_string(
                unit.definition(function.function_arn)
            ),
        )
        aws_ecr.Repository(
            self, f"{name}-repository", repository_name=f"{name}-repository", removal_policy=GONE
        )
        aws_sns.Topic(self, f"{name}-topic", topic_name=f"{name}-topic")
        aws_sqs.Queue(
            self,
            f"{name}-queue",
            queue_name=f"{name}-queue",
            visibility_timeout=cdk.Duration.seconds(unit.VISIBILITY_TIMEOUT_S),
        )

    def _low(self, name: str) -> None:
        aws_s3.CfnBucket(self, f"{name}-bucket", bucket_name=f"{name}-bucket")
        role = aws_iam.CfnRole(
            self,
            f"{name}-role",
            role_name=f"{name}-role",
            assume_role_policy_document=json.loads(unit.ASSUME_ROLE_POLICY),
        )
        function = aws_lambda.CfnFunction(
            self,
            f"{name}-function",
            function_name=f"{name}-function",
            role=role.attr_arn,
            runtime=unit.RUNTIME,
            handler=unit.HANDLER,
            code=aws_lambda.CfnFunction.CodeProperty(zip_file=unit.CODE),
            memory_size=unit.MEMORY_MB,
            timeout=unit.TIMEOUT_S,
        )
        aws_logs.CfnLogGroup(
            self,
            f"{name}-logs",
            log_group_name=f"/aws/lambda/{name}-function",
            retention_in_days=unit.LOG_DAYS,
        )
        aws_stepfunctions.CfnStateMachine(
            self,
            f"{name}-machine",
            state_machine_name=f"{name}-machine",
            role_arn=role.attr_arn,
            definition_string=unit.definition(function.attr_arn),
        )
        aws_ecr.CfnRepository(self, f"{name}-repository", repository_name=f"{name}-repository")
        aws_sns.CfnTopic(self, f"{name}-topic", topic_name=f"{name}-topic")
        aws_sqs.CfnQueue(
            self,
            f"{name}-queue",
            queue_name=f"{name}-queue",
            visibility_timeout=unit.VISIBILITY_TIMEOUT_S,
        )


app = cdk.App()
Units(app, "benchmark")
app.synth()
