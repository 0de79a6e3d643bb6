"""The state machine of a run: every decision, with the time and the dice given."""

from datetime import timedelta
from typing import Any

import pytest

from lambdas.projections import backoff, times
from lambdas.projections.runs import changed
from lambdas.projections.states import Decision, Request, Restart, Run, Settings, StoppedTask, Task
from lambdas.projections.transitions import (
    GRACE,
    SLOW_START,
    START_LIMIT,
    on_refusal,
    on_request,
    on_restart,
    on_stopped,
    on_sweep,
)
from tests.unit.projections_lambdas import KEY, ON_DEMAND, OUTPUT, RUN, SPOT, START, TASK, run

MINE, OTHER = f"{TASK}1", f"{TASK}2"
SETTINGS = Settings()
LATER = START + timedelta(minutes=10)
FINISHED = ("succeeded", "failed")
ALL = ("queued", "running", "interrupted", *FINISHED)


def request(capacity: str = SPOT) -> Request:
    return Request(run_id=RUN, key=KEY, output_key=OUTPUT, capacity=capacity)


def stopped(attempt: int = 1, code: str = "SpotInterruption", arn: str = MINE) -> StoppedTask:
    task = Task(arn=arn, last_status="STOPPED", stop_code=code, exit_code=75, reason="taken away")
    return StoppedTask(run_id=RUN, attempt=attempt, task=task)


def ended(code: str | None = "EssentialContainerExited", exit_code: int | None = 1, arn: str = MINE) -> Task:
    return Task(arn=arn, last_status="STOPPED", stop_code=code, exit_code=exit_code, reason="out of memory")


def does_nothing(decision: Decision) -> bool:
    return decision == Decision(why=decision.why) and decision.why.startswith("nothing to do")


def values(decision: Decision) -> dict[str, Any]:
    assert decision.change is not None, decision
    return dict(decision.change.values)


def sweep(seen: Run, task: Task | None, now: Any = LATER, **settings: Any) -> Decision:
    return on_sweep(seen, task, now, Settings(**settings), 0.5)


# --- requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "limit", "gets"),
    [(SPOT, 3, SPOT), (ON_DEMAND, 3, ON_DEMAND), (SPOT, 0, ON_DEMAND)],
)
def test_a_new_request_is_queued_and_started(asked: str, limit: int, gets: str) -> None:
    decision = on_request(None, request(asked), START, Settings(max_interruptions=limit))
    assert decision.start
    assert decision.create == run(capacity=gets, requested_capacity=asked)


@pytest.mark.parametrize("status", ALL)
def test_a_request_that_comes_again_changes_nothing(status: str) -> None:
    assert does_nothing(on_request(run(status=status, task_arn=MINE), request(), LATER, SETTINGS))


@pytest.mark.parametrize(
    ("status", "repeated"), [(status, status in ("queued", "running")) for status in ALL]
)
def test_a_start_whose_task_is_unknown_is_repeated(status: str, repeated: bool) -> None:
    decision = on_request(run(status=status), request(), LATER, SETTINGS)
    assert decision.start is repeated
    assert (decision.change, decision.create) == (None, None)


# --- stopped tasks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["queued", "running"])
@pytest.mark.parametrize("known_task", [None, MINE])
def test_an_interruption_is_counted_and_waits(status: str, known_task: str | None) -> None:
    """Also when the event is faster than the note of the task, or than the task's own report."""
    decision = on_stopped(run(status=status, task_arn=known_task), stopped(), LATER, SETTINGS, 0.5)
    assert values(decision) == {
        "status": "interrupted", "interruptions": 1, "losses": 0, "crashes": 0, "reason": "taken away",
        "not_before": LATER + timedelta(seconds=30), "updated_at": LATER,
    }  # fmt: skip
    assert decision.restart_in_s == 30
    assert not decision.start
    assert decision.change is not None
    assert decision.change.entry == {
        "at": "2026-11-21T13:10:00.000Z", "status": "interrupted", "attempt": 1, "capacity": SPOT,
        "task_arn": MINE, "reason": "taken away",
    }  # fmt: skip


