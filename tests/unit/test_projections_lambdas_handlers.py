"""The three functions together: whole lives of runs, races, repetitions, and what can't be read."""

import random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.projections import dispatch, resume, sweep
from tests.unit.projections_lambdas import (
    KEY,
    ON_DEMAND,
    RUN,
    SPOT,
    TASK,
    World,
    message,
    notification,
    run,
    started,
)

FIRST = f"{TASK}{1:032x}"


@pytest.fixture
def world() -> World:
    return World()


def error(code: str, message: str = "", **more: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}, **more}, "RunTask")


# --- one run -----------------------------------------------------------------------------------------


def test_a_request_becomes_one_task_that_knows_its_run(world: World) -> None:
    dispatch.dispatch(world.runner, world.request())
    assert (world.item.status, world.item.attempt, world.item.task_arn) == ("queued", 1, FIRST)
    (task,) = world.ecs.tasks.values()
    (override,) = task["overrides"]["containerOverrides"]
    assert override["name"] == "model"
    assert {item["name"]: item["value"] for item in override["environment"]} == {
        "RUN_ID": RUN, "ATTEMPT": "1", "REQUEST_KEY": KEY, "CAPACITY": SPOT,
    }  # fmt: skip


def test_an_interrupted_run_is_replaced_once_with_the_same_inputs(world: World) -> None:
    started(world)
    event = world.ecs.end(FIRST, "SpotInterruption", 75)
    resume.resume(world.runner, event)
    assert world.item.status == "interrupted"
    assert world.queue.sent == [({"run_id": RUN, "attempt": 1}, 30)]
    world.wait(30)
    resume.resume(world.runner, world.restart_event())
    assert (world.item.status, world.item.attempt) == ("queued", 2)
    first, second = world.ecs.tasks.values()
    keys = [item["value"] for item in second["overrides"]["containerOverrides"][0]["environment"]]
    assert keys == [RUN, "2", KEY, SPOT]
    assert first is not second
    assert world.history() == ["queued", "running", "interrupted", "queued"]


def test_after_three_interruptions_it_goes_on_on_demand(world: World) -> None:
    started(world)
    for _ in range(3):
        assert world.item.task_arn is not None
        resume.resume(world.runner, world.ecs.end(world.item.task_arn, "SpotInterruption", 75))
        resume.resume(world.runner, world.restart_event())
        world.reports("running")
    used = [task["capacityProviderName"] for task in world.ecs.tasks.values()]
    assert used == [SPOT, SPOT, SPOT, ON_DEMAND]
    assert [delay for _, delay in world.queue.sent] == [30, 60, 120]
    assert world.item.interruptions == 3


# --- repetitions and races ---------------------------------------------------------------------------


def test_everything_may_come_any_number_of_times(world: World) -> None:
    request = world.request()
    for _ in range(5):
        dispatch.dispatch(world.runner, request)
    assert len(world.ecs.tasks) == 1
    world.reports("running")
    event = world.ecs.end(FIRST, "SpotInterruption", 75)
    for _ in range(5):
        resume.resume(world.runner, event)
    assert world.item.interruptions == 1
    for sent, _ in list(world.queue.sent):
        resume.resume(world.runner, message(**sent))
    assert (len(world.ecs.tasks), world.item.attempt) == (2, 2)
    world.reports("running")
    resume.resume(world.runner, event)
    assert (world.item.status, world.item.attempt) == ("running", 2)


def test_of_two_dispatchers_at_once_one_queues_the_run(world: World) -> None:
    request = world.request()
    world.table.meanwhile(lambda: dispatch.dispatch(world.runner, request))
    dispatch.dispatch(world.runner, request)
    assert len(world.ecs.tasks) == 1
    assert world.history() == ["queued"]


def test_of_two_restarts_at_once_one_starts_a_task(world: World) -> None:
    world.table.put(run(status="interrupted", task_arn=FIRST))
    due = message(run_id=RUN, attempt=1)
    world.table.meanwhile(lambda: resume.resume(world.runner, due))
    resume.resume(world.runner, due)
    assert (len(world.ecs.tasks), world.item.attempt) == (1, 2)


def test_the_event_and_the_sweeper_at_once_count_one_interruption(world: World) -> None:
    started(world)
    event = world.ecs.end(FIRST, "SpotInterruption", 75)
    world.table.meanwhile(lambda: resume.resume(world.runner, event))
    sweep.sweep(world.runner)
    assert (world.item.status, world.item.interruptions, world.item.losses) == ("interrupted", 1, 0)


