"""While a run is simulated: heartbeats to the table, progress to the bucket, updates to the webhook.

Threads of their own, so that a slow site doesn't hold up heartbeats. Nothing that goes wrong here ends a run,
except that it belongs to another attempt by now.
"""

import json
import threading
from collections.abc import Callable
from types import TracebackType

from projections_model import log
from projections_model.document import Request
from projections_model.errors import Superseded, one_line
from projections_model.runs import RunTable
from projections_model.simulation import Progress, Stop
from projections_model.storage import Storage
from projections_model.webhook import Webhook

PROGRESS_S = 2.0
"""Between progress objects, at most; the first comes at once."""


def write_progress(store: Storage, request: Request, progress: Progress, attempt: int, capacity: str) -> None:
    document = {
        "run_id": request.id,
        "attempt": attempt,
        "progress": progress.share,
        "draws_done": progress.done,
        "at": log.now(),
        "capacity": capacity,
    }
    store.write(f"{request.folder}progress.json", json.dumps(document).encode())


class Reporter:
    """Reports from entering to leaving."""

    def __init__(
        self,
        *,
        table: RunTable,
        heartbeat_s: float,
        write: Callable[[], None],
        webhook: Webhook | None,
        webhook_s: float,
        progress: Progress,
        stop: Stop,
    ) -> None:
        self._table, self._progress, self._stop = table, progress, stop
        self._over = threading.Event()
        work: list[tuple[float, Callable[[], None], bool]] = [
            (heartbeat_s, self._heartbeat, False),
            (min(PROGRESS_S, heartbeat_s), write, True),
        ]
        if webhook is not None and webhook_s > 0:
            work.append((webhook_s, lambda: webhook.running(progress.share), True))
        self._threads = [threading.Thread(target=self._repeat, args=what, daemon=True) for what in work]

    def __enter__(self) -> "Reporter":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait a little for what is under way, so that nothing overtakes the final report."""
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=15)

    def _heartbeat(self) -> None:
        try:
            self._table.heartbeat(self._progress.share)
        except Superseded:
            self._stop.ask(Superseded)
            self._over.set()

    def _repeat(self, seconds: float, work: Callable[[], None], at_once: bool) -> None:
        wait = 0.0 if at_once else seconds
        while not self._over.wait(wait):
            wait = seconds
            try:
                work()
            except Exception as error:
                log.event("report failed", level="warning", reason=one_line(error))
