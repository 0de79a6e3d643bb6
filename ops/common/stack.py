"""What a stack holds, asked of the engine each time and never cached, and deployments of a part of it.

Outputs come from ``pulumi stack output`` (one engine start, 0.4 s); deployments go through the
Automation API on the repository's own program, so that nothing is changed behind Pulumi's back.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ops.common.errors import ExitCode, OpsError, invalid, not_found
from ops.common.sessions import is_sandbox

ROOT = Path(__file__).resolve().parents[2]
"""The repository: the folder of ``Pulumi.yaml``."""

OUTPUTS_TIMEOUT_S = 120


def outputs(stack: str, file: Path | None = None) -> dict[str, Any]:
    """The outputs of ``stack``, secrets in clear; ``file`` (JSON) takes the engine's place.

    Raises ``OpsError``: NOT_FOUND when there is no such stack or it holds nothing, UNREACHABLE when
    there is no engine or its backend doesn't answer.
    """
    if file is not None:
        return _outputs_from(file)
    text = _engine(["stack", "output", "--json", "--show-secrets", "--stack", stack], stack)
    found = json.loads(text or "{}")
    if not isinstance(found, dict) or not found:
        raise not_found(f"stack {stack} has no outputs, so nothing is deployed: {how_to_deploy(stack)}")
    return found


def how_to_deploy(stack: str) -> str:
    """The command that makes the stack."""
    system, _, environment = stack.rsplit("/", 1)[-1].rpartition("-")
    return f"`./dev up {system}`" if environment == "sandbox" else f"`pulumi up --stack {stack}`"


def state(stack: str) -> list[dict[str, Any]]:
    """The resources of the stack's state as ``pulumi stack export`` has them, secrets encrypted."""
    exported = json.loads(_engine(["stack", "export", "--stack", stack], stack))
    resources = (exported.get("deployment") or {}).get("resources") or []
    return [dict(resource) for resource in resources]


def _outputs_from(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise not_found(f"{file}: no such file of stack outputs") from error
    except ValueError as error:
        raise invalid(f"{file}: not JSON ({error})") from error
    if not isinstance(found, dict):
        raise invalid(f"{file}: must hold a JSON object of stack outputs")
    return found


def _engine(arguments: Sequence[str], stack: str) -> str:
    """Standard output of one engine command run in the repository."""
    engine = shutil.which("pulumi")
    if engine is None:
        raise OpsError(ExitCode.UNREACHABLE, "the `pulumi` command is not on PATH: `./dev up` brings it")
    try:
        done = subprocess.run(
            [engine, *arguments, "--non-interactive", "--color", "never"],
            cwd=ROOT, capture_output=True, text=True, timeout=OUTPUTS_TIMEOUT_S, check=False,
            stdin=subprocess.DEVNULL, env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise OpsError(
            ExitCode.UNREACHABLE, f"the Pulumi backend did not answer within {OUTPUTS_TIMEOUT_S} s"
        ) from error
    if done.returncode == 0:
        return done.stdout
    raise _engine_error(done.stderr or done.stdout, stack)


def _engine_error(text: str, stack: str) -> OpsError:
    """The engine's complaint in one line; its wording is part of no interface, so loosely matched."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("error:")), lines[-1] if lines else "no message")
    said = said.removeprefix("error:").strip()
    if "no stack named" in said or "not found" in said.lower():
        return not_found(
            f"stack {stack} does not exist here: {how_to_deploy(stack)}, or name another with --stack"
        )
    if "unable to open state directory" in said and is_sandbox(stack):
        return OpsError(
            ExitCode.UNREACHABLE, f"the sandbox of stack {stack} is not set up: {how_to_deploy(stack)}"
        )
    if "PULUMI_ACCESS_TOKEN" in text or "pulumi login" in text or "unable to open" in said:
        return OpsError(
            ExitCode.UNREACHABLE, f"no Pulumi backend for stack {stack} ({said}): run `pulumi login`"
        )
    if "passphrase" in said:
        return OpsError(ExitCode.REFUSED, f"the secrets of stack {stack} stay closed: {said}")
    if "the stack is currently locked" in text:
        return OpsError(
            ExitCode.REFUSED,
            f"stack {stack} is being changed by somebody else: wait, "
            f"or after a crash run `pulumi cancel --stack {stack}`",
        )
    return OpsError(ExitCode.UNEXPECTED, f"pulumi: {said}")


# --- deployments of a part -------------------------------------------------------------------------


def urns_of(resources: Sequence[Mapping[str, Any]], type_token: str, **outputs_wanted: str) -> list[str]:
    """URNs of the resources of a type whose outputs (or ``id``) have these values.

    >>> urns_of([{"urn": "u", "type": "t", "id": "i", "outputs": {"name": "f"}}], "t", name="f")
    ['u']
    """
    return [
        str(resource["urn"])
        for resource in resources
        if resource.get("type") == type_token
        and all(
            (resource.get("id") if key == "id" else (resource.get("outputs") or {}).get(key)) == value
            for key, value in outputs_wanted.items()
        )
    ]


def depends_through(resources: Sequence[Mapping[str, Any]], urn: str, property_name: str) -> list[str]:
    """URNs of the resources that a property of ``urn`` was computed from (``propertyDependencies``)."""
    for resource in resources:
        if resource.get("urn") == urn:
            found = (resource.get("propertyDependencies") or {}).get(property_name) or []
            return [str(item) for item in found]
    return []


def deploy(stack: str, targets: Sequence[str], message: str, tell: Callable[[str], None]) -> dict[str, int]:
    """Update ``targets`` and what depends on them from the repository's program.

    ``tell`` gets the engine's progress line by line. Returns the count of resources by operation
    (``{"update": 2, "same": 14}``). Raises ``OpsError`` with the engine's diagnostics as detail.
    """
    from pulumi import automation as auto  # half a second of imports that only deployments need

    diagnostics: list[str] = []

    def on_event(event: Any) -> None:
        found = event.diagnostic_event
        if found is not None and found.severity == "error":
            diagnostics.append(found.message.strip())

    try:
        selected = auto.select_stack(stack_name=stack, work_dir=str(ROOT))
        done = selected.up(
            target=list(targets), target_dependents=True, message=message, color="never",
            on_output=tell, on_event=on_event, suppress_outputs=True, show_secrets=False,
        )  # fmt: skip
    except auto.StackNotFoundError as error:
        raise not_found(f"stack {stack} does not exist here: {how_to_deploy(stack)}") from error
    except auto.ConcurrentUpdateError as error:
        raise _engine_error("error: the stack is currently locked", stack) from error
    except auto.CommandError as error:
        said = _engine_error(str(error), stack)
        detail = "\n".join(diagnostics) or str(error)
        raise OpsError(said.code, f"deploying stack {stack} failed", detail) from error
    return {str(key): int(value) for key, value in (done.summary.resource_changes or {}).items()}
