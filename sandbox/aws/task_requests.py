"""What ECS answers to requests about tasks and task definitions: what it refuses, and what it repeats."""

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from ministack.core import responses
from ministack.services import ecs

from sandbox.aws import task_events, task_permissions, task_runs, task_settings

KEPT_S = 3600.0
"""How long a stopped task is shown."""
TOKEN_S = 24 * 3600.0
"""How long a ``clientToken`` is known."""

NO_CAPACITY = (
    "Capacity is unavailable at this time. Please try again later or in a different availability zone"
)
SPOT = "FARGATE_SPOT"

Answer = tuple[int, dict[str, str], bytes]

_MEMORY = {256: (512, 1024, 2048), 512: range(1024, 4097, 1024), 1024: range(2048, 8193, 1024),
           2048: range(4096, 16385, 1024), 4096: range(8192, 30721, 1024), 8192: range(16384, 61441, 4096),
           16384: range(32768, 122881, 8192)}  # fmt: skip
"""Memory (MiB) that Fargate has for each number of CPU units."""

kept: dict[str, Any] = {"tokens": {}, "spot": True}
"""What is saved beside ministack's own state: answers by client token, and whether there is Spot capacity."""


def refuse(kind: str, message: str, extra: dict[str, Any] | None = None) -> Answer:
    answer: Answer = responses.error_response_json(kind, message, 400, extra)
    return answer


def definition_problem(data: dict[str, Any]) -> Answer | None:
    """Why Fargate doesn't take a task definition; None when it does."""
    for role in task_permissions.roles_of(data, {}):
        if role and (denied := task_permissions.passing_denial(role)):
            return refuse("AccessDeniedException", denied)
    if "FARGATE" not in data.get("requiresCompatibilities", []):
        return None
    if data.get("networkMode", "awsvpc") != "awsvpc":
        return refuse("ClientException", "Networking mode must be awsvpc for Fargate tasks.")
    for name in ("cpu", "memory"):
        if not data.get(name):
            return refuse("ClientException", f"Fargate requires that '{name}' be defined at the task level.")
    cpu, memory = (task_settings.amount(data[name], 1024) for name in ("cpu", "memory"))
    if memory not in _MEMORY.get(cpu, ()):
        return refuse("ClientException", "No Fargate configuration exists for given values.")
    for one in data.get("containerDefinitions", []):
        driver = (one.get("logConfiguration") or {}).get("logDriver")
        needs = "secrets" if one.get("secrets") else "log driver awslogs" if driver == "awslogs" else ""
        if needs and not data.get("executionRoleArn"):
            message = f"Fargate requires task definition to have execution role ARN to support {needs}."
            return refuse("ClientException", message)
    return None


def _run_problem(data: dict[str, Any]) -> Answer | None:
    """Why a task isn't run; None when it is."""
    definition = ecs._task_defs.get(ecs._resolve_td_key(data.get("taskDefinition", "")))
    if definition is None:
        return None  # ministack's own answer says so
    if definition["status"] != "ACTIVE":
        return refuse("ClientException", "TaskDefinition is inactive")
    overrides = data.get("overrides") or {}
    names = {one["name"] for one in definition["containerDefinitions"]}
    for one in overrides.get("containerOverrides") or []:
        if one.get("name") not in names:
            name = one.get("name")
            message = f"Override for container named {name} is not a container in the TaskDefinition."
            return refuse("InvalidParameterException", message)
    if definition["networkMode"] == "awsvpc" and not ecs._requested_subnet(data):
        message = "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        return refuse("InvalidParameterException", message)
    if denied := task_permissions.start_denial(data):
        return refuse("AccessDeniedException", denied)
    for role in task_permissions.roles_of(definition, overrides):
        if role and not task_permissions.assumable(role):
            return refuse("ClientException", task_permissions.not_assumable(role))
    return None


def placement_problem(data: dict[str, Any]) -> Answer | None:
    """Why a task or a service can't be placed in its cluster; None when it can."""
    cluster = ecs._clusters.get(ecs._resolve_cluster_name(data.get("cluster", "default")))
    if cluster is None:
        return refuse("ClusterNotFoundException", "Cluster not found.")
    for item in data.get("capacityProviderStrategy") or []:
        if item.get("capacityProvider") not in cluster["capacityProviders"]:
            message = (
                "The specified capacity provider strategy cannot contain a capacity provider that is not"
                " associated with the cluster."
            )
            return refuse("InvalidParameterException", message)
    return None


def run_task(data: dict[str, Any]) -> Answer:
    """``RunTask``: what may run is run, once for each client token."""
    data = {key: value for key, value in data.items() if not key.startswith("_")}
    token = data.get("clientToken")
    with task_runs.launching:
        cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
        key = f"{_scope(cluster)}{token}"
        definition = ecs._resolve_td_key(data.get("taskDefinition", ""))
        asked = {**data, "cluster": cluster, "taskDefinition": definition}
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        for old in [one for one, known in kept["tokens"].items() if time.time() - known["at"] > TOKEN_S]:
            del kept["tokens"][old]
        if token and (known := kept["tokens"].get(key)):
            arns = [task["taskArn"] for task in known["tasks"]]
            if known["request"] != digest:
                message = "The client token is already in use with different parameters."
                return refuse("ConflictException", message, {"resourceIds": arns})
            found = [ecs._sanitize(ecs._tasks.get(task["taskArn"]) or task) for task in known["tasks"]]
            return _answer({"tasks": found, "failures": []})
        if problem := placement_problem(data) or _run_problem(data):
            return problem
        answer: Answer = ecs._run_task(data)
        if token and answer[0] == 200:
            tasks = json.loads(answer[2])["tasks"]
            kept["tokens"][key] = {"request": digest, "tasks": tasks, "at": time.time()}
        return answer


