"""Do in AWS's place what only AWS can do: take Spot capacity back, lose a task, have no Spot capacity.

The commands ``python -m sandbox interrupt`` and ``spot``, and tests, call these; the running emulator does it
(``task_interruptions``).
"""

import json
import urllib.error
import urllib.request
from typing import Any

from sandbox.aws.control import SandboxError
from sandbox.environment import aws_settings

NOTICE_S = 12.0
"""Seconds that stand for the two minutes of an interruption's notice, a tenth of them."""
INTERRUPT_PATH = "/_benchtop/interrupt"
SPOT_PATH = "/_benchtop/spot"
KEY_HEADER = "x-benchtop-key"


def interrupt(task: str, *, notice_s: float | None = None, silent: bool = False) -> dict[str, Any]:
    """Interrupt a task on FARGATE_SPOT as AWS does: an event and SIGTERM now, SIGKILL after ``stopTimeout``.

    task: its ARN, its id or the beginning of that. notice_s: the seconds in which AWS's two minutes are
    played, 12 when None; ``stopTimeout`` shrinks with them. silent: the task, on whatever capacity, is lost:
    its containers are killed at once, ECS doesn't know it any more, and no event is sent.

    Returns ``task`` (its ARN), ``killed_within_s`` and ``silent``; the task stops after that.

    Raises:
        SandboxError: there is no such task, it is not on Spot capacity, or the emulator doesn't run.
    """
    notice = NOTICE_S if notice_s is None else notice_s
    return _ask(INTERRUPT_PATH, {"task": task, "notice": notice, "silent": silent})


def spot(available: bool) -> dict[str, Any]:
    """Say whether tasks on FARGATE_SPOT get capacity from now on, also after a restart of the emulator.

    Raises:
        SandboxError: the emulator doesn't run.
    """
    return _ask(SPOT_PATH, {"available": available})


def _ask(path: str, content: dict[str, Any]) -> dict[str, Any]:
    settings = aws_settings()
    headers = {"content-type": "application/json", KEY_HEADER: settings.secret_access_key}
    request = urllib.request.Request(
        f"{settings.endpoint}{path}", data=json.dumps(content).encode(), headers=headers, method="POST"
    )
    # A proxy of the user's has no business with loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        raise SandboxError(json.load(error).get("message", str(error))) from error
    except (OSError, ValueError) as error:
        hint = f"({error}); `python -m sandbox start` starts it"
        raise SandboxError(f"the AWS emulator at {settings.endpoint} did not answer {hint}") from error
