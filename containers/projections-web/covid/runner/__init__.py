"""``ModelRunner``: start, look at, cancel and retry a run on the compute that it was created for.

The three computes have one small interface (``Compute``). They never touch the database: ``services`` does.
"""

import threading
from typing import Protocol

from covid.models import SimulationRun
from covid.runner.seen import Seen

__all__ = ["Compute", "ModelRunner", "Seen", "get"]


class Compute(Protocol):
    """Where runs are computed. Every method may be repeated; errors are ``covid.errors.SiteError``."""

    def start(self, run: SimulationRun) -> None:
        """Hand the run over."""

    def look(self, run: SimulationRun) -> Seen:
        """What there is to know of an unfinished run, its result included."""

    def cancel(self, run: SimulationRun, reason: str) -> Seen:
        """Stop it for good; what became of it, which is another end if that came first."""

    def retry(self, run: SimulationRun) -> int:
        """Start a failed run again; the attempt that is being retried (0: none had begun)."""


class ModelRunner:
    """The computes by name, and the same interface over all."""

    def __init__(self, computes: dict[str, Compute]) -> None:
        missing = {name for name, _ in SimulationRun.COMPUTES} - computes.keys()
        if missing:
            raise ValueError(f"no compute for {', '.join(sorted(missing))}")
        self._computes = computes

    def start(self, run: SimulationRun) -> None:
        self._computes[run.compute].start(run)

    def look(self, run: SimulationRun) -> Seen:
        return self._computes[run.compute].look(run)

    def cancel(self, run: SimulationRun, reason: str) -> Seen:
        return self._computes[run.compute].cancel(run, reason)

    def retry(self, run: SimulationRun) -> int:
        return self._computes[run.compute].retry(run)


_made: list[ModelRunner] = []
_making = threading.Lock()  # boto3's default session may not be used by two threads at once


def get() -> ModelRunner:
    """This process's runner, made from the settings at first use."""
    with _making:
        if not _made:
            from covid.runner.cloud import from_settings

            _made.append(from_settings())
        return _made[0]
