"""One JSON line for each event, on standard output: CloudWatch finds a run's lines by ``run_id``."""

import datetime
import json
import sys
import threading
from typing import Any, TextIO

_lock = threading.Lock()
_common: dict[str, Any] = {}
_stream: TextIO | None = None


def to(stream: TextIO) -> None:
    """Where lines go, when standard output is for something else."""
    global _stream
    _stream = stream


def common(**fields: Any) -> None:
    """Fields of all later lines (``run_id``, ``attempt``)."""
    _common.update(fields)


def event(name: str, *, level: str = "info", **fields: Any) -> None:
    """Never give a secret: no token, no key, no signed address."""
    line = json.dumps({"time": now(), "level": level, "event": name, **_common, **fields}, default=str)
    with _lock:
        print(line, file=_stream or sys.stdout, flush=True)


def now() -> str:
    """UTC to the millisecond, as in the run table: ``2026-11-21T13:00:00.000Z``."""
    time = datetime.datetime.now(datetime.UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
