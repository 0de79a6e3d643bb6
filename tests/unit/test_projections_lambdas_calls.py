"""What is sent to AWS: each call and answer checked by botocore against its service models."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from lambdas.projections.runner import settings_from
from lambdas.projections.runs import Table, item_of, run_of
from lambdas.projections.start import Refused, Started, Starter
from lambdas.projections.states import Restart, Settings, StoppedTask, Task
from lambdas.projections.transitions import on_restart, on_stopped
from tests.unit.projections_lambdas import CLUSTER, RUN, START, TASK, run

MINE = f"{TASK}1"


class Stubbed:
    """A stubbed client; calls that were expected and didn't come fail the test."""

    def __init__(self, service: str) -> None:
        self.client = boto3.client(
            service,
            aws_access_key_id="x",
            aws_secret_access_key="x",
            region_name="eu-west-3",
            config=Config(retries={"max_attempts": 0}),
        )
        self.stub = Stubber(self.client)
        self.stub.activate()


@pytest.fixture
def dynamodb() -> Iterator[Stubbed]:
    stubbed = Stubbed("dynamodb")
    yield stubbed
    stubbed.stub.assert_no_pending_responses()


@pytest.fixture
def ecs() -> Iterator[Stubbed]:
    stubbed = Stubbed("ecs")
    yield stubbed
    stubbed.stub.assert_no_pending_responses()


def table(stubbed: Stubbed) -> Table:
    return Table(client=stubbed.client, name="runs", run_days=30)


def starter(stubbed: Stubbed) -> Starter:
    return Starter(
        ecs=stubbed.client,
        cluster_arn=CLUSTER,
        task_definition="projections-test-model:1",
        subnets=["subnet-1", "subnet-2"],
        security_groups=["sg-1"],
        public_ip=True,
    )


def test_a_new_run_is_put_only_where_there_is_none(dynamodb: Stubbed) -> None:
    expected = {
        "TableName": "runs",
        "Item": item_of(run(), 30),
        "ConditionExpression": "attribute_not_exists(run_id)",
    }
    dynamodb.stub.add_response("put_item", {}, expected)
    assert table(dynamodb).create(run())
    dynamodb.stub.add_client_error("put_item", "ConditionalCheckFailedException")
    assert not table(dynamodb).create(run())
    dynamodb.stub.add_client_error("put_item", "ProvisionedThroughputExceededException")
    with pytest.raises(dynamodb.client.exceptions.ClientError, match="ProvisionedThroughput"):
        table(dynamodb).create(run())


def test_an_item_has_what_the_others_read_of_it_and_comes_back_as_it_was(dynamodb: Stubbed) -> None:
    item = item_of(run(), 30)
    assert {key: next(iter(value)) for key, value in item.items()} == {
        "run_id": "S", "status": "S", "attempt": "N", "capacity": "S", "requested_capacity": "S",
        "request_key": "S", "output_key": "S", "progress": "N", "interruptions": "N", "losses": "N",
        "created_at": "S", "updated_at": "S", "expires_at": "N", "history": "L",
    }  # fmt: skip
    assert item["created_at"] == {"S": "2026-11-21T13:00:00.000Z"}
    assert int(item["expires_at"]["N"]) == int((START + timedelta(days=31)).timestamp())
    dynamodb.stub.add_response(
        "get_item",
        {"Item": item},
        {"TableName": "runs", "Key": {"run_id": {"S": RUN}}, "ConsistentRead": True},
    )
    assert table(dynamodb).get(RUN) == run()
    dynamodb.stub.add_response("get_item", {})
    assert table(dynamodb).get(RUN) is None


def test_an_item_that_its_task_wrote_to_is_read() -> None:
    item = item_of(run(), 30)
    item |= {
        "heartbeat_at": {"S": "2026-11-21T13:05:00.000Z"},
        "task_arn": {"S": MINE},
        "progress": {"N": "0.5"},
    }
    item["history"]["L"].append({"M": {"at": {"S": "2026-11-21T13:01:00.000Z"}, "status": {"S": "running"}}})
    read = run_of(item)
    assert (read.task_arn, read.heartbeat_at) == (MINE, START + timedelta(minutes=5))
    assert read.since == START + timedelta(minutes=1)


