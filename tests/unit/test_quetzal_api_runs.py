"""Starting, listing and stopping runs: what is asked of AWS, and what is refused before that."""

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY

from lambdas.quetzal_api.errors import ApiError, Conflict, Forbidden, InvalidRequest, Locked, NotFound
from lambdas.quetzal_api.runs import check_params, execution_arn
from tests.unit.quetzal_api_cloud import (
    MACHINE,
    NOW,
    RUN,
    Cloud,
    described,
    entered,
    execution,
    history,
)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    with made.stubs["sfn"], made.stubs["s3"]:
        yield made
        for stub in made.stubs.values():
            stub.assert_no_pending_responses()


# --- start -----------------------------------------------------------------------------------------


def test_a_run_starts_with_the_event_that_the_runner_reads(cloud: Cloud) -> None:
    cloud.scenario()
    cloud.running()
    started: dict[str, Any] = {}

    def remember(params: dict[str, Any], **_: Any) -> None:
        started.update(params)

    cloud.sfn.meta.events.register("provide-client-params.sfn.StartExecution", remember)
    cloud.expect(
        "sfn",
        "start_execution",
        {"executionArn": execution_arn(MACHINE, RUN), "startDate": NOW},
        stateMachineArn=MACHINE,
        name=ANY,
        input=ANY,
    )
    cloud.running(RUN)
    run = cloud.runs.start("test", {"headway": 0.5}, choice="quick", user_email="a@example.org")
    assert run.id.startswith("test_20260102T030405Z_")
    assert len(run.id) == len(RUN)
    assert run.status == "PREPARING"
    assert json.loads(started["input"]) == {
        "scenario_path_S3": "test/",
        "launcher_arg": {"training_folder": "/tmp", "params": {"headway": 0.5}},
        "metadata": {"user_email": "a@example.org"},
        "choice": "quick",
    }


@pytest.mark.parametrize("name", ["", "../base", "a/b", "-x", "x" * 42, "t t", None, 3, "base/"])
def test_what_is_no_scenario_name_is_refused_before_any_call(cloud: Cloud, name: Any) -> None:
    with pytest.raises(InvalidRequest, match="no scenario name: 1 to 41 letters"):
        cloud.runs.start(name)


def test_base_is_read_only(cloud: Cloud) -> None:
    with pytest.raises(Forbidden, match="scenario base is read-only: copy it"):
        cloud.runs.start("base")


def test_a_scenario_that_does_not_exist(cloud: Cloud) -> None:
    cloud.scenario(exists=False)
    with pytest.raises(NotFound, match="no scenario test in bucket quetzal-tiny"):
        cloud.runs.start("test")


def test_a_locked_scenario(cloud: Cloud) -> None:
    cloud.scenario(locked=True)
    with pytest.raises(Locked, match="scenario test is locked"):
        cloud.runs.start("test")


def test_one_run_a_scenario_even_when_others_fill_the_first_page(cloud: Cloud) -> None:
    cloud.scenario()
    others = [f"test2_20260102T030405Z_{number:06x}" for number in range(3)]
    cloud.expect(
        "sfn",
        "list_executions",
        {"executions": [execution(name) for name in others], "nextToken": "more"},
        stateMachineArn=MACHINE,
        statusFilter="RUNNING",
    )
    cloud.expect(
        "sfn",
        "list_executions",
        {"executions": [execution(RUN)]},
        stateMachineArn=MACHINE,
        statusFilter="RUNNING",
        nextToken="more",
    )
    with pytest.raises(Conflict, match=f"already running as {RUN}"):
        cloud.runs.start("test")


def test_of_two_simultaneous_starts_the_later_steps_back(cloud: Cloud) -> None:
    cloud.scenario()
    cloud.running()
    cloud.expect("sfn", "start_execution", {"executionArn": "arn:aws:x", "startDate": NOW})
    earlier = "test_20260102T030404Z_000000"

    answer: dict[str, Any] = {"executions": [execution(earlier, NOW - timedelta(seconds=1))]}

    def remember(params: dict[str, Any], **_: Any) -> None:
        answer["executions"].append(execution(params["name"]))

    cloud.sfn.meta.events.register("provide-client-params.sfn.StartExecution", remember)
    cloud.expect("sfn", "list_executions", answer, stateMachineArn=MACHINE, statusFilter="RUNNING")
    cloud.expect("sfn", "stop_execution", {"stopDate": NOW}, executionArn=ANY, error="Conflict", cause=ANY)
    with pytest.raises(Conflict, match=f"already running as {earlier}"):
        cloud.runs.start("test")


