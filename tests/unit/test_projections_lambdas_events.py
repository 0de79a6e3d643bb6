"""What the functions can't read, and what they log."""

from typing import Any

import pytest

from lambdas.projections import dispatch, events, resume
from tests.unit.projections_lambdas import (
    CLUSTER,
    KEY,
    RUN,
    TASK,
    World,
    logged,
    message,
    notification,
    started,
)

FIRST = f"{TASK}{1:032x}"


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"id": RUN[:-1] + "2"}, "holds the request of run"),
        ({"id": "../../etc"}, "is no run id"),
        ({"id": None}, "is no run id"),
        ({"capacity_provider": "ONBOARD"}, "capacity_provider is 'ONBOARD'; allowed: FARGATE, FARGATE_SPOT"),
        ({"model_output": "runs/other/output.json"}, "model_output is"),
        ({"model_input": "Vermont"}, "model_input is no JSON object"),
    ],
)
def test_a_wrong_request_marks_nothing_and_goes_to_the_dead_letters(
    world: World, changed: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(events.Malformed, match=told):
        dispatch.dispatch(world.runner, world.request(**changed))
    assert world.table.items == {}
    assert world.ecs.tasks == {}
    (line,) = logged(capsys)
    assert (line["level"], line["key"]) == ("error", KEY)
    assert told in line["error"]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'"x"', b" " * 200_000])
def test_a_request_that_is_no_document_is_refused(world: World, text: bytes) -> None:
    world.bucket.objects[KEY] = text
    with pytest.raises(events.Malformed):
        dispatch.dispatch(world.runner, notification(KEY))
    assert world.table.items == {}


def test_a_wrong_request_does_not_hold_up_the_others(world: World) -> None:
    world.request()
    world.bucket.objects["requests/a b.json"] = b"{"
    with pytest.raises(events.Malformed):
        dispatch.dispatch(world.runner, notification("requests/a+b.json", KEY))
    assert world.item.task_arn == FIRST


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"Records": [{"body": "{"}]},
        {"Records": [{"body": "[]"}]},
        message(run_id=RUN),
        message(run_id="x", attempt=1),
        message(run_id=RUN, attempt=0),
        message(run_id=RUN, attempt=True),
        message(run_id=RUN, attempt="1"),
        {"detail-type": "ECS Task State Change"},
        {"detail-type": "ECS Task State Change", "detail": {"lastStatus": "RUNNING", "taskArn": FIRST}},
    ],
)
def test_a_poisoned_event_raises_so_that_it_ends_as_a_dead_letter(
    world: World, event: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(events.Malformed):
        resume.resume(world.runner, event)
    assert [line["event"] for line in logged(capsys)] == ["event can't be read"]


@pytest.mark.parametrize(
    "overrides", [{}, {"containerOverrides": [{"name": "web"}]}, {"containerOverrides": [{"name": "model"}]}]
)
def test_tasks_of_the_site_that_could_not_start_are_none_of_our_business(
    world: World, overrides: dict[str, Any]
) -> None:
    detail = {"clusterArn": CLUSTER, "lastStatus": "STOPPED", "taskArn": FIRST, "overrides": overrides}
    resume.resume(world.runner, {"detail-type": "ECS Task State Change", "detail": detail})
    assert world.queue.sent == []


def test_every_line_of_a_run_carries_its_id(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    started(world)
    resume.resume(world.runner, world.ecs.end(FIRST, "SpotInterruption", 75))
    resume.resume(world.runner, world.restart_event())
    lines = logged(capsys)
    assert {line["run_id"] for line in lines} == {RUN}
    assert [line["event"] for line in lines] == [
        "run queued", "task started", "task stopped", "run interrupted", "restart asked for",
        "attempt queued", "task started",
    ]  # fmt: skip


def test_a_run_that_is_given_up_is_logged_in_the_words_that_the_alarm_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = started(World(max_attempts=1))
    capsys.readouterr()
    resume.resume(world.runner, world.ecs.end(FIRST, "SpotInterruption", 75))
    line = logged(capsys)[-1]
    assert (line["event"], line["level"], line["run_id"]) == ("run failed", "error", RUN)
