"""The run table: items read into ``Run``, and writes on condition of what was seen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from . import times
from .states import BY_STATUS, Change, Run

Item = Mapping[str, Any]


def changed(run: Run, change: Change) -> Run:
    """The run as it is after a change."""
    since = {"since": change.values["updated_at"]} if change.entry else {}
    return replace(run, **{**change.values, **since})


def run_of(item: Item) -> Run:
    """An item in DynamoDB's notation as a run. Raises ``KeyError`` when it lacks what every item has."""
    read = TypeDeserializer().deserialize
    plain = {key: read(value) for key, value in item.items()}
    updated = times.read(plain["updated_at"])
    history = plain.get("history") or []
    return Run(
        run_id=plain["run_id"],
        status=plain["status"],
        attempt=int(plain["attempt"]),
        capacity=plain["capacity"],
        requested_capacity=plain["requested_capacity"],
        request_key=plain["request_key"],
        output_key=plain["output_key"],
        updated_at=updated,
        since=times.read(history[-1]["at"]) if history else updated,
        task_arn=plain.get("task_arn"),
        reason=plain.get("reason"),
        interruptions=_count(plain, "interruptions"),
        losses=_count(plain, "losses"),
        crashes=_count(plain, "crashes"),
        refusals=_count(plain, "refusals"),
        heartbeat_at=_time(plain, "heartbeat_at"),
        not_before=_time(plain, "not_before"),
    )


def _count(plain: Item, name: str) -> int:
    return int(plain.get(name, 0))


def _time(plain: Item, name: str) -> datetime | None:
    return times.read(plain[name]) if plain.get(name) else None


def item_of(run: Run, run_days: int) -> dict[str, Any]:
    """The item of a new run."""
    at = times.text(run.updated_at)
    plain = {
        "run_id": run.run_id,
        "status": run.status,
        "attempt": run.attempt,
        "capacity": run.capacity,
        "requested_capacity": run.requested_capacity,
        "request_key": run.request_key,
        "output_key": run.output_key,
        "progress": 0,
        "interruptions": run.interruptions,
        "losses": run.losses,
        "created_at": at,
        "updated_at": at,
        "expires_at": _expiry(run.updated_at, run_days),
        "history": [{"at": at, "status": run.status, "attempt": run.attempt, "capacity": run.capacity}],
    }
    write = TypeSerializer().serialize
    return {key: write(value) for key, value in plain.items()}


@dataclass(frozen=True, kw_only=True)
class Table:
    """On a boto3 client of DynamoDB. Writes answer whether they were made: False when somebody was faster."""

    client: Any
    name: str
    run_days: int

    def get(self, run_id: str) -> Run | None:
        found = self.client.get_item(
            TableName=self.name, Key={"run_id": {"S": run_id}}, ConsistentRead=True
        ).get("Item")
        return run_of(found) if found else None

    def with_status(self, status: str) -> Iterator[Run]:
        """Runs of a status, as the index has them: it may be a moment behind."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name,
            IndexName=BY_STATUS,
            KeyConditionExpression="#status = :status",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": {"S": status}},
        )
        for page in pages:
            yield from map(run_of, page["Items"])

    def create(self, run: Run) -> bool:
        """Put a new run, unless there is one with its id."""
        return self._written(
            self.client.put_item,
            TableName=self.name,
            Item=item_of(run, self.run_days),
            ConditionExpression="attribute_not_exists(run_id)",
        )

    def change(self, seen: Run, change: Change) -> bool:
        """Write a change, if status and attempt are still those of ``seen``."""
        values = {key: _plain(value) for key, value in change.values.items()}
        if change.entry is not None:
            values["expires_at"] = _expiry(change.values["updated_at"], self.run_days)
        kept = {key: value for key, value in values.items() if value is not None}
        expression = "SET " + ", ".join(f"#{key} = :{key}" for key in kept)
        arguments: dict[str, Any] = {":seen_status": seen.status, ":seen_attempt": seen.attempt}
        arguments |= {f":{key}": value for key, value in kept.items()}
        if change.entry is not None:
            expression += ", #history = list_append(if_not_exists(#history, :no_history), :entry)"
            arguments |= {":entry": [dict(change.entry)], ":no_history": []}
        gone = [key for key, value in values.items() if value is None]
        if gone:
            expression += " REMOVE " + ", ".join(f"#{key}" for key in gone)
        names = {*values, "status", "attempt", *(["history"] if change.entry is not None else [])}
        return self._update(
            seen.run_id, expression, "#status = :seen_status AND #attempt = :seen_attempt", names, arguments
        )

    def set_task(self, run: Run, task_arn: str) -> bool:
        """Note the task of an attempt, whatever the task has made of the status meanwhile."""
        return self._update(
            run.run_id,
            "SET #task_arn = :task_arn",
            "#attempt = :attempt",
            {"task_arn", "attempt"},
            {":task_arn": task_arn, ":attempt": run.attempt},
        )

    def _update(
        self, run_id: str, expression: str, condition: str, names: set[str], values: Mapping[str, Any]
    ) -> bool:
        write = TypeSerializer().serialize
        return self._written(
            self.client.update_item,
            TableName=self.name,
            Key={"run_id": {"S": run_id}},
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeNames={f"#{name}": name for name in sorted(names)},
            ExpressionAttributeValues={key: write(value) for key, value in values.items()},
        )

    def _written(self, operation: Any, **arguments: Any) -> bool:
        try:
            operation(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True


def _plain(value: Any) -> Any:
    return times.text(value) if isinstance(value, datetime) else value


def _expiry(now: datetime, run_days: int) -> int:
    """Seconds since 1970 at which DynamoDB forgets the run: a little after its objects."""
    return int(times.after(now, (run_days + 1) * 86400).timestamp())
