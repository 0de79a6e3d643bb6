"""Containers, tables, events and secrets: what is refused at preview, and what is a change or replaces."""

import asyncio
import json
from typing import Any

import pytest

from sandbox.providers.aws import containers, rules
from sandbox.providers.aws.diffing import diff
from sandbox.providers.aws.provider import AwsProvider
from sandbox.providers.aws.table import resource
from sandbox.providers.server import DiffResult, Naming
from sandbox.providers.wire import UNKNOWN, Properties

MODEL = {"name": "model", "image": "model:1"}
TASK, SERVICE = "aws:ecs/taskDefinition:TaskDefinition", "aws:ecs/service:Service"
TABLE = "aws:dynamodb/table:Table"
RULE, TARGET = "aws:cloudwatch/eventRule:EventRule", "aws:cloudwatch/eventTarget:EventTarget"
MAPPING = "aws:lambda/eventSourceMapping:EventSourceMapping"
NOTIFICATION = "aws:s3/bucketNotification:BucketNotification"
SECRET, VERSION = "aws:secretsmanager/secret:Secret", "aws:secretsmanager/secretVersion:SecretVersion"
QUEUE = "arn:aws:sqs:ca-central-1:000000000000:q"
FUNCTION = "arn:aws:lambda:ca-central-1:000000000000:function:f"
ROLE = "arn:aws:iam::000000000000:role/r"
SPOT = {"capacityProvider": "FARGATE_SPOT", "weight": 1}
DEAD = {"rule": "r", "arn": QUEUE}
FARGATE = {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512"}


def failures(token: str, news: dict[str, Any]) -> dict[str, str]:
    urn = f"urn:pulumi:dev::unit::{token}::thing"
    checked = asyncio.run(AwsProvider().light_check(urn, Properties(), Properties(news), Naming(b"seed")))
    return {found.property: found.reason for found in checked.failures}


def changes(token: str, state: dict[str, Any], news: dict[str, Any]) -> DiffResult:
    return diff(resource(token), state, news, {})


def task(*definitions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"family": "f", "containerDefinitions": json.dumps(definitions or [MODEL]), **FARGATE, **more}


def table(**more: Any) -> dict[str, Any]:
    key = {"attributes": [{"name": "id", "type": "S"}], "hashKey": "id"}
    return {**key, "billingMode": "PAY_PER_REQUEST", **more}


# --- container definitions


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"cpu": 0, "essential": True, "environment": [], "mountPoints": [], "volumesFrom": []}),
        (
            {"environment": [{"name": "B", "value": "1"}, {"name": "A", "value": "2"}]},
            {"environment": [{"name": "A", "value": "2"}, {"name": "B", "value": "1"}]},
        ),
        (
            {"portMappings": [{"containerPort": 80}]},
            {"portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}]},
        ),
        (
            {"healthCheck": {"command": ["CMD", "x"]}},
            {"healthCheck": {"command": ["CMD", "x"], "interval": 30, "timeout": 5, "retries": 3}},
        ),
        ({"stopTimeout": None, "dockerLabels": {}}, {"versionConsistency": "enabled"}),
    ],
)
def test_definitions_that_mean_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    helper = {"name": "helper", "image": "h", "essential": False}
    first, second = [{**MODEL, **one}, helper], [helper, {**MODEL, **other}]
    assert containers.meaning(first) == containers.meaning(second)
    assert rules.meaning("containers", json.dumps(first)) == containers.meaning(second)


@pytest.mark.parametrize(
    "changed",
    [
        {"image": "model:2"},
        {"essential": False},
        {"command": ["a", "b"]},
        {"environment": [{"name": "A", "value": ""}]},
        {"environment": [{"name": "A", "value": "1"}, {"name": "A2", "value": "1"}]},
        {"portMappings": [{"containerPort": 80, "protocol": "udp"}]},
        {"portMappings": [{"containerPort": 80, "hostPort": 8080}]},
        {"cpu": 10},
        {"readonlyRootFilesystem": True},
        {"secrets": [{"name": "A", "valueFrom": "arn:x"}]},
    ],
)
def test_definitions_that_mean_something_else(changed: dict[str, Any]) -> None:
    base = {**MODEL, "command": ["b", "a"], "portMappings": [{"containerPort": 80}],
            "environment": [{"name": "A", "value": "1"}]}  # fmt: skip
    assert containers.meaning([base]) != containers.meaning([{**base, **changed}])


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "must be a list"),
        ([], "at least one container"),
        ([{"image": "x"}], "[0].name is required"),
        ([{"name": "x"}], "[0].image is required"),
        ([{**MODEL, "imgae": "x"}], 'Unknown parameter in [0]: "imgae"'),
        ([{**MODEL, "memory": "512"}], "Invalid type for parameter [0].memory"),
        ([MODEL, MODEL], "[1].name must be unique"),
        ([{**MODEL, "essential": False}], "at least one essential container"),
        ([{**MODEL, "dependsOn": [{"containerName": "db", "condition": "START"}]}], "names 'db'"),
    ],
)
def test_definitions_that_ecs_would_refuse(document: Any, words: str) -> None:
    assert (
        words
        in failures(TASK, task() | {"containerDefinitions": json.dumps(document)})["containerDefinitions"]
    )


