"""The ECS task: one attempt of one run.

Exit codes: 0 done, or nothing left to do here; 75 interrupted, what was finished is in the bucket; 1 failed.
"""

import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from projections_model import log
from projections_model.document import Request
from projections_model.errors import Interrupted, ModelError, Superseded, one_line
from projections_model.report import Reporter, write_progress
from projections_model.runs import RunTable
from projections_model.simulation import Progress, Stop, encode, run
from projections_model.storage import S3Storage, Storage, aws_client, is_transient
from projections_model.webhook import Webhook

DONE, FAILED, INTERRUPTED = 0, 1, 75


@dataclass(frozen=True, kw_only=True)
class Settings:
    """From the task definition, and from the overrides of this attempt."""

    run_id: str
    attempt: int
    request_key: str
    capacity: str
    bucket: str
    table: str
    checkpoint_s: float
    heartbeat_s: float
    signing_key: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises `ModelError` that names all variables that are missing or wrong."""
        names = ("RUN_ID", "ATTEMPT", "REQUEST_KEY", "CAPACITY", "BUCKET_NAME", "RUN_TABLE")
        missing = [name for name in names if not environment.get(name)]
        if missing:
            raise ModelError(f"{', '.join(missing)} must be set")
        attempt = environment["ATTEMPT"]
        if not attempt.isdigit() or int(attempt) < 1:
            raise ModelError(f"ATTEMPT: must be a whole number from 1, got {attempt!r:.40}")
        return cls(
            run_id=environment["RUN_ID"],
            attempt=int(attempt),
            request_key=environment["REQUEST_KEY"],
            capacity=environment["CAPACITY"],
            bucket=environment["BUCKET_NAME"],
            table=environment["RUN_TABLE"],
            checkpoint_s=_seconds(environment, "CHECKPOINT_INTERVAL_S", 60),
            heartbeat_s=_seconds(environment, "HEARTBEAT_INTERVAL_S", 15),
            signing_key=environment.get("WEBHOOK_SIGNING_KEY", ""),
        )


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.01 <= value <= 3600:
        raise ModelError(f"{name}: must be 0.01..3600 seconds, got {text!r:.40}")
    return value


def main(environment: Mapping[str, str] = os.environ, stop: Stop | None = None) -> int:
    """Run the attempt that the environment names; the exit code."""
    log.common(run_id=environment.get("RUN_ID"), attempt=environment.get("ATTEMPT"))
    if stop is None:
        stop = Stop()
        stop.on_sigterm()
    try:
        settings = Settings.of(environment)
        log.common(run_id=settings.run_id, attempt=settings.attempt, capacity=settings.capacity)
        return attempt(settings, S3Storage(settings.bucket), aws_client("dynamodb"), stop)
    except Superseded as reason:
        log.event("nothing to do", reason=str(reason) or "the run belongs to another attempt or is over")
        return DONE
    except Interrupted:
        log.event("interrupted")
        return INTERRUPTED
    except Exception as error:
        if is_transient(error):  # no report: the sweep starts another attempt
            log.event("run lost", level="error", reason=one_line(error))
        else:
            log.event("run failed", level="error", reason=one_line(error))
        return FAILED


def attempt(settings: Settings, store: Storage, dynamodb: Any, stop: Stop) -> int:
    """One attempt. Raises `Superseded`, `Interrupted`, and whatever could not be reported."""
    table = RunTable(dynamodb, settings.table, settings.run_id, settings.attempt, settings.capacity)
    stop.check()
    table.start()
    progress = Progress(0)
    webhook: Webhook | None = None
    try:
        request = _request(settings, store)
        if request.webhook_url and settings.signing_key:
            webhook = Webhook(request.webhook_url, request.id, settings.attempt, settings.signing_key)
        elif request.webhook_url:
            log.event("webhook left out", level="warning", reason="WEBHOOK_SIGNING_KEY is not set")
        document = _simulate(settings, request, store, table, webhook, progress, stop)
    except (Superseded, Interrupted):
        raise
    except Exception as error:
        if is_transient(error):
            raise
        reason = one_line(error)
        table.failed(reason)
        trace = None if isinstance(error, ModelError) else traceback.format_exc()
        log.event("run failed", level="error", reason=reason, trace=trace)
        if webhook is not None:
            webhook.failed(progress.share, reason, stop.asked.wait)
        return FAILED
    table.succeeded()
    log.event("run succeeded", real_time=document["real_time"], sim_seconds=document["sim_seconds"])
    if webhook is not None:
        webhook.complete(document, stop.asked.wait)
    _tidy(store, request)
    return DONE


def _request(settings: Settings, store: Storage) -> Request:
    content = store.read(settings.request_key)
    if content is None:
        raise ModelError(f"there is no request {settings.request_key}")
    request = Request.read(content, settings.request_key)
    if request.id != settings.run_id:
        raise ModelError(f"{settings.request_key} is of run {request.id}, not of {settings.run_id}")
    return request


def _simulate(
    settings: Settings,
    request: Request,
    store: Storage,
    table: RunTable,
    webhook: Webhook | None,
    progress: Progress,
    stop: Stop,
) -> dict[str, Any]:
    """Simulate and store the output, reporting meanwhile."""

    def write() -> None:
        write_progress(store, request, progress, settings.attempt, settings.capacity)

    reporter = Reporter(
        table=table,
        heartbeat_s=settings.heartbeat_s,
        write=write,
        webhook=webhook if settings.capacity == "FARGATE" else None,
        webhook_s=request.progress_delay,
        progress=progress,
        stop=stop,
    )
    with reporter:
        document = run(
            request,
            store,
            store,
            stop,
            progress,
            attempt=settings.attempt,
            interval_s=settings.checkpoint_s,
        )
    store.write(request.output, encode(document))
    write()
    return document


def _tidy(store: Storage, request: Request) -> None:
    """Checkpoints of a run that is done only cost money; the bucket's expiry rule removes what is left."""
    try:
        for key in store.list(f"{request.folder}checkpoints/"):
            store.delete(key)
    except Exception as error:
        log.event("checkpoints left", level="warning", reason=one_line(error))
