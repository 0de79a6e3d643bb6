"""One run with the states of its steps, from the events of its execution."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from lambdas.quetzal_api.errors import InvalidRequest, NotFound
from tests.unit.quetzal_api_cloud import (
    NOW,
    RUN,
    Cloud,
    described,
    entered,
    event,
    exited,
    history,
)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    with made.stubs["sfn"], made.stubs["s3"]:
        yield made
        for stub in made.stubs.values():
            stub.assert_no_pending_responses()


def test_a_run_on_its_way_shows_each_step_over_all_pages(cloud: Cloud) -> None:
    described(cloud, "RUNNING")
    history(
        cloud,
        [event(1, "ExecutionStarted", 0, 0), entered(2, "first", 0, 0), event(3, "TaskScheduled", 0)],
        [
            event(4, "TaskSucceeded", 2),
            exited(5, "first", 2),
            entered(6, "second", 2),
            event(7, "TaskScheduled", 2),
        ],
    )
    run = cloud.runs.get(RUN)
    assert [(step.name, step.status, step.attempts) for step in run.steps] == [
        ("first", "SUCCESS", 1),
        ("second", "RUNNING", 1),
    ]
    assert run.steps[0].ended == NOW + timedelta(minutes=2)
    assert (run.status, run.scenario, run.user_email, run.params) == (
        "RUNNING",
        "test",
        "a@example.org",
        {"a": 1},
    )
    assert run.error is None
    assert json.loads(json.dumps(run.as_dict()))["steps"][0]["ended"] == "2026-01-02T03:06:05Z"


def test_a_run_that_has_not_entered_a_step_has_only_pending_ones(cloud: Cloud) -> None:
    described(cloud, "RUNNING")
    history(cloud, [event(1, "ExecutionStarted", 0, 0)])
    run = cloud.runs.get(RUN)
    assert run.status == "RUNNING", "as the list says"
    assert {step.status for step in run.steps} == {"PENDING"}


def test_a_failed_run_tells_the_notebooks_traceback_and_the_step(cloud: Cloud) -> None:
    cause = json.dumps(
        {"errorType": "NotebookError", "errorMessage": "no stops\nTraceback...\nKeyError: 'a'"}
    )
    failed = {"error": "NotebookError", "cause": cause}
    described(cloud, "FAILED", error="NotebookError", cause=cause, stopDate=NOW)
    history(
        cloud,
        [
            entered(1, "first", 0, 0),
            event(2, "TaskScheduled", 0),
            event(
                3, "TaskFailed", 1, taskFailedEventDetails={"resourceType": "lambda", "resource": "invoke"}
            ),
            event(4, "TaskScheduled", 1),
            event(
                5,
                "TaskFailed",
                2,
                taskFailedEventDetails={"resourceType": "lambda", "resource": "invoke", **failed},
            ),
            event(6, "ExecutionFailed", 2, executionFailedEventDetails=failed),
        ],
    )
    run = cloud.runs.get(RUN)
    assert run.status == "FAILED"
    assert run.error is not None
    assert (run.error.type, run.error.step) == ("NotebookError", "first")
    assert run.error.message.endswith("KeyError: 'a'")
    assert [(step.status, step.attempts) for step in run.steps] == [("FAILED", 2), ("PENDING", 0)]


def test_a_caught_failure_stays_visible_in_its_step(cloud: Cloud) -> None:
    described(cloud, "SUCCEEDED", stopDate=NOW)
    history(
        cloud,
        [
            entered(1, "first", 0, 0),
            event(2, "TaskScheduled", 0),
            event(
                3, "TaskFailed", 1, taskFailedEventDetails={"resourceType": "lambda", "resource": "invoke"}
            ),
            exited(4, "first", 1),
            entered(5, "second", 1),
            event(6, "TaskScheduled", 1),
            event(7, "TaskSucceeded", 2),
            exited(8, "second", 2),
            event(9, "ExecutionSucceeded", 2, executionSucceededEventDetails={}),
        ],
    )
    run = cloud.runs.get(RUN)
    assert [step.status for step in run.steps] == ["FAILED", "SUCCESS"]
    assert run.error is None


def test_steps_in_parallel_branches_keep_their_own_events(cloud: Cloud) -> None:
    described(cloud, "RUNNING")
    history(
        cloud,
        [
            event(1, "ParallelStateEntered", 0, 0, stateEnteredEventDetails={"name": "both"}),
            event(2, "ParallelStateStarted", 0, 1),
            entered(3, "first", 0, 2),
            entered(4, "second", 0, 2),
            event(5, "TaskScheduled", 0, 3),
            event(6, "TaskScheduled", 0, 4),
            event(
                7, "TaskFailed", 1, 5, taskFailedEventDetails={"resourceType": "lambda", "resource": "invoke"}
            ),
            event(8, "TaskSucceeded", 1, 6),
        ],
    )
    states = {step.name: step.status for step in cloud.runs.get(RUN).steps}
    assert states == {"first": "FAILED", "second": "SUCCESS", "both": "RUNNING"}


def test_a_timed_out_and_a_stopped_run(cloud: Cloud) -> None:
    described(cloud, "TIMED_OUT", stopDate=NOW)
    history(
        cloud, [entered(1, "first", 0, 0), event(2, "ExecutionTimedOut", 9, executionTimedOutEventDetails={})]
    )
    run = cloud.runs.get(RUN)
    assert run.error is not None
    assert (run.status, run.error.type, run.steps[0].status) == ("FAILED", "States.Timeout", "FAILED")
    described(cloud, "ABORTED", stopDate=NOW, error="Stopped", cause="stopped by a@example.org")
    history(
        cloud, [entered(1, "first", 0, 0), event(2, "ExecutionAborted", 1, executionAbortedEventDetails={})]
    )
    run = cloud.runs.get(RUN)
    assert run.error is not None
    assert (run.status, run.error.message, run.steps[0].status) == (
        "STOPPED",
        "stopped by a@example.org",
        "STOPPED",
    )


def test_a_run_that_does_not_exist(cloud: Cloud) -> None:
    cloud.fail("sfn", "describe_execution", "ExecutionDoesNotExist")
    with pytest.raises(NotFound, match=f"no run {RUN}"):
        cloud.runs.get(RUN)


@pytest.mark.parametrize("name", ["", "x", "test_2026_0a1b2c", f"{RUN}:other", f"../{RUN}", RUN.upper()])
def test_what_is_no_run_id_is_refused_before_any_call(cloud: Cloud, name: str) -> None:
    with pytest.raises(InvalidRequest, match="no run id"):
        cloud.runs.get(name)
