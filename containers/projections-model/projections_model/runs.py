"""The run's item in the table. Every write is conditional on the attempt: an old one never overwrites a newer
one."""

from typing import Any

from projections_model import log
from projections_model.errors import ModelError, Superseded


class RunTable:
    """The item of one run, seen by one attempt of it."""

    def __init__(self, client: Any, table: str, run_id: str, attempt: int, capacity: str) -> None:
        self._client, self._table, self._run_id = client, table, run_id
        self._attempt, self._capacity = attempt, capacity

    def start(self) -> None:
        """``queued`` becomes ``running``. Raises `Superseded` when this attempt has nothing to do,
        `ModelError` when the run isn't in the table."""
        try:
            self._update("running", ("queued", "running"), {}, note_again=False)
        except Superseded:
            found = self._client.get_item(TableName=self._table, Key=self._key(), ConsistentRead=True)
            item = found.get("Item")
            if item is None:
                raise ModelError(f"run {self._run_id} is not in table {self._table}") from None
            status, attempt = item["status"]["S"], item.get("attempt", {}).get("N")
            raise Superseded(f"the run is {status}, its attempt is {attempt}") from None

    def heartbeat(self, progress: float) -> None:
        """Raises `Superseded`."""
        time = {"S": log.now()}
        self._write(
            "SET heartbeat_at = :now, updated_at = :now, progress = :progress",
            ("running",),
            {":now": time, ":progress": {"N": str(progress)}},
        )

    def succeeded(self) -> None:
        """Raises `Superseded`."""
        self._update("succeeded", ("running",), {"progress": {"N": "1"}})

    def failed(self, reason: str) -> None:
        """Raises `Superseded`."""
        self._update("failed", ("queued", "running"), {"reason": {"S": reason}})

    def _update(
        self, status: str, allowed: tuple[str, ...], fields: dict[str, Any], *, note_again: bool = True
    ) -> None:
        """Set ``status`` and ``fields``, and append to the history.

        ``note_again``: also when the item has that status already; else that item is left with a heartbeat.
        """
        time = {"S": log.now()}
        note = {
            "at": time,
            "status": {"S": status},
            "attempt": {"N": str(self._attempt)},
            "capacity": {"S": self._capacity},
        }
        if "reason" in fields:
            note["reason"] = fields["reason"]
        values = {f":{name}": value for name, value in fields.items()}
        values |= {":now": time, ":status": {"S": status}, ":none": {"L": []}, ":note": {"L": [{"M": note}]}}
        settings = [f"{name} = :{name}" for name in fields]
        settings += ["#status = :status", "updated_at = :now", "heartbeat_at = :now"]
        settings += ["history = list_append(if_not_exists(history, :none), :note)"]
        first = tuple(name for name in allowed if note_again or name != status)
        try:
            self._write(f"SET {', '.join(settings)}", first, values)
        except Superseded:
            if note_again or status not in allowed:
                raise
            self._write("SET heartbeat_at = :now, updated_at = :now", (status,), {":now": time})

    def _write(self, expression: str, allowed: tuple[str, ...], values: dict[str, Any]) -> None:
        """Raises `Superseded` when the item is of another attempt or in another status than ``allowed``."""
        from botocore.exceptions import ClientError

        states = {f":was{number}": {"S": name} for number, name in enumerate(allowed)}
        try:
            self._client.update_item(
                TableName=self._table,
                Key=self._key(),
                UpdateExpression=expression,
                ConditionExpression=f"attempt = :attempt AND #status IN ({', '.join(states)})",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=values | states | {":attempt": {"N": str(self._attempt)}},
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ConditionalCheckFailedException":
                raise Superseded("the run belongs to another attempt or is over") from None
            raise

    def _key(self) -> dict[str, Any]:
        return {"run_id": {"S": self._run_id}}
