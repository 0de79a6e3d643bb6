"""Runs on ECS: a request in S3 starts the dispatcher; the run table says what became of it."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from covid.errors import Conflict, Unavailable
from covid.models import SimulationRun
from covid.runner.document import PROVIDERS, output_key, progress_key, request_document, request_key, stamp
from covid.runner.seen import Seen

if TYPE_CHECKING:
    from covid.runner.cloud import Cloud

log = logging.getLogger(__name__)

MAX_OUTPUT = 16 * 1024 * 1024
"""Bytes of an output document; one of 365 days takes about 150 kB."""
KEEP_DAYS = 30
"""How long an item made here (a run cancelled before it was dispatched) stays in the run table."""
DISPATCH_S = 120
"""So long after its request a run is in the table; Lambda's own retries take less."""
_FINISHED = (SimulationRun.SUCCEEDED, SimulationRun.FAILED)


class Fargate:
    """Both capacities: which one is in the request document."""

    def __init__(self, cloud: "Cloud", site_url: str) -> None:
        self._cloud = cloud
        self._site_url = site_url

    def start(self, run: SimulationRun) -> None:
        """Put the request, unless it is there: its event starts one run.

        One whose event has led to nothing for long is put again, which makes another event of the same run.
        """
        if not self._put(run, IfNoneMatch="*") and _overdue(run) and self._item(run) is None:
            log.warning("no answer to the request, put again", extra={"run_id": str(run.pk)})
            self._put(run)

    def _put(self, run: SimulationRun, **condition: str) -> bool:
        """Whether the request was written; False when it is there and may not be overwritten."""
        body = json.dumps(request_document(run, self._site_url), sort_keys=True).encode()
        with _errors("S3"):
            try:
                self._cloud.s3.put_object(
                    Bucket=self._cloud.bucket, Key=request_key(run.pk), Body=body,
                    ContentType="application/json", **condition,
                )  # fmt: skip
            except self._cloud.s3.exceptions.ClientError as error:
                if _code(error) not in ("PreconditionFailed", "412"):
                    raise
                return False
        return True

    def look(self, run: SimulationRun) -> Seen:
        """The run's item; progress between two heartbeats from S3; the output once it has succeeded."""
        item = self._item(run)
        if item is None:
            return Seen(status=SimulationRun.QUEUED, lost=_overdue(run))
        status = str(item["status"])
        progress = float(item.get("progress", 0))
        output = None
        if status == SimulationRun.RUNNING:
            progress = max(progress, self._progress(run))
        elif status == SimulationRun.SUCCEEDED:
            output = self._json(str(item.get("output_key") or output_key(run.pk)))
            if output is None:
                raise Unavailable(f"the run table says succeeded, but there is no {output_key(run.pk)}")
        return Seen(
            status=status,
            progress=min(max(progress, 0.0), 1.0),
            attempt=int(item.get("attempt", 0)),
            interruptions=int(item.get("interruptions", 0)),
            reason="" if status == SimulationRun.SUCCEEDED else str(item.get("reason") or ""),
            history=item.get("history", []),
            output=output,
        )

    def cancel(self, run: SimulationRun, reason: str) -> Seen:
        """First the table, so that nobody starts it again, then the task."""
        for _ in range(3):  # the item may appear, or end, between reading and writing
            item = self._item(run)
            if item is not None and item["status"] in _FINISHED:
                return self.look(run)
            if self._write_failed(run, item, reason):
                break
        else:
            raise Unavailable(f"run {run.pk} keeps changing: try again")
        if item is not None and item.get("task_arn"):
            self._stop(run, str(item["task_arn"]), reason)
        return Seen(
            status=SimulationRun.FAILED,
            attempt=int(item["attempt"]) if item else 1,
            progress=run.progress,
            reason=reason,
            history=[*(item or {}).get("history", []), self._entry(item, reason)],
        )

    def retry(self, run: SimulationRun) -> int:
        """Ask the resume function for the attempt after the failed one. Repeating it starts one attempt."""
        self.start(run)
        item = self._item(run)
        if item is None:
            return 0  # the request that was just put starts its first attempt
        attempt = int(item["attempt"])
        if item["status"] == SimulationRun.FAILED:
            with _errors("SQS"):
                self._cloud.sqs.send_message(
                    QueueUrl=self._cloud.restart_queue_url,
                    MessageBody=json.dumps({"run_id": str(run.pk), "attempt": attempt, "retry": True}),
                )
            return attempt
        if item["status"] == SimulationRun.SUCCEEDED:
            raise Conflict(f"run {run.pk} has succeeded meanwhile")
        return attempt - 1  # it is under way already

    # --- details -----------------------------------------------------------------------------------

    def _item(self, run: SimulationRun) -> dict[str, Any] | None:
        with _errors("DynamoDB"):
            found = self._cloud.dynamodb.get_item(
                TableName=self._cloud.table, Key={"run_id": {"S": str(run.pk)}}, ConsistentRead=True
            ).get("Item")
        return None if found is None else {key: _plain(value) for key, value in found.items()}

    def _progress(self, run: SimulationRun) -> float:
        found = self._json(progress_key(run.pk)) or {}
        try:
            return float(found.get("progress", 0))
        except (TypeError, ValueError):
            return 0.0

    def _json(self, key: str) -> dict[str, Any] | None:
        """A JSON object of the bucket, None when there is none."""
        with _errors("S3"):
            try:
                found = self._cloud.s3.get_object(Bucket=self._cloud.bucket, Key=key)
                with found["Body"] as body:
                    text = body.read(MAX_OUTPUT + 1)
            except self._cloud.s3.exceptions.ClientError as error:
                if _code(error) in ("NoSuchKey", "404"):
                    return None
                raise
        try:
            value = json.loads(text) if len(text) <= MAX_OUTPUT else None
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Unavailable(f"{key} is no JSON object of at most {MAX_OUTPUT} bytes")
        return value

    def _write_failed(self, run: SimulationRun, item: dict[str, Any] | None, reason: str) -> bool:
        """Whether the table now says failed. Without an item one is made, which the dispatcher respects."""
        now = stamp(datetime.now(UTC))
        changes: dict[str, Any] = {"status": SimulationRun.FAILED, "reason": reason, "updated_at": now}
        if item is None:
            changes |= _cancelled_item(run, now)
        names = {f"#{key}": key for key in changes}
        values = {f":{key}": _attribute(value) for key, value in changes.items()}
        condition = "attribute_not_exists(run_id)"
        if item is not None:
            condition = "#status = :seen AND #attempt = :attempt"
            names["#attempt"] = "attempt"
            values |= {":seen": {"S": item["status"]}, ":attempt": {"N": str(item["attempt"])}}
        names["#history"] = "history"
        values |= {":none": {"L": []}, ":entry": {"L": [_attribute(self._entry(item, reason, now))]}}
        settings = ", ".join(f"#{key} = :{key}" for key in changes)
        with _errors("DynamoDB"):
            try:
                self._cloud.dynamodb.update_item(
                    TableName=self._cloud.table,
                    Key={"run_id": {"S": str(run.pk)}},
                    UpdateExpression=f"SET {settings}, "
                    "#history = list_append(if_not_exists(#history, :none), :entry)",
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                )
            except self._cloud.dynamodb.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def _entry(self, item: dict[str, Any] | None, reason: str, now: str = "") -> dict[str, Any]:
        entry = {
            "at": now or stamp(datetime.now(UTC)),
            "status": SimulationRun.FAILED,
            "attempt": int(item["attempt"]) if item else 1,
            "reason": reason,
        }
        if item and item.get("capacity"):
            entry["capacity"] = item["capacity"]
        return entry

    def _stop(self, run: SimulationRun, task_arn: str, reason: str) -> None:
        """A task that has gone already is as good; one that can't be stopped can't write any more either."""
        try:
            with _errors("ECS"):
                self._cloud.ecs.stop_task(cluster=self._cloud.cluster_arn, task=task_arn, reason=reason[:255])
        except Unavailable as error:
            log.warning("stop of %s: %s", task_arn, error.message, extra={"run_id": str(run.pk)})