def test_a_result_that_arrives_while_we_decide_stays(world: World) -> None:
    started(world)
    event = world.ecs.end(FIRST, "SpotInterruption", 0)
    world.table.meanwhile(lambda: world.reports("succeeded"))
    resume.resume(world.runner, event)
    assert world.item.status == "succeeded"
    assert world.queue.sent == []


def test_a_cancelled_run_is_not_started_by_a_message_that_was_on_its_way(world: World) -> None:
    started(world)
    resume.resume(world.runner, world.ecs.end(FIRST, "SpotInterruption", 75))
    world.reports("failed")
    resume.resume(world.runner, world.restart_event())
    assert world.item.status == "failed"
    resume.resume(world.runner, message(run_id=RUN, attempt=1, retry=True))
    assert (world.item.status, world.item.attempt) == ("queued", 2)


def test_a_function_that_dies_after_the_table_is_made_good_by_its_repetition(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = world.request()
    with monkeypatch.context() as broken:
        broken.setattr(world.ecs, "run_task", lambda **arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dispatch.dispatch(world.runner, request)
    assert (world.item.status, world.item.task_arn) == ("queued", None)
    dispatch.dispatch(world.runner, request)
    assert world.item.task_arn == FIRST
    event = world.ecs.end(FIRST, "SpotInterruption", 75)
    with monkeypatch.context() as broken:
        broken.setattr(world.queue, "send_message", lambda **arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            resume.resume(world.runner, event)
    assert world.item.status == "interrupted"
    resume.resume(world.runner, event)
    assert world.queue.sent == [({"run_id": RUN, "attempt": 1}, 30)]


def test_a_task_whose_arn_was_never_noted_is_found_again_and_not_doubled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(type(world.table), "set_task", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dispatch.dispatch(world.runner, world.request())
    world.reports("running")
    dispatch.dispatch(world.runner, notification(KEY))
    assert (world.item.task_arn, len(world.ecs.tasks)) == (FIRST, 1)


def test_any_order_of_events_ends_in_one_result(world: World) -> None:
    """Events, duplicates, lost ones, sweeps and restarts shuffled: never two tasks of an attempt at work."""
    for seed in range(200):
        dice = random.Random(seed)
        world = World(max_interruptions=2, max_attempts=30)
        pending: list[dict[str, Any]] = [world.request()]
        for _ in range(60):
            if world.table.get(RUN) and world.item.status == "succeeded":
                break
            happens = dice.random()
            if pending and happens < 0.5:
                event = pending[dice.randrange(len(pending))]
                if dice.random() < 0.7:
                    pending.remove(event)
                handler = dispatch.dispatch if event["Records"][0]["eventSource"] == "aws:s3" else None
                (handler or resume.resume)(world.runner, event)
            else:
                world.wait(dice.choice([1, 70, 400]))
                sweep.sweep(world.runner)
            pending += [message(**sent) for sent, _ in world.queue.sent]
            world.queue.sent.clear()
            _task_works(world, dice)
            at_work = [arn for arn, task in world.ecs.tasks.items() if task["lastStatus"] == "RUNNING"]
            assert len(at_work) <= 1, (seed, world.history())
        for _ in range(60):  # no more accidents
            world.wait(120)
            sweep.sweep(world.runner)
            for sent, _ in list(world.queue.sent):
                resume.resume(world.runner, message(**sent))
            world.queue.sent.clear()
            if world.table.get(RUN) is None:
                dispatch.dispatch(world.runner, notification(KEY))
            _task_works(world, None)
        assert world.item.status == "succeeded", (seed, world.history())
        assert world.history().count("succeeded") == 1
        assert world.item.interruptions <= 2
        assert len(world.ecs.tokens) == world.item.attempt


def _task_works(world: World, dice: random.Random | None) -> None:
    """The present task reports and, with bad luck, is taken away (perhaps without an event) or vanishes."""
    item = world.table.get(RUN)
    if item is None or item.task_arn is None or item.status not in ("queued", "running"):
        return
    task = world.ecs.tasks.get(item.task_arn)
    if task is None or task["lastStatus"] != "RUNNING":
        return
    luck = dice.random() if dice else 1.0
    if item.status == "queued":
        world.reports("running")
    elif luck < 0.3 and task["capacityProviderName"] == SPOT:
        event = world.ecs.end(item.task_arn, "SpotInterruption", 75)
        if luck < 0.2:
            resume.resume(world.runner, event)
    elif luck < 0.35:
        del world.ecs.tasks[item.task_arn]
    elif luck > 0.8:
        world.reports("succeeded")


# --- no capacity ---------------------------------------------------------------------------------------


def test_without_capacity_the_run_waits_and_then_starts(world: World) -> None:
    world.ecs.refuse = ["Capacity is unavailable at this time"]
    dispatch.dispatch(world.runner, world.request())
    assert (world.item.status, world.item.refusals, world.item.task_arn) == ("queued", 1, None)
    assert world.queue.sent == [({"run_id": RUN, "attempt": 1}, 30)]
    resume.resume(world.runner, world.restart_event())
    assert world.item.task_arn == FIRST
    assert world.item.interruptions == 0


@pytest.mark.parametrize(
    ("refusal", "counted"),
    [
        (error("ClientException", "Capacity is unavailable at this time."), 1),
        (error("ClientException", "You've reached the limit on the number of vCPUs you can run"), 1),
        (error("ThrottlingException", "Rate exceeded"), 0),
    ],
)
def test_refusals_that_come_as_errors_wait_too(world: World, refusal: ClientError, counted: int) -> None:
    world.ecs.refuse = [refusal]
    dispatch.dispatch(world.runner, world.request())
    assert world.item.refusals == counted
    assert len(world.queue.sent) == 1


def test_a_token_that_started_a_task_by_an_older_definition_is_that_task(world: World) -> None:
    world.ecs.refuse = [error("ConflictException", "clientToken is in use", resourceIds=[f"{TASK}old"])]
    dispatch.dispatch(world.runner, world.request())
    assert world.item.task_arn == f"{TASK}old"


@pytest.mark.parametrize("code", ["AccessDeniedException", "ClusterNotFoundException", "ConflictException"])
def test_what_waiting_does_not_mend_is_raised(world: World, code: str) -> None:
    world.ecs.refuse = [error(code)]
    with pytest.raises(ClientError, match=code):
        dispatch.dispatch(world.runner, world.request())


# --- the sweeper ---------------------------------------------------------------------------------------


def test_a_task_that_vanished_without_an_event_is_replaced(world: World) -> None:
    started(world)
    del world.ecs.tasks[FIRST]
    world.wait(61)
    assert sweep.sweep(world.runner) == {"runs": 1, "moved": 1}
    assert (world.item.status, world.item.losses) == ("interrupted", 1)
    resume.resume(world.runner, world.restart_event())
    assert (world.item.attempt, len(world.ecs.tasks)) == (2, 1)


def test_a_silent_task_is_told_to_stop(world: World) -> None:
    started(world)
    world.wait(301)
    sweep.sweep(world.runner)
    assert world.ecs.stopped == [FIRST]


def test_a_healthy_stack_is_left_alone(world: World) -> None:
    started(world)
    world.wait(20)
    assert sweep.sweep(world.runner) == {"runs": 1, "moved": 0}


def test_one_run_that_makes_trouble_does_not_hide_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [RUN[:-1] + digit for digit in "0123"]
    for run_id in ids:
        world.table.put(run(run_id=run_id, status="running", task_arn=f"{TASK}{run_id}"))
    sends = world.queue.send_message

    def send(**arguments: Any) -> None:
        if ids[1] in arguments["MessageBody"]:
            raise error("InternalError")
        sends(**arguments)

    monkeypatch.setattr(world.queue, "send_message", send)
    world.wait(400)
    with pytest.raises(ClientError, match="InternalError"):
        sweep.sweep(world.runner)
    assert [sent["run_id"] for sent, _ in world.queue.sent] == [ids[0], *ids[2:]]


def test_many_tasks_are_described_a_hundred_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    describes = world.ecs.describe_tasks

    def describe(**arguments: Any) -> dict[str, Any]:
        sizes.append(len(arguments["tasks"]))
        return describes(**arguments)

    monkeypatch.setattr(world.ecs, "describe_tasks", describe)
    for number in range(250):
        run_id = f"{RUN[:-3]}{number:03d}"
        world.table.put(run(run_id=run_id, status="running", task_arn=f"{TASK}{number}"))
    world.wait(400)
    assert sweep.sweep(world.runner) == {"runs": 250, "moved": 250}
    assert sizes == [100, 100, 50]


def test_a_task_that_could_not_be_looked_at_is_not_a_vanished_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(world)
    world.wait(120)
    refused = {"tasks": [], "failures": [{"arn": FIRST, "reason": "ACCESS_DENIED"}]}
    monkeypatch.setattr(world.ecs, "describe_tasks", lambda **arguments: refused)
    assert sweep.sweep(world.runner) == {"runs": 1, "moved": 0}
