"""What is changed in ministack's process about tasks of ECS, so that they live as on Fargate.

See ``adjustments``: each function is one adjustment, its docstring is the reason.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.core.concurrency import spawn_background
from ministack.services import ecs

from sandbox.aws import task_containers, task_events, task_permissions, task_requests, task_runs
from sandbox.aws.patching import module, replace, replace_operation

Handler = Callable[[dict[str, Any]], Any]

LOST = "InfrastructureHealth", "The sandbox was stopped while the task ran."
RESTORED_S = 2.0
"""How long after a start the ends of lost tasks are told: the targets of the rules are loaded by then."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
STABLE_S = 60.0
"""A service's task that lived so long didn't fail to start: it is replaced at once."""

_services: dict[str, threading.RLock] = {}
_failures: dict[tuple[str, str], int] = {}


def tasks_are_run_by_us() -> None:
    """A task's containers are as on Fargate: credentials of its role, secrets read as its execution role, one
    network, the bounds of its definition, time to end.

    Ministack's have an address for credentials that botocore refuses, secrets read as nobody, a network each,
    no bounds, and five seconds; their ends are seen by asking Docker ten times a second.
    """

    def work(_original: Handler) -> Callable[..., Any]:
        def ours(task: Any, definition: Any, overrides: Any, _client: Any, account: str, region: str) -> None:
            with module("core.responses").request_scope(account, region):
                run = task_runs.Run(task, definition, overrides)
                began = time.monotonic()
                task_runs.live(run, task_requests.no_capacity(task))
                if not task_runs.leaving.is_set():
                    _replace_ended(task, time.monotonic() - began)

        return ours

    replace("services.ecs", "_run_task_worker", work)
    replace("services.ecs", "_maybe_mark_stopped", lambda _original: lambda *_arguments: None)
    # It asks the registry for the digests of tags; images here are named by digest, or are local.
    replace("services.ecs", "_deployment_needs_first_task", lambda _original: lambda *_arguments: False)


def _replace_ended(task: dict[str, Any], lived: float) -> None:
    """Let a service have another task for one that has ended; not at once when they keep failing."""
    key = task_runs.service_key(task)
    if not key:
        return
    if task.get("stopCode") in ("EssentialContainerExited", task_runs.FAILED_TO_START):
        tried = key, task["taskDefinitionArn"]
        _failures[tried] = 0 if lived > STABLE_S else _failures.get(tried, 0) + 1
        if _failures[tried]:
            time.sleep(min(FIRST_PAUSE_S * 2 ** (_failures[tried] - 1), LONGEST_PAUSE_S))
        ecs._record_service_task_failure(task)
    else:
        ecs._reconcile_service_tasks(key.partition("/")[0], key)


def changes_are_events() -> None:
    """Each change of a task's status is an event on the default bus, which ministack doesn't send."""

    def mark(original: Callable[..., Any]) -> Callable[..., Any]:
        def and_tell(arn: str, task: dict[str, Any]) -> Any:
            done = original(arn, task)
            if done:
                task_events.publish(task)
            return done

        return and_tell

    replace("services.ecs", "_mark_task_pending", mark)
    replace("services.ecs", "_mark_task_running", mark)


def tasks_run_once() -> None:
    """``RunTask`` honours its client token, asks whether its caller may pass the roles and ECS may assume
    them, and refuses clusters, capacity providers and overrides that aren't there; a new task has AWS's
    members.

    Ministack runs anything, makes clusters that it doesn't know, and forgets client tokens.
    """

    def run(original: Handler) -> Handler:
        def launch(data: dict[str, Any]) -> Any:
            with task_runs.launching:
                task_requests.forget_old()
                definition = ecs._task_defs.get(ecs._resolve_td_key(data.get("taskDefinition", "")))
                if problem := task_requests.placement_problem(data):
                    return problem
                tags = task_requests.tags(data, definition) if definition else []
                answer = original({**data, "tags": tags})
                if answer[0] != 200:
                    return answer
                return task_requests.as_on_fargate(answer, definition, data.get("overrides") or {})

        return launch

    replace("services.ecs", "_run_task", run)
    replace_operation("services.ecs", "RunTask", lambda _original: task_requests.run_task)

    def service(original: Handler) -> Handler:
        return lambda data: task_requests.placement_problem(data) or original(data)

    replace_operation("services.ecs", "CreateService", service)


def definitions_are_checked() -> None:
    """A task definition that Fargate wouldn't take is refused; ministack takes any."""

    def register(original: Handler) -> Handler:
        return lambda data: task_requests.definition_problem(data) or original(data)

    replace_operation("services.ecs", "RegisterTaskDefinition", register)


def stopping_takes_its_time() -> None:
    """``StopTask`` answers at once; the containers get SIGTERM, then ``stopTimeout``. The stop code tells the
    scheduler's stops from a user's.

    Ministack answers after five seconds at most, kills then, and calls every stop the user's.
    """

    def stop(code: str) -> Callable[[Handler], Handler]:
        return lambda _original: lambda data: task_requests.stop(data, code)

    replace("services.ecs", "_stop_task", stop("ServiceSchedulerInitiated"))
    replace_operation("services.ecs", "StopTask", stop("UserInitiated"))