def test_a_task_that_could_not_start_is_a_loss_and_no_interruption() -> None:
    decision = on_stopped(run(task_arn=MINE), stopped(code="TaskFailedToStart"), LATER, SETTINGS, 0.5)
    assert (values(decision)["interruptions"], values(decision)["losses"]) == (0, 1)
    assert values(decision)["status"] == "interrupted"


@pytest.mark.parametrize("status", FINISHED)
def test_an_interruption_after_the_end_changes_nothing(status: str) -> None:
    assert does_nothing(on_stopped(run(status=status, task_arn=MINE), stopped(), LATER, SETTINGS, 0.5))


def test_a_second_event_only_asks_for_the_restart_again_in_the_time_that_is_left() -> None:
    """The first may have come to grief between the table and the queue."""
    waiting = run(status="interrupted", task_arn=MINE, not_before=LATER + timedelta(seconds=20))
    decision = on_stopped(waiting, stopped(), LATER, SETTINGS, 0.5)
    assert (decision.change, decision.start, decision.restart_in_s) == (None, False, 20)
    assert on_stopped(waiting, stopped(), LATER + GRACE, SETTINGS, 0.5).restart_in_s == 0


@pytest.mark.parametrize("status", ALL)
@pytest.mark.parametrize("attempt", [1, 3])
def test_an_event_of_another_attempt_changes_nothing(status: str, attempt: int) -> None:
    assert does_nothing(on_stopped(run(status=status, attempt=2), stopped(attempt), LATER, SETTINGS, 0.5))


def test_an_event_of_another_task_or_run_changes_nothing() -> None:
    assert does_nothing(on_stopped(run(task_arn=OTHER), stopped(), LATER, SETTINGS, 0.5))
    assert does_nothing(on_stopped(None, stopped(), LATER, SETTINGS, 0.5))


def test_the_last_attempt_is_failed_instead() -> None:
    decision = on_stopped(run(attempt=20), stopped(20), LATER, SETTINGS, 0.5)
    assert values(decision)["status"] == "failed"
    assert values(decision)["reason"] == "given up after 20 attempts: taken away"
    assert (decision.why, decision.restart_in_s, decision.start) == ("run failed", None, False)
    assert values(on_stopped(run(attempt=19), stopped(19), LATER, SETTINGS, 0.5))["status"] == "interrupted"


# --- restarts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interruptions", "requested", "gets"),
    [(1, SPOT, SPOT), (2, SPOT, SPOT), (3, SPOT, ON_DEMAND), (9, SPOT, ON_DEMAND), (0, ON_DEMAND, ON_DEMAND)],
)
def test_a_restart_queues_the_next_attempt_on_the_right_capacity(
    interruptions: int, requested: str, gets: str
) -> None:
    seen = run(
        status="interrupted", attempt=4, interruptions=interruptions, requested_capacity=requested,
        capacity=requested, task_arn=MINE, heartbeat_at=START, not_before=START, reason="x", refusals=2,
    )  # fmt: skip
    decision = on_restart(seen, Restart(run_id=RUN, attempt=4), LATER, SETTINGS)
    assert decision.start
    assert decision.change is not None
    after = changed(seen, decision.change)
    assert (after.status, after.attempt, after.capacity, after.refusals) == ("queued", 5, gets, 0)
    assert (after.task_arn, after.heartbeat_at, after.not_before, after.reason) == (None,) * 4
    assert (after.interruptions, after.since) == (interruptions, LATER)


@pytest.mark.parametrize("retry", [False, True])
def test_only_somebody_who_asks_gets_a_failed_run_started_again(retry: bool) -> None:
    """Else a late duplicate of an ordinary message would start a cancelled run."""
    decision = on_restart(run(status="failed"), Restart(run_id=RUN, attempt=1, retry=retry), LATER, SETTINGS)
    assert decision.start is retry
    assert does_nothing(decision) is not retry


@pytest.mark.parametrize("status", ["succeeded", "running", "queued"])
@pytest.mark.parametrize("retry", [False, True])
def test_a_restart_of_a_run_at_work_or_done_changes_nothing(status: str, retry: bool) -> None:
    seen = run(status=status, task_arn=MINE)
    assert does_nothing(on_restart(seen, Restart(run_id=RUN, attempt=1, retry=retry), LATER, SETTINGS))


