"""The benchmark's units as a plain Pulumi program: no component of ours, only resources."""

import sys
from pathlib import Path

import pulumi
from pulumi_aws import cloudwatch, ecr, iam, lambda_, s3, sfn, sns, sqs

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import unit

PREFIX = "by-pulumi"


def declare(name: str) -> None:
    """Declare one unit of eight resources, all named after ``name``."""
    s3.Bucket(f"{name}-bucket", bucket=f"{name}-bucket", tags=unit.TAGS)
    role = iam.Role(
        f"{name}-role", name=f"{name}-role", assume_role_policy=unit.ASSUME_ROLE_POLICY, tags=unit.TAGS
    )
    function = lambda_.Function(
        f"{name}-function",
        name=f"{name}-function",
        role=role.arn,
        runtime=unit.RUNTIME,
        handler=unit.HANDLER,
        code=pulumi.AssetArchive({"index.py": pulumi.StringAsset(unit.CODE)}),
        memory_size=unit.MEMORY_MB,
        timeout=unit.TIMEOUT_S,
        tags=unit.TAGS,
    )
    cloudwatch.LogGroup(
        f"{name}-logs",
        name=f"/aws/lambda/{name}-function",
        retention_in_days=unit.LOG_DAYS,
        tags=unit.TAGS,
    )
    sfn.StateMachine(
        f"{name}-machine",
        name=f"{name}-machine",
        role_arn=role.arn,
        definition=function.arn.apply(unit.definition),
        tags=unit.TAGS,
    )
    ecr.Repository(f"{name}-repository", name=f"{name}-repository", tags=unit.TAGS)
    sns.Topic(f"{name}-topic", name=f"{name}-topic", tags=unit.TAGS)
    sqs.Queue(
        f"{name}-queue",
        name=f"{name}-queue",
        visibility_timeout_seconds=unit.VISIBILITY_TIMEOUT_S,
        tags=unit.TAGS,
    )


for unit_name in unit.names(PREFIX):
    declare(unit_name)
