"""A running container of a task: its start, its output, its end."""

import contextlib
import functools
import logging
import threading
import time
from typing import Any

import docker
import docker.errors
import requests.exceptions
from ministack.core import responses
from ministack.services import cloudwatch_logs

from sandbox.aws.task_settings import CannotStart

logger = logging.getLogger("benchtop.aws")

LONGEST_EVENT = 256 * 1024 - 26
"""Bytes of an event of CloudWatch Logs; the log driver cuts longer lines."""
LAST_LINES_S = 10.0
"""How long the end of a container's output may take after the container's own end."""
KILLED_S = 20.0
"""How long Docker may take to end a container that was killed."""
_ENGINE_ERRORS = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)


@functools.cache
def engine() -> docker.DockerClient:
    """The Docker engine; with connections enough for all that is read and waited for at the same time."""
    return docker.from_env(timeout=60, max_pool_size=200)


@functools.cache
def cores() -> int:
    return int(engine().info().get("NCPU") or 1)


def image_at_hand(name: str) -> None:
    """Pull an image that the engine doesn't have.

    Raises:
        CannotStart: it can't be had.
    """
    try:
        engine().images.get(name)
    except docker.errors.ImageNotFound:
        repository, _, digest = name.partition("@")
        tag = digest
        if not digest and ":" in repository.rsplit("/", 1)[-1]:
            repository, _, tag = repository.rpartition(":")
        try:
            engine().images.pull(repository, tag=tag or "latest")
        except _ENGINE_ERRORS as error:
            raise CannotStart(f"CannotPullContainerError: {error}") from error


class Lines:
    """Output in whole lines, sent to a log stream of CloudWatch as it comes."""

    def __init__(self, config: dict[str, Any] | None, account: str) -> None:
        self._config, self._account = config, account
        self._rest = {"out": b"", "error": b""}

    def add(self, stream: str, data: bytes) -> None:
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        while len(rest) >= LONGEST_EVENT:
            lines.append(rest[:LONGEST_EVENT])
            rest = rest[LONGEST_EVENT:]
        self._rest[stream] = rest
        self._send(lines)

    def end(self) -> None:
        """Send what has no end of line."""
        self._send([rest for rest in self._rest.values() if rest])

    def _send(self, lines: list[bytes]) -> None:
        if self._config is None or not lines:
            return
        now = int(time.time() * 1000)
        events = [
            {"timestamp": now, "message": line[at : at + LONGEST_EVENT].decode(errors="replace")}
            for line in lines
            for at in range(0, len(line.rstrip(b"\r")), LONGEST_EVENT)
        ]
        try:
            with responses.request_scope(self._account, self._config["region"]):
                cloudwatch_logs._put_log_events({
                    "logGroupName": self._config["group"], "logStreamName": self._config["stream"],
                    "logEvents": events,
                })  # fmt: skip
        except Exception:
            # Whoever stops reading stops the container, as soon as its pipe is full.
            logger.exception("%d lines could not be sent to %s", len(lines), self._config["group"])


class Running:
    """A container that was started; ``exited`` is set as soon as it has ended."""

    def __init__(self, definition: dict[str, Any], image: str, options: dict[str, Any], log: Lines,
                 changed: threading.Condition) -> None:  # fmt: skip
        """Make the container and start it, its output read from the first byte.

        Raises:
            CannotStart: Docker refuses.
        """
        self.definition = definition
        self.name: str = definition["name"]
        self.essential = bool(definition.get("essential", True))
        self.exited = threading.Event()
        self.exit_code: int | None = None
        self.reason: str | None = None
        self._changed = changed
        try:
            self.container = engine().containers.create(image, **options)
        except _ENGINE_ERRORS as error:
            raise CannotStart(f"CannotCreateContainerError: {error}") from error
        self.id: str = self.container.id
        try:
            output = engine().api.attach(self.id, stdout=True, stderr=True, stream=True, demux=True)
            self._reader = threading.Thread(target=self._read, args=(output, log), daemon=True)
            self._reader.start()
            self.container.start()
        except _ENGINE_ERRORS as error:
            self.remove()
            raise CannotStart(f"CannotStartContainerError: {error}") from error
        threading.Thread(target=self._wait, name=f"ecs-wait-{self.id[:8]}", daemon=True).start()

    def address(self) -> str | None:
        """Its own address, None when it shares another container's network."""
        self.container.reload()
        networks = (self.container.attrs["NetworkSettings"]["Networks"] or {}).values()
        return next((found["IPAddress"] for found in networks if found.get("IPAddress")), None)

    def health(self) -> str:
        """``UNKNOWN``, ``HEALTHY`` or ``UNHEALTHY``, as its health check last said."""
        if not self.definition.get("healthCheck") or self.exited.is_set():
            return "UNKNOWN"
        with contextlib.suppress(*_ENGINE_ERRORS):
            state = engine().api.inspect_container(self.id)["State"]
            said = str((state.get("Health") or {}).get("Status", "")).upper()
            return said if said in ("HEALTHY", "UNHEALTHY") else "UNKNOWN"
        return "UNKNOWN"

    def _read(self, output: Any, log: Lines) -> None:
        try:
            for out, error in output:
                log.add("out", out or b"")
                log.add("error", error or b"")
        except _ENGINE_ERRORS as error:
            logger.warning("the output of container %s could not be read to its end: %s", self.name, error)
        log.end()

    def _wait(self) -> None:
        while True:
            try:
                self.exit_code = int(self.container.wait(timeout=None)["StatusCode"])
                state = engine().api.inspect_container(self.id)["State"]
                if state.get("OOMKilled") and self.exit_code == 137:
                    self.reason = "OutOfMemoryError: Container killed due to memory usage"
                break
            except docker.errors.NotFound:
                break  # removed by somebody else: it doesn't run any more
            except _ENGINE_ERRORS:
                time.sleep(1)  # the engine restarts, perhaps: that says nothing of the container
        self._reader.join(LAST_LINES_S)
        self.exited.set()
        with self._changed:
            self._changed.notify_all()

    def stop(self, seconds: float) -> None:
        """Ask it to end, kill it ``seconds`` later, and return when it has ended."""
        if seconds > 0 and not self.exited.is_set():
            with contextlib.suppress(*_ENGINE_ERRORS):
                config = engine().api.inspect_container(self.id)["Config"]
                engine().api.kill(self.id, config.get("StopSignal") or "SIGTERM")
                self.exited.wait(seconds)
        if not self.exited.is_set():
            with contextlib.suppress(*_ENGINE_ERRORS):
                engine().api.kill(self.id, "SIGKILL")
            self.exited.wait(KILLED_S)

    def remove(self) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            try:
                engine().api.remove_container(self.id, force=True, v=True)
            except _ENGINE_ERRORS as error:
                logger.warning("container %s (%s) was not removed: %s", self.id[:12], self.name, error)


def remove_volumes(prefix: str) -> None:
    """Remove the volumes whose names begin like this: a task's, or of all tasks of earlier runs."""
    with contextlib.suppress(*_ENGINE_ERRORS):
        for volume in engine().volumes.list(filters={"name": prefix}):
            if volume.name.startswith(prefix):
                with contextlib.suppress(docker.errors.APIError):
                    volume.remove()