@pytest.mark.parametrize(("attempt", "repeated"), [(1, False), (2, True), (3, True), (4, False)])
def test_a_restart_that_was_queued_without_a_start_is_started(attempt: int, repeated: bool) -> None:
    """The run is at attempt 3: message 2 queued it, message 3 is the sweeper's."""
    decision = on_restart(run(attempt=3), Restart(run_id=RUN, attempt=attempt), LATER, SETTINGS)
    assert decision.start is repeated
    assert decision.change is None


@pytest.mark.parametrize("attempt", [1, 3])
def test_a_late_message_of_another_attempt_changes_nothing(attempt: int) -> None:
    seen = run(status="interrupted", attempt=2, task_arn=MINE)
    assert does_nothing(on_restart(seen, Restart(run_id=RUN, attempt=attempt), LATER, SETTINGS))
    assert does_nothing(on_restart(None, Restart(run_id=RUN, attempt=attempt), LATER, SETTINGS))


# --- no capacity -----------------------------------------------------------------------------------


def refused(seen: Run, counted: bool = True, now: Any = START, **settings: Any) -> Decision:
    return on_refusal(seen, "Capacity is unavailable", now, Settings(**settings), 0.5, counted=counted)


def test_want_of_capacity_is_no_interruption_and_waits_longer_each_time() -> None:
    seen = run(refusals=1)
    decision = refused(seen, max_interruptions=9)
    assert values(decision)["refusals"] == 2
    assert decision.restart_in_s == 60
    assert decision.change is not None
    after = changed(seen, decision.change)
    assert (after.status, after.attempt, after.interruptions, after.since) == ("queued", 1, 0, START)
    assert after.reason == "Capacity is unavailable"
    assert decision.change.entry is None


@pytest.mark.parametrize(
    ("refusals", "counted", "gets"), [(1, True, SPOT), (2, True, ON_DEMAND), (2, False, SPOT)]
)
def test_spot_that_cannot_be_had_is_left_for_on_demand(refusals: int, counted: bool, gets: str) -> None:
    assert values(refused(run(refusals=refusals), counted))["capacity"] == gets


def test_being_asked_too_often_is_not_counted() -> None:
    decision = refused(run(refusals=0), counted=False)
    assert values(decision)["refusals"] == 0
    assert decision.restart_in_s == 30


def test_a_start_is_not_tried_longer_than_ecs_knows_its_token() -> None:
    decision = refused(run(), now=START + START_LIMIT + timedelta(seconds=1))
    assert values(decision)["status"] == "failed"
    assert "not started within 24 hours: Capacity" in values(decision)["reason"]


# --- sweeps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["queued", "running"])
def test_a_vanished_task_is_a_loss(status: str) -> None:
    gone = Task(arn=MINE, last_status="MISSING")
    seen = run(status=status, task_arn=MINE)
    decision = sweep(seen, gone)
    assert values(decision)["status"] == "interrupted"
    assert (values(decision)["losses"], values(decision)["crashes"]) == (1, 0)
    assert values(decision)["reason"] == "the task vanished"
    assert decision.restart_in_s == 30
    assert does_nothing(sweep(seen, gone, START + timedelta(seconds=30)))


def test_an_interruption_without_an_event_counts_as_one() -> None:
    decision = sweep(run(status="running", task_arn=MINE), ended("SpotInterruption", 75))
    assert (values(decision)["interruptions"], values(decision)["losses"]) == (1, 0)


@pytest.mark.parametrize(("code", "exit_code"), [("UserInitiated", 75), ("UserInitiated", 137), (None, None),
                                                 ("EssentialContainerExited", 75)])  # fmt: skip
def test_a_task_that_was_stopped_is_a_loss_and_no_crash(code: str | None, exit_code: int | None) -> None:
    decision = sweep(run(status="running", task_arn=MINE, crashes=1), ended(code, exit_code))
    assert values(decision)["status"] == "interrupted"
    assert (values(decision)["losses"], values(decision)["crashes"]) == (1, 1)


@pytest.mark.parametrize("exit_code", [0, 1, 137])
def test_a_task_that_ends_itself_without_a_word_is_tried_once_more(exit_code: int) -> None:
    first = sweep(run(status="running", task_arn=MINE), ended(exit_code=exit_code))
    assert values(first)["status"] == "interrupted"
    assert values(first)["crashes"] == 1
    second = sweep(run(status="running", task_arn=MINE, losses=1, crashes=1), ended(exit_code=exit_code))
    assert values(second)["status"] == "failed"
    assert values(second)["reason"].endswith(f"out of memory (exit code {exit_code})")


