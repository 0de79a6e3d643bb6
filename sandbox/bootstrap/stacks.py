"""The sandbox's stacks: read from the file backend, brought up, destroyed, recovered when one broke off."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox import environment, paths
from sandbox.bootstrap import console
from sandbox.bootstrap.errors import Busy, StepFailed

_UP_TIMEOUT_S = 3600
_COMMAND_TIMEOUT_S = 120


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What the file backend holds of a stack."""

    name: str
    project: str
    updated: str | None
    """When its state was last written (UTC, ISO 8601); ``None`` for one that was never up."""
    resources: int
    pending: tuple[str, ...]
    """URNs of operations that an engine began and never finished."""


def _records() -> Path:
    return paths.pulumi_backend() / ".pulumi"


def all_stacks() -> list[Stack]:
    """Every stack of the sandbox, by name."""
    found = []
    for path in sorted((_records() / "stacks").glob("*/*.json")):
        try:
            latest = json.loads(path.read_text()).get("checkpoint", {}).get("latest") or {}
        except (OSError, ValueError):
            continue  # being written just now, or a backup
        updated = (latest.get("manifest") or {}).get("time")
        found.append(
            Stack(
                name=path.stem,
                project=path.parent.name,
                updated=str(updated)[:19] + "Z" if updated and not str(updated).startswith("0001") else None,
                resources=len(latest.get("resources") or ()),
                pending=tuple(
                    operation.get("resource", {}).get("urn", "?")
                    for operation in latest.get("pending_operations") or ()
                ),
            )
        )
    return found


def _is_engine(pid: int) -> bool:
    """Whether a process is a Pulumi engine; where that can't be known, whether it is there at all."""
    command = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            first = command.read_bytes().split(b"\0")[0]
        except OSError:
            return False
        return b"pulumi" in os.path.basename(first)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _locks(stack: str) -> Iterator[Path]:
    yield from (_records() / "locks").glob(f"organization/*/{stack}/*.json")


def dead_locks(stack: str) -> list[Path]:
    """Locks of engines that are gone.

    Raises:
        Busy: an engine is at work on the stack.
    """
    dead = []
    for path in _locks(stack):
        try:
            holder = json.loads(path.read_text())
            pid, host = int(holder["pid"]), str(holder["hostname"])
        except (OSError, ValueError, KeyError, TypeError):
            dead.append(path)
            continue
        if host != socket.gethostname() or _is_engine(pid):
            raise Busy(
                f"stack {stack} is in use by process {pid} on {host} (since {holder.get('timestamp')}): "
                f"wait for it, or when it hangs: `pulumi cancel --yes --stack {stack}`"
            )
        dead.append(path)
    return dead


def pulumi(*arguments: str) -> str:
    """Run a short engine command in the repository and return its output.

    Raises:
        StepFailed: it failed; with what it said.
    """
    command = [str(paths.engine_bin() / "pulumi"), *arguments, "--non-interactive"]
    try:
        answer = subprocess.run(
            command, cwd=paths.ROOT, env=environment.process_environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise StepFailed(f"`pulumi {' '.join(arguments)}` took longer than {_COMMAND_TIMEOUT_S} s") from error
    if answer.returncode:
        said = "\n    ".join((answer.stderr.strip() or answer.stdout.strip()).splitlines()[-8:])
        raise StepFailed(
            f"`pulumi {' '.join(arguments)}` failed (exit code {answer.returncode}):\n    {said}"
        )
    return answer.stdout


def _stream(step: str, arguments: Sequence[str], timeout_s: float) -> None:
    console.stream(
        [str(paths.engine_bin() / "pulumi"), *arguments, "--non-interactive",
         "--color", "always" if sys.stderr.isatty() else "never"],
        step=step, timeout_s=timeout_s, env=environment.process_environment(), output=sys.stderr,
    )  # fmt: skip


def recover(stack: str) -> None:
    """Clear what an engine that was killed left behind: its lock, and operations it never finished.

    Raises:
        Busy: an engine is at work on the stack.
    """
    if dead_locks(stack):
        pulumi("cancel", "--yes", "--stack", stack)
        console.say(f"✓ stack {stack}: freed the lock of an engine that was killed")
    pending = next((found.pending for found in all_stacks() if found.name == stack), ())
    if pending:
        console.say(f"… stack {stack}: {len(pending)} operation(s) broke off; looking what became of them")
        # Forgets the creations: the provider kept notes of those it began, and adopts what it finds.
        _stream(
            f"{stack}-refresh",
            ["refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--stack", stack],
            _UP_TIMEOUT_S,
        )


def up(stack: str) -> None:
    """Make the stack when there is none, recover it when need be, and bring it up."""
    paths.pulumi_backend().mkdir(parents=True, exist_ok=True)
    pulumi("stack", "select", "--create", stack)
    recover(stack)
    _stream(f"{stack}-up", ["up", "--yes", "--skip-preview", "--stack", stack], _UP_TIMEOUT_S)


def destroy(stack: str) -> None:
    """Destroy what the stack holds and remove the stack; its settings file stays."""
    recover(stack)
    _stream(f"{stack}-destroy", ["destroy", "--yes", "--skip-preview", "--stack", stack], _UP_TIMEOUT_S)
    pulumi("stack", "rm", "--yes", "--preserve-config", "--stack", stack)
