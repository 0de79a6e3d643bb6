"""A scenario's logs as they grow: ``<scenario>/logs/<notebook>.txt``, rewritten by the runner while it works.

An object can't be appended to, so every poll asks for the part behind what was seen, with a few octets
before it: when those differ, the file is another one (the step was tried again) and is read from its start.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from ops.common.errors import error_code
from ops.quetzal import sync

OVERLAP = 64
"""Octets read again before the new ones, to notice a rewritten file."""

BURST = 400
"""Lines shown of one poll; the rest of a burst is counted, not printed (all of it stays in the bucket)."""


@dataclass
class _Position:
    etag: str = ""
    offset: int = 0
    tail: bytes = b""
    partial: bytes = b""


@dataclass
class LogTail:
    """Polls the logs of one scenario.

    ``since``: logs written before that moment belong to earlier runs and are left out.
    ``steps``: names of logs (without ``.txt``) in the order of the workflow; others follow by name.
    ``only``: just this log.
    """

    s3: Any
    bucket: str
    scenario: str
    since: datetime | None = None
    steps: Sequence[str] = ()
    only: str | None = None
    _seen: dict[str, _Position] = field(default_factory=dict)

    def poll(self, last: bool = False) -> Iterator[tuple[str, str]]:
        """New complete lines as (log, line); with ``last`` an unfinished line too."""
        objects = sync.stored(self.s3, self.bucket, self.scenario, "logs/")
        logs = {
            path.removeprefix("logs/").removesuffix(".txt"): item
            for path, item in objects.items()
            if path.endswith(".txt")
            and (self.since is None or item.modified >= self.since.replace(microsecond=0))
        }
        order = {name: index for index, name in enumerate(self.steps)}
        for name in sorted(logs, key=lambda log: (order.get(log, len(order)), log)):
            if self.only is not None and name != self.only:
                continue
            position = self._seen.setdefault(name, _Position())
            if logs[name].etag != position.etag:
                self._read(name, logs[name], position)
            *whole, position.partial = position.partial.split(b"\n")
            if last and position.partial:
                whole.append(position.partial)
                position.partial = b""
            for line in whole:
                yield name, line.decode("utf-8", "replace").rstrip("\r")

    def _read(self, name: str, item: sync.Stored, position: _Position) -> None:
        fresh = self._fetch(item.path, position.offset - len(position.tail))
        if position.offset and not (fresh.startswith(position.tail) and len(fresh) >= len(position.tail)):
            position.offset, position.tail, position.partial = 0, b"", b""
            fresh = self._fetch(item.path, 0)
        new = fresh[len(position.tail) :]
        position.partial += new
        position.offset += len(new)
        position.tail = (position.tail + new)[-OVERLAP:]
        position.etag = item.etag

    def _fetch(self, path: str, start: int) -> bytes:
        wanted = {"Bucket": self.bucket, "Key": f"{self.scenario}/{path}"}
        if start > 0:
            wanted["Range"] = f"bytes={start}-"
        try:
            body: bytes = self.s3.get_object(**wanted)["Body"].read()
        except ClientError as error:
            if error_code(error) in {"InvalidRange", "416", "NoSuchKey", "404"}:
                return b""  # shorter than before, or gone: rewritten
            raise
        return body


def shorten(lines: Sequence[tuple[str, str]], keep: int = BURST) -> Iterator[tuple[str, str]]:
    """The end of a burst of lines, with a remark about what was left out."""
    if len(lines) > keep:
        left = len(lines) - keep
        yield lines[left][0], f"... {left} lines left out here; all are in the log"
        lines = lines[left:]
    yield from lines


def cloudwatch(
    logs: Any, group: str, start: datetime, stop: datetime | None
) -> Iterator[tuple[datetime, str]]:
    """Lines of a function's log group between two moments, oldest first, as (UTC time, text)."""
    window: dict[str, Any] = {"logGroupName": group, "startTime": int(start.timestamp() * 1000)}
    if stop is not None:
        window["endTime"] = int(stop.timestamp() * 1000) + 5000  # events arrive a little behind the run's end
    for page in logs.get_paginator("filter_log_events").paginate(**window):
        for event in page.get("events", []):
            yield datetime.fromtimestamp(event["timestamp"] / 1000, UTC), event["message"].rstrip("\n")
