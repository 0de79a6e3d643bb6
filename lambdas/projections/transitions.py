"""The state machine of a run: an item, an event, the time and the settings in, a decision out.

Pure, so that every race can be tested: whatever is repeated, late or out of order must decide for nothing,
or for something that does no harm twice. What is decided is written on condition of the status and attempt
that were seen; whoever comes second loses and does nothing.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from . import backoff, times
from .states import (
    ENDED_ITSELF,
    FAILED,
    FARGATE,
    FARGATE_SPOT,
    INTERRUPTED,
    MISSING,
    QUEUED,
    RUNNING,
    SPOT_INTERRUPTION,
    STOPPED,
    Change,
    Decision,
    Request,
    Restart,
    Run,
    Settings,
    StoppedTask,
    Task,
)

GRACE = timedelta(seconds=60)
"""What a start or restart may take before the sweeper repeats it."""
SLOW_START = timedelta(seconds=600)
"""What a task may take beyond ``stale_after_s`` before its first report: the image has to be fetched."""
START_LIMIT = timedelta(hours=24)
"""How long a start is tried. ECS knows a client token for as long: later it would start a second task."""
MAX_CRASHES = 2
"""A task that ended by itself without a report is tried once more; a program's error comes again."""
CHECKPOINTED = 75
"""Exit code of a task that was told to stop and wrote its checkpoint."""


def on_request(run: Run | None, request: Request, now: datetime, settings: Settings) -> Decision:
    """A request object has come: a new run, a start that was lost on the way, or nothing new."""
    if run is None:
        new = Run(
            run_id=request.run_id,
            status=QUEUED,
            attempt=1,
            capacity=capacity_of(request.capacity, 0, settings),
            requested_capacity=request.capacity,
            request_key=request.key,
            output_key=request.output_key,
            updated_at=now,
            since=now,
        )
        return Decision(why="run queued", create=new, start=True)
    if _lacks_task(run):
        return Decision(why="start repeated", start=True)
    return _nothing(f"the run is {run.status} already")


def on_stopped(
    run: Run | None, stopped: StoppedTask, now: datetime, settings: Settings, jitter: float
) -> Decision:
    """A task was interrupted, or could not start."""
    if run is None:
        return _nothing("the run is not in the table")
    if stopped.attempt != run.attempt:
        return _nothing(f"attempt {stopped.attempt} is over: the run is at {run.attempt}")
    if run.task_arn not in (None, stopped.task.arn):
        return _nothing("another task works on this attempt")
    if run.status == INTERRUPTED:  # an event twice, or the message was not sent the first time
        return Decision(why="restart asked for again", restart_in_s=_remaining_s(run, now))
    if run.status not in (QUEUED, RUNNING):
        return _nothing(f"the run is {run.status} already")
    return _ended(run, stopped.task, now, settings, jitter)


def on_restart(run: Run | None, message: Restart, now: datetime, settings: Settings) -> Decision:
    """A message of the restart queue is due."""
    if run is None:
        return _nothing("the run is not in the table")
    wanted = run.status == INTERRUPTED or (run.status == FAILED and message.retry)
    if wanted and message.attempt == run.attempt:
        capacity = capacity_of(run.requested_capacity, run.interruptions, settings)
        values = {
            "status": QUEUED,
            "attempt": run.attempt + 1,
            "capacity": capacity,
            "refusals": 0,
            "task_arn": None,
            "heartbeat_at": None,
            "not_before": None,
            "reason": None,
        }
        change = _change(values, now, attempt=run.attempt + 1, capacity=capacity)
        return Decision(why="attempt queued", change=change, start=True)
    # The attempt after the message's, without a task: who queued it came to grief before the start.
    if message.attempt in (run.attempt, run.attempt - 1) and _lacks_task(run):
        return Decision(why="start repeated", start=True)
    return _nothing(f"the run is {run.status} at attempt {run.attempt}")


def on_refusal(
    run: Run, reason: str, now: datetime, settings: Settings, jitter: float, *, counted: bool
) -> Decision:
    """ECS started nothing. ``counted``: for want of capacity; else it was only asked too often.

    No interruption, since nothing was lost; but Spot that can't be had is left for on-demand as soon.
    """
    if now - run.since > START_LIMIT:
        return _failed(run, f"not started within {_hours(START_LIMIT)} hours: {reason}", now)
    refusals = run.refusals + (1 if counted else 0)
    wait = backoff.seconds(refusals, base_s=settings.backoff_s, limit_s=settings.max_backoff_s, jitter=jitter)
    capacity = run.capacity
    if capacity == FARGATE_SPOT and counted and refusals >= max(1, settings.max_interruptions):
        capacity = FARGATE
    change = Change(
        values={
            "refusals": refusals,
            "capacity": capacity,
            "not_before": times.after(now, wait),
            "reason": reason,
            "updated_at": now,
        }
    )
    return Decision(why="start put off", change=change, restart_in_s=wait, facts={"reason": reason})


