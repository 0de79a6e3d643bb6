"""Cases of the light aws provider: containers, tables, events, secrets. See ``aws_provider_cases``."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.sandbox.aws_provider_support import Cloud, Made, Values, resource_policy

Inputs = Callable[[Cloud], Values]

TAGS = {"tags": {"team": "transit", "stage": "test"}}
CLUSTER = "aws:ecs/cluster:Cluster"
TASK_DEFINITION = "aws:ecs/taskDefinition:TaskDefinition"
RULE = "aws:cloudwatch/eventRule:EventRule"
SECRET = "aws:secretsmanager/secret:Secret"
SUBNETS = ["subnet-0a", "subnet-0b"]


def containers(**changes: Any) -> str:
    """As a program writes them: AWS answers with more, and in another order."""
    model = {
        "name": "model",
        "image": "busybox:1",
        "environment": [{"name": "Z", "value": "1"}, {"name": "A", "value": "2"}],
        "portMappings": [{"containerPort": 8000}],
        "command": ["sh", "-c", "true"],
        "stopTimeout": 120,
        **changes,
    }
    return json.dumps([{"name": "web", "image": "busybox:1", "essential": False}, model])


def task_definition(cloud: Cloud) -> Values:
    return {
        "family": f"family-{cloud.label}",
        "containerDefinitions": containers(),
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
    }


def cluster(cloud: Cloud) -> Made:
    return cloud.shared(CLUSTER, {})


def task(cloud: Cloud) -> Made:
    return cloud.shared(TASK_DEFINITION, {**task_definition(cloud), "family": f"shared-{cloud.label}"})


def group(cloud: Cloud) -> Made:
    return cloud.shared("aws:cloudwatch/logGroup:LogGroup", {})


def rule(cloud: Cloud) -> Made:
    return cloud.shared(RULE, {"scheduleExpression": "rate(1 hour)", "state": "DISABLED"})


def secret(cloud: Cloud) -> Made:
    return cloud.shared(SECRET, {"recoveryWindowInDays": 0})


def worker(cloud: Cloud) -> Made:
    """The shared function, whose role may use the shared queue."""
    actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:SendMessage"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": cloud.queue["arn"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.shared("aws:iam/rolePolicy:RolePolicy", {"role": cloud.role.id, "policy": policy}, "queue")
    return cloud.function


def stopped(*codes: str) -> str:
    return json.dumps({"source": ["aws.ecs"], "detail": {"stopCode": list(codes)}})


def notified_function(cloud: Cloud) -> Made:
    """The shared function, which S3 may call."""
    allow = {
        "action": "lambda:InvokeFunction",
        "function": cloud.function.id,
        "principal": "s3.amazonaws.com",
        "sourceArn": cloud.bucket["arn"],
    }
    cloud.shared("aws:lambda/permission:Permission", allow)
    return cloud.function


COMPUTE_CASES: Mapping[str, tuple[Inputs, Inputs | None, str]] = {
    CLUSTER: (
        lambda c: {"settings": [{"name": "containerInsights", "value": "enabled"}], **TAGS},
        lambda c: {
            "settings": [{"name": "containerInsights", "value": "disabled"}],
            "tags": {"team": "roads"},
        },
        "{name}",
    ),
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": (
        lambda c: {
            "clusterName": cluster(c)["name"],
            "capacityProviders": ["FARGATE_SPOT", "FARGATE"],
            "defaultCapacityProviderStrategies": [
                {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
                {"capacityProvider": "FARGATE_SPOT", "weight": 4},
            ],
        },
        lambda c: {
            "capacityProviders": ["FARGATE"],
            "defaultCapacityProviderStrategies": [{"capacityProvider": "FARGATE", "weight": 1}],
        },
        "{id}",
    ),
    TASK_DEFINITION: (
        lambda c: {
            **task_definition(c),
            "taskRoleArn": c.role["arn"],
            "executionRoleArn": c.role["arn"],
            "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
            "ephemeralStorage": {"sizeInGib": 30},
            "volumes": [{"name": "scratch"}, {"name": "host", "hostPath": "/tmp/here"}],
            **TAGS,
        },
        lambda c: {"tags": {"team": "roads"}},
        "{arn}",
    ),
    "aws:ecs/service:Service": (
        lambda c: {
            "cluster": cluster(c).id,
            "taskDefinition": task(c)["arn"],
            "desiredCount": 0,
            "launchType": "FARGATE",
            "networkConfiguration": {"subnets": SUBNETS, "assignPublicIp": True},
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            "deploymentMaximumPercent": 150,
            "propagateTags": "SERVICE",
            "waitForSteadyState": True,
            **TAGS,
        },
        lambda c: {
            "deploymentCircuitBreaker": {"enable": True, "rollback": False},
            "networkConfiguration": {"subnets": SUBNETS[::-1], "assignPublicIp": False},
            "enableExecuteCommand": True,
            "tags": {"team": "roads"},
        },
        "{id}",
    ),
    "aws:dynamodb/table:Table": (
        lambda c: {
            "attributes": [{"name": name, "type": "S"} for name in ("run_id", "status", "updated_at")],
            "hashKey": "run_id",
            "billingMode": "PAY_PER_REQUEST",
            "globalSecondaryIndexes": [
                {
                    "name": "by-status",
                    "hashKey": "status",
                    "rangeKey": "updated_at",
                    "projectionType": "INCLUDE",
                    "nonKeyAttributes": ["attempt"],
                }
            ],
            "ttl": {"attributeName": "expires_at", "enabled": True},
            "pointInTimeRecovery": {"enabled": True},
            "serverSideEncryption": {"enabled": True},
            **TAGS,
        },
        lambda c: {
            "attributes": [{"name": name, "type": "S"} for name in ("run_id", "state")],
            "globalSecondaryIndexes": [{"name": "by-state", "hashKey": "state", "projectionType": "ALL"}],
            "ttl": {"attributeName": "ends_at", "enabled": True},
            "pointInTimeRecovery": {"enabled": False},
            "streamEnabled": True,
            "streamViewType": "NEW_IMAGE",
            "tags": {"team": "roads"},
        },
        "{id}",
    ),
    RULE: (
        lambda c: {"eventPattern": stopped("SpotInterruption"), "description": "interrupted", **TAGS},
        lambda c: {
            "eventPattern": stopped("SpotInterruption", "TaskFailedToStart"),
            "state": "DISABLED",
            "tags": {"team": "roads"},
        },
        "{id}",
    ),
    "aws:cloudwatch/eventTarget:EventTarget": (
        lambda c: {
            "rule": rule(c)["name"],
            "arn": cluster(c).id,
            "roleArn": c.role["arn"],
            "input": json.dumps({"sweep": True}),
            "ecsTarget": {
                "taskDefinitionArn": task(c)["arn"],
                "launchType": "FARGATE",
                "networkConfiguration": {"subnets": SUBNETS},
            },
            "deadLetterConfig": {"arn": c.queue["arn"]},
            "retryPolicy": {"maximumEventAgeInSeconds": 3600, "maximumRetryAttempts": 5},
        },
        lambda c: {
            "arn": c.queue["arn"],
            "ecsTarget": None,
            "input": None,
            "inputTransformer": {"inputPaths": {"at": "$.time"}, "inputTemplate": '{"at": <at>}'},
            "retryPolicy": {"maximumEventAgeInSeconds": 60, "maximumRetryAttempts": 0},
        },
        "{rule}/{targetId}",
    ),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": (
        lambda c: {
            "logGroupName": group(c).id,
            "pattern": '{ $.event = "run failed" }',
            "metricTransformation": {
                "name": "FailedRuns",
                "namespace": "Projections",
                "value": "1",
                "defaultValue": "0",
            },
        },
        lambda c: {
            "pattern": "ERROR",
            "metricTransformation": {"name": "Errors", "namespace": "Projections", "value": "$.count"},
        },
        "{logGroupName}:{id}",
    ),
    "aws:lambda/eventSourceMapping:EventSourceMapping": (
        lambda c: {
            "eventSourceArn": c.queue["arn"],
            "functionName": worker(c)["arn"],
            "batchSize": 5,
            "functionResponseTypes": ["ReportBatchItemFailures"],
            "scalingConfig": {"maximumConcurrency": 2},
            **TAGS,
        },
        lambda c: {
            "enabled": False,
            "batchSize": 20,
            "maximumBatchingWindowInSeconds": 3,
            "filterCriteria": {"filters": [{"pattern": json.dumps({"body": {"run_id": ["a"]}})}]},
            "tags": {"team": "roads"},
        },
        "{id}",
    ),
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": (
        lambda c: {
            "functionName": worker(c).id,
            "maximumRetryAttempts": 1,
            "destinationConfig": {"onFailure": {"destination": c.queue["arn"]}},
        },
        lambda c: {"maximumEventAgeInSeconds": 120, "destinationConfig": None},
        "{id}",
    ),
    "aws:s3/bucketNotification:BucketNotification": (
        lambda c: {
            "bucket": c.bucket.id,
            "lambdaFunctions": [
                {
                    "lambdaFunctionArn": notified_function(c)["arn"],
                    "events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
                    "filterPrefix": "requests/",
                    "filterSuffix": ".json",
                }
            ],
        },
        lambda c: {
            "lambdaFunctions": [
                {"lambdaFunctionArn": notified_function(c)["arn"], "events": ["s3:ObjectCreated:Put"]}
            ],
            "eventbridge": True,
        },
        "{id}",
    ),
    SECRET: (
        lambda c: {"description": "a key", "recoveryWindowInDays": 0, **TAGS},
        lambda c: {"description": "another key", "tags": {"team": "roads"}},
        "{id}",
    ),
    "aws:secretsmanager/secretVersion:SecretVersion": (
        lambda c: {"secretId": secret(c).id, "secretString": "very secret"},
        lambda c: {"versionStages": ["AWSCURRENT", "blue"]},
        "{id}",
    ),
    "aws:sqs/queuePolicy:QueuePolicy": (
        lambda c: {"queueUrl": c.queue.id, "policy": resource_policy(c, "sqs:SendMessage", c.queue["arn"])},
        lambda c: {"policy": resource_policy(c, "sqs:ReceiveMessage", c.queue["arn"])},
        "{id}",
    ),
}
