"""The runs of the onboard service: one at a time, each in a process of its own, a bounded number waiting."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projections_model import log
from projections_model.document import Request
from projections_model.errors import one_line
from projections_model.storage import Storage

WAITING = 32
REMEMBERED = 256
"""Finished runs whose status is kept; the outputs of older ones are still found in the storage."""
RUN_S = 1800.0
"""A run that takes longer is ended: the largest one allowed takes about five minutes."""


CANCELLED = "cancelled"


class Full(Exception):
    """As many runs are waiting as may."""


@dataclass(kw_only=True)
class Run:
    id: str
    status: str = "queued"
    """``queued``, ``running``, ``complete``, ``failed``."""
    progress: float = 0.0
    reason: str | None = None
    cancelled: bool = False

    def document(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": self.id, "status": self.status, "progress": self.progress}
        return shown | ({"reason": self.reason} if self.reason else {})


class Runs:
    """What was asked for. All methods may be called from any thread."""

    def __init__(self, store: Storage, folder: Path | None) -> None:
        self._store, self._folder = store, folder
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._queue: queue.Queue[tuple[Run, bytes]] = queue.Queue(WAITING)
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, request: Request, content: bytes) -> dict[str, Any]:
        """The run of ``request``: the one there is, unless that failed or was cancelled. Raises `Full`.

        A cancelled one may still be storing what it finished: the new one waits its turn behind it.
        """
        done = self._output(request.id)
        with self._lock:
            known = self._runs.get(request.id)
            if known is not None and known.status != "failed" and not known.cancelled:
                return known.document()
            run = Run(id=request.id)
            if done is not None:
                run.status, run.progress = "complete", 1.0
            else:
                try:
                    self._queue.put_nowait((run, content))
                except queue.Full:
                    raise Full from None
            self._runs[request.id] = run
            self._runs.move_to_end(request.id)
            self._forget()
            return run.document()

    def get(self, run_id: str) -> dict[str, Any] | None:
        """Status, and output when complete; ``None``: unknown."""
        with self._lock:
            run = self._runs.get(run_id)
            shown = run.document() if run is not None else None
        if shown is not None and shown["status"] != "complete":
            return shown
        done = self._output(run_id)
        if done is None:
            return None if shown is None else shown | {"status": "failed", "reason": "its output is gone"}
        return {"id": run_id, "status": "complete", "progress": 1.0, "output": done}

    def cancel(self, run_id: str) -> dict[str, Any] | None:
        """Stop the run if it isn't over; ``None``: unknown. What is finished is kept for the next such
        request."""
        with self._lock:
            run = self._runs.get(run_id)
            if run is None:
                return None
            if run.status == "queued":
                run.status, run.reason = "failed", CANCELLED
            elif run.status == "running" and self._process is not None:
                run.cancelled = True
                self._process.terminate()
            return run.document()

    def counts(self) -> dict[str, int]:
        with self._lock:
            states = [run.status for run in self._runs.values()]
        return {"queued": states.count("queued"), "running": states.count("running")}

    def close(self) -> None:
        """Interrupt the running one, which stores what is finished, and start no other."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()

    def _output(self, run_id: str) -> dict[str, Any] | None:
        content = self._store.read(f"runs/{run_id}/output.json")
        if content is None:
            return None
        found: dict[str, Any] = json.loads(content)
        return found

    def _forget(self) -> None:
        over = [key for key, run in self._runs.items() if run.status in ("complete", "failed")]
        for key in over[: max(0, len(over) - REMEMBERED)]:
            del self._runs[key]

    def _work(self) -> None:
        while True:
            run, content = self._queue.get()
            try:
                self._one(run, content)
            except Exception as error:
                self._set(run, "failed", one_line(error))

    def _one(self, run: Run, content: bytes) -> None:
        folder = ["--store", str(self._folder)] if self._folder else []
        command = [sys.executable, "-m", "projections_model", "work", *folder]
        with self._lock:
            if self._closed or run.status != "queued":
                return
            run.status = "running"
            self._process = process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)
            )
        late = threading.Timer(RUN_S, process.kill)
        late.daemon = True
        late.start()
        try:
            code = self._follow(run, process, content)
        finally:
            late.cancel()
            process.kill()
            process.wait()
            with self._lock:
                self._process = None
        if code == 0:
            run.progress = 1.0
            self._set(run, "complete", None)
        elif run.cancelled:
            self._set(run, "failed", CANCELLED)
        elif code == 75:
            self._set(run, "failed", "interrupted: the same request goes on from there")
        else:
            self._set(run, "failed", run.reason or f"the simulation ended with exit code {code}")

    def _follow(self, run: Run, process: "subprocess.Popen[bytes]", content: bytes) -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(content)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it is gone already: its exit code says why
        for line in process.stdout:
            said = json.loads(line)
            run.progress = said.get("progress", run.progress)
            run.reason = said.get("reason")
        return process.wait()

    def _set(self, run: Run, status: str, reason: str | None) -> None:
        with self._lock:
            run.status, run.reason = status, reason
        log.event("onboard run over", run_id=run.id, status=status, reason=reason)
