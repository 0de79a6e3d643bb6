"""Finished blocks in the storage: ``runs/<run id>/checkpoints/<first block>-<last block>.npz``.

An object holds the counts of consecutive blocks (first day, then differences from day to day in the smallest
integer type that holds them), and a header that says whose they are: a digest of inputs, data and version,
and a checksum of the counts. What doesn't fit is ignored: a run computes again what it can't trust.
"""

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from projections_model import VERSION, log
from projections_model.blocks import BLOCK_DRAWS, Span
from projections_model.observations import Observations
from projections_model.seir import SERIES
from projections_model.storage import Storage

Counts = NDArray[np.int32]
OBJECT_BYTES = 24 * 1024 * 1024
"""Counts in one object, before compression: bounds the memory that saving and loading take."""
MOST_BYTES = 4 * OBJECT_BYTES
"""A larger object isn't ours."""
_NAME = re.compile(r"(\d{5})-(\d{5})\.npz")


def identity(canonical: str, observed: Observations, code: str) -> str:
    """Digest of all that the counts depend on; ``code``: the version of the image."""
    data = [observed.first.isoformat(), observed.confirmed, observed.deaths, observed.population]
    text = json.dumps([VERSION, code, np.__version__, BLOCK_DRAWS, canonical, data])
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Those of one run."""

    storage: Storage
    prefix: str
    """``runs/<run id>/checkpoints/``"""
    identity: str
    spans: list[Span]
    days: int

    def groups(self, blocks: list[int]) -> Iterator[list[int]]:
        """``blocks`` (ascending) as runs of consecutive ones that fit into one object."""
        most = max(1, OBJECT_BYTES // (len(SERIES) * self.days * BLOCK_DRAWS * 4))
        group: list[int] = []
        for block in blocks:
            if group and (block != group[-1] + 1 or len(group) == most):
                yield group
                group = []
            group.append(block)
        if group:
            yield group

    def save(self, blocks: list[int], counts: Counts) -> int:
        """Store one group; ``counts`` are theirs, series x days x draws. Returns the bytes written."""
        header = {"identity": self.identity, "first": blocks[0], "last": blocks[-1], "sha256": _sum(counts)}
        content = _pack(header, counts)
        self.storage.write(f"{self.prefix}{blocks[0]:05d}-{blocks[-1]:05d}.npz", content)
        return len(content)

    def load(self) -> Iterator[tuple[list[int], Counts]]:
        """Every group that is there and can be trusted."""
        for key in self.storage.list(self.prefix):
            match = _NAME.fullmatch(key.removeprefix(self.prefix))
            if match is None:
                continue
            first, last = int(match[1]), int(match[2])
            content = self.storage.read(key)
            problem = "is gone" if content is None else None
            counts: Counts | None = None
            if content is not None:
                try:
                    counts = self._checked(content, first, last)
                except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                    problem = str(error) or type(error).__name__
            if counts is None:
                log.event("checkpoint ignored", level="warning", key=key, reason=problem)
            else:
                yield list(range(first, last + 1)), counts

    def _checked(self, content: bytes, first: int, last: int) -> Counts:
        """Raises when the object isn't a whole checkpoint of just this run and these blocks."""
        if len(content) > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES} bytes")
        if not 0 <= first <= last < len(self.spans):
            raise ValueError("blocks that this run doesn't have")
        draws = self.spans[last].end - self.spans[first].first
        header, counts = _unpack(content, (len(SERIES), self.days, draws))
        if header.get("identity") != self.identity:
            raise ValueError("made from other inputs, other data or by another version")
        if (header.get("first"), header.get("last")) != (first, last):
            raise ValueError("holds other blocks than its name says")
        if header.get("sha256") != _sum(counts):
            raise ValueError("checksum differs")
        return counts


def _sum(counts: Counts) -> str:
    return hashlib.sha256(np.ascontiguousarray(counts, dtype="<i4").data).hexdigest()


def _pack(header: dict[str, Any], counts: Counts) -> bytes:
    """As ``numpy.savez_compressed``, with the fastest compression."""
    steps = np.diff(counts, axis=1)
    reach = max(int(steps.max(initial=0)), -int(steps.min(initial=0)))
    kind = next(kind for kind in (np.int8, np.int16, np.int32) if reach <= np.iinfo(kind).max)
    arrays: dict[str, NDArray[Any]] = {
        "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
        "start": np.ascontiguousarray(counts[:, 0]),
        "steps": steps.astype(kind),
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return target.getvalue()


def _unpack(content: bytes, shape: tuple[int, int, int]) -> tuple[dict[str, Any], Counts]:
    series, days, draws = shape
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        most = series * days * draws * 4 + 4096
        if any(item.file_size > most for item in archive.infolist()):
            raise ValueError("larger than the counts of its blocks")
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        header = json.loads(found["header"].tobytes())
        first, steps = found["start"], found["steps"]
    shapes = (first.shape, steps.shape)
    if not isinstance(header, dict) or shapes != ((series, draws), (series, days - 1, draws)):
        raise ValueError("arrays of another shape")
    if first.dtype.kind != "i" or steps.dtype.kind != "i":
        raise ValueError("arrays of another type")
    counts = np.empty(shape, dtype=np.int32)
    counts[:, 0] = first
    counts[:, 1:] = steps
    np.cumsum(counts, axis=1, out=counts)
    return header, counts
