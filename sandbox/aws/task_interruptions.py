"""The emulator's side of ``interruptions``: behind paths that answer this host only, and who has its key."""

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ministack.core import responses
from ministack.services import ecs

from sandbox.aws import task_requests, task_runs, task_settings
from sandbox.aws.interruptions import INTERRUPT_PATH, KEY_HEADER, SPOT_PATH

REASON = "Your Spot Task was interrupted."
LARGEST_BODY = 10_000

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Refused(Exception):
    """It can't be done; the message is one line for the operator."""


def find(name: str) -> dict[str, Any]:
    """A task by its ARN, its id, or the beginning of its id.

    Raises:
        Refused: there is none, or several.
    """
    wanted = name.strip()
    found: list[dict[str, Any]] = [
        task for _key, task in ecs._tasks.all_items()
        if wanted and (task["taskArn"] == wanted or task["taskArn"].rsplit("/", 1)[-1].startswith(wanted))
    ]  # fmt: skip
    alive = [task for task in found if task["lastStatus"] != "STOPPED"]
    chosen = alive or found
    if len(chosen) != 1:
        many = f"{len(chosen)} tasks begin with {wanted!r}; give more of the id"
        raise Refused(many if chosen else f"there is no task {wanted!r} in this sandbox")
    return chosen[0]


def interrupt(name: str, notice: float, silent: bool) -> dict[str, Any]:
    """Take a Spot task's capacity back, or lose a task; see ``interruptions.interrupt``.

    Raises:
        Refused: there is no such task, it doesn't run on Spot capacity, or it is stopping already.
    """
    if not 0 <= notice <= task_settings.LONGEST_STOP_S:
        limit = task_settings.LONGEST_STOP_S
        raise Refused(f"a notice of {notice:g} s can't be given; allowed are 0 to {limit} s")
    task = find(name)
    arn, run = task["taskArn"], task_runs.runs.get(task["taskArn"])
    if task["lastStatus"] == "STOPPED" or (task["desiredStatus"] == "STOPPED" and not silent):
        raise Refused(f"task {arn} has stopped or is stopping: {task.get('stoppedReason')}")
    region, account = arn.split(":")[3:5]
    with responses.request_scope(account, region):
        if silent:
            _lose(task, run)
            return {"task": arn, "killed_within_s": 0.0, "silent": True}
        if task.get("capacityProviderName") != task_requests.SPOT:
            where = task.get("capacityProviderName") or task.get("launchType")
            raise Refused(f"task {arn} runs on {where}; only tasks on {task_requests.SPOT} are interrupted")
        scale = notice / task_settings.LONGEST_STOP_S
        longest = task_settings.STOP_TIMEOUT_S * 1.0
        if run is not None:
            run.stop_scale = scale
            longest = max(task_settings.stop_seconds(one) for one in run.definition["containerDefinitions"])
        if not task_runs.begin_stop(task, REASON, "SpotInterruption"):
            raise Refused(f"task {arn} is stopping already")
    return {"task": arn, "killed_within_s": round(longest * scale, 1), "silent": False}


def _lose(task: dict[str, Any], run: task_runs.Run | None) -> None:
    ecs._tasks.pop(task["taskArn"], None)
    if run is not None:
        run.stop_scale = 0.0
        run.wake()


def spot(available: bool) -> dict[str, Any]:
    """Say whether there is Spot capacity for tasks that start from now on."""
    task_requests.kept["spot"] = available
    return {"spot": "on" if available else "off"}


def from_this_host(scope: Scope) -> bool:
    """Whether a request came over loopback: containers come over the bridge."""
    client = scope.get("client") or ("",)
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


def application(key: str) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The ASGI application behind the two paths; ``key`` is the secret of this sandbox's settings."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        from sandbox.aws.server import answer_json

        given = dict(scope["headers"]).get(KEY_HEADER.encode(), b"")
        if not from_this_host(scope) or not hmac.compare_digest(given, key.encode()):
            message = f"{scope['path']} answers the sandbox's own commands only"
            await answer_json(send, 403, {"message": message})
            return
        if scope["method"] != "POST" or scope["path"] not in (INTERRUPT_PATH, SPOT_PATH):
            await answer_json(send, 404, {"message": f"there is no {scope['method']} {scope['path']}"})
            return
        body, more = b"", True
        while more and len(body) <= LARGEST_BODY:
            part = await receive()
            body, more = body + part.get("body", b""), bool(part.get("more_body"))
        try:
            asked = json.loads(body)
            if scope["path"] == SPOT_PATH:
                done = spot(bool(asked["available"]))
            else:
                done = await asyncio.to_thread(
                    interrupt, str(asked["task"]), float(asked["notice"]), bool(asked["silent"])
                )
        except Refused as error:
            await answer_json(send, 409, {"message": str(error)})
        except (ValueError, KeyError, TypeError) as error:
            await answer_json(send, 400, {"message": f"{type(error).__name__}: {error}"})
        else:
            await answer_json(send, 200, done)

    return answer
