"""A Docker engine: the one that answers, else Debian's, started here and stopped by ``./dev down``."""

import contextlib
import getpass
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from sandbox.bootstrap import console, debian, lock
from sandbox.bootstrap.errors import Missing, StepFailed
from sandbox.bootstrap.processes import Recorded

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_ANSWER_S = 5.0
_START_S = 90.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of asking an engine for its version."""

    version: str | None
    error: str
    """Why there is no version: one line; empty when there is one."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_ANSWER_S)
        self.sock.connect(self._path)


def address() -> str:
    """Where clients look for the engine: ``DOCKER_HOST`` or the default socket."""
    return os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET


def ask(where: str) -> Answer:
    """Ask an engine for its version."""
    parsed = urllib.parse.urlsplit(where)
    connection: http.client.HTTPConnection
    if parsed.scheme == "unix":
        connection = _UnixConnection(parsed.path)
    elif parsed.scheme in ("tcp", "http") and parsed.hostname:
        connection = http.client.HTTPConnection(parsed.hostname, parsed.port or 2375, timeout=_ANSWER_S)
    else:
        return Answer(
            version=None,
            error=f"DOCKER_HOST={where} is not usable here: allowed are unix:///path and tcp://host:port",
        )
    try:
        connection.request("GET", "/version")
        reply = connection.getresponse()
        body = json.loads(reply.read())
        if reply.status != 200 or "Version" not in body:
            return Answer(
                version=None, error=f"{where} answers with HTTP {reply.status}, which is no Docker engine"
            )
        return Answer(version=str(body["Version"]), error="")
    except FileNotFoundError:
        return Answer(version=None, error=f"there is no {parsed.path}")
    except PermissionError:
        return Answer(version=None, error=f"user {getpass.getuser()} may not use {parsed.path}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Answer(version=None, error=f"{where}: {error}")
    finally:
        connection.close()


def _ours() -> Recorded:
    # Of the clone, not of the sandbox in use: the tests' sandbox may start it, and `./dev down` stops it.
    return Recorded(lock.CLONE / "docker" / "dockerd.json")


def _advice(answer: Answer) -> str:
    """What the user can do about an engine that we may not start."""
    head = f"no Docker engine answers ({answer.error})"
    if "may not use" in answer.error:
        return f"{head}: run `sudo usermod -aG docker {getpass.getuser()}` and log in again"
    if shutil.which("docker"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            shown = subprocess.run(
                ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"],
                capture_output=True, text=True, timeout=10, check=True,
            ).stdout.strip()  # fmt: skip
            if shown and shown != address() and ask(shown).version:
                return f"{head}, but your Docker context has: run `export DOCKER_HOST={shown}` and this again"
    if debian.find("dockerd"):
        return f"{head}: start it, for instance with `sudo systemctl start docker`"
    if debian.is_debian():
        return f"{head}: run `sudo apt-get install docker.io`, or this as root"
    return f"{head}: install and start Docker (https://docs.docker.com/engine/install/)"


def _wait(until_s: float, alive: "Recorded | None") -> Answer:
    deadline = time.monotonic() + until_s
    answer = ask(address())
    while answer.version is None and time.monotonic() < deadline:
        if alive is not None and alive.pid() is None:
            break
        time.sleep(0.2)
        answer = ask(address())
    return answer


def ensure() -> str:
    """Have an engine that answers; returns its version.

    Raises:
        Missing: there is none and it isn't ours to install: what the user can do.
        StepFailed: the installation failed, or the engine doesn't come up.
    """
    answer = ask(address())
    ours = _ours()
    # Ours listens on the default socket only: with another address there is nothing to wait for.
    if answer.version is None and address() == DEFAULT_SOCKET and ours.pid() is not None:
        with console.Progress("Docker engine, coming up"):
            answer = _wait(_START_S, ours)
    if answer.version is not None:
        console.done("Docker engine", f"{answer.version} at {address()}")
        return answer.version
    check_can_start(answer)
    if debian.find("dockerd") is None:
        debian.ensure_debian_package("docker.io")
    return _start()


def check_can_start(answer: Answer) -> None:
    """Whether we may install or start an engine where none answers.

    Raises:
        Missing: we may not; what the user can do.
    """
    ours_to_bring = debian.find("dockerd") is not None or debian.is_debian()
    if os.environ.get("DOCKER_HOST") or not debian.is_root() or not ours_to_bring:
        raise Missing(_advice(answer))


def _start() -> str:
    """Start the installed engine, as a service where there is a service manager, else as our own process."""
    log = console.log_path("dockerd")
    ours: Recorded | None = None
    with console.Progress("start the Docker engine") as progress:
        if Path("/run/systemd/system").exists():
            subprocess.run(
                ["systemctl", "start", "docker"], capture_output=True, timeout=_START_S, check=False
            )
        else:
            dockerd = debian.find("dockerd")
            if dockerd is None:
                raise StepFailed("docker.io is installed, but there is no dockerd: see .sandbox/logs/apt.log")
            ours = _ours()
            # Its helpers (iptables, containerd) are system commands.
            ours.start([dockerd, "--host", DEFAULT_SOCKET], log, env=debian.environment())
        answer = _wait(_START_S, ours)
        if answer.version is None:
            if ours is not None:
                ours.stop()
            shown = "".join(f"\n    {line[:200]}" for line in console.tail(log, 8))
            raise StepFailed(
                f"the Docker engine doesn't come up ({answer.error}){shown}\n  the whole log: {log}"
            )
        progress.result = answer.version
    return answer.version


def stop() -> bool:
    """Stop the engine when it was started here. Whether it was."""
    ours = _ours()
    if ours.pid() is None:
        ours.stop()
        return False
    with console.Progress("stop the Docker engine that was started here"):
        return ours.stop(patience_s=40)