# --- refusals


@pytest.mark.parametrize(
    ("token", "news", "where", "words"),
    [
        (TASK, task(cpu="300"), "cpu", "must be one of 256, 512, 1024"),
        (TASK, task(memory="8192"), "memory", "must be 512 to 2048 MiB"),
        (TASK, task(memory=None), "memory", "is required with FARGATE"),
        (TASK, task(networkMode="bridge"), "networkMode", "must be awsvpc with FARGATE"),
        (TASK, task(ephemeralStorage={"sizeInGib": 20}), "ephemeralStorage.sizeInGib", "21 to 200"),
        (SERVICE, {}, "taskDefinition", "is required"),
        (
            SERVICE,
            {"taskDefinition": "f", "launchType": "FARGATE", "capacityProviderStrategies": [SPOT]},
            "launchType",
            "conflicts with capacityProviderStrategies",
        ),
        (
            SERVICE,
            {"taskDefinition": "f", "healthCheckGracePeriodSeconds": 30},
            "healthCheckGracePeriodSeconds",
            "only for services with loadBalancers",
        ),
        (SERVICE, {"taskDefinition": "f", "triggers": {"a": "b"}}, "triggers", "need forceNewDeployment"),
        (TABLE, table(billingMode="PROVISIONED"), "readCapacity", "is required with billingMode PROVISIONED"),
        (TABLE, table(readCapacity=5), "readCapacity", "isn't allowed with billingMode PAY_PER_REQUEST"),
        (TABLE, table(rangeKey="at"), "attributes", "must declare 'at', which is a key"),
        (
            TABLE,
            table(attributes=[{"name": "id", "type": "S"}, {"name": "x", "type": "S"}]),
            "attributes",
            "declares 'x', which is no key",
        ),
        (
            TABLE,
            table(globalSecondaryIndexes=[{"name": "all", "hash_key": "id", "projectionType": "ALL"}]),
            "globalSecondaryIndexes",
            "[0] has no property 'hash_key'",
        ),
        (
            TABLE,
            table(globalSecondaryIndexes=[{"name": "some", "hashKey": "id", "projectionType": "INCLUDE"}]),
            "globalSecondaryIndexes",
            "[0] must have nonKeyAttributes",
        ),
        (TABLE, table(ttl={"enabled": True}), "ttl.attributeName", "is required with enabled"),
        (TABLE, table(pointInTimeRecovery={"enabled": "yes"}), "pointInTimeRecovery", "must be a bool"),
        (RULE, {}, "eventPattern", "is required, or scheduleExpression"),
        (RULE, {"scheduleExpression": "every minute"}, "scheduleExpression", "rate(5 minutes) or cron(...)"),
        (RULE, {"eventPattern": '{"detail": {"code": "x"}}'}, "eventPattern", "a list at detail.code"),
        (TARGET, {**DEAD, "input": "{}", "inputPath": "$"}, "inputPath", "conflicts with input"),
        (
            TARGET,
            {**DEAD, "ecsTarget": {"taskDefinitionArn": "arn:aws:ecs:r:a:task-definition/f"}},
            "roleArn",
            "is required with ecsTarget",
        ),
        (MAPPING, {"functionName": "f"}, "eventSourceArn", "is required"),
        (
            MAPPING,
            {"functionName": "f", "eventSourceArn": QUEUE, "batchSize": 100},
            "maximumBatchingWindowInSeconds",
            "at least 1",
        ),
        (
            MAPPING,
            {"functionName": "f", "eventSourceArn": QUEUE, "startingPosition": "LATEST"},
            "startingPosition",
            "isn't allowed for a queue",
        ),
        (NOTIFICATION, {"bucket": "b"}, "lambdaFunctions", "is required, or queues"),
        (
            NOTIFICATION,
            {"bucket": "b", "lambdaFunctions": [{"lambdaFunctionArn": FUNCTION, "events": ["Created"]}]},
            "lambdaFunctions",
            "events of S3 begin with s3:",
        ),
        (SECRET, {"recoveryWindowInDays": 3}, "recoveryWindowInDays", "must be 0 (at once) or 7 to 30"),
        (VERSION, {"secretId": "s"}, "secretString", "exactly one of"),
        (VERSION, {"secretId": "s", "secretStringWo": "x"}, "secretStringWo", "use secretString"),
    ],
)  # fmt: skip
def test_refused_at_preview(token: str, news: dict[str, Any], where: str, words: str) -> None:
    assert words in failures(token, news)[where]


