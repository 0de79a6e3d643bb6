"""One JSON line a log event, so that everything about a run is found by its id."""

import json
from typing import Any

from . import times


def write(event: str, *, level: str = "info", run_id: str | None = None, **facts: Any) -> None:
    """Print a line for CloudWatch. ``facts`` must hold nothing secret; what is None is left out."""
    line = {"at": times.text(times.now()), "level": level, "event": event, "run_id": run_id, **facts}
    known = {key: value for key, value in line.items() if value is not None}
    print(json.dumps(known, default=str), flush=True)
