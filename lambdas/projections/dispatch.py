"""Lambda handler of the request objects' notifications: a new request becomes a queued run and a task.

S3 may notify twice, and Lambda tries a failed call again: both find the run in the table. What can't be read
raises; after the retries it is in the dead-letter queue with the notification.
"""

from collections.abc import Mapping
from typing import Any

from . import events, log
from .runner import Runner, from_environment
from .transitions import on_request


def handle(event: Mapping[str, Any], context: object) -> None:
    """Entry point of the Lambda function."""
    dispatch(from_environment(), event)


def dispatch(runner: Runner, event: Mapping[str, Any]) -> None:
    """Every object of the notification; one that can't be read doesn't keep the others waiting."""
    problems: list[Exception] = []
    for key in events.s3_keys(event):
        try:
            _dispatch_one(runner, key)
        except Exception as error:
            log.write("request can't be dispatched", level="error", key=key, error=str(error))
            problems.append(error)
    if problems:
        raise problems[0]


def _dispatch_one(runner: Runner, key: str) -> None:
    found = runner.s3.get_object(Bucket=runner.bucket, Key=key)
    if found["ContentLength"] > events.MAX_REQUEST_BYTES:
        raise events.Malformed(
            f"{key} takes {found['ContentLength']} bytes; allowed: {events.MAX_REQUEST_BYTES}"
        )
    request = events.request(key, found["Body"].read())
    run = runner.table.get(request.run_id)
    runner.carry_out(run, on_request(run, request, runner.now(), runner.settings))
