"""What is changed in ministack's process about functions: their bounds, their logs and their errors.

See ``adjustments``: each function is one adjustment, its docstring is the reason.
"""

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker.errors
import docker.types

from sandbox.aws.patching import module, replace

logger = logging.getLogger("benchtop.aws")

LAMBDA_USER = "993:990"
"""User and group of a function's process; on AWS neither is root nor known to the image."""

_CODE_REFERENCE = re.compile(r'"code_blob_ref": "([0-9a-f]{64})"')

PENDING_S = 0.05
LOG_PAGE = 10_000
"""Most events in a page of ``FilterLogEvents``, as on AWS."""
LOG_PAUSE_S = 0.03
LOG_S = 10.0
"""A function's output is read again after the pause until nothing is added, at most this long."""

_PEAK_FILES = (
    "/sys/fs/cgroup/memory/docker/{id}/memory.max_usage_in_bytes",
    "/sys/fs/cgroup/system.slice/docker-{id}.scope/memory.peak",
    "/sys/fs/cgroup/docker/{id}/memory.peak",
)


def functions_live_as_on_lambda() -> None:
    """Containers of functions have Lambda's bounds: the memory set, a root file system that can't be written
    (only ``/tmp`` can), an unprivileged user.

    What passes here should run there; with ministack's defaults a function may take all memory of the
    machine, write anywhere and be root. ``/tmp`` is not bounded: Docker can't bound a volume.
    """

    def flags(_original: Callable[..., Any]) -> Callable[..., Any]:
        def of_lambda(_flags: str) -> dict[str, Any]:
            scratch = docker.types.Mount("/tmp", None, type="volume")
            return {"read_only": True, "user": LAMBDA_USER, "mounts": [scratch]}

        return of_lambda

    def spawn(original: Callable[..., Any]) -> Callable[..., Any]:
        def bounded(config: dict[str, Any], *arguments: Any, **named: Any) -> Any:
            container, folder = original(config, *arguments, **named)
            memory = f"{config.get('MemorySize', 128)}m"
            try:
                container.update(mem_limit=memory, memswap_limit=memory)
            except docker.errors.APIError as error:
                logger.warning("%s runs without a memory bound: %s", config.get("FunctionName"), error)
            return container, folder

        return bounded

    replace("services.lambda_svc", "_parse_docker_flags", flags)
    replace("services.lambda_svc", "_spawn_lambda_container", spawn)


def memory_without_waiting() -> None:
    """The memory in a function's REPORT line is read from its control group.

    Ministack asks Docker for statistics, and Docker answers once a second: warm calls took a second more.
    """

    def peak(_original: Callable[..., Any]) -> Callable[..., Any]:
        def from_control_group(func: dict[str, Any]) -> int:
            lambda_svc = module("services.lambda_svc")
            config = func.get("config") or func
            key = lambda_svc._warm_pool_key(config.get("FunctionName", ""), config)
            pool = lambda_svc._warm_pool.get(key) or []
            name = pool[-1]["container"].id if pool else ""
            for pattern in _PEAK_FILES if name else ():
                try:
                    return int(Path(pattern.format(id=name)).read_text()) >> 20
                except (OSError, ValueError):
                    continue
            return 0

        return from_control_group

    replace("services.lambda_svc", "_probe_peak_memory_mb", peak)


def whole_logs() -> None:
    """A function's log holds all that it printed.

    Ministack reads a container's output as soon as the function has answered; Docker, which takes the output
    from a pipe, may not have the end yet, and with it go the last lines: of an error, the ones that matter.
    """

    def call(original: Callable[..., Any]) -> Callable[..., Any]:
        def and_wait(container: Any, event: Any, timeout: int, request_id: str) -> Any:
            began = time.time()
            result = original(container, event, timeout, request_id)
            deadline = time.monotonic() + LOG_S
            while isinstance(result.get("log"), str) and time.monotonic() < deadline:
                time.sleep(LOG_PAUSE_S)
                try:
                    text = (
                        container.logs(stdout=True, stderr=True, since=began).decode(errors="replace").strip()
                    )
                except docker.errors.APIError:
                    break  # the container is gone: what was read is what there is
                if text == result["log"]:
                    break
                result["log"] = text
            return result

        return and_wait

    replace("services.lambda_svc", "_invoke_rie", call)


