"""What can be done with runs: submit, refresh, cancel, retry, take a report. Pages and the API call these.

The order is always database first, cloud second: a row that was committed but never handed over is found and
handed over by whoever looks at it next, and handing over twice is harmless.
"""

import logging
import uuid
from collections.abc import Iterable, Mapping
from datetime import timedelta
from time import monotonic
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from projections_inputs import InputError, ModelInput

from covid import runner
from covid.errors import Conflict, InvalidInputs, NoData, NotAllowed, SiteError
from covid.models import County, HashValue, SimulationRun
from covid.people import compute_of, is_operator, name_of, row_of

log = logging.getLogger(__name__)

LOST = timedelta(seconds=15)
"""A hand-over tried so long ago and not confirmed is tried again: longer than one takes with its retries."""
REFRESH_EVERY = timedelta(seconds=1)
"""Many watchers of one run cost no more look-ups than one."""
RETRY_LOST = timedelta(seconds=60)


def newest_hash() -> str | None:
    """The version of the data that new runs use; None before any was loaded."""
    return HashValue.objects.order_by("-date", "-id").values_list("hash", flat=True).first()


def validated(inputs: Mapping[str, Any], data_hash: str) -> ModelInput:
    """The complete inputs, or ``InvalidInputs`` that names the key, the value and what is allowed."""
    try:
        return ModelInput.model_validate({**inputs, "data_hash": data_hash})
    except InputError as error:
        raise InvalidInputs(str(error)) from error


def runs_of(user: Any) -> QuerySet[SimulationRun]:
    """Runs that this person may read: all of them, since one run answers everybody who asks the same."""
    return SimulationRun.objects.select_related("user").defer("output")


def may_act(user: Any, run: SimulationRun) -> bool:
    """Whether this person may cancel or retry the run: who asked for it first, and operators."""
    return is_operator(user) or (run.user_id is not None and run.user_id == getattr(user, "pk", None))


def submit(
    user: Any, inputs: Mapping[str, Any], compute: str | None = None, replicate: int = 0
) -> tuple[SimulationRun, bool]:
    """The run of these inputs and whether it is new; an existing one is returned whatever its state.

    Raises ``NoData``, ``InvalidInputs``, ``NotAllowed``. A run that can't be handed over now stays queued.
    """
    if (compute is not None or replicate) and not is_operator(user):
        raise NotAllowed("compute and replicate are for operators: your group decides where your runs go")
    if compute is not None and compute not in dict(SimulationRun.COMPUTES):
        raise InvalidInputs(f"compute: {compute!r}; allowed: {', '.join(dict(SimulationRun.COMPUTES))}")
    data_hash = inputs.get("data_hash") or newest_hash()
    if data_hash is None:
        raise NoData
    wanted = validated(inputs, data_hash)
    try:
        run_id, input_hash = uuid.UUID(wanted.run_id(replicate)), wanted.input_hash(replicate)
    except ValueError as error:
        raise InvalidInputs(str(error)) from error
    found = runs_of(user).filter(pk=run_id).first()
    if found is not None:
        return _handed_over(found), False
    _check_known(wanted)
    now = timezone.now()
    with transaction.atomic():
        run, created = SimulationRun.objects.get_or_create(
            input_hash=input_hash,
            replicate=replicate,
            defaults={
                "id": run_id,
                "model_input": wanted.as_dict(),
                "state": wanted.state,
                "user": row_of(user),
                "compute": compute or compute_of(user),
                "created_at": now,
                "tried_at": now,
            },
        )
        if created:
            transaction.on_commit(lambda: _start(run))
    if created:
        log.info("submitted by %s for %s", name_of(user), run.compute, extra={"run_id": str(run.pk)})
    return run, created


