"""When the light aws provider sees a change, and when two ways of writing the same thing are none."""

import json
from typing import Any

import pytest
from pulumi.provider.experimental.provider import PropertyDiffKind as Kind

from sandbox.providers.aws.diffing import diff
from sandbox.providers.aws.table import resource
from sandbox.providers.server import DiffResult
from sandbox.providers.wire import UNKNOWN, Archive

FN, ROLE, BUCKET, QUEUE = (
    "aws:lambda/function:Function",
    "aws:iam/role:Role",
    "aws:s3/bucket:Bucket",
    "aws:sqs/queue:Queue",
)
INSTANCE = "aws:rds/instance:Instance"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"


def changes(token: str, state: dict[str, Any], news: dict[str, Any], **tags: str) -> DiffResult:
    return diff(resource(token), state, news, tags)


def policy(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


@pytest.mark.parametrize(
    ("token", "state", "news"),
    [
        (FN, {"memorySize": 128, "timeout": 3, "packageType": "Zip"}, {}),
        (FN, {"architectures": ["x86_64"], "tracingConfig": {"mode": "PassThrough"}}, {}),
        (FN, {"ephemeralStorage": {"size": 512}}, {}),
        (FN, {"code": Archive("abc")}, {"code": Archive("abc", path="./x")}),
        (FN, {"description": ""}, {}),
        (
            FN,
            {"vpcConfig": {"subnetIds": ["a", "b"], "securityGroupIds": ["c"]}},
            {"vpcConfig": {"subnetIds": ["b", "a"], "securityGroupIds": ["c"]}},
        ),
        (
            ROLE,
            {"assumeRolePolicy": policy(Action="a", Resource=["x"])},
            {
                "assumeRolePolicy": '{"Statement": {"Resource": "x", "Action": ["a"], "Effect": "Allow"}, '
                '"Version": "2012-10-17"}'
            },
        ),
        (ROLE, {"path": "/", "maxSessionDuration": 3600}, {}),
        (QUEUE, {"redrivePolicy": '{"a":1,  "b":2}'}, {"redrivePolicy": '{"b": 2, "a": 1}'}),
        (QUEUE, {"sqsManagedSseEnabled": True}, {}),
        (
            LIFECYCLE,
            {
                "rules": [
                    {"id": "b", "status": "Enabled"},
                    {"id": "a", "status": "Enabled", "filter": {"prefix": ""}},
                ]
            },
            {"rules": [{"id": "a", "status": "Enabled"}, {"id": "b", "status": "Enabled"}]},
        ),
        (BUCKET, {}, {"forceDestroy": True}),  # after an import: AWS doesn't know it
        (BUCKET, {"region": "ca-central-1", "tagsAll": {"a": "b"}}, {"tags": {"a": "b"}}),
    ],
)
def test_no_change(token: str, state: dict[str, Any], news: dict[str, Any]) -> None:
    assert changes(token, state, news).changes == {}


@pytest.mark.parametrize(
    ("token", "state", "news", "expected"),
    [
        (FN, {"memorySize": 256}, {"memorySize": 512}, {"memorySize": Kind.UPDATE}),
        (FN, {"memorySize": 256}, {}, {"memorySize": Kind.DELETE}),
        (FN, {}, {"memorySize": 512}, {"memorySize": Kind.ADD}),
        (FN, {"role": "a"}, {"role": UNKNOWN}, {"role": Kind.UPDATE}),
        (
            FN,
            {"environment": {"variables": {"A": "1", "B": "2"}}},
            {"environment": {"variables": {"A": "x", "C": "3"}}},
            {
                "environment.variables.A": Kind.UPDATE,
                "environment.variables.B": Kind.DELETE,
                "environment.variables.C": Kind.ADD,
            },
        ),
        (FN, {"code": Archive("abc")}, {"code": Archive("def")}, {"code": Kind.UPDATE}),
        (
            FN,
            {"layers": ["a", "b"]},
            {"layers": ["b", "a"]},
            {"layers[0]": Kind.UPDATE, "layers[1]": Kind.UPDATE},
        ),
        (
            ROLE,
            {"assumeRolePolicy": policy(Action="a")},
            {"assumeRolePolicy": policy(Action="b")},
            {"assumeRolePolicy": Kind.UPDATE},
        ),
        (
            LIFECYCLE,
            {"rules": [{"id": "a", "status": "Enabled", "expiration": {"days": 3}}]},
            {"rules": [{"id": "a", "status": "Enabled"}]},
            {"rules[0].expiration.days": Kind.DELETE},
        ),
        (
            BUCKET,
            {"tags": {"a": "1", "b": "2"}, "tagsAll": {"a": "1", "b": "2"}},
            {"tags": {"a": "x"}},
            {"tags.a": Kind.UPDATE, "tags.b": Kind.DELETE},
        ),
    ],
)
def test_change(token: str, state: dict[str, Any], news: dict[str, Any], expected: dict[str, Kind]) -> None:
    found = changes(token, state, news)
    assert found.changes == expected
    assert not found.replaces


def test_default_tags_of_the_provider_count() -> None:
    found = changes(BUCKET, {"tagsAll": {}}, {}, owner="me")
    assert found.changes == {"tagsAll.owner": Kind.ADD}


@pytest.mark.parametrize(
    ("token", "state", "news", "replaces", "first"),
    [
        (BUCKET, {"bucket": "one"}, {"bucket": "two"}, ["bucket"], False),
        (ROLE, {"name": "r", "path": "/"}, {"name": "r", "path": "/x/"}, ["path"], True),
        (
            ROLE,
            {"name": "r-1", "path": "/"},
            {"name": "r-1", "path": "/x/", "__defaults": ["name"]},
            ["path"],
            False,
        ),
        ("aws:apigatewayv2/route:Route", {"apiId": "a"}, {"apiId": "b"}, ["apiId"], False),
        ("aws:s3/bucketPolicy:BucketPolicy", {"bucket": "a"}, {"bucket": UNKNOWN}, ["bucket"], False),
        (
            "aws:sfn/stateMachine:StateMachine",
            {"name": "m", "type": "STANDARD"},
            {"name": "m", "type": "EXPRESS"},
            ["type"],
            True,
        ),
        (FN, {"region": "ca-central-1"}, {"region": "eu-west-1"}, ["region"], False),
    ],
)
def test_replacement(
    token: str, state: dict[str, Any], news: dict[str, Any], replaces: list[str], first: bool
) -> None:
    """What keeps its name is deleted first, because AWS can't hold both."""
    found = changes(token, state, news)
    assert list(found.replaces) == replaces
    assert found.delete_before_replace is first


def test_sets_are_compared_element_by_element() -> None:
    group = "aws:rds/parameterGroup:ParameterGroup"
    one = {"name": "work_mem", "value": "1", "applyMethod": "immediate"}
    two = {"name": "max_connections", "value": "50", "applyMethod": "pending-reboot"}
    plain = {"name": "work_mem", "value": "1"}  # the default left out sorts differently
    assert changes(group, {"parameters": [one, two]}, {"parameters": [two, plain]}).changes == {}
    found = changes(group, {"parameters": [one, two]}, {"parameters": [{**two, "value": "60"}, plain]})
    assert found.changes == {"parameters[0].value": Kind.UPDATE}


def test_a_version_may_stand_for_all_that_begin_with_it() -> None:
    state = {"engineVersion": "17.6"}
    assert "engineVersion" not in changes(INSTANCE, state, {"engineVersion": "17"}).changes
    for other in ("1", "17.7", "18"):
        assert changes(INSTANCE, state, {"engineVersion": other}).changes["engineVersion"] == Kind.UPDATE


def test_a_property_that_is_read_shows_when_it_is_added() -> None:
    rule = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    state = {"securityGroupId": "sg-1", "ipProtocol": "-1", "cidrIpv4": "10.0.0.0/8", "region": "x"}
    assert changes(rule, state, {**state, "description": "new"}).changes == {"description": Kind.ADD}
