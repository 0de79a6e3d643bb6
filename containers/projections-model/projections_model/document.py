"""The two documents: the request that the site writes, and the output that it shows."""

import datetime
import json
import re
import tempfile
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from projections_inputs import InputError, ModelInput

from projections_model import VERSION
from projections_model.blocks import Span
from projections_model.errors import ModelError
from projections_model.observations import Observations
from projections_model.seir import SERIES

BAND = (5, 50, 95)
"""Percentiles of the draws: low, median, high."""
BUFFER_BYTES = 48 * 1024 * 1024
"""Counts in memory at a time when bands are made of them."""
CAPACITIES = ("FARGATE", "FARGATE_SPOT", "ONBOARD")
_KEY = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_.-]*[A-Za-z0-9_-])+")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A run to make; without any secret."""

    id: str
    chosen: ModelInput
    replicate: int
    confirmed: str
    """Key of the data file."""
    deaths: str
    webhook_url: str | None
    progress_delay: float
    """Seconds between updates by the webhook; 0: only when done."""

    @property
    def folder(self) -> str:
        return f"runs/{self.id}/"

    @property
    def output(self) -> str:
        return f"{self.folder}output.json"

    @classmethod
    def read(cls, content: bytes, where: str = "request") -> "Request":
        """Raises `ModelError` that names the field."""
        try:
            found = json.loads(content)
        except ValueError as error:
            raise ModelError(f"{where}: no valid JSON ({error})") from None
        return cls.of(found, where)

    @classmethod
    def of(cls, found: object, where: str = "request") -> "Request":
        """As `read`, of the parsed document."""
        if not isinstance(found, dict):
            raise ModelError(f"{where}: must be a JSON object")
        run_id = found.get("id")
        try:
            if not isinstance(run_id, str) or str(uuid.UUID(run_id)) != run_id:
                raise ValueError
        except ValueError:
            raise ModelError(f"{where}: id: must be a lower-case UUID, got {run_id!r:.60}") from None
        replicate = found.get("replicate", 0)
        try:
            chosen = ModelInput.model_validate(found.get("model_input"))
            expected = chosen.run_id(replicate)
        except InputError as error:
            raise ModelError(f"{where}: model_input: {error}") from None
        except ValueError as error:
            raise ModelError(f"{where}: {error}") from None
        if run_id != expected:
            raise ModelError(f"{where}: id: must be {expected} for these inputs, got {run_id}")
        output = found.get("model_output", f"runs/{run_id}/output.json")
        if output != f"runs/{run_id}/output.json":
            raise ModelError(f"{where}: model_output: must be runs/<id>/output.json, got {output!r:.80}")
        capacity = found.get("capacity_provider", "ONBOARD")
        if capacity not in CAPACITIES:
            allowed = " or ".join(CAPACITIES)
            raise ModelError(f"{where}: capacity_provider: must be {allowed}, got {capacity!r:.40}")
        data = found.get("data")
        files = data if isinstance(data, dict) else {}
        return cls(
            id=run_id,
            chosen=chosen,
            replicate=replicate,
            confirmed=_key(files.get("confirmed"), f"{where}: data.confirmed"),
            deaths=_key(files.get("deaths"), f"{where}: data.deaths"),
            webhook_url=_url(found.get("webhook_url"), where),
            progress_delay=_delay(found.get("progress_delay", 0), where),
        )


def _key(value: object, where: str) -> str:
    if not isinstance(value, str) or len(value) > 500 or not _KEY.fullmatch(value) or ".." in value:
        raise ModelError(f"{where}: must be a key like hashes/<hash>/confirmed.csv, got {value!r:.80}")
    return value


def _url(value: object, where: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s@]{1,1000}", value):
        raise ModelError(f"{where}: webhook_url: must be an http or https address or null, got {value!r:.80}")
    return value


def _delay(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 86400:
        raise ModelError(f"{where}: progress_delay: must be 0..86400 seconds, got {value!r:.40}")
    return float(value)


class Collected:
    """The counts of all blocks, in a temporary file: those of 200,000 draws of a year are 1.5 GB."""

    def __init__(self, spans: list[Span], days: int) -> None:
        self._file = tempfile.TemporaryFile(prefix="projection-")  # noqa: SIM115 (lives as long as the object)
        self._spans, self._days = spans, days
        self._rows = len(SERIES) * days

    def put(self, block: int, counts: NDArray[np.int32]) -> None:
        """``counts``: series x days x draws of the block."""
        self._file.seek(self._spans[block].first * self._rows * 4)
        self._file.write(np.ascontiguousarray(counts, dtype=np.int32).data)

    def get(self, blocks: list[int]) -> NDArray[np.int32]:
        """Of consecutive blocks, along the draws."""
        found = np.concatenate([self._part(block, 0, self._rows) for block in blocks], axis=1)
        return found.reshape(len(SERIES), self._days, -1)

    def bands(self) -> list[list[list[float]]]:
        """For each of `SERIES` and each day: low, median, high, rounded to 3 decimals."""
        at_once = max(1, BUFFER_BYTES // (self._spans[-1].end * 4))
        found: list[list[float]] = []
        for first in range(0, self._rows, at_once):
            end = min(first + at_once, self._rows)
            parts = [self._part(block, first, end) for block in range(len(self._spans))]
            found += [_band(row) for row in np.concatenate(parts, axis=1)]
        return [found[start : start + self._days] for start in range(0, self._rows, self._days)]

    def _part(self, block: int, first: int, end: int) -> NDArray[np.int32]:
        """Rows (series, then days) ``first`` to before ``end`` of one block."""
        span = self._spans[block]
        draws = span.end - span.first
        self._file.seek((span.first * self._rows + first * draws) * 4)
        content = self._file.read((end - first) * draws * 4)
        return np.frombuffer(content, dtype=np.int32).reshape(end - first, draws)


def _band(counts: NDArray[np.int32]) -> list[float]:
    """Linear interpolation between order statistics, in whole numbers: exact on every machine."""
    ordered = np.sort(counts)
    found = []
    for percent in BAND:
        place, part = divmod(percent * (len(ordered) - 1), 100)
        low = int(ordered[place])
        high = int(ordered[min(place + 1, len(ordered) - 1)])
        found.append(round((low * 100 + (high - low) * part) / 100, 3))
    return found


def output(
    request: Request,
    observed: Observations,
    bands: list[list[list[float]]],
    *,
    attempts: int,
    real_time: float,
    sim_seconds: float,
    git_hash: str,
) -> dict[str, Any]:
    """What the site shows; the bands are ``{"YYYY-MM-DD": [low, median, high]}``."""
    first = observed.last + datetime.timedelta(1)
    days = [(first + datetime.timedelta(number)).isoformat() for number in range(request.chosen.sim_length)]
    curves = {name: dict(zip(days, band, strict=True)) for name, band in zip(SERIES, bands, strict=True)}
    return {
        **curves,
        "Confirmed": observed.confirmed,
        "Deaths": observed.deaths,
        "first_observed": observed.first.isoformat(),
        "start_date": first.isoformat(),
        "days": days,
        "sim_time": request.chosen.sim_length,
        "real_time": round(real_time, 3),
        "sim_seconds": round(sim_seconds, 3),
        "git_hash": git_hash,
        "model_version": VERSION,
        "id": request.id,
        "state": request.chosen.state,
        "counties": request.chosen.county,
        "population": observed.population,
        "nDraws": request.chosen.nDraws,
        "seed": str(request.chosen.seed()),
        "attempts": attempts,
        "status": "complete",
    }