@pytest.mark.parametrize(
    ("token", "news"),
    [
        (TASK, {**task(), "containerDefinitions": UNKNOWN, "cpu": UNKNOWN}),
        (SERVICE, {"taskDefinition": UNKNOWN, "networkConfiguration": {"subnets": UNKNOWN}}),
        (SERVICE, {"taskDefinition": "f", "loadBalancers": UNKNOWN, "healthCheckGracePeriodSeconds": 30}),
        (TABLE, table(attributes=UNKNOWN, globalSecondaryIndexes=UNKNOWN)),
        (TARGET, {"rule": UNKNOWN, "arn": UNKNOWN, "ecsTarget": UNKNOWN, "roleArn": UNKNOWN}),
        (MAPPING, {"functionName": UNKNOWN, "eventSourceArn": UNKNOWN}),
        (NOTIFICATION, {"bucket": "b", "queues": [{"queueArn": UNKNOWN, "events": ["s3:"]}]}),
        (NOTIFICATION, {"bucket": "b", "lambdaFunctions": UNKNOWN}),
        (RULE, {"eventPattern": UNKNOWN}),
        (VERSION, {"secretId": UNKNOWN, "secretString": UNKNOWN}),
    ],
)  # fmt: skip
def test_what_isnt_known_yet_passes(token: str, news: dict[str, Any]) -> None:
    assert failures(token, news) == {}


# --- changes


def test_every_change_of_a_task_definition_replaces_it() -> None:
    state = {**task(), "networkMode": "awsvpc", "arn": "a:1", "tagsAll": {}}
    assert changes(TASK, state, task()).changes == {}
    for change in (
        {"containerDefinitions": json.dumps([{**MODEL, "image": "model:2"}])},
        {"cpu": "512"},
        {"taskRoleArn": ROLE},
        {"volumes": [{"name": "v"}]},
        {"ephemeralStorage": {"sizeInGib": 30}},
    ):
        found = changes(TASK, state, {**task(), **change})
        assert list(found.replaces) == list(change)
        assert not found.delete_before_replace, "services need one revision or the other"
    assert not changes(TASK, state, {**task(), "skipDestroy": True, "tags": {"a": "b"}}).replaces


def test_a_strategy_changes_in_place_only_with_a_new_deployment() -> None:
    fargate = {"capacityProvider": "FARGATE", "weight": 1}
    base = {"taskDefinition": "f", "forceNewDeployment": True}
    state = {**base, "capacityProviderStrategies": [SPOT]}

    def replaces(*strategy: dict[str, Any], **more: Any) -> list[str]:
        return list(
            changes(SERVICE, state, {**base, "capacityProviderStrategies": list(strategy), **more}).replaces
        )

    assert replaces(fargate) == []
    assert replaces(fargate, forceNewDeployment=False) == ["capacityProviderStrategies"]
    assert replaces() == ["capacityProviderStrategies"]
    assert replaces({**SPOT, "base": 0}, forceNewDeployment=False) == []


def test_indexes_and_settings_of_a_table() -> None:
    first, second = ({"name": name, "hashKey": "id", "projectionType": "ALL"} for name in ("one", "two"))
    state = {**table(), "globalSecondaryIndexes": [first, second], "pointInTimeRecovery": {"enabled": False}}
    assert not changes(TABLE, state, table(globalSecondaryIndexes=[second, first])).changes
    assert changes(TABLE, state, table(globalSecondaryIndexes=[first])).changes
    assert not changes(TABLE, state, table(globalSecondaryIndexes=[first])).replaces
    added = table(globalSecondaryIndexes=[first, second], ttl={"attributeName": "at", "enabled": True})
    assert list(changes(TABLE, state, added).changes) == ["ttl.attributeName", "ttl.enabled"]
    kept = table(globalSecondaryIndexes=[first, second], pointInTimeRecovery={"enabled": True})
    assert list(changes(TABLE, state, kept).changes) == ["pointInTimeRecovery.enabled"]
    assert list(changes(TABLE, table(), table(hashKey="other")).replaces) == ["hashKey"]


def test_a_new_value_is_a_new_version() -> None:
    state = {"secretId": "s", "secretString": "a", "versionStages": ["AWSCURRENT"]}
    assert not changes(VERSION, state, {"secretId": "s", "secretString": "a"}).changes
    found = changes(VERSION, state, {"secretId": "s", "secretString": "b"})
    assert list(found.replaces) == ["secretString"]
    assert not found.delete_before_replace, "there is always a current version"
