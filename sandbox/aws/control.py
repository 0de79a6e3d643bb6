"""Start, stop and look at the emulator of AWS; the commands of ``python -m sandbox`` call these."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sandbox import paths
from sandbox.aws.process import Process
from sandbox.aws.supervisor import STOP_S, lock_path
from sandbox.environment import (
    AwsSettings,
    SettingsError,
    aws_settings,
    change_port,
    free_port,
    port_is_free,
    run_path,
    settings_path,
)

START_S = 60.0
"""How long a start may take; two seconds are usual, more when much state is read."""
LOG_BYTES = 10 * 1024 * 1024


class SandboxError(RuntimeError):
    """A command failed; the message is one line for the user."""


def log_path() -> Path:
    return paths.logs() / "aws.log"


def _get(url: str) -> dict[str, Any] | None:
    # A proxy of the user's has no business with loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            content: dict[str, Any] = json.load(answer)
            return content
    except (OSError, ValueError, urllib.error.URLError):
        return None


def _running() -> dict[str, Any] | None:
    """``run.json`` when its supervisor lives, else None."""
    try:
        known: dict[str, Any] = json.loads(run_path().read_text())
        supervisor = Process(**known["supervisor"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known if supervisor.alive() else None


def _answers(settings: AwsSettings) -> dict[str, Any] | None:
    """What the server of this sandbox says of itself, None when it isn't there (or is another's)."""
    found = _get(f"{settings.endpoint}/_benchtop/status")
    return found if found and found.get("instance") == settings.instance else None


def status() -> dict[str, Any]:
    """State of the emulator: ``state`` is running, starting, or stopped; the rest describes it.

    Makes nothing: without settings the sandbox was never started.
    """
    if not settings_path().exists():
        return {"state": "stopped", "endpoint": None}
    settings = aws_settings()
    known, answer = _running(), _answers(settings)
    state = "running" if answer and known else "starting" if known else "stopped"
    found: dict[str, Any] = {"state": state, "endpoint": settings.endpoint, "region": settings.region,
                             "log": str(log_path())}  # fmt: skip
    if known:
        found |= {"supervisor_pid": known["supervisor"]["pid"], "restarts": known["restarts"]}
    if answer:
        found |= {"server_pid": answer["pid"], "listens": answer["listens"], "saved": answer["saved"]}
    return found


def _rotate_log() -> None:
    paths.logs().mkdir(parents=True, exist_ok=True)
    log = log_path()
    if log.exists() and log.stat().st_size > LOG_BYTES:
        os.replace(log, log.with_name("aws.log.1"))


def _end_orphan() -> None:
    """End a server whose supervisor was killed; it stops by itself within seconds, this only waits for it."""
    try:
        known = json.loads(run_path().read_text())
        server = Process(**known["server"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if server.signal(signal.SIGTERM) and not server.wait(STOP_S):
        server.signal(signal.SIGKILL)
        server.wait(5)


def _spawn() -> subprocess.Popen[bytes]:
    _rotate_log()
    with log_path().open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "sandbox.aws.supervisor"], cwd=paths.ROOT, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(paths.ROOT), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip


def _last_words(count: int = 3) -> str:
    try:
        with log_path().open("rb") as file:
            file.seek(max(0, log_path().stat().st_size - 20_000))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "(no log)"
    return " | ".join(line.strip() for line in lines[-count:])


def _wait_until_up(settings: AwsSettings, process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if _answers(settings):
            return
        if process is not None and process.poll() is not None and _running() is None:
            raise SandboxError(f"the AWS emulator did not start: {_last_words()} (whole log: {log_path()})")
        time.sleep(0.1)
    raise SandboxError(f"the AWS emulator did not answer within {START_S:.0f} s; see {log_path()}")


def start() -> dict[str, Any]:
    """Start the emulator if it doesn't run, and wait until it answers; ``status()`` then.

    Raises:
        SandboxError: it can't start; the message says why and where the log is.
    """
    for package in ("ministack", "docker", "hypercorn"):
        if find_spec(package) is None:
            raise SandboxError(
                f"the Python package {package} is missing in {sys.prefix}; `./dev up` makes the environment"
            )
    paths.aws_state().mkdir(parents=True, exist_ok=True, mode=0o700)
    # Two starts at once (a user's and a test's) must not make two supervisors or choose two ports.
    with (paths.aws_state() / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        settings = aws_settings()
        if _running():
            _wait_until_up(settings, None)
            return _again_for_bridge(settings) or status()
        _end_orphan()
        settings = _with_free_port(settings)
        _wait_until_up(settings, _spawn())
        return status()


def _with_free_port(settings: AwsSettings) -> AwsSettings:
    from sandbox.aws.bridge import bridge_addresses

    addresses = bridge_addresses()
    if all(port_is_free(settings.port, address) for address in ("127.0.0.1", *addresses)):
        return settings
    changed = change_port(settings, free_port(addresses))
    print(
        f"port {settings.port} is taken by another program: the emulator of AWS moves to {changed.port}. "
        "Stacks that are up name the old port until the next `pulumi up`.",
        file=sys.stderr,
    )
    return changed


def _again_for_bridge(settings: AwsSettings) -> dict[str, Any] | None:
    """Restart when Docker's bridge has appeared since the start: containers couldn't reach the emulator."""
    from sandbox.aws.bridge import bridge_addresses

    answer = _answers(settings)
    wanted = {f"{address}:{settings.port}" for address in bridge_addresses()}
    if answer is None or wanted <= set(answer["listens"]):
        return None
    stop()
    _wait_until_up(settings, _spawn())
    return status()


def _remove_containers() -> None:
    """Remove what an ended server left in the Docker engine: it was killed, or the engine was too slow."""
    import docker
    import docker.errors

    if not settings_path().exists():
        return
    try:
        label = f"ministack.instance={aws_settings().instance}"
    except SettingsError:
        return  # stopping and purging must work when the settings are what is broken
    try:
        client = docker.from_env(timeout=60)
    except docker.errors.DockerException:
        return  # no engine, no containers
    try:
        for container in client.containers.list(all=True, filters={"label": label}, ignore_removed=True):
            with contextlib.suppress(docker.errors.NotFound):
                container.remove(force=True, v=True)
    except (docker.errors.APIError, OSError) as error:
        raise SandboxError(f"the Docker engine did not remove functions' containers: {error}") from error
    finally:
        client.close()


def _remove_volumes() -> None:
    """Remove the data of the emulator's databases."""
    from docker.errors import APIError

    from sandbox.aws.databases import remove_volumes

    if not settings_path().exists():
        return
    try:
        remove_volumes(aws_settings().instance)
    except SettingsError:
        return
    except (APIError, OSError) as error:
        raise SandboxError(f"the Docker engine did not remove databases' volumes: {error}") from error


def stop() -> bool:
    """Stop the emulator, its state saved and its containers removed; False when it didn't run.

    Raises:
        SandboxError: it doesn't end, or a container can't be removed.
    """
    known = _running()
    if known is None:
        _end_orphan()
        run_path().unlink(missing_ok=True)
        _remove_containers()
        return False
    supervisor = Process(**known["supervisor"])
    supervisor.signal(signal.SIGTERM)
    if not supervisor.wait(STOP_S + 10):
        raise SandboxError(f"the AWS emulator (process {supervisor.pid}) does not stop; see {log_path()}")
    _remove_containers()
    return True


def purge() -> bool:
    """Stop the emulator and delete everything that it held, keys and port too; False when it held nothing."""
    stop()
    folder = paths.aws_state()
    if not folder.exists():
        return False
    _remove_volumes()
    with (folder / "start.lock").open("w") as lock, lock_path().open("w") as running:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            fcntl.flock(running, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SandboxError(f"another supervisor uses {folder}; stop it first") from None
        shutil.rmtree(folder)
    return True
