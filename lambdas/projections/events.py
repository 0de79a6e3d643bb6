"""Events as AWS hands them over, read into types. What can't be read raises ``Malformed``."""

import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from .states import FARGATE, FARGATE_SPOT, MISSING, STOPPED, Request, Restart, StoppedTask, Task

CONTAINER = "model"
"""The container of a task that works on the run."""

STATE_CHANGE = "ECS Task State Change"
MAX_REQUEST_BYTES = 100_000
"""A request takes a few kilobytes; what is larger is none, and isn't read."""

Event = Mapping[str, Any]


class Malformed(ValueError):
    """An event or request that no repetition will make better; one line."""


def s3_keys(event: Event) -> list[str]:
    """Keys of the objects that a notification of S3 is about; they come URL-encoded."""
    try:
        return [unquote_plus(str(record["s3"]["object"]["key"])) for record in event["Records"]]
    except (KeyError, TypeError) as error:
        raise Malformed(f"no notification of S3: {error!r} is missing") from error


def request(key: str, body: bytes) -> Request:
    """The request object ``requests/<run_id>.json``."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise Malformed(f"{key} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Malformed(f"{key} holds no JSON object")
    run_id = run_id_of(document.get("id"), key)
    if key != f"requests/{run_id}.json":
        raise Malformed(f"{key} holds the request of run {run_id}")
    output, capacity = document.get("model_output"), document.get("capacity_provider")
    if output != f"runs/{run_id}/output.json":
        raise Malformed(f"{key}: model_output is {output!r}; allowed: runs/{run_id}/output.json")
    if capacity not in (FARGATE, FARGATE_SPOT):
        raise Malformed(f"{key}: capacity_provider is {capacity!r}; allowed: {FARGATE}, {FARGATE_SPOT}")
    if not isinstance(document.get("model_input"), dict):
        raise Malformed(f"{key}: model_input is no JSON object")
    return Request(run_id=run_id, key=key, output_key=output, capacity=capacity)


def restarts(event: Event) -> list[Restart]:
    """Messages of the restart queue."""
    return [_restart(str(record.get("body"))) for record in event["Records"]]


def _restart(body: str) -> Restart:
    try:
        document = json.loads(body)
        run_id, attempt = document["run_id"], document["attempt"]
    except (ValueError, TypeError, KeyError) as error:
        raise Malformed(f"no restart message ({error!r}): {body[:200]}") from error
    if not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 1:
        raise Malformed(f"restart message: attempt is {attempt!r}; allowed: 1 or more")
    run_id = run_id_of(run_id, "restart message")
    return Restart(run_id=run_id, attempt=attempt, retry=document.get("retry") is True)


def stopped_task(event: Event) -> StoppedTask | None:
    """The run's task in a state change event; None for a task that works on no run.

    The site's own tasks run in the same cluster, and the rule lets those through that failed to start.
    """
    detail = event.get("detail")
    if not isinstance(detail, dict) or detail.get("lastStatus") != STOPPED or not detail.get("taskArn"):
        raise Malformed(f"no event of a stopped task: {str(event)[:200]}")
    overrides = (detail.get("overrides") or {}).get("containerOverrides") or []
    for container in overrides:
        if container.get("name") != CONTAINER:
            continue
        given = {item.get("name"): item.get("value") for item in container.get("environment") or []}
        if "RUN_ID" not in given:
            continue
        run_id = run_id_of(given["RUN_ID"], "environment of the task")
        attempt = str(given.get("ATTEMPT"))
        if not attempt.isdecimal():
            raise Malformed(f"task {detail['taskArn']}: ATTEMPT is {attempt!r}")
        return StoppedTask(run_id=run_id, attempt=int(attempt), task=task(detail))
    return None


def task(found: Event) -> Task:
    """A task as DescribeTasks and state change events have it."""
    containers = [item for item in found.get("containers") or [] if item.get("name") == CONTAINER]
    container: Event = containers[0] if containers else {}
    code = container.get("exitCode")
    reasons = [text for text in (found.get("stoppedReason"), container.get("reason")) if text]
    return Task(
        arn=str(found["taskArn"]),
        last_status=str(found.get("lastStatus", "")),
        stop_code=found.get("stopCode"),
        exit_code=code if isinstance(code, int) else None,
        reason="; ".join(reasons) or None,
        capacity=found.get("capacityProviderName"),
    )


def missing_task(arn: str) -> Task:
    return Task(arn=arn, last_status=MISSING)


def run_id_of(value: object, where: str) -> str:
    """A run's id, or ``Malformed``: ids are written to logs and keys, so they must be what they say."""
    try:
        if isinstance(value, str) and str(uuid.UUID(value)) == value:
            return value
    except ValueError:
        pass
    raise Malformed(f"{where}: {value!r} is no run id")
