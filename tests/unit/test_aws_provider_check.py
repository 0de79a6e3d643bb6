"""What the light aws provider refuses at preview, and in which words; nothing is called."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.providers.aws.provider import AwsProvider
from sandbox.providers.server import CheckResult, Naming, ProviderError
from sandbox.providers.wire import UNKNOWN, Archive, Asset, Properties

ROLE = "arn:aws:iam::000000000000:role/r"
CODE = Archive(assets={"main.py": Asset(text="x = 1")})
FUNCTION = {"role": ROLE, "runtime": "python3.13", "handler": "main.handler", "code": CODE}
TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "x.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
ALARM = {
    "comparisonOperator": "GreaterThanThreshold",
    "evaluationPeriods": 1,
    "threshold": 0,
    "period": 60,
    "metricName": "Errors",
    "namespace": "AWS/Lambda",
    "statistic": "Sum",
}


def check(
    token: str, news: dict[str, Any], olds: dict[str, Any] | None = None, **options: Any
) -> CheckResult:
    urn = f"urn:pulumi:dev::unit::{token}::thing"
    given = Properties(news, options.get("secrets", set()))
    naming = options.get("naming", Naming(b"seed"))
    return asyncio.run(AwsProvider().light_check(urn, Properties(olds or {}), given, naming))


def failures(token: str, news: dict[str, Any], **options: Any) -> dict[str, str]:
    return {found.property: found.reason for found in check(token, news, **options).failures}


def rule(**parts: Any) -> dict[str, Any]:
    return {
        "bucket": "some-bucket",
        "rules": [{"id": "a", "status": "Enabled", "expiration": {"days": 1}, **parts}],
    }


BUCKET, FN, LIFECYCLE = (
    "aws:s3/bucket:Bucket",
    "aws:lambda/function:Function",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
)


@pytest.mark.parametrize(
    ("token", "inputs", "path", "words"),
    [
        (BUCKET, {"bucket": "Has_Capitals"}, "bucket", "3 to 63 characters: lower-case"),
        (BUCKET, {"bucket": "192.168.5.4"}, "bucket", "looks like an IP address"),
        (BUCKET, {"bucket": "xn--b-bucket"}, "bucket", "reserved"),
        (BUCKET, {"bucket": "ab"}, "bucket", "3 to 63 characters long, not 2"),
        (BUCKET, {"forceDestroi": True}, "forceDestroi", "Did you mean 'forceDestroy'?"),
        (BUCKET, {"force_destroy": True}, "force_destroy", "Did you mean 'forceDestroy'?"),
        (BUCKET, {"forceDestroy": "true"}, "forceDestroy", "must be true or false, not the string 'true'"),
        (BUCKET, {"versioning": {"enabled": True}}, "versioning", "aws.s3.BucketVersioning"),
        (BUCKET, {"tags": {"aws:x": "y"}}, "tags.aws:x", "doesn't start with 'aws:'"),
        (BUCKET, {"tags": {"x": 1}}, "tags.x", "must be a string, not the number 1"),
        (BUCKET, {"tags": {str(i): "x" for i in range(51)}}, "tags", "at most 50 entries, not 51"),
        (BUCKET, {"region": "Canada"}, "region", "must match"),
        (FN, {**FUNCTION, "memorySize": 64}, "memorySize", "128 to 10240, not 64"),
        (FN, {**FUNCTION, "memorySize": 10241}, "memorySize", "128 to 10240, not 10241"),
        (FN, {**FUNCTION, "memorySize": 512.5}, "memorySize", "a whole number"),
        (FN, {**FUNCTION, "timeout": 901}, "timeout", "1 to 900, not 901"),
        (
            FN,
            {**FUNCTION, "ephemeralStorage": {"size": 511}},
            "ephemeralStorage.size",
            "512 to 10240, not 511",
        ),
        (FN, {**FUNCTION, "runtime": "python3.99"}, "runtime", "must be one of"),
        (FN, {**FUNCTION, "name": "a b"}, "name", "letters, digits, hyphens and underscores"),
        (FN, {**FUNCTION, "role": "r"}, "role", "an ARN of iam"),
        (FN, {**FUNCTION, "environment": {"variables": {"A": 1}}}, "environment.variables.A", "a string"),
        (FN, {**FUNCTION, "environment": {"vars": {}}}, "environment.vars", "allowed: variables"),
        (FN, {**FUNCTION, "code": "./x"}, "code", "must be an archive"),
        (FN, {**FUNCTION, "code": Archive(path="/nowhere/at/all")}, "code", "/nowhere/at/all isn't there"),
        (
            FN,
            {**FUNCTION, "imageUri": "x/y@sha256:0"},
            "imageUri",
            "exactly one of code, imageUri and s3Bucket",
        ),
        (FN, {**FUNCTION, "code": None}, "code", "exactly one of"),
        (FN, {"runtime": "python3.13", "handler": "h", "code": CODE}, "role", "is required"),
        (FN, {"role": ROLE, "imageUri": "x/y:z"}, "packageType", "must be Image with imageUri"),
        (FN, {"role": ROLE, "code": CODE, "handler": "h"}, "runtime", "required with packageType Zip"),
        (LIFECYCLE, rule(expiration={"days": 0}), "rules[0].expiration.days", "at least 1, not 0"),
        (LIFECYCLE, rule(expiration={"day": 1}), "rules[0].expiration.day", "Did you mean 'days'?"),
        (LIFECYCLE, rule(status="Enable"), "rules[0].status", "Enabled, Disabled"),
        (LIFECYCLE, rule(id=None), "rules[0].id", "is required"),
        (LIFECYCLE, rule(expiration=None), "rules[0]", "must have an action"),
        (
            LIFECYCLE,
            rule(transitions=[{"days": 1, "storageClass": "ICE"}]),
            "rules[0].transitions[0].storageClass",
            "must be one of",
        ),
        (
            "aws:cloudwatch/logGroup:LogGroup",
            {"retentionInDays": 31},
            "retentionInDays",
            "1, 3, 5, 7, 14, 30, 60",
        ),
        ("aws:cloudwatch/logGroup:LogGroup", {"name": "a b"}, "name", "letters, digits and . - _ / #"),
        ("aws:cloudwatch/metricAlarm:MetricAlarm", {**ALARM, "period": 45}, "period", "a multiple of 60"),
        (
            "aws:cloudwatch/metricAlarm:MetricAlarm",
            {**ALARM, "statistic": None},
            "statistic",
            "exactly one of",
        ),
        (
            "aws:cloudwatch/metricAlarm:MetricAlarm",
            {**ALARM, "comparisonOperator": ">"},
            "comparisonOperator",
            "one of",
        ),
        ("aws:iam/role:Role", {"assumeRolePolicy": "{oops"}, "assumeRolePolicy", "must be JSON"),
        (
            "aws:iam/role:Role",
            {"assumeRolePolicy": '{"Statement": []}'},
            "assumeRolePolicy",
            "non-empty list",
        ),
        (
            "aws:iam/role:Role",
            {"assumeRolePolicy": json.dumps(TRUST), "name": "r" * 65},
            "name",
            "at most 64|1 to 64",
        ),
        (
            "aws:iam/role:Role",
            {
                "assumeRolePolicy": json.dumps(
                    {**TRUST, "Statement": [{**TRUST["Statement"][0], "Effect": "allow"}]}
                )
            },
            "assumeRolePolicy",
            r"Statement\[0\] Effect must be Allow or Deny, not 'allow'",
        ),
        (
            "aws:iam/role:Role",
            {"assumeRolePolicy": json.dumps(TRUST), "maxSessionDuration": 60},
            "maxSessionDuration",
            "3600 to 43200",
        ),
        ("aws:iam/rolePolicy:RolePolicy", {"role": "r", "policy": json.dumps(TRUST)}, "policy", "Resource"),
        (
            "aws:iam/role:Role",
            {
                "assumeRolePolicy": json.dumps(TRUST),
                "inlinePolicies": [{"name": "x", "policy": json.dumps(TRUST)}],
            },
            "inlinePolicies",
            r"\[0\].policy Statement\[0\] must have Resource",
        ),
        (
            "aws:sqs/queue:Queue",
            {"visibilityTimeoutSeconds": 43201},
            "visibilityTimeoutSeconds",
            "0 to 43200",
        ),
        (
            "aws:sqs/queue:Queue",
            {"visibilityTimeoutSeconds": "30"},
            "visibilityTimeoutSeconds",
            "a whole number",
        ),
        ("aws:sqs/queue:Queue", {"name": "x.fifo"}, "name", "ends with .fifo"),
        ("aws:sqs/queue:Queue", {"redrivePolicy": "x"}, "redrivePolicy", "must be JSON"),
        ("aws:sns/topic:Topic", {"tracingConfig": "On"}, "tracingConfig", "PassThrough, Active"),
        (
            "aws:sns/topicSubscription:TopicSubscription",
            {"topic": "t", "protocol": "sqs", "endpoint": "e"},
            "topic",
            "an ARN of sns",
        ),
        ("aws:ecr/repository:Repository", {"name": "Upper"}, "name", "lower-case"),
        (
            "aws:ecr/repository:Repository",
            {"imageTagMutability": "FIXED"},
            "imageTagMutability",
            "MUTABLE, IMMUTABLE",
        ),
        (
            "aws:ecr/lifecyclePolicy:LifecyclePolicy",
            {"repository": "r", "policy": "{}"},
            "policy",
            "list 'rules'",
        ),
        (
            "aws:sfn/stateMachine:StateMachine",
            {"roleArn": ROLE, "definition": "{}"},
            "definition",
            "States must be",
        ),
        (
            "aws:sfn/stateMachine:StateMachine",
            {
                "roleArn": ROLE,
                "definition": json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}),
            },
            "definition",
            "state 'A' leads to 'B', which doesn't exist",
        ),
        ("aws:apigatewayv2/api:Api", {"protocolType": "HTTPS"}, "protocolType", "WEBSOCKET, HTTP"),
        (
            "aws:apigatewayv2/route:Route",
            {"apiId": "a", "routeKey": "FETCH /x"},
            "routeKey",
            "<METHOD> /<path>",
        ),
        (
            "aws:apigatewayv2/route:Route",
            {"apiId": "a", "routeKey": "GET /x", "authorizationType": "JWT"},
            "authorizerId",
            "is required",
        ),
        (
            "aws:apigatewayv2/authorizer:Authorizer",
            {"apiId": "a", "authorizerType": "JWT"},
            "jwtConfiguration",
            "is required",
        ),
        (
            "aws:cognito/userPool:UserPool",
            {"passwordPolicy": {"minimumLength": 3}},
            "passwordPolicy.minimumLength",
            "6 to 99",
        ),
        (
            "aws:cognito/userPoolClient:UserPoolClient",
            {"userPoolId": "x_1", "explicitAuthFlows": ["ALLOW_ALL"]},
            r"explicitAuthFlows[0]",
            "must be one of",
        ),
    ],
)
def test_refused(token: str, inputs: dict[str, Any], path: str, words: str) -> None:
    found = failures(token, inputs)
    assert path in found, found
    import re

    assert re.search(words, found[path]), found[path]
    assert "\n" not in found[path]


@pytest.mark.parametrize(
    ("token", "inputs"),
    [
        (
            FN,
            {
                **FUNCTION,
                "role": UNKNOWN,
                "memorySize": UNKNOWN,
                "environment": {"variables": {"A": UNKNOWN}},
            },
        ),
        (FN, {**FUNCTION, "environment": UNKNOWN, "layers": [UNKNOWN]}),
        (FN, {"role": UNKNOWN, "packageType": "Image", "imageUri": UNKNOWN}),
        (LIFECYCLE, {"bucket": UNKNOWN, "rules": UNKNOWN}),
        (LIFECYCLE, {"bucket": UNKNOWN, "rules": [UNKNOWN]}),
        ("aws:iam/rolePolicy:RolePolicy", {"role": UNKNOWN, "policy": UNKNOWN}),
        ("aws:iam/role:Role", {"assumeRolePolicy": TRUST}),
        ("aws:iam/role:Role", {"assumeRolePolicy": {**TRUST, "Statement": [UNKNOWN]}}),
        (BUCKET, {"tags": {"a": UNKNOWN}}),
        (BUCKET, {"bucketPrefix": UNKNOWN}),
        (
            "aws:apigatewayv2/route:Route",
            {"apiId": UNKNOWN, "routeKey": "$default", "authorizationType": "JWT", "authorizerId": UNKNOWN},
        ),
        ("aws:sqs/queue:Queue", {"redrivePolicy": UNKNOWN}),
    ],
)
def test_values_that_are_not_known_yet_pass(token: str, inputs: dict[str, Any]) -> None:
    assert failures(token, inputs) == {}


def test_all_problems_are_said_at_once() -> None:
    found = failures(FN, {**FUNCTION, "memorySize": 1, "timeout": 0, "nothing": 1})
    assert set(found) == {"memorySize", "timeout", "nothing"}


def test_a_secret_is_not_quoted() -> None:
    found = failures(FN, {**FUNCTION, "name": "hunter 2"}, secrets={("name",)})
    assert "hunter" not in found["name"]
    assert "[secret]" in found["name"]


def test_a_type_without_entry_says_so() -> None:
    with pytest.raises(ProviderError, match=r"doesn't have aws:kinesis/stream:Stream yet: add an entry"):
        check("aws:kinesis/stream:Stream", {})


def test_autoname_is_kept_over_updates_and_dropped_with_an_explicit_name() -> None:
    first = check(BUCKET, {}).inputs.values
    assert first["bucket"].startswith("thing-")
    assert len(first["bucket"]) == len("thing-") + 7
    assert first["__defaults"] == ["bucket"]
    again = check(BUCKET, {"forceDestroy": True}, first, naming=Naming(b"other")).inputs.values
    assert again["bucket"] == first["bucket"]
    named = check(BUCKET, {"bucket": "my-own-name"}, first).inputs.values
    assert named["bucket"] == "my-own-name"
    assert "__defaults" not in named
    fresh = check(BUCKET, {}, named, naming=Naming(b"third")).inputs.values
    assert fresh["bucket"] not in (first["bucket"], "my-own-name")


def test_names_fit_their_service() -> None:
    role = check("aws:iam/role:Role", {"assumeRolePolicy": TRUST, "namePrefix": "runner-"}).inputs.values
    assert role["name"].startswith("runner-")
    assert len(role["name"]) <= 64
    queue = check("aws:sqs/queue:Queue", {"fifoQueue": True}).inputs.values
    assert queue["name"].endswith(".fifo")
    assert check(BUCKET, {}, naming=Naming(b"s", "proposed-name")).inputs.values["bucket"] == "proposed-name"


def test_a_policy_given_as_object_becomes_json() -> None:
    inputs = check("aws:iam/role:Role", {"assumeRolePolicy": TRUST}).inputs.values
    assert json.loads(inputs["assumeRolePolicy"]) == TRUST


def test_code_is_hashed_by_content_only(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("x = 1")
    one = check(FN, {**FUNCTION, "code": Archive("engine's", path=str(tmp_path))}).inputs.values["code"]
    (tmp_path / "main.py").touch()
    same = check(FN, {**FUNCTION, "code": Archive("other", path=str(tmp_path))}).inputs.values["code"]
    (tmp_path / "main.py").write_text("x = 2")
    changed = check(FN, {**FUNCTION, "code": Archive("other", path=str(tmp_path))}).inputs.values["code"]
    assert one.hash == same.hash != changed.hash
