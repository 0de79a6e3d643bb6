"""Progress of builds and pushes: to the engine's display, and whole into a log file. Secrets never get in."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

DISPLAY_EVERY_S = 0.2
SHORTEST_SECRET = 4
"""Shorter secrets aren't looked for: they would hide half of every line and tell nothing."""


class EngineLog:
    """The engine's log service. ``address`` is empty when no engine started this process (tests)."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address) if address else None
        self._stub = engine_pb2_grpc.EngineStub(self._channel) if self._channel else None

    def status(self, urn: str, message: str) -> None:
        """Shown beside the resource until the next one."""
        self._send(urn, message, engine_pb2.INFO, ephemeral=True)

    def info(self, urn: str, message: str) -> None:
        self._send(urn, message, engine_pb2.INFO)

    def warning(self, urn: str, message: str) -> None:
        self._send(urn, message, engine_pb2.WARNING)

    def _send(
        self, urn: str, message: str, severity: engine_pb2.LogSeverity.ValueType, *, ephemeral: bool = False
    ) -> None:
        if self._stub is None:
            return
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        try:
            self._stub.Log(request, timeout=5)
        except grpc.RpcError:
            # An engine that is ending takes no more messages; the work itself mustn't fail for that.
            self._stub = None


class Report:
    """Where one image's progress goes. Lines come from worker threads, one report a resource."""

    def __init__(self, log: EngineLog, urn: str, file: Path, secrets: Iterable[str] = ()) -> None:
        self._log, self._urn, self.file = log, urn, file
        self._secrets = sorted((s for s in secrets if len(s) >= SHORTEST_SECRET), key=len, reverse=True)
        self._shown = 0.0
        self._recent: list[str] = []
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")

    def line(self, text: str) -> None:
        """One line of the engine's output: kept in the file, shown now and then."""
        for part in self.clean(text).splitlines():
            part = part.rstrip()
            if not part:
                continue
            with self.file.open("a") as out:
                out.write(part + "\n")
            self._recent = [*self._recent[-30:], part]
            if part.startswith("Step ") or time.monotonic() - self._shown >= DISPLAY_EVERY_S:
                self._shown = time.monotonic()
                self._log.status(self._urn, part)

    def step(self, text: str) -> None:
        """What the provider itself does now."""
        self._shown = time.monotonic()
        self._log.status(self._urn, self.clean(text))

    def warning(self, text: str) -> None:
        self._log.warning(self._urn, self.clean(text))

    def show_recent(self) -> None:
        """The last lines, for good: what a failed command said."""
        if self._recent:
            self._log.info(self._urn, "\n".join(self._recent))

    def clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return text


def secret_texts(values: object, secrets: Iterable[Sequence[str | int]]) -> list[str]:
    """Every string at or below the secret paths."""
    found: list[str] = []
    for path in secrets:
        item: object = values
        for step in path:
            if isinstance(item, dict):
                item = item.get(step)
            elif isinstance(item, list) and isinstance(step, int) and step < len(item):
                item = item[step]
            else:
                item = None
        found += _texts(item)
    return found


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in _texts(item)]