def _scope(cluster: str) -> str:
    """What the keys of a cluster's client tokens begin with."""
    return f"{responses.get_account_id()}/{responses.get_region()}/{cluster}/"


def deletion_problem(data: dict[str, Any]) -> Answer | None:
    """Why a cluster can't be deleted; None when it can, and is.

    Tasks that are stopping are no reason here: AWS's provider for Pulumi tries again until they have stopped.
    """
    cluster = str(ecs._resolve_cluster_name(data.get("cluster", "default")))
    for key, service in ecs._services.items():
        if key.startswith(f"{cluster}/") and service["status"] == "ACTIVE":
            message = "The Cluster cannot be deleted while Services are active."
            return refuse("ClusterContainsServicesException", message)
    for task in ecs._tasks.values():
        if task["clusterArn"].endswith(f":cluster/{cluster}") and task["desiredStatus"] != "STOPPED":
            message = "The Cluster cannot be deleted while Tasks are active."
            return refuse("ClusterContainsTasksException", message)
    for token in [one for one in kept["tokens"] if one.startswith(_scope(cluster))]:
        del kept["tokens"][token]
    return None


def _answer(content: dict[str, Any]) -> Answer:
    answer: Answer = responses.json_response(content)
    return answer


def tags(data: dict[str, Any], definition: dict[str, Any]) -> list[dict[str, str]]:
    """Tags of a new task: its own, those that it gets from its definition or service, and ECS's."""
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    kind, _, name = str(data.get("group") or "").partition(":")
    service = (ecs._services.get(f"{cluster}/{name}") if kind == "service" else None) or {}
    source, managed = ({**data, **service}.get(key) for key in ("propagateTags", "enableECSManagedTags"))
    arns = {"TASK_DEFINITION": definition["taskDefinitionArn"], "SERVICE": service.get("serviceArn")}
    found = {tag["key"]: tag["value"] for tag in ecs._tags.get(arns.get(str(source))) or []}
    found |= {tag["key"]: tag["value"] for tag in data.get("tags") or []}
    if managed:
        found["aws:ecs:clusterName"] = str(cluster)
        found |= {"aws:ecs:serviceName": name} if service else {}
    return [{"key": key, "value": value} for key, value in found.items()]


def as_on_fargate(answer: Answer, definition: dict[str, Any], overrides: dict[str, Any]) -> Answer:
    """New tasks with the members that AWS gives them, in their records and in the answer."""
    given = {one["name"]: one for one in overrides.get("containerOverrides") or []}
    named = [given.get(one["name"], {"name": one["name"]}) for one in definition["containerDefinitions"]]
    tasks = []
    for shown in json.loads(answer[2])["tasks"]:
        task = ecs._tasks[shown["taskArn"]]
        task |= {
            "stopCode": None, "stoppedReason": None,
            "group": task["group"] or f"family:{definition['family']}",
            "startedBy": task["startedBy"] or None, "platformVersion": task["platformVersion"] or None,
            "cpu": overrides.get("cpu") or task["cpu"], "memory": overrides.get("memory") or task["memory"],
            "overrides": {"inferenceAcceleratorOverrides": [], **overrides, "containerOverrides": named},
        }  # fmt: skip
        for container in task["containers"]:
            container["memory"] = container["memory"] if container["memory"] != "0" else None
        if task["launchType"] == "FARGATE":
            task["containerInstanceArn"] = None
        task_events.publish(task)
        tasks.append(ecs._sanitize(task))
    return _answer({"tasks": tasks, "failures": []})


def no_capacity(task: dict[str, Any]) -> str | None:
    """Why a task gets no capacity; None when there is some."""
    return NO_CAPACITY if task.get("capacityProviderName") == SPOT and not kept["spot"] else None


def forget_old() -> None:
    """Drop the tasks that have been stopped for so long that AWS no longer shows them."""
    oldest = datetime.now(UTC) - timedelta(seconds=KEPT_S)
    for (account, region, arn), task in ecs._tasks.all_items():
        stopped = task.get("stoppedAt")
        if task.get("lastStatus") == "STOPPED" and stopped and datetime.fromisoformat(stopped) < oldest:
            ecs._tasks.pop_scoped(account, region, arn, None)


def sight_problem(data: dict[str, Any]) -> Answer | None:
    """Why the caller may not see one of the tasks after the first, which the emulator's front has checked."""
    region, account = responses.get_region(), responses.get_account_id()
    cluster = f"arn:aws:ecs:{region}:{account}:cluster/{task_permissions.cluster_name(data)}"
    for arn in task_permissions.resource_arns("DescribeTasks", data, region, account)[1:]:
        if denied := task_permissions.caller_denial("ecs:DescribeTasks", arn, {"ecs:cluster": cluster}):
            return refuse("AccessDeniedException", denied)
    return None


def stop(data: dict[str, Any], code: str) -> Answer:
    """Stop a task: answered at once, done when its containers have ended."""
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    if cluster is None or cluster not in ecs._clusters:
        return refuse("ClusterNotFoundException", "Cluster not found.")
    task = ecs._resolve_task(data.get("task", ""), cluster)
    if not task:
        return refuse("InvalidParameterException", "The referenced task was not found.")
    task_runs.begin_stop(task, data.get("reason") or "Task stopped by user", code)
    return _answer({"task": ecs._sanitize(task)})
