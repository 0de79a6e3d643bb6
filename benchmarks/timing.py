"""Timed commands, and what is said about repeated ones."""

import os
import resource
import signal
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class CommandError(RuntimeError):
    """A command failed or took too long; the message ends with its last lines."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One run of one command."""

    seconds: float
    """Wall clock."""
    cpu_seconds: float
    """User and system time of the command and of those of its children that were waited for."""
    output: str
    """Standard output and standard error together."""


def run(
    command: Sequence[str | Path], *, environment: Mapping[str, str], folder: Path, timeout_s: float
) -> Timing:
    """Run ``command`` in ``folder`` and time it.

    Raises `CommandError` when it can't be started, ends with another exit code than 0, or is still running
    after ``timeout_s`` seconds: then it and its children are ended.
    """
    words = [str(word) for word in command]
    shown = " ".join(words)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    try:
        process = subprocess.Popen(
            words,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(f"{shown}: {error}") from error
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        output = _end(process)
        raise CommandError(f"{shown}: no end after {timeout_s:.0f} s\n{_last_lines(output)}") from None
    except BaseException:  # Ctrl-C: the command has a session of its own and would outlive us
        _end(process)
        raise
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 0:
        raise CommandError(f"{shown}: exit code {process.returncode}\n{_last_lines(output)}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timing(seconds=seconds, cpu_seconds=cpu, output=output)


def _end(process: "subprocess.Popen[str]") -> str:
    """End the process and everything in its session; give what it had printed."""
    for stop in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, stop)
            output, _ = process.communicate(timeout=10)
        except ProcessLookupError:
            return ""
        except subprocess.TimeoutExpired:
            continue
        return output
    return ""


def _last_lines(output: str, lines: int = 15) -> str:
    return "\n".join(output.strip().splitlines()[-lines:])


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median, smallest and largest of repeated measurements, in seconds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Raises ``ValueError`` when there is nothing to summarise."""
        if not values:
            raise ValueError("no measurements to summarise")
        return cls(median=statistics.median(values), low=min(values), high=max(values))

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.low:.1f}-{self.high:.1f})"