def _check_known(wanted: ModelInput) -> None:
    if not HashValue.objects.filter(hash=wanted.data_hash).exists():
        raise InvalidInputs(f"data_hash: {wanted.data_hash!r} is not loaded; see /covid/api/hash_resources/")
    known = set(County.objects.filter(state__name=wanted.state).values_list("name", flat=True))
    if not known:
        raise InvalidInputs(f"state: {wanted.state!r} has no data; see /covid/api/get_states_counties/")
    unknown = [name for name in wanted.county if name not in known]
    if unknown:
        names = ", ".join(unknown)
        raise InvalidInputs(f"county: {names} not in {wanted.state}; see /covid/api/get_states_counties/")


def _start(run: SimulationRun) -> None:
    """Hand the run over; a failure is logged and healed by the next look at the run."""
    try:
        runner.get().start(run)
    except SiteError as error:
        log.error("start failed: %s", error.message, extra={"run_id": str(run.pk)})
        return
    run.started_at = timezone.now()
    SimulationRun.objects.filter(pk=run.pk).update(started_at=run.started_at)


def _handed_over(run: SimulationRun) -> SimulationRun:
    """Hand over a run whose process died between commit and start, or whose start failed; one caller does."""
    if run.started_at is not None or run.status != SimulationRun.QUEUED or not _claim(run, LOST):
        return run
    _start(run)
    return run


def _claim(run: SimulationRun, after: timedelta) -> bool:
    """Whether this process may try now: true for one of all that ask within ``after``."""
    now = timezone.now()
    stale = Q(tried_at__isnull=True) | Q(tried_at__lt=now - after)
    claimed = SimulationRun.objects.filter(stale, pk=run.pk).update(tried_at=now) == 1
    if claimed:
        run.tried_at = now
    return claimed


def refresh(run: SimulationRun) -> SimulationRun:
    """The run as its compute sees it now, saved. A compute that doesn't answer leaves it as it was."""
    if run.is_finished:
        return run
    now = timezone.now()
    due = Q(refreshed_at__isnull=True) | Q(refreshed_at__lt=now - REFRESH_EVERY)
    if not SimulationRun.objects.filter(due, pk=run.pk).update(refreshed_at=now):
        run.refresh_from_db()
        return run
    _handed_over(run)
    if run.started_at is None:
        return run
    try:
        seen = runner.get().look(run)
    except SiteError as error:
        log.warning("look failed: %s", error.message, extra={"run_id": str(run.pk)})
        return run
    if seen.lost:
        _hand_over_again(run)
    elif seen.status == SimulationRun.FAILED and seen.attempt <= run.retried_attempt:
        if _claim(run, RETRY_LOST):  # the retry's message may be lost
            _quietly_retry(run)
    else:
        _save(run, seen)
    return run


def refresh_some(runs: Iterable[SimulationRun], within_s: float = 2.0) -> None:
    """Refresh unfinished runs of a list for at most about ``within_s``; the rest are shown as last seen."""
    deadline = monotonic() + within_s
    for run in runs:
        if monotonic() > deadline:
            return
        refresh(run)


def _hand_over_again(run: SimulationRun) -> None:
    """The compute has forgotten the run, or never heard of it: it goes on at the last checkpoint."""
    if not _claim(run, LOST):
        return
    if run.status != SimulationRun.QUEUED:
        SimulationRun.objects.filter(pk=run.pk).update(interruptions=run.interruptions + 1)
        run.interruptions += 1
    log.warning("lost by %s, handed over again", run.compute, extra={"run_id": str(run.pk)})
    _start(run)


