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
_listing("queue", "sqs", "list_queues", "QueueUrls", "")
_listing("cluster", "ecs", "list_clusters", "clusterArns", "")
_listing("task definition", "ecs", "list_task_definitions", "taskDefinitionArns", "")
_listing("table", "dynamodb", "list_tables", "TableNames", "")
_listing("rule", "events", "list_rules", "Rules", "Name")
_listing("event source mapping", "lambda", "list_event_source_mappings", "EventSourceMappings", "UUID")
_listing("secret", "secretsmanager", "list_secrets", "SecretList", "Name")


def _services() -> list[str]:
    client = boto3.client("ecs")
    clusters = [
        arn for page in client.get_paginator("list_clusters").paginate() for arn in page["clusterArns"]
    ]
    pages = [page for arn in clusters for page in client.get_paginator("list_services").paginate(cluster=arn)]
    return [arn for page in pages for arn in page["serviceArns"]]


LISTS["service"] = _services

_listing("vpc", "ec2", "describe_vpcs", "Vpcs", "VpcId")
_listing("subnet", "ec2", "describe_subnets", "Subnets", "SubnetId")
_listing("gateway", "ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId")
_listing("route table", "ec2", "describe_route_tables", "RouteTables", "RouteTableId")
_listing("security group", "ec2", "describe_security_groups", "SecurityGroups", "GroupId")
_listing("endpoint", "ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId")
_listing("load balancer", "elbv2", "describe_load_balancers", "LoadBalancers", "LoadBalancerArn")
_listing("target group", "elbv2", "describe_target_groups", "TargetGroups", "TargetGroupArn")
_listing("database", "rds", "describe_db_instances", "DBInstances", "DBInstanceIdentifier")
_listing("database subnets", "rds", "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName")
_listing(
    "database set-up", "rds", "describe_db_parameter_groups", "DBParameterGroups", "DBParameterGroupName"
)


def holdings() -> set[tuple[str, str]]:
    """Every resource of the kinds that our stacks make, as ``(kind, name)``."""
    return {(kind, name) for kind, names in LISTS.items() for name in names()}