def on_sweep(run: Run, task: Task | None, now: datetime, settings: Settings, jitter: float) -> Decision:
    """A look at an unfinished run. ``task`` is what ECS says of its task, None when it has no known one."""
    if run.status == INTERRUPTED:
        if now < (run.not_before or run.updated_at) + GRACE:
            return _nothing("the restart is not due yet")
        return Decision(why="restart was lost", restart_in_s=0)
    if run.status not in (QUEUED, RUNNING):
        return _nothing(f"the run is {run.status}")
    if task is None:
        return _sweep_without_task(run, now, settings, jitter)
    if task.last_status == MISSING:
        # A task may be invisible for a moment after its start.
        if now - run.since < GRACE:
            return _nothing("the task has just been started")
        return _ended(run, task, now, settings, jitter, reason="the task vanished")
    if task.last_status == STOPPED:
        return _ended(run, task, now, settings, jitter)
    limit = timedelta(seconds=settings.stale_after_s)
    if run.status == QUEUED:
        limit += SLOW_START
    silent = now - (run.heartbeat_at or run.since)
    if silent <= limit:
        return _nothing("the task is at work")
    reason = f"no sign of life for {round(silent.total_seconds())} s"
    return _ended(run, task, now, settings, jitter, reason=reason, stop=True)


def capacity_of(requested: str, interruptions: int, settings: Settings) -> str:
    """Where the next attempt runs.

    >>> capacity_of("FARGATE_SPOT", 2, Settings()), capacity_of("FARGATE_SPOT", 3, Settings())
    ('FARGATE_SPOT', 'FARGATE')
    """
    spot = requested == FARGATE_SPOT and interruptions < settings.max_interruptions
    return FARGATE_SPOT if spot else FARGATE


def _sweep_without_task(run: Run, now: datetime, settings: Settings, jitter: float) -> Decision:
    if run.status == RUNNING:
        if now - (run.heartbeat_at or run.since) <= timedelta(seconds=settings.stale_after_s):
            return _nothing("the task is at work")
        gone = Task(arn="", last_status=MISSING)
        return _ended(run, gone, now, settings, jitter, reason="no sign of life, and no known task")
    if now - run.since > START_LIMIT:
        return _failed(run, f"not started within {_hours(START_LIMIT)} hours", now)
    if now < max(run.updated_at, run.not_before or run.updated_at) + GRACE:
        return _nothing("the start is not overdue yet")
    return Decision(why="start was lost", restart_in_s=0)


def _ended(
    run: Run,
    task: Task,
    now: datetime,
    settings: Settings,
    jitter: float,
    *,
    reason: str | None = None,
    stop: bool = False,
) -> Decision:
    """The attempt's task is gone, or as good as gone, and the run isn't done: again, unless that's no use."""
    interruption = task.stop_code == SPOT_INTERRUPTION
    crash = task.stop_code == ENDED_ITSELF and task.exit_code != CHECKPOINTED
    counts = {
        "interruptions": run.interruptions + interruption,
        "losses": run.losses + (not interruption),
        "crashes": run.crashes + crash,
    }
    why = reason or task.reason or task.stop_code or "the task stopped"
    if crash and task.exit_code is not None:
        why = f"{why} (exit code {task.exit_code})"
    stop_task = task.arn if stop else None
    if counts["crashes"] >= MAX_CRASHES and crash:
        return _failed(run, f"the task ended without a report, again: {why}", now, counts, stop_task)
    if run.attempt >= settings.max_attempts:
        return _failed(run, f"given up after {run.attempt} attempts: {why}", now, counts, stop_task)
    wait = backoff.seconds(
        counts["interruptions"] if interruption else counts["losses"],
        base_s=settings.backoff_s,
        limit_s=settings.max_backoff_s,
        jitter=jitter,
    )
    values = {**counts, "status": INTERRUPTED, "not_before": times.after(now, wait), "reason": why}
    change = _change(values, now, attempt=run.attempt, capacity=run.capacity, task_arn=task.arn, reason=why)
    return Decision(
        why="run interrupted" if interruption else "task lost",
        change=change,
        stop_task=stop_task,
        restart_in_s=wait,
        facts={"reason": why, **counts},
    )


def _failed(
    run: Run,
    reason: str,
    now: datetime,
    counts: Mapping[str, int] | None = None,
    stop_task: str | None = None,
) -> Decision:
    values = {**(counts or {}), "status": FAILED, "reason": reason}
    change = _change(
        values, now, attempt=run.attempt, capacity=run.capacity, task_arn=run.task_arn, reason=reason
    )
    # These very words are counted for the alarm: components/parts/runner_alarms.py.
    return Decision(why="run failed", change=change, stop_task=stop_task, facts={"reason": reason})


def _change(values: Mapping[str, Any], now: datetime, **entry: Any) -> Change:
    """A change of the status, with its entry in the history."""
    known = {key: value for key, value in entry.items() if value}
    return Change(
        values={**values, "updated_at": now},
        entry={"at": times.text(now), "status": values["status"], **known},
    )


def _lacks_task(run: Run) -> bool:
    return run.status in (QUEUED, RUNNING) and run.task_arn is None


def _remaining_s(run: Run, now: datetime) -> int:
    left = ((run.not_before or now) - now).total_seconds()
    return max(0, min(round(left), backoff.LONGEST_S))


def _hours(time: timedelta) -> int:
    return int(time.total_seconds() // 3600)


def _nothing(why: str) -> Decision:
    return Decision(why=f"nothing to do: {why}")