def _save(run: SimulationRun, seen: runner.Seen) -> None:
    """Write what was seen, unless the run has ended meanwhile (another process, the webhook)."""
    changes: dict[str, Any] = {
        "status": seen.status,
        "progress": 1.0 if seen.status == SimulationRun.SUCCEEDED else max(run.progress, seen.progress),
        "attempt": max(run.attempt, seen.attempt),
        "interruptions": max(run.interruptions, seen.interruptions),
        "reason": seen.reason,
    }
    if seen.history:
        changes["history"] = list(seen.history)
    if seen.status == SimulationRun.SUCCEEDED:
        changes["output"] = seen.output
    if seen.status in (SimulationRun.SUCCEEDED, SimulationRun.FAILED):
        changes["completed_at"] = timezone.now()
    unfinished = SimulationRun.objects.filter(pk=run.pk, status__in=SimulationRun.UNFINISHED)
    if unfinished.update(**changes, updated_at=timezone.now()):
        for key, value in changes.items():
            setattr(run, key, value)
        if run.is_finished:
            log.info("%s %s", run.status, run.reason, extra={"run_id": str(run.pk)})
    else:
        run.refresh_from_db()


def cancel(run: SimulationRun, by: Any) -> SimulationRun:
    """Stop the run: it fails with the reason ``cancelled by <who>``. ``Conflict`` when it has ended."""
    if not may_act(by, run):
        raise NotAllowed("only who asked for the run first, or an operator, may cancel it")
    if run.is_finished:
        raise Conflict(f"run {run.pk} has ended already: {run.status}")
    reason = f"cancelled by {name_of(by)}"
    seen = runner.get().cancel(run, reason)
    _save(run, seen)
    if run.status != SimulationRun.FAILED or run.reason != reason:
        raise Conflict(f"run {run.pk} has ended already: {run.status}")
    return run


def retry(run: SimulationRun, by: Any) -> SimulationRun:
    """Start a failed run again, at its last checkpoint. Any other is a ``Conflict``."""
    if not may_act(by, run):
        raise NotAllowed("only who asked for the run first, or an operator, may retry it")
    if run.status != SimulationRun.FAILED:
        raise Conflict(f"run {run.pk} is {run.status}: only failed runs are retried")
    attempt = runner.get().retry(run)
    now = timezone.now()
    changes: dict[str, Any] = {
        "status": SimulationRun.QUEUED, "reason": "", "completed_at": None, "retried_attempt": attempt,
        "started_at": now, "tried_at": now, "refreshed_at": None,
    }  # fmt: skip
    failed = SimulationRun.objects.filter(pk=run.pk, status=SimulationRun.FAILED)
    failed.update(**changes, updated_at=now)
    run.refresh_from_db()
    log.info("retried by %s after attempt %d", name_of(by), attempt, extra={"run_id": str(run.pk)})
    return run


def _quietly_retry(run: SimulationRun) -> None:
    try:
        runner.get().retry(run)
    except SiteError as error:
        log.warning("retry failed: %s", error.message, extra={"run_id": str(run.pk)})


def check_open(run: SimulationRun) -> None:
    """``Conflict`` when the run has ended: nothing that a task sends counts any more."""
    if run.is_finished:
        raise Conflict(f"run {run.pk} is already {'complete' if run.output else run.status}")


def report(run: SimulationRun, seen: runner.Seen) -> None:
    """Take a task's own report. ``Conflict`` when the run has ended; old attempts don't count."""
    check_open(run)
    if seen.attempt >= run.attempt and seen.attempt > run.retried_attempt:
        _save(run, seen)


def existing(inputs: Mapping[str, Any], max_age: int | None = None) -> SimulationRun | None:
    """The newest run of these inputs on data at most ``max_age`` days older than the newest version.

    0 is the newest version only, None any version. Nothing is submitted.
    """
    hashes = HashValue.objects.order_by("-date", "-id")
    newest = hashes.first()
    if newest is None:
        raise NoData
    if max_age is not None:
        hashes = hashes.filter(date__gte=newest.date - timedelta(days=max_age)) if max_age else hashes[:1]
    wanted = [
        uuid.UUID(validated(inputs, value).run_id(0)) for value in hashes.values_list("hash", flat=True)
    ]
    found = {run.pk: run for run in runs_of(None).filter(pk__in=wanted)}
    return next((found[run_id] for run_id in wanted if run_id in found), None)
