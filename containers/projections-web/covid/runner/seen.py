"""What a compute says of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Seen:
    """``status`` is one of ``SimulationRun.STATUSES``; ``output`` is there when it is succeeded.

    ``lost``: the compute doesn't know the run although it was handed over, so it has to be again.
    """

    status: str
    progress: float = 0.0
    attempt: int = 0
    interruptions: int = 0
    reason: str = ""
    history: Sequence[dict[str, Any]] = ()
    output: dict[str, Any] | None = None
    lost: bool = False