def test_the_same_client_token_finds_its_run(cloud: Cloud) -> None:
    token = hashlib.sha256(b"test\nclick-1").hexdigest()[:6]
    mine = f"test_20260102T030000Z_{token}"
    cloud.expect(
        "sfn",
        "list_executions",
        {
            "executions": [
                execution(RUN, NOW, "SUCCEEDED"),
                execution(mine, NOW - timedelta(minutes=4), "SUCCEEDED"),
            ]
        },
        stateMachineArn=MACHINE,
    )
    run = cloud.runs.start("test", client_token="click-1")
    assert (run.id, run.status) == (mine, "SUCCESS")


def test_a_client_token_is_forgotten_after_a_day(cloud: Cloud) -> None:
    token = hashlib.sha256(b"test\nclick-1").hexdigest()[:6]
    old = execution(f"test_20260101T000000Z_{token}", NOW - timedelta(hours=25), "SUCCEEDED")
    cloud.expect(
        "sfn", "list_executions", {"executions": [old], "nextToken": "never asked"}, stateMachineArn=MACHINE
    )
    cloud.scenario()
    cloud.running()
    name = f"test_20260102T030405Z_{token}"
    cloud.expect(
        "sfn",
        "start_execution",
        {"executionArn": "arn:aws:x", "startDate": NOW},
        stateMachineArn=MACHINE,
        name=name,
        input=ANY,
    )
    cloud.running(name)
    assert cloud.runs.start("test", client_token="click-1").id == name


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ([1], "must be a JSON object"),
        ("text", "must be a JSON object"),
        ({1: 2}, "must be a JSON object"),
        ({"a": float("nan")}, "can't be written as JSON"),
        ({"a": {1, 2}}, "can't be written as JSON"),
        ({"a": "x" * 70_000}, "at most 64000 are allowed"),
    ],
)
def test_params_that_cannot_travel(params: Any, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        check_params(params)
    assert check_params(None) == {}


# --- list, stop, scenarios -------------------------------------------------------------------------


def test_the_list_goes_on_where_the_page_before_ended(cloud: Cloud) -> None:
    cloud.expect(
        "sfn",
        "list_executions",
        {"executions": [execution(RUN, status="ABORTED"), execution("by-hand")], "nextToken": "n"},
        stateMachineArn=MACHINE,
        maxResults=2,
    )
    page = cloud.runs.list(limit=2)
    assert [(run.id, run.scenario, run.status) for run in page.runs] == [
        (RUN, "test", "STOPPED"),
        ("by-hand", "", "RUNNING"),
    ]
    cloud.expect(
        "sfn", "list_executions", {"executions": []}, stateMachineArn=MACHINE, maxResults=2, nextToken="n"
    )
    assert cloud.runs.list(limit=2, after=page.next).next is None


@pytest.mark.parametrize("limit", [0, 101, -1])
def test_limits_of_the_list(cloud: Cloud, limit: int) -> None:
    with pytest.raises(InvalidRequest, match=f"limit is {limit}; allowed: 1 to 100"):
        cloud.runs.list(limit=limit)


def test_stopping(cloud: Cloud) -> None:
    described(cloud, "RUNNING")
    history(cloud, [entered(1, "first", 0, 0)])
    cloud.expect(
        "sfn",
        "stop_execution",
        {"stopDate": NOW},
        executionArn=execution_arn(MACHINE, RUN),
        error="Stopped",
        cause="stopped by a@example.org",
    )
    assert cloud.runs.stop(RUN, user_email="a@example.org").status == "STOPPING"
    described(cloud, "SUCCEEDED", stopDate=NOW)
    history(cloud, [])
    with pytest.raises(Conflict, match="has ended already: SUCCESS"):
        cloud.runs.stop(RUN)


def test_scenarios_are_folders_with_fitting_names(cloud: Cloud) -> None:
    cloud.expect(
        "s3",
        "list_objects_v2",
        {
            "IsTruncated": True,
            "NextContinuationToken": "c",
            "CommonPrefixes": [{"Prefix": "test/"}, {"Prefix": "_common/"}],
        },
        Bucket="quetzal-tiny",
        Delimiter="/",
    )
    cloud.expect(
        "s3",
        "list_objects_v2",
        {"IsTruncated": False, "CommonPrefixes": [{"Prefix": "base/"}]},
        Bucket="quetzal-tiny",
        Delimiter="/",
        ContinuationToken="c",
    )
    cloud.fail("s3", "head_object", "404", 404)
    cloud.expect("s3", "head_object", {}, Bucket="quetzal-tiny", Key="test/.lock")
    found = [(item.name, item.locked, item.read_only) for item in cloud.runs.scenarios()]
    assert found == [("base", False, True), ("test", True, False)]


def test_a_refusal_by_aws_is_not_taken_for_no_lock(cloud: Cloud) -> None:
    cloud.fail("s3", "head_object", "403", 403)
    with pytest.raises(ClientError):
        cloud.runs.is_locked("test")


def test_every_error_has_a_status_of_its_own() -> None:
    assert sorted(kind.status for kind in ApiError.__subclasses__()) == [400, 403, 404, 409, 423]
