"""What the emulator holds: asked of its own API, never of Pulumi."""

from collections.abc import Callable
from typing import Any

import boto3

LISTS: dict[str, Callable[[], list[str]]] = {}


def _listing(kind: str, service: str, operation: str, result: str, name: str) -> None:
    def call() -> list[str]:
        client = boto3.client(service)
        limit = {"MaxResults": 60} if service.startswith("cognito") else {}
        if client.can_paginate(operation) and not limit:
            pages = list(client.get_paginator(operation).paginate())
        else:
            pages = [getattr(client, operation)(**limit)]
        found: list[Any] = [item for page in pages for item in page.get(result, [])]
        return [item if isinstance(item, str) else item[name] for item in found]

    LISTS[kind] = call


_listing("bucket", "s3", "list_buckets", "Buckets", "Name")
_listing("role", "iam", "list_roles", "Roles", "RoleName")
_listing("function", "lambda", "list_functions", "Functions", "FunctionName")
_listing("log group", "logs", "describe_log_groups", "logGroups", "logGroupName")
_listing("state machine", "stepfunctions", "list_state_machines", "stateMachines", "name")
_listing("repository", "ecr", "describe_repositories", "repositories", "repositoryName")
_listing("api", "apigatewayv2", "get_apis", "Items", "Name")
_listing("user pool", "cognito-idp", "list_user_pools", "UserPools", "Name")
_listing("identity pool", "cognito-identity", "list_identity_pools", "IdentityPools", "IdentityPoolName")
_listing("topic", "sns", "list_topics", "Topics", "TopicArn")
_listing("alarm", "cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName")


def holdings() -> set[tuple[str, str]]:
    """Every resource of the kinds that our stacks make, as ``(kind, name)``."""
    return {(kind, name) for kind, names in LISTS.items() for name in names()}
