"""From the events of a Step Functions execution to the states of its steps and the reason of a failure.

Pure functions on what ``GetExecutionHistory`` answers, oldest event first.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PREPARING = "PREPARING"
RUNNING = "RUNNING"
SUCCESS = "SUCCESS"
FAILED = "FAILED"
STOPPING = "STOPPING"
STOPPED = "STOPPED"
UNKNOWN = "UNKNOWN"
PENDING = "PENDING"
"""State of a step that has not begun; never the status of a run."""

FINAL = frozenset({SUCCESS, FAILED, STOPPED})

_STATUS = {
    "RUNNING": RUNNING,
    "SUCCEEDED": SUCCESS,
    "FAILED": FAILED,
    "TIMED_OUT": FAILED,
    "ABORTED": STOPPED,
    "PENDING_REDRIVE": PREPARING,
}

_FAILURES = {
    "TaskFailed": "taskFailedEventDetails",
    "TaskTimedOut": "taskTimedOutEventDetails",
    "TaskStartFailed": "taskStartFailedEventDetails",
    "TaskSubmitFailed": "taskSubmitFailedEventDetails",
}
_ENDINGS = {
    "ExecutionFailed": "executionFailedEventDetails",
    "ExecutionTimedOut": "executionTimedOutEventDetails",
    "ExecutionAborted": "executionAbortedEventDetails",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a run. Times are aware UTC; ``attempts`` counts the tries that began."""

    name: str
    status: str = PENDING
    started: datetime | None = None
    ended: datetime | None = None
    attempts: int = 0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a run failed: the runner's ``errorType`` and message (it ends with a notebook's traceback)."""

    type: str
    message: str
    step: str | None = None


def status_of(execution_status: str) -> str:
    """The status that front ends know for one of Step Functions' statuses.

    >>> status_of("TIMED_OUT"), status_of("ABORTED"), status_of("NEW_ONE")
    ('FAILED', 'STOPPED', 'UNKNOWN')
    """
    return _STATUS.get(execution_status, UNKNOWN)


@dataclass
class _Progress:
    name: str
    status: str = RUNNING
    started: datetime | None = None
    ended: datetime | None = None
    attempts: int = 0

    def frozen(self) -> Step:
        return Step(
            name=self.name, status=self.status, started=self.started, ended=self.ended, attempts=self.attempts
        )


def steps_of(events: Iterable[Mapping[str, Any]], known: Sequence[str], run_status: str) -> tuple[Step, ...]:
    """States of the steps, in the workflow's order, then others (Choice, Pass...) that were entered.

    ``known`` are the workflow's steps; those not entered yet are ``PENDING``. A step that is still open
    when the run has ended takes the run's status. Branches of a Parallel or Map may overlap: every
    event names its state, or continues the state of the event before it.
    """
    seen: dict[str, _Progress] = {}
    state_at: dict[int, str | None] = {}
    for event in events:
        kind = str(event.get("type", ""))
        previous = state_at.get(int(event.get("previousEventId") or int(event["id"]) - 1))
        if kind.endswith("StateEntered"):
            name = str(event["stateEnteredEventDetails"]["name"])
            again = seen.get(name)
            seen[name] = _Progress(name, started=again.started if again else event.get("timestamp"))
            state_at[int(event["id"])] = name
            continue
        if kind.endswith("StateExited"):
            name = str(event["stateExitedEventDetails"]["name"])
            state_at[int(event["id"])] = name
            if name in seen:
                step = seen[name]
                step.ended = event.get("timestamp")
                # A caught failure leaves the state too: it stays a failure.
                step.status = FAILED if step.status == FAILED else SUCCESS
            continue
        state_at[int(event["id"])] = previous
        if previous in seen:
            _count(seen[previous], kind)
    if run_status in FINAL:
        for step in seen.values():
            if step.ended is None:
                step.status = run_status
    order = [*known, *(name for name in seen if name not in known)]
    return tuple(seen[name].frozen() if name in seen else Step(name=name) for name in order)


def _count(step: _Progress, kind: str) -> None:
    if kind == "TaskScheduled":
        step.attempts += 1
        step.status = RUNNING
    elif kind in _FAILURES:
        step.status = FAILED
    elif kind == "TaskSucceeded":
        step.status = SUCCESS


def failure_of(
    events: Iterable[Mapping[str, Any]], error: str | None = None, cause: str | None = None
) -> Failure | None:
    """Why the run ended badly, None when it didn't (or not yet).

    ``error`` and ``cause`` are what ``DescribeExecution`` says; its events fill in what they lack.
    """
    current: str | None = None
    failed_step: str | None = None
    for event in events:
        kind = str(event.get("type", ""))
        if kind.endswith("StateEntered"):
            current = str(event["stateEnteredEventDetails"]["name"])
        elif kind in _FAILURES:
            failed_step = current
        elif kind in _ENDINGS:
            details = event.get(_ENDINGS[kind]) or {}
            fallback = "States.Timeout" if kind == "ExecutionTimedOut" else "Aborted"
            where = failed_step if kind == "ExecutionFailed" and failed_step else current
            return read_failure(
                error or str(details.get("error") or fallback),
                cause or str(details.get("cause") or ""),
                where,
            )
    return None


def read_failure(error: str, cause: str, step: str | None = None) -> Failure:
    """Type and message of a Step Functions error, whose cause is the Lambda's JSON when the Lambda raised.

    >>> read_failure("NotebookError", '{"errorType": "NotebookError", "errorMessage": "no stops"}').message
    'no stops'
    """
    try:
        raised = json.loads(cause)
    except ValueError:
        raised = None
    if isinstance(raised, dict) and raised.get("errorMessage"):
        return Failure(
            type=str(raised.get("errorType") or error), message=str(raised["errorMessage"]), step=step
        )
    return Failure(type=error, message=cause or error, step=step)