def errors_by_their_type() -> None:
    """An exception of a zip function is reported by its class, with its stack trace.

    Ministack calls every one ``Runtime.HandlerError``, which no Retry or Catch of a state machine names.
    """

    def run(original: Callable[..., Any]) -> Callable[..., Any]:
        def named(func: Any, event: Any, request_id: str) -> Any:
            result = original(func, event, request_id)
            body = result.get("body")
            if (
                result.get("error")
                and isinstance(body, dict)
                and body.get("errorType") == "Runtime.HandlerError"
            ):
                found = exception_in(str(result.get("log", "")))
                if found:
                    body["errorType"], body["stackTrace"] = found
            return result

        return named

    replace("services.lambda_svc", "_execute_function_warm", run)


def exception_in(log: str) -> tuple[str, list[str]] | None:
    """Class and stack of the last Python traceback in a text, None when it holds none."""
    _before, header, after = log.rpartition("Traceback (most recent call last):\n")
    stack: list[str] = []
    for line in after.splitlines() if header else ():
        if not line.startswith(" "):
            return line.partition(":")[0].rsplit(".", 1)[-1], stack
        stack.append(line)
    return None


def code_outlives_a_kill() -> None:
    """The code of a zip function is deleted only when the saved state no longer names it.

    Ministack deletes code that the state to be saved doesn't name, then writes that state: killed in between,
    it comes back with functions that have no code.
    """

    def prune(original: Callable[..., Any]) -> Callable[..., Any]:
        def after_saving(referenced: set[str]) -> Any:
            saved = Path(module("core.persistence").STATE_DIR) / "lambda.json"
            named = _CODE_REFERENCE.findall(saved.read_text()) if saved.exists() else []
            return original(referenced | set(named))

        return after_saving

    replace("services.lambda_svc", "_prune_orphan_code_blobs", prune)


def logs_in_pages() -> None:
    """``FilterLogEvents`` gives a token for more, as AWS does, and not only the first 10,000 events."""

    def search(original: Callable[..., Any]) -> Callable[..., Any]:
        def paged(data: dict[str, Any]) -> Any:
            logs = module("services.cloudwatch_logs")
            token, limit = (
                str(data.get("nextToken") or "0"),
                min(int(data.get("limit") or LOG_PAGE), LOG_PAGE),
            )
            if not token.isdigit():
                message = "The specified nextToken is invalid."
                return module("core.responses").error_response_json("InvalidParameterException", message, 400)
            group = logs._log_groups.get(logs._resolve_log_group_name(data))
            if group is None:
                return original(data)
            matches = logs._compile_filter_pattern(data.get("filterPattern", ""))
            first, end = data.get("startTime") or 0, data.get("endTime")
            names = data.get("logStreamNames") or [
                name for name in group["streams"] if name.startswith(data.get("logStreamNamePrefix") or "")
            ]
            found = [
                {**event, "logStreamName": name}
                for name in names
                for event in group["streams"].get(name, {}).get("events", ())
                if event["timestamp"] >= first and (end is None or event["timestamp"] <= end)
                if matches(event.get("message", ""))
            ]
            found.sort(key=lambda event: (event["timestamp"], event.get("ingestionTime", 0)))
            page = found[int(token) : int(token) + limit]
            answer: dict[str, Any] = {"events": page, "searchedLogStreams": []}
            if int(token) + limit < len(found):
                answer["nextToken"] = str(int(token) + limit)
            return module("core.responses").json_response(answer)

        return paged

    replace("services.cloudwatch_logs", "_filter_log_events", search)


def ready_at_once() -> None:
    """A new or changed function is ``Pending`` for a moment only.

    Ministack lets half a second pass, which nobody learns from and each function of a deployment waits for.
    """

    def schedule(original: Callable[..., Any]) -> Callable[..., Any]:
        def soon(name: str, delay: float, *more: Any, **named: Any) -> Any:
            return original(name, min(delay, PENDING_S), *more, **named)

        return soon

    replace("services.lambda_svc", "_schedule_state_transition", schedule)


def apply() -> None:
    """Make these adjustments, before the first request."""
    functions_live_as_on_lambda()
    memory_without_waiting()
    whole_logs()
    errors_by_their_type()
    code_outlives_a_kill()
    logs_in_pages()
    ready_at_once()
