"""Processes that we started, told apart from strangers that got the same number later."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """A process by number and start time: the pair names one process for ever, the number alone doesn't."""

    pid: int
    started: str

    def alive(self) -> bool:
        return start_time(self.pid) == self.started

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; False when the process is gone (then nobody gets it)."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, seconds: float) -> bool:
        """True as soon as it's gone, False when it's still there after ``seconds``."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def start_time(pid: int) -> str | None:
    """When a process started, as an opaque string; None when there is none (or it is a zombie)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            # The second field is the command in parentheses and may hold spaces and parentheses itself.
            rest = file.read().rpartition(")")[2].split()
        return None if rest[0] == "Z" else rest[19]
    except (FileNotFoundError, ProcessLookupError):
        if os.path.isdir("/proc/self"):
            return None
    # No /proc (macOS): ps says the same in seconds.
    found = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    words = found.stdout.split()
    return None if not words or words[0].startswith("Z") else " ".join(words[1:])


def current() -> Process:
    pid = os.getpid()
    return Process(pid, start_time(pid) or "")
