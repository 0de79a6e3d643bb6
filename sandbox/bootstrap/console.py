"""What the user sees: one line a step, the time it takes while it takes it, the end of its log when it fails.

Progress goes to stderr; stdout is for results.
"""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from sandbox import paths
from sandbox.bootstrap.errors import StepFailed

QUIET_S = 2.0
"""A step shorter than this shows nothing before its result."""
LINE_EVERY_S = 10.0
"""Without a terminal, a step says how far it is this often."""
_TAIL_LINES = 15
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """``4.2 s``, ``3 min 05 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def tail(path: Path, lines: int = _TAIL_LINES) -> list[str]:
    """The last lines of a log, without empty ones."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16384))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    kept = [line.rstrip().rpartition("\r")[2] for line in text.splitlines() if line.strip()]
    return kept[-lines:]


class Progress:
    """A step under way. ``result`` may be set to say what came of it."""

    def __init__(self, title: str, detail: Callable[[], str] | None = None) -> None:
        self.title = title
        self.result = ""
        self._detail = detail
        self._began = time.monotonic()
        self._done = threading.Event()
        self._terminal = sys.stderr.isatty()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def __enter__(self) -> "Progress":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._done.set()
        self._thread.join()
        mark = "✓" if kind is None else "✗"
        note = f": {self.result}" if self.result and kind is None else ""
        took = f" ({duration(self.elapsed)})" if self.elapsed >= 0.5 else ""
        self._clear()
        say(f"{mark} {self.title}{note}{took}")

    def _clear(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[2K")

    def _now(self) -> str:
        try:
            detail = self._detail() if self._detail else ""
        except OSError:
            detail = ""
        return f"{self.title} {duration(self.elapsed)}" + (f"  {detail}" if detail else "")

    def _tick(self) -> None:
        if self._done.wait(0.3 if self._terminal else QUIET_S):
            return
        if self._terminal:
            for frame in itertools.cycle(_FRAMES):
                width = shutil.get_terminal_size().columns - 1
                sys.stderr.write("\r\x1b[2K" + f"{frame} {self._now()}"[:width])
                sys.stderr.flush()
                if self._done.wait(0.15):
                    return
        say(f"… {self.title}")
        while not self._done.wait(LINE_EVERY_S):
            say(f"… {self._now()}"[:160])


def done(title: str, result: str) -> None:
    """A step that had nothing to do."""
    say(f"✓ {title}: {result}")


def log_path(step: str) -> Path:
    folder = paths.logs()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{step}.log"


def end_group(process: "subprocess.Popen[bytes]", patience_s: float = 5.0) -> None:
    """End a process that leads a group of its own, with all it started: asked first, then forced."""
    for number, wait_s in ((signal.SIGINT, patience_s), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(wait_s)
            break
        except subprocess.TimeoutExpired:
            continue
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _failure(title: str, why: str, log: Path) -> StepFailed:
    shown = "".join(f"\n    {line[:300]}" for line in tail(log))
    return StepFailed(f"{title} {why}{shown}\n  the whole log: {log}")


def run(
    title: str,
    command: Sequence[str],
    *,
    step: str,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    result: str | Callable[[], str] = "",
    append: bool = False,
) -> None:
    """Run a program as a step: output to ``.sandbox/logs/<step>.log``, progress to the user.

    Raises:
        StepFailed: it can't be started, failed, or took longer than ``timeout_s``; with the end of its log.
    """
    log = log_path(step)

    def last_line() -> str:
        lines = tail(log, 1)
        return lines[0].strip()[:100] if lines else ""

    with log.open("ab" if append else "wb") as output, Progress(title, last_line) as progress:
        output.write(f"$ {' '.join(command)}\n".encode())
        output.flush()
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd or paths.ROOT,
                start_new_session=True,
            )
        except OSError as error:
            raise StepFailed(f"{title}: can't run {command[0]}: {error.strerror}") from error
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            end_group(process)
            raise _failure(title, f"took longer than {duration(timeout_s)} and was stopped", log) from None
        except BaseException:
            end_group(process)
            raise
        if code:
            raise _failure(title, f"failed (exit code {code})", log)
        progress.result = result() if callable(result) else result


def stream(
    command: Sequence[str],
    *,
    step: str,
    timeout_s: float,
    env: Mapping[str, str],
    output: IO[str],
    cwd: Path | None = None,
) -> None:
    """Run a program whose output the user reads as it comes; it goes to the log too.

    An interrupt goes to the program once, which then may finish what it must not leave half done.

    Raises:
        StepFailed: it failed, or took longer than ``timeout_s``.
    """
    log = log_path(step)
    title = " ".join(Path(part).name if index == 0 else part for index, part in enumerate(command))
    with log.open("wb") as file:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd or paths.ROOT,
            start_new_session=True,
        )
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            end_group(process, patience_s=30)

        clock = threading.Timer(timeout_s, expire)
        clock.daemon = True
        clock.start()
        interrupted: KeyboardInterrupt | None = None
        try:
            while True:
                try:
                    # Also after an interrupt: who isn't read can't finish.
                    for piece in _pieces(process):
                        file.write(piece)
                        output.write(piece.decode(errors="replace"))
                        output.flush()
                    code = process.wait()
                    break
                except KeyboardInterrupt as again:
                    if interrupted is not None:
                        raise
                    interrupted = again
                    say("\ninterrupted: waiting for what is under way to end (once more to force it)")
                    os.killpg(process.pid, signal.SIGINT)
        except BaseException:
            end_group(process, patience_s=0.5)
            raise
        finally:
            clock.cancel()
    if interrupted is not None:
        raise interrupted
    if expired.is_set():
        raise StepFailed(f"`{title}` took longer than {duration(timeout_s)} and was stopped; log: {log}")
    if code:
        raise StepFailed(f"`{title}` failed (exit code {code}); log: {log}")


def _pieces(process: "subprocess.Popen[bytes]") -> Iterator[bytes]:
    assert process.stdout is not None
    while piece := os.read(process.stdout.fileno(), 65536):
        yield piece