def stopped_tasks_vanish() -> None:
    """A task is shown for an hour after its end, then ``MISSING``, to who may see each task asked for.

    Ministack shows tasks for ever, and asks for permission once a call.
    """

    def show(original: Handler) -> Handler:
        def present(data: dict[str, Any]) -> Any:
            task_requests.forget_old()
            return task_requests.sight_problem(data) or original(data)

        return present

    replace_operation("services.ecs", "DescribeTasks", show)
    replace_operation("services.ecs", "ListTasks", show)


def services_change_one_at_a_time() -> None:
    """A service's tasks are counted and replaced by one thread at a time, also when two of them end at once;
    in ministack each such thread starts what it misses. A first deployment is ``IN_PROGRESS`` until it is
    steady.
    """

    def reconcile(original: Callable[..., Any]) -> Callable[..., Any]:
        def alone(cluster: str, key: str) -> Any:
            with _services.setdefault(key, threading.RLock()):
                return None if task_runs.leaving.is_set() else original(cluster, key)

        return alone

    def deployment(original: Callable[..., Any]) -> Callable[..., Any]:
        def begun(definition: str, desired: int, *more: Any, **named: Any) -> Any:
            made = original(definition, desired, *more, **named)
            if desired:
                reason = f"ECS deployment {made['id']} in progress."
                made |= {"rolloutState": "IN_PROGRESS", "rolloutStateReason": reason}
            return made

        return begun

    replace("services.ecs", "_reconcile_service_tasks", reconcile)
    replace("services.ecs", "_make_deployment", deployment)


def clusters_are_not_deleted_in_use() -> None:
    """A cluster with services or tasks isn't deleted, and a deleted one's client tokens are forgotten.

    Ministack deletes it; the tasks live on, unseen.
    """

    def delete(original: Handler) -> Handler:
        return lambda data: task_requests.deletion_problem(data) or original(data)

    replace_operation("services.ecs", "DeleteCluster", delete)


def operations_by_name_only() -> None:
    """ECS takes calls that name their operation; ministack also paths, whose permissions it can't check."""
    refused = module("core.responses").error_response_json
    answer = refused("UnknownOperationException", "The requested operation is unknown.", 400)
    replace("services.ecs", "_dispatch_path", lambda _original: lambda *_arguments: answer)


def tasks_end_with_the_emulator() -> None:
    """When the emulator ends, its tasks do: no service replaces them then. At the next start they are
    ``STOPPED`` with a reason, which is told to EventBridge, and client tokens are still known.

    Ministack leaves them without reason or time of their end.
    """

    def reap(original: Callable[..., Any]) -> Callable[..., Any]:
        def and_leave(client: Any, stop_timeout: int = 2, include_unlabelled: bool = False) -> Any:
            if not include_unlabelled:  # with it, this is the sweep at the start
                task_runs.leaving.set()
            return original(client, stop_timeout=stop_timeout, include_unlabelled=include_unlabelled)

        return and_leave

    def state(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda: {**original(), "benchtop": task_requests.kept}

    def load(original: Callable[..., Any]) -> Callable[..., Any]:
        def and_end(data: dict[str, Any]) -> None:
            original(data)
            task_requests.kept |= (data or {}).get("benchtop") or {}
            lost = [task for _key, task in ecs._tasks.all_items() if not task.get("stoppedAt")]
            now = module("core.responses").now_iso()
            for task in lost:
                task |= {
                    "desiredStatus": "STOPPED", "stoppedAt": now, "stoppingAt": task.get("stoppingAt") or now,
                    "stopCode": task.get("stopCode") or LOST[0],
                    "stoppedReason": task.get("stoppedReason") or LOST[1],
                }  # fmt: skip
                for container in task.get("containers", []):
                    container["lastStatus"] = "STOPPED"
            spawn_background(_tell_lost, lost, thread_name="ecs-lost-tasks")

        return and_end

    replace("core.container_reaper", "reap_all", reap)
    replace("services.ecs", "get_state", state)
    replace("services.ecs", "load_persisted_state", load)


def _tell_lost(tasks: list[dict[str, Any]]) -> None:
    for task in tasks:
        task_containers.remove_volumes(f"benchtop-{task['taskArn'].rsplit('/', 1)[-1]}-")
    time.sleep(RESTORED_S)
    for task in tasks:
        task_events.publish(task)


def apply() -> None:
    """Make these adjustments, before the first request."""
    task_permissions.calls_name_their_resource()
    tasks_are_run_by_us()
    changes_are_events()
    tasks_run_once()
    definitions_are_checked()
    stopping_takes_its_time()
    stopped_tasks_vanish()
    services_change_one_at_a_time()
    clusters_are_not_deleted_in_use()
    operations_by_name_only()
    tasks_end_with_the_emulator()
