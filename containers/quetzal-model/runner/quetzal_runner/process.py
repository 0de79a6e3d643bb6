"""Runs a notebook's script as a child process and never waits on it without a limit."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TERMINATE_S = 5.0
"""Between SIGTERM and SIGKILL, if the deadline leaves as much."""
DRAIN_S = 2.0
"""How long output is still read after the notebook's own process ended."""


@dataclass(frozen=True)
class Ended:
    exit_code: int
    """As ``subprocess`` has it: negative is the signal that ended the process."""
    timed_out: bool


def run(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    feed: Callable[[bytes], None],
    remaining: Callable[[], float],
) -> Ended:
    """Run ``command``, give what it prints to ``feed``, end it and its children when ``remaining()`` is 0.

    The child leads a process group of its own; whatever of the group is left when it ends is killed, so a
    worker process that keeps the pipe open can't hold the run.
    """
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    timed_out = False
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while child.poll() is None and not timed_out:
                if not _read(selector, child.stdout.fileno(), feed, wait_s=min(0.2, max(0.0, remaining()))):
                    # End of output, not of the process.
                    _wait(child, min(0.2, max(0.0, remaining())))
                timed_out = child.poll() is None and remaining() <= 0
            if timed_out:
                _signal(child, signal.SIGTERM)
                until = time.monotonic() + TERMINATE_S
                while child.poll() is None and time.monotonic() < until:
                    if not _read(selector, child.stdout.fileno(), feed, wait_s=0.1):
                        _wait(child, 0.1)
            _signal(child, signal.SIGKILL)
            child.wait()
            until = time.monotonic() + DRAIN_S
            while time.monotonic() < until and _read(selector, child.stdout.fileno(), feed, wait_s=0.1):
                continue
    finally:
        if child.poll() is None:
            _signal(child, signal.SIGKILL)
            child.wait()
        child.stdout.close()
    return Ended(exit_code=child.returncode, timed_out=timed_out)


def _read(selector: selectors.BaseSelector, fd: int, feed: Callable[[bytes], None], wait_s: float) -> bool:
    """Hand on what there is; false once the output has ended."""
    if not selector.select(wait_s):
        return True
    try:
        data = os.read(fd, 64 * 1024)
    except BlockingIOError:
        return True
    if data:
        feed(data)
    return bool(data)


def _wait(child: "subprocess.Popen[bytes]", seconds: float) -> None:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _signal(child: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """To the whole group, which may be gone already."""
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        return