def test_a_silent_task_is_stopped_and_replaced() -> None:
    alive = Task(arn=MINE, last_status="RUNNING")
    seen = run(status="running", task_arn=MINE, heartbeat_at=LATER - timedelta(seconds=301))
    decision = sweep(seen, alive)
    assert decision.stop_task == MINE
    assert values(decision)["status"] == "interrupted"
    assert values(decision)["reason"] == "no sign of life for 301 s"
    fresh = run(status="running", task_arn=MINE, heartbeat_at=LATER - timedelta(seconds=300))
    assert does_nothing(sweep(fresh, alive))


def test_a_task_that_never_reports_gets_time_to_fetch_its_image() -> None:
    alive = Task(arn=MINE, last_status="PENDING")
    limit = timedelta(seconds=SETTINGS.stale_after_s) + SLOW_START
    assert does_nothing(sweep(run(task_arn=MINE), alive, START + limit))
    assert sweep(run(task_arn=MINE), alive, START + limit + timedelta(seconds=1)).stop_task == MINE


def test_a_running_run_without_a_known_task_is_judged_by_its_heartbeat() -> None:
    assert does_nothing(sweep(run(status="running", heartbeat_at=LATER), None))
    decision = sweep(run(status="running", heartbeat_at=START), None)
    assert values(decision)["status"] == "interrupted"
    assert decision.stop_task is None


def test_a_lost_start_is_asked_for_again_after_a_minute() -> None:
    assert does_nothing(sweep(run(), None, START + GRACE - timedelta(seconds=1)))
    decision = sweep(run(), None, START + GRACE)
    assert (decision.restart_in_s, decision.change, decision.start) == (0, None, False)
    put_off = run(not_before=START + timedelta(seconds=900))
    assert does_nothing(sweep(put_off, None, START + timedelta(seconds=900)))
    assert sweep(put_off, None, START + timedelta(seconds=960)).restart_in_s == 0


def test_a_lost_restart_is_asked_for_again_a_minute_after_it_was_due() -> None:
    seen = run(status="interrupted", task_arn=MINE, not_before=LATER)
    assert does_nothing(sweep(seen, None, LATER + GRACE - timedelta(seconds=1)))
    assert sweep(seen, None, LATER + GRACE).restart_in_s == 0


def test_a_run_that_never_starts_is_failed_after_a_day() -> None:
    decision = sweep(run(), None, START + START_LIMIT + timedelta(seconds=1))
    assert values(decision)["status"] == "failed"


def test_the_sweeper_gives_up_too() -> None:
    decision = sweep(
        run(status="running", attempt=5, task_arn=MINE), ended("UserInitiated", 75), max_attempts=5
    )
    assert values(decision)["status"] == "failed"


@pytest.mark.parametrize("status", FINISHED)
@pytest.mark.parametrize("task", [None, ended(), Task(arn=MINE, last_status="MISSING")])
def test_what_is_done_is_left_alone(status: str, task: Task | None) -> None:
    """The index may be a moment behind the table."""
    assert does_nothing(sweep(run(status=status, task_arn=MINE), task))


# --- the parts -------------------------------------------------------------------------------------


def test_backoff_stays_in_what_sqs_can_delay_and_in_its_jitter() -> None:
    for tries in (*range(8), 1000):
        low, middle, high = (
            backoff.seconds(tries, base_s=7, limit_s=900, jitter=jitter) for jitter in (0.0, 0.5, 1.0)
        )
        assert 0 <= low <= middle <= high <= 900
        assert low == pytest.approx(0.8 * middle, abs=1)
        assert high == pytest.approx(min(1.2 * middle, 900), abs=1)


def test_times_sort_as_texts() -> None:
    moments = [START + timedelta(milliseconds=ms) for ms in (0, 1, 999, 1000, 86_400_000)]
    texts = [times.text(moment) for moment in moments]
    assert texts == sorted(texts)
    assert [times.read(text) for text in texts] == moments
    assert times.read("2026-11-21T13:00:00") == START
