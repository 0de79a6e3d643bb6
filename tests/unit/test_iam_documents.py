"""IAM documents: pure functions, checked statement by statement."""

from typing import Any

import pytest

from components.parts import iam, quetzal_iam

BUCKET = "arn:aws:s3:::quetzal-paris"
MACHINE = "arn:aws:states:eu-west-3:1:stateMachine:quetzal-paris"
FUNCTION = "arn:aws:lambda:eu-west-3:1:function:quetzal-paris"

ALL = {
    "runner": quetzal_iam.runner(BUCKET),
    "users": quetzal_iam.users(BUCKET, f"{BUCKET}-config/table.json"),
    "state machine": quetzal_iam.state_machine(FUNCTION, tracing=True),
    "api": quetzal_iam.api(BUCKET, MACHINE),
    "logs": [iam.write_logs("arn:aws:logs:eu-west-3:1:log-group:/aws/lambda/f")],
}


def covers(pattern: str, arn: str) -> bool:
    """Whether an IAM resource pattern matches an ARN (``*`` any text, ``?`` one character)."""
    import re

    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), arn) is not None


def allowed(statements: list[Any], action: str, arn: str) -> bool:
    """IAM's decision for one request, conditions left aside: an explicit Deny wins."""
    hits = [
        item["Effect"]
        for item in statements
        if action in item["Action"] and any(covers(pattern, arn) for pattern in item["Resource"])
    ]
    return "Allow" in hits and "Deny" not in hits


@pytest.mark.parametrize("who", sorted(ALL))
def test_no_action_has_a_wildcard(who: str) -> None:
    assert not [action for item in ALL[who] for action in item["Action"] if "*" in action or "?" in action]


@pytest.mark.parametrize("who", sorted(ALL))
def test_all_resources_only_where_aws_demands_it(who: str) -> None:
    assert {item["Sid"] for item in ALL[who] if "*" in item["Resource"]} <= {"DeliverLogs", "SendTraces"}


@pytest.mark.parametrize("who", sorted(ALL))
def test_statement_ids_are_unique(who: str) -> None:
    ids = [item["Sid"] for item in ALL[who]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("action", ["iam:*", "s3:Get*", "s3:GetObjec?"])
def test_a_wildcard_is_refused_when_it_is_written(action: str) -> None:
    with pytest.raises(ValueError, match="is a wildcard"):
        iam.allow("X", [action], ["arn"])


@pytest.mark.parametrize("who", ["runner", "users"])
@pytest.mark.parametrize("action", ["s3:PutObject", "s3:DeleteObject"])
@pytest.mark.parametrize(
    ("key", "may"),
    [("test/inputs/x", True), ("base2/inputs/x", True), ("base/inputs/x", False), ("base/", False)],
)
def test_base_is_read_only_and_base2_is_not(who: str, action: str, key: str, may: bool) -> None:
    assert allowed(ALL[who], action, f"{BUCKET}/{key}") is may
    assert allowed(ALL[who], "s3:GetObject", f"{BUCKET}/{key}")


@pytest.mark.parametrize("who", ["runner", "users", "api"])
def test_a_bucket_whose_name_only_begins_alike_is_closed(who: str) -> None:
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert not allowed(ALL[who], action, f"{BUCKET}-dca/test/inputs/x")
    assert not allowed(ALL[who], "s3:ListBucket", f"{BUCKET}-dca")


def test_the_api_reads_locks_and_nothing_else_of_the_bucket() -> None:
    assert allowed(ALL["api"], "s3:GetObject", f"{BUCKET}/test/.lock")
    assert not allowed(ALL["api"], "s3:GetObject", f"{BUCKET}/test/inputs/params.json")


def test_the_api_follows_runs_of_its_workflow_only() -> None:
    run = "arn:aws:states:eu-west-3:1:execution:quetzal-paris:test_20260101T000000Z_000000"
    assert allowed(ALL["api"], "states:StopExecution", run)
    assert not allowed(
        ALL["api"], "states:StopExecution", run.replace("quetzal-paris:", "quetzal-paris-dca:")
    )
    assert not allowed(ALL["api"], "states:StartExecution", f"{MACHINE}-dca")


def test_the_workflow_invokes_one_function_in_any_version() -> None:
    assert allowed(ALL["state machine"], "lambda:InvokeFunction", FUNCTION)
    assert allowed(ALL["state machine"], "lambda:InvokeFunction", f"{FUNCTION}:3")
    assert not allowed(ALL["state machine"], "lambda:InvokeFunction", f"{FUNCTION}-api")


def test_traces_only_when_asked_for() -> None:
    assert "SendTraces" not in {item["Sid"] for item in quetzal_iam.state_machine(FUNCTION)}


def test_guests_of_the_identity_pool_get_no_role() -> None:
    (statement,) = iam.trust_identity_pool("pool")["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"] == {
        "StringEquals": {"cognito-identity.amazonaws.com:aud": "pool"},
        "ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": "authenticated"},
    }


def test_statements_are_the_same_whatever_the_order_of_the_arguments() -> None:
    assert iam.allow("X", ["b", "a"], ["2", "1"]) == iam.allow("X", ["a", "b"], ["1", "2"])
