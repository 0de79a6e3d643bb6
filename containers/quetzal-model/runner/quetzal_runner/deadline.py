"""How long a run may take. Nothing survives Lambda's own limit, so work must stop a margin before it."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_LIMIT_S = 900.0
"""Lambda's longest; used when the emulated server is given no limit."""


def margin_for(limit_s: float) -> float:
    """Seconds kept for stopping the notebook and uploading: a tenth of the limit, between 2 s and 45 s."""
    return min(45.0, max(2.0, limit_s / 10))


@dataclass(frozen=True)
class Deadline:
    """Times are seconds on the monotonic clock."""

    limit_s: float
    started: float
    margin_s: float

    @classmethod
    def after(cls, limit_s: float, margin_s: float | None = None) -> "Deadline":
        chosen = margin_for(limit_s) if margin_s is None else margin_s
        return cls(limit_s=limit_s, started=time.monotonic(), margin_s=min(chosen, limit_s / 2))

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def remaining(self) -> float:
        """Seconds until work must stop (negative when that is past)."""
        return self.limit_s - self.margin_s - self.elapsed()


def from_context(context: Any, environment: Mapping[str, str] = os.environ) -> Deadline:
    """The deadline of an invocation, from Lambda's context or else ``AWS_LAMBDA_FUNCTION_TIMEOUT`` (s)."""
    margin = environment.get("DEADLINE_MARGIN_S")
    margin_s = float(margin) if margin else None
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    if remaining is not None:
        return Deadline.after(remaining() / 1000, margin_s)
    return Deadline.after(float(environment.get("AWS_LAMBDA_FUNCTION_TIMEOUT") or DEFAULT_LIMIT_S), margin_s)
