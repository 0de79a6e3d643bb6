"""Keeps the emulator running: started detached by ``python -m sandbox start``, it starts the server again
when that crashes, with a bounded pause, and stops it cleanly when told to.

Everything it prints, and everything the server prints, is in ``logs/aws.log``.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from sandbox import paths
from sandbox.aws.process import Process, current, start_time
from sandbox.environment import AwsSettings, aws_settings, run_path, variables, write_private

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
FIRST_S = 10.0
"""A first start that fails this soon would fail again: whoever waits for it should hear of it at once."""
HEALTHY_S = 60.0
"""A server that lived this long has proved itself: the pause starts from the shortest again."""
MOST_FAILURES = 8
"""Crashes in a row after which the supervisor gives up (about two minutes of pauses)."""
STOP_S = 45.0
"""How long the server may take to save its state and remove its containers."""

PORT_TAKEN = 98
"""Exit code of a server that found its port taken: trying again doesn't help."""


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} INFO [supervisor] {text}", flush=True)


def lock_path() -> Path:
    return paths.aws_state() / "supervisor.lock"


def server_environment(settings: AwsSettings) -> dict[str, str]:
    """The settings of ministack: what the environment can say is here, the rest in ``adjustments``."""
    state = paths.aws_state()
    no_proxy = variables()["NO_PROXY"]
    # Nothing of a real account, and no setting of the caller's for another ministack or LocalStack.
    foreign = ("AWS_", "MINISTACK_", "LAMBDA_", "S3_", "SFN_", "LOCALSTACK_", "SFTP_", "IOT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    for name in ("SERVICES", "USE_SSL", "EDGE_PORT", "SFN_MOCK_CONFIG"):
        kept.pop(name, None)
    return {
        **kept,
        "AUTH": "true",
        # Not empty, so that it is read at all: ``adjustments.functions_live_as_on_lambda`` gives the flags.
        "LAMBDA_DOCKER_FLAGS": "--read-only",
        "GATEWAY_PORT": str(settings.port),
        "MINISTACK_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        # The root user. No AWS_ENDPOINT_URL: ministack would hand it to containers, where it must be another.
        "AWS_ACCESS_KEY_ID": settings.access_key_id,
        "AWS_SECRET_ACCESS_KEY": settings.secret_access_key,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        # Seconds that Docker may take for an answer: on a busy machine a removal needs more than 10.
        "MINISTACK_DOCKER_TIMEOUT": "30",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state / "services"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state / "s3"),
        # Listeners on further ports, which no system here uses yet.
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        # Zip functions run on this Python: the environment's must be found first by name, too.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(paths.ROOT),
        "PYTHONUNBUFFERED": "1",
        # The server calls functions' containers, and zip functions call the server, over loopback.
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


class Supervisor:
    """One server process at a time, until told to stop or until it has crashed too often."""

    def __init__(self, settings: AwsSettings) -> None:
        self.settings = settings
        self.stopping = False
        self.told_at = 0.0
        """When it was told to stop (monotonic seconds)."""
        self.failures = 0
        self.restarts = 0
        self.child: subprocess.Popen[bytes] | None = None

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        if not self.stopping:
            self.told_at = time.monotonic()
        self.stopping = True
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()

    def record(self) -> None:
        """Say in ``run.json`` who we are and whom we started."""
        server = None
        if self.child is not None and (started := start_time(self.child.pid)) is not None:
            server = asdict(Process(self.child.pid, started))
        known = {"supervisor": asdict(current()), "server": server, "port": self.settings.port,
                 "restarts": self.restarts}  # fmt: skip
        write_private(run_path(), json.dumps(known) + "\n")

    def run_once(self) -> int:
        """Run the server until it ends; its exit code."""
        # A session of its own: with it go the workers of zip functions, whatever way the server dies.
        self.child = subprocess.Popen(
            [sys.executable, "-m", "sandbox.aws.server"],
            env=server_environment(self.settings), cwd=paths.ROOT, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self.record()
        while True:
            try:
                code = self.child.wait(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                # It has work to do at its end (saving, containers): it gets its time from when it was told.
                if self.stopping and time.monotonic() - self.told_at > STOP_S:
                    say(f"the server did not end within {STOP_S:.0f} s of being told; killing it")
                    self.child.kill()
                    code = self.child.wait()
                    break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)
        return code

    def run(self) -> int:
        """Exit code: 0 after a stop, the server's when it can't run."""
        pause = FIRST_PAUSE_S
        while not self.stopping:
            began = time.monotonic()
            code = self.run_once()
            if self.stopping:
                break
            lived = time.monotonic() - began
            if code == PORT_TAKEN or (code > 0 and not self.restarts and lived < FIRST_S):
                say(f"the server ended with exit code {code} at its first start; not trying again")
                return code
            if lived > HEALTHY_S:
                self.failures, pause = 0, FIRST_PAUSE_S
            self.failures += 1
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            if self.failures >= MOST_FAILURES:
                say(f"the server ended with {how}, time {self.failures} in a row; giving up")
                return 1
            say(f"the server ended with {how} after {lived:.1f} s; starting it again in {pause:.1f} s")
            deadline = time.monotonic() + pause
            while not self.stopping and time.monotonic() < deadline:
                time.sleep(0.05)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            self.restarts += 1
        return 0


def main() -> int:
    settings = aws_settings()
    with lock_path().open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another supervisor of this sandbox runs already; nothing to do")
            return 0
        supervisor = Supervisor(settings)
        signal.signal(signal.SIGTERM, supervisor.stop)
        signal.signal(signal.SIGINT, supervisor.stop)
        say(f"starting the AWS emulator on port {settings.port}, state in {paths.aws_state()}")
        try:
            code = supervisor.run()
        finally:
            run_path().unlink(missing_ok=True)
        say("stopped" if code == 0 else f"ended with code {code}")
        return code


if __name__ == "__main__":
    sys.exit(main())