def test_a_change_is_written_on_condition_of_what_was_seen(dynamodb: Stubbed) -> None:
    stopped = StoppedTask(
        run_id=RUN, attempt=1, task=Task(arn=MINE, last_status="STOPPED", stop_code="SpotInterruption")
    )
    change = on_stopped(run(), stopped, START, Settings(), 0.5).change
    assert change is not None
    expected: dict[str, Any] = {
        "TableName": "runs",
        "Key": {"run_id": {"S": RUN}},
        "ConditionExpression": "#status = :seen_status AND #attempt = :seen_attempt",
        "UpdateExpression": "SET #interruptions = :interruptions, #losses = :losses, #crashes = :crashes, "
        "#status = :status, #not_before = :not_before, #reason = :reason, #updated_at = :updated_at, "
        "#expires_at = :expires_at, #history = list_append(if_not_exists(#history, :no_history), :entry)",
        "ExpressionAttributeNames": {
            f"#{name}": name
            for name in (
                "attempt", "crashes", "expires_at", "history", "interruptions", "losses", "not_before",
                "reason", "status", "updated_at",
            )
        },
        "ExpressionAttributeValues": {
            ":seen_status": {"S": "queued"}, ":seen_attempt": {"N": "1"}, ":status": {"S": "interrupted"},
            ":interruptions": {"N": "1"}, ":losses": {"N": "0"}, ":crashes": {"N": "0"},
            ":not_before": {"S": "2026-11-21T13:00:30.000Z"}, ":reason": {"S": "SpotInterruption"},
            ":updated_at": {"S": "2026-11-21T13:00:00.000Z"}, ":no_history": {"L": []},
            ":expires_at": {"N": str(int((START + timedelta(days=31)).timestamp()))},
            ":entry": {"L": [{"M": {
                "at": {"S": "2026-11-21T13:00:00.000Z"}, "status": {"S": "interrupted"},
                "attempt": {"N": "1"}, "capacity": {"S": "FARGATE_SPOT"}, "task_arn": {"S": MINE},
                "reason": {"S": "SpotInterruption"},
            }}]},
        },
    }  # fmt: skip
    dynamodb.stub.add_response("update_item", {}, expected)
    assert table(dynamodb).change(run(), change)
    dynamodb.stub.add_client_error("update_item", "ConditionalCheckFailedException")
    assert not table(dynamodb).change(run(), change)


def test_a_new_attempt_forgets_the_old_ones_task() -> None:
    written: list[str] = []

    class Client:
        def update_item(self, **arguments: Any) -> None:
            written.append(arguments["UpdateExpression"])

    seen = run(status="interrupted", task_arn=MINE)
    change = on_restart(seen, Restart(run_id=RUN, attempt=1), START, Settings()).change
    assert change is not None
    assert Table(client=Client(), name="runs", run_days=30).change(seen, change)
    assert written[0].endswith(" REMOVE #task_arn, #heartbeat_at, #not_before, #reason")


def test_the_task_is_noted_whatever_its_status_if_the_attempt_is_still_its_own(dynamodb: Stubbed) -> None:
    expected = {
        "TableName": "runs",
        "Key": {"run_id": {"S": RUN}},
        "UpdateExpression": "SET #task_arn = :task_arn",
        "ConditionExpression": "#attempt = :attempt",
        "ExpressionAttributeNames": {"#attempt": "attempt", "#task_arn": "task_arn"},
        "ExpressionAttributeValues": {":task_arn": {"S": MINE}, ":attempt": {"N": "2"}},
    }
    dynamodb.stub.add_response("update_item", {}, expected)
    assert table(dynamodb).set_task(run(attempt=2), MINE)


def test_runs_of_a_status_come_from_the_index_page_by_page(dynamodb: Stubbed) -> None:
    asked: dict[str, Any] = {
        "TableName": "runs",
        "IndexName": "by-status",
        "KeyConditionExpression": "#status = :status",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {":status": {"S": "queued"}},
    }
    key = {"run_id": {"S": RUN}}
    dynamodb.stub.add_response("query", {"Items": [item_of(run(), 30)], "LastEvaluatedKey": key}, asked)
    dynamodb.stub.add_response("query", {"Items": []}, {**asked, "ExclusiveStartKey": key})
    assert list(table(dynamodb).with_status("queued")) == [run()]


def test_the_start_carries_a_token_of_run_and_attempt(ecs: Stubbed) -> None:
    asked = starter(ecs).arguments(run(attempt=3))
    assert asked["clientToken"] == f"{RUN}-3"
    assert len(asked["clientToken"]) <= 64, "ECS's limit"
    assert asked["startedBy"] == RUN
    assert asked["capacityProviderStrategy"] == [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    assert asked["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "ENABLED"
    assert "secret" not in str(asked).lower()
    ecs.stub.add_response("run_task", {"tasks": [{"taskArn": MINE}], "failures": []}, asked)
    assert starter(ecs).start(run(attempt=3)) == Started(task_arn=MINE)


def test_failures_without_a_task_are_a_refusal(ecs: Stubbed) -> None:
    ecs.stub.add_response("run_task", {"tasks": [], "failures": [{"reason": "Capacity is unavailable"}]})
    assert starter(ecs).start(run()) == Refused(reason="Capacity is unavailable", counted=True)
    ecs.stub.add_response("run_task", {"tasks": [], "failures": []})
    assert starter(ecs).start(run()) == Refused(reason="no reason given", counted=True)


def test_stopping_what_is_gone_already_is_no_error(ecs: Stubbed) -> None:
    ecs.stub.add_response("stop_task", {}, {"cluster": CLUSTER, "task": MINE, "reason": "x" * 255})
    starter(ecs).stop(MINE, "x" * 300)
    ecs.stub.add_client_error("stop_task", "InvalidParameterException")
    starter(ecs).stop(MINE, "why")
    ecs.stub.add_client_error("stop_task", "AccessDeniedException")
    with pytest.raises(ecs.client.exceptions.ClientError, match="AccessDenied"):
        starter(ecs).stop(MINE, "why")


def test_settings_come_from_the_environment() -> None:
    assert settings_from({}) == Settings()
    assert settings_from({"MAX_INTERRUPTIONS": "0", "STALE_AFTER_S": "60", "OTHER": "x"}) == Settings(
        max_interruptions=0, stale_after_s=60
    )
    with pytest.raises(ValueError, match="many"):
        settings_from({"MAX_ATTEMPTS": "many"})
