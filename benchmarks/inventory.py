"""What the emulator really holds, asked from the services themselves with boto3."""

from collections.abc import Mapping

import boto3
from botocore.config import Config

KINDS = ("bucket", "role", "function", "log group", "state machine", "repository", "topic", "queue")
"""The eight kinds of a unit, in the order in which `count` gives them."""


def count(variables: Mapping[str, str], prefix: str) -> dict[str, int]:
    """Number of resources of each kind whose name starts with ``<prefix>-``.

    ``variables`` is the environment of the sandbox (endpoint, region and keys). Raises
    ``botocore.exceptions.ClientError`` when a service refuses.
    """
    session = boto3.Session(
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_REGION"],
    )
    config = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 2})

    def names(service: str, operation: str, items: str, field: str | None, **parameters: str) -> list[str]:
        client = session.client(service, endpoint_url=variables["AWS_ENDPOINT_URL"], config=config)
        found: list[str] = []
        for page in client.get_paginator(operation).paginate(**parameters):
            for item in page.get(items, []):
                value = item if field is None else item[field]
                found.append(str(value).rsplit(":", 1)[-1].rsplit("/", 1)[-1])
        return found

    held = {
        "bucket": names("s3", "list_buckets", "Buckets", "Name"),
        "role": names("iam", "list_roles", "Roles", "RoleName"),
        "function": names("lambda", "list_functions", "Functions", "FunctionName"),
        "log group": names("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "state machine": names("stepfunctions", "list_state_machines", "stateMachines", "name"),
        "repository": names("ecr", "describe_repositories", "repositories", "repositoryName"),
        "topic": names("sns", "list_topics", "Topics", "TopicArn"),
        "queue": names("sqs", "list_queues", "QueueUrls", None),
    }
    return {kind: sum(name.startswith(f"{prefix}-") for name in held[kind]) for kind in KINDS}


def shortfall(held: Mapping[str, int], expected: int) -> str | None:
    """One line naming the kinds that aren't there ``expected`` times, or ``None`` when all are."""
    wrong = [f"{kind} {held[kind]}" for kind in KINDS if held[kind] != expected]
    return f"expected {expected} of each kind, found {', '.join(wrong)}" if wrong else None