def _cancelled_item(run: SimulationRun, now: str) -> dict[str, Any]:
    """The rest of a whole item, so that a retry finds what the dispatcher would have written."""
    provider = PROVIDERS[run.compute]
    return {
        "attempt": 1,
        "interruptions": 0,
        "losses": 0,
        "capacity": provider,
        "requested_capacity": provider,
        "request_key": request_key(run.pk),
        "output_key": output_key(run.pk),
        "created_at": now,
        "expires_at": int(datetime.now(UTC).timestamp()) + KEEP_DAYS * 86400,
    }


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _errors(service: str) -> Iterator[None]:
    """AWS's errors as one line; its own words, which may name resources, go to the log only."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        log.warning("%s: %s", service, error)
        raise Unavailable(f"{service} refused {error.operation_name}: {_code(error)}") from error
    except BotoCoreError as error:
        log.warning("%s: %s", service, error)
        raise Unavailable(f"{service} doesn't answer: {type(error).__name__}") from error


def _plain(attribute: dict[str, Any]) -> Any:
    """A DynamoDB attribute as a JSON value.

    >>> _plain({"M": {"n": {"N": "2"}, "l": {"L": [{"S": "a"}, {"NULL": True}]}}})
    {'n': 2, 'l': ['a', None]}
    """
    ((kind, value),) = attribute.items()
    if kind == "N":
        number = Decimal(value)
        return int(number) if number == number.to_integral_value() else float(number)
    if kind == "M":
        return {key: _plain(item) for key, item in value.items()}
    if kind == "L":
        return [_plain(item) for item in value]
    return None if kind == "NULL" else value


def _attribute(value: Any) -> dict[str, Any]:
    """The opposite, for what is written here."""
    if isinstance(value, dict):
        return {"M": {key: _attribute(item) for key, item in value.items()}}
    if isinstance(value, list):
        return {"L": [_attribute(item) for item in value]}
    return {"N": str(value)} if isinstance(value, int) else {"S": str(value)}


def _overdue(run: SimulationRun) -> bool:
    """Whether the dispatcher should have had the run by now."""
    return run.started_at is not None and datetime.now(UTC) - run.started_at > timedelta(seconds=DISPATCH_S)
