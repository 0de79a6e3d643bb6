"""A run as the run table has it, what is known of its task, and what may be decided about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

QUEUED = "queued"
RUNNING = "running"
INTERRUPTED = "interrupted"
SUCCEEDED = "succeeded"
FAILED = "failed"

UNFINISHED = (QUEUED, RUNNING, INTERRUPTED)

BY_STATUS = "by-status"
"""The run table's index from a status to its runs, the one untouched longest first."""

FARGATE = "FARGATE"
FARGATE_SPOT = "FARGATE_SPOT"

SPOT_INTERRUPTION = "SpotInterruption"
FAILED_TO_START = "TaskFailedToStart"
ENDED_ITSELF = "EssentialContainerExited"
"""Stop codes of ECS (API reference, ``Task.stopCode``)."""

STOPPED = "STOPPED"
MISSING = "MISSING"
"""The last status of a task that ECS doesn't know (any more): it forgets stopped ones after an hour."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the stack sets; defaults as in ``FargateSpotRunnerArgs``."""

    max_interruptions: int = 3
    """After so many interruptions a run goes on on demand; 0: it never uses Spot."""
    backoff_s: int = 30
    max_backoff_s: int = 600
    max_attempts: int = 20
    stale_after_s: int = 300
    """Seconds without a heartbeat after which a running task counts as lost."""
    run_days: int = 30


@dataclass(frozen=True, kw_only=True)
class Run:
    """One item of the run table, without its progress, which only the task writes."""

    run_id: str
    status: str
    attempt: int
    capacity: str
    requested_capacity: str
    request_key: str
    output_key: str
    updated_at: datetime
    since: datetime
    """When the status became what it is: the time of the last entry of the history."""
    interruptions: int = 0
    losses: int = 0
    crashes: int = 0
    """How many of the losses were tasks that ended by themselves without a report."""
    refusals: int = 0
    """How often ECS had no capacity for the present attempt."""
    task_arn: str | None = None
    heartbeat_at: datetime | None = None
    not_before: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the dispatcher reads of a request object; the rest is the model's."""

    run_id: str
    key: str
    output_key: str
    capacity: str


@dataclass(frozen=True, kw_only=True)
class Restart:
    """A message of the restart queue: start the attempt after ``attempt``, or repeat a lost start."""

    run_id: str
    attempt: int
    retry: bool = False
    """Somebody wants a failed run again; without it a failed run stays as it is."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What ECS says of the task of a run's attempt."""

    arn: str
    last_status: str
    stop_code: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    capacity: str | None = None


@dataclass(frozen=True, kw_only=True)
class StoppedTask:
    """A state change event: the task of one attempt has stopped."""

    run_id: str
    attempt: int
    task: Task


@dataclass(frozen=True, kw_only=True)
class Change:
    """A write to the item, on condition that status and attempt are still those that were seen."""

    values: Mapping[str, Any]
    """Fields of ``Run`` and their new values; None removes."""
    entry: Mapping[str, Any] | None = None
    """What is appended to the history."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do about a run, in this order; each step is harmless when it is repeated."""

    why: str
    create: Run | None = None
    change: Change | None = None
    stop_task: str | None = None
    start: bool = False
    """Call RunTask for the attempt that the run then has."""
    restart_in_s: int | None = None
    """Send a restart message with the attempt that the run then has, and this delay."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """For the log."""
