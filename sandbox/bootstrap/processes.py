"""Processes that we start and leave running: known by pid and start time, never by name."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def start_time(pid: int) -> str | None:
    """A mark that a later process of the same pid doesn't have; ``None`` when there is no such process."""
    if Path("/proc/self/stat").exists():
        try:
            # The name in parentheses may hold anything; the start time is the 20th field after it.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False
    )
    return shown.stdout.strip() or None


class Recorded:
    """A background process whose identity is kept in a file."""

    def __init__(self, record: Path) -> None:
        self.record = record

    def pid(self) -> int | None:
        """Its pid while it runs; ``None`` when it doesn't, or when it isn't ours."""
        try:
            kept = json.loads(self.record.read_text())
            pid, began = int(kept["pid"]), kept["start"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pid if start_time(pid) == began else None

    def start(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> int:
        """Start it in a session of its own, its output going to ``log``."""
        self.record.parent.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                start_new_session=True,
            )
        self.record.write_text(json.dumps({"pid": process.pid, "start": start_time(process.pid)}))
        return process.pid

    def stop(self, patience_s: float = 20.0) -> bool:
        """Ask it to end, then force it. Whether there was anything to stop."""
        pid = self.pid()
        if pid is None:
            self.record.unlink(missing_ok=True)
            return False
        for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + wait_s
            while time.monotonic() < deadline:
                if self.pid() is None:
                    break
                time.sleep(0.1)
            if self.pid() is None:
                break
        self.record.unlink(missing_ok=True)
        return True
