"""One ``./dev`` at a time: two at once would tear the virtual environment or the sandbox's state."""

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from sandbox import paths
from sandbox.bootstrap import console
from sandbox.bootstrap.errors import Busy

CLONE = paths.ROOT / ".sandbox"
"""State of the clone itself, whichever sandbox is in use: the lock, the Docker engine that was started."""
_POLL_S = 0.5


def _holder(file: IO[str]) -> str:
    """Who holds the lock, as they wrote it."""
    file.seek(0)
    try:
        said = json.loads(file.read())
        return f"`{said['command']}` (process {said['pid']}, since {said['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"


@contextlib.contextmanager
def held(path: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of ``path``; the kernel gives it back when this process ends, however that comes.

    Args:
        path: the lock file; it stays.
        wait_s: how long to wait for a holder to finish.

    Raises:
        Busy: somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        deadline = time.monotonic() + wait_s
        said = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Busy(
                        f"{_holder(file)} is at work here; wait for it or stop it (lock: {path})"
                    ) from None
                if not said:
                    console.say(f"… waiting for {_holder(file)}")
                    said = True
                time.sleep(_POLL_S)
        file.seek(0)
        file.truncate()
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        json.dump({"pid": os.getpid(), "command": command, "since": since}, file)
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()
