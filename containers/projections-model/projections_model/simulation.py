"""One run from its request to its output, block by block, with checkpoints."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from projections_model import log
from projections_model.blocks import Projection
from projections_model.checkpoint import Checkpoints, identity
from projections_model.document import Collected, Request, output
from projections_model.errors import Interrupted, ModelError
from projections_model.observations import Observations, read
from projections_model.storage import Storage


class Stop:
    """Asked for after each block, a fraction of a second apart."""

    def __init__(self) -> None:
        self._reason: type[Exception] | None = None
        self.asked = threading.Event()

    def on_sigterm(self) -> None:
        """From now on SIGTERM and SIGINT ask to stop; only in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ask(Interrupted))

    def ask(self, reason: type[Exception]) -> None:
        self._reason = self._reason or reason
        self.asked.set()

    def check(self) -> None:
        """Raises `Interrupted` or `Superseded` when that was asked for."""
        if self._reason is not None:
            raise self._reason


class Progress:
    """How far a run is; written by the simulation, read by who reports it."""

    def __init__(self, draws: int) -> None:
        self.draws, self.done = draws, 0

    @property
    def share(self) -> float:
        return round(self.done / self.draws, 4) if self.draws else 0.0


def observations(request: Request, data: Storage) -> Observations:
    """What was observed in the chosen counties. Raises `ModelError`."""
    found = {}
    for name, key in (("confirmed", request.confirmed), ("deaths", request.deaths)):
        content = data.read(key)
        if content is None:
            raise ModelError(f"data.{name}: there is no {key}")
        found[name] = content
    return read(found["confirmed"], found["deaths"], request.chosen.state, request.chosen.county)


def run(
    request: Request,
    data: Storage,
    store: Storage | None,
    stop: Stop,
    progress: Progress,
    *,
    attempt: int = 1,
    interval_s: float = 60.0,
    on_block: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """The output document. ``store``: where checkpoints are, ``None`` for none.

    Raises `ModelError`, and what ``stop`` asks for: `Interrupted` after what was finished has been stored.
    """
    began = time.monotonic()
    progress.draws = request.chosen.nDraws
    observed = observations(request, data)
    projection = Projection(request.chosen, observed)
    code = os.environ.get("MODEL_VERSION") or "unknown"
    collected = Collected(projection.spans, request.chosen.sim_length)
    saved: set[int] = set()
    checkpoints = None
    if store is not None:
        checkpoints = Checkpoints(
            storage=store,
            prefix=f"{request.folder}checkpoints/",
            identity=identity(request.chosen.canonical(), observed, code),
            spans=projection.spans,
            days=request.chosen.sim_length,
        )
        for blocks, counts in checkpoints.load():
            start = projection.spans[blocks[0]].first
            for block in blocks:
                span = projection.spans[block]
                collected.put(block, counts[:, :, span.first - start : span.end - start])
            saved.update(blocks)
        progress.done = sum(projection.spans[block].end - projection.spans[block].first for block in saved)
    fitted = projection.situation.fitted
    log.event(
        "simulation started",
        blocks=len(projection.spans),
        resumed_blocks=len(saved),
        growth_per_day=round(fitted.growth_mean, 4),
        growth_sd=round(fitted.growth_sd, 4),
    )
    unsaved: list[int] = []
    save = _saver(checkpoints, collected)
    last, simulating = time.monotonic(), 0.0
    try:
        for number, span in enumerate(projection.spans):
            if number in saved:
                continue
            stop.check()
            if checkpoints is not None and unsaved and time.monotonic() - last >= interval_s:
                save(unsaved)
                unsaved, last = [], time.monotonic()
            block_began = time.process_time()
            collected.put(number, projection.block(number))
            simulating += time.process_time() - block_began
            unsaved.append(number)
            progress.done += span.end - span.first
            on_block()
        stop.check()
    except Interrupted:
        save(unsaved)
        raise
    real = time.monotonic() - began
    return output(
        request,
        observed,
        collected.bands(),
        attempts=attempt,
        real_time=real,
        sim_seconds=simulating,
        git_hash=code,
    )


def _saver(checkpoints: Checkpoints | None, collected: Collected) -> Callable[[list[int]], None]:
    def save(blocks: list[int]) -> None:
        if checkpoints is None or not blocks:
            return
        began, size = time.monotonic(), 0
        for group in checkpoints.groups(blocks):
            size += checkpoints.save(group, collected.get(group))
        seconds = round(time.monotonic() - began, 3)
        log.event("checkpoint saved", blocks=len(blocks), bytes=size, seconds=seconds)

    return save


def encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
