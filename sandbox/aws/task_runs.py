"""The life of a task: from its registration by ``RunTask`` to ``STOPPED``, all told to EventBridge."""

import logging
import threading
import time
from typing import Any

from ministack.core import responses
from ministack.core.concurrency import resource_lock
from ministack.services import ecs, ecs_metadata

from sandbox.aws import task_containers, task_events, task_permissions, task_settings
from sandbox.aws.task_settings import CannotStart

logger = logging.getLogger("benchtop.aws")

EXITED = "Essential container in task exited"
FAILED_TO_START = "TaskFailedToStart"
_HEALTH_S = 1.0
_START_S = 120.0
"""How long a container may take to fulfil what another waits for, without ``startTimeout``."""

launching = threading.RLock()
"""Held while a task is registered: its first event goes out before its containers start."""
leaving = threading.Event()
"""Set when the emulator ends: containers that end now are no failures of their tasks."""
runs: dict[str, "Run"] = {}


def begin_stop(task: dict[str, Any], reason: str, code: str) -> bool:
    """Say why a task stops, and that it does; False when it is gone, stops already, or the emulator ends."""
    arn = task["taskArn"]
    with resource_lock("ecs-task", arn):
        if leaving.is_set() or not ecs._task_is_active(arn, task):
            return False
        ecs._bump_task_version(task)
        task |= {"desiredStatus": "STOPPED", "stoppingAt": responses.now_iso(), "stoppedReason": reason,
                 "stopCode": code}  # fmt: skip
        task_events.publish(task)
        task["lastStatus"] = "DEACTIVATING"
    ecs_metadata.set_task_status(arn, desired_status="STOPPED")
    _recount(task)
    if run := runs.get(arn):
        run.wake()
    return True


def finish(task: dict[str, Any]) -> None:
    """The last states of a task whose containers have ended."""
    arn = task["taskArn"]
    with resource_lock("ecs-task", arn):
        if ecs._tasks.get(arn) is not task or task["lastStatus"] == "STOPPED":
            return
        now = responses.now_iso()
        task["executionStoppedAt"] = now
        for container in task["containers"]:
            container["lastStatus"] = "STOPPED"
        for status in ("DEPROVISIONING", "STOPPED"):
            ecs._bump_task_version(task)
            task["lastStatus"] = status
            if status == "STOPPED":
                task["stoppedAt"] = responses.now_iso()
            task_events.publish(task)
    ecs_metadata.set_task_status(arn, known_status="STOPPED", desired_status="STOPPED")
    _recount(task)


def _recount(task: dict[str, Any]) -> None:
    cluster = ecs._cluster_name_from_arn(task["clusterArn"])
    ecs._recount_cluster(cluster)
    ecs._refresh_service_state(cluster, task.get("group", ""))


class Run:
    """What the emulator knows of a task beside its record: its containers, and how they are to be stopped."""

    def __init__(self, task: dict[str, Any], definition: dict[str, Any],
                 overrides: list[dict[str, Any]]) -> None:  # fmt: skip
        self.task, self.definition = task, definition
        self.overrides = {one.get("name"): one for one in overrides}
        self.id = task["taskArn"].rsplit("/", 1)[-1]
        self.containers: dict[str, task_containers.Running] = {}
        self.changed = threading.Condition()
        self.credentials: dict[str, str] = {}
        self.stop_scale = 1.0
        """What of ``stopTimeout`` is waited: less when an interruption's two minutes are played faster."""

    def wake(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def active(self) -> bool:
        return bool(ecs._task_is_active(self.task["taskArn"], self.task))

    def start(self) -> None:
        """Start the containers, in their order.

        Raises:
            CannotStart: one can't be started.
        """
        role, execution = task_permissions.roles_of(self.definition, self.task.get("overrides") or {})
        for arn in (role, execution):
            if arn and not task_permissions.assumable(arn):
                raise CannotStart(task_permissions.not_assumable(arn))
        definitions = task_settings.in_order(self.definition["containerDefinitions"])
        logs, environments = {}, {}
        if role:
            self.credentials = task_permissions.credentials(role, self.id)
        for one in definitions:
            name = one["name"]
            task_settings.check_image(one["image"], execution)
            logs[name] = task_settings.check_log(one, self.id, execution)
            environments[name] = task_settings.environment(
                one, self.overrides.get(name, {}), execution, self.credentials
            )
        for one in definitions:
            task_containers.image_at_hand(one["image"])
        for one in definitions:
            self._await_needs(one)
            if not self.active():
                return
            self._start_one(one, environments[one["name"]], logs[one["name"]])

    def _await_needs(self, definition: dict[str, Any]) -> None:
        deadline = time.monotonic() + float(definition.get("startTimeout") or _START_S)
        for need in definition.get("dependsOn") or []:
            other, condition = self.containers[need["containerName"]], need["condition"]
            while self.active() and not _fulfilled(other, condition):
                if time.monotonic() > deadline or (other.exited.is_set() and condition != "COMPLETE"):
                    needs = f"{definition['name']} needs {other.name} to be {condition}"
                    raise CannotStart(f"ResourceInitializationError: {needs}, which it did not become")
                with self.changed:
                    self.changed.wait(0.2)

    def _start_one(self, definition: dict[str, Any], environment: dict[str, str],
                   log: dict[str, Any] | None) -> None:  # fmt: skip
        name, task = definition["name"], self.task
        override = self.overrides.get(name, {})
        options = {
            **task_settings.options(definition, override, task),
            **task_settings.limits(definition, override, task, task_containers.cores()),
            "volumes": task_settings.mounts(definition, self.definition, self.id),
        }
        token = ecs._register_metadata(
            task["taskArn"], task["clusterArn"], self.definition, definition, task["launchType"],
            dict(environment), False, task_settings.host(),
        )  # fmt: skip
        task.setdefault("_metadata_tokens", []).append(token)
        endpoint = environment["AWS_ENDPOINT_URL"]
        options["environment"] = {**environment, "ECS_CONTAINER_METADATA_URI_V4": f"{endpoint}/v4/{token}"}
        alive = [one for one in self.containers.values() if not one.exited.is_set()]
        owner = next((one for one in alive if one.essential), None)
        if owner is not None:
            # The containers of a task are at home on one localhost, as with awsvpc.
            options["network_mode"] = f"container:{owner.id}"
        elif task_settings.host() == "host.docker.internal":
            options["extra_hosts"] = {"host.docker.internal": "host-gateway"}
        lines = task_containers.Lines(log, responses.get_account_id())
        started = task_containers.Running(definition, definition["image"], options, lines, self.changed)
        self.containers[name] = started
        with resource_lock("ecs-task", task["taskArn"]):
            task.setdefault("_docker_ids", []).append(started.id)
            shown = self.shown(name)
            shown |= {"runtimeId": started.id[:12], "lastStatus": "RUNNING"}
            if "@" in definition["image"]:
                shown["imageDigest"] = definition["image"].partition("@")[2]
        ecs_metadata.set_docker_id(token, started.id)
        ecs_metadata.set_container_status(token, "RUNNING")
        if owner is None and started.essential:
            self._attach(started)

    def _attach(self, owner: task_containers.Running) -> None:
        """Give the task its network interface: that of the container whose network the others share."""
        address = owner.address()
        if not address:
            return
        details = {"subnetId": self.task.get("_subnet"), "privateIPv4Address": address}
        attachment = {
            "id": responses.new_uuid(), "type": "ElasticNetworkInterface", "status": "ATTACHED",
            "details": [{"name": key, "value": value} for key, value in details.items() if value],
        }  # fmt: skip
        with resource_lock("ecs-task", self.task["taskArn"]):
            self.task["_container_ip"] = address
            if self.task.get("_network_mode") == "awsvpc":
                self.task["attachments"] = [attachment]
                for container in self.task["containers"]:
                    interface = {"attachmentId": attachment["id"], "privateIpv4Address": address}
                    container["networkInterfaces"] = [interface]

    def shown(self, name: str) -> dict[str, Any]:
        """The record of a container, as ``DescribeTasks`` shows it."""
        found: dict[str, Any] = next(one for one in self.task["containers"] if one["name"] == name)
        return found

    def watch(self) -> None:
        """Return when the task is told to stop, or by itself has to; that is then said."""
        checked = any(one.definition.get("healthCheck") for one in self.containers.values())
        while self.active() and not leaving.is_set():
            with self.changed:
                ended = [one for one in self.containers.values() if one.exited.is_set()]
                if not self._must_end(ended) and not self._show_ended(ended) and self.active():
                    self.changed.wait(_HEALTH_S if checked else 30.0)
            if self._must_end(ended):
                self._show_ended(ended, quietly=True)
                begin_stop(self.task, EXITED, "EssentialContainerExited")
            elif checked and self._unhealthy():
                begin_stop(self.task, "Task failed container health checks", "ServiceSchedulerInitiated")

    def _must_end(self, ended: list[task_containers.Running]) -> bool:
        return any(one.essential for one in ended) or len(ended) == len(self.containers)

    def _show_ended(self, ended: list[task_containers.Running], quietly: bool = False) -> bool:
        """Show containers that have ended in the task's record; True when one was not known to have."""
        news = False
        for one in ended:
            shown = self.shown(one.name)
            if shown["lastStatus"] != "STOPPED":
                news = True
                code = {"exitCode": one.exit_code} if one.exit_code is not None else {}
                shown |= {"lastStatus": "STOPPED", **code, **({"reason": one.reason} if one.reason else {})}
        if news and not quietly:
            with resource_lock("ecs-task", self.task["taskArn"]):
                ecs._bump_task_version(self.task)
                task_events.publish(self.task)
        return news

    def _unhealthy(self) -> bool:
        """Note what the health checks say; True when ECS's scheduler would replace the task."""
        states = []
        for one in self.containers.values():
            state = self.shown(one.name)["healthStatus"] = one.health()
            if one.essential and one.definition.get("healthCheck"):
                states.append(state)
        worst = next((state for state in ("UNHEALTHY", "UNKNOWN") if state in states), "HEALTHY")
        self.task["healthStatus"] = worst
        return worst == "UNHEALTHY" and str(self.task.get("group")).startswith("service:")

    def end(self) -> None:
        """Stop and remove what runs."""
        stopping = []
        for one in self.containers.values():
            seconds = task_settings.stop_seconds(one.definition) * self.stop_scale
            stopping.append(threading.Thread(target=one.stop, args=(seconds,), daemon=True))
            stopping[-1].start()
        for thread in stopping:
            thread.join()
        self._show_ended(list(self.containers.values()), quietly=True)
        for token in self.task.pop("_metadata_tokens", []):
            ecs_metadata.unregister_token(token)
        task_permissions.forget(self.credentials)

    def remove(self) -> None:
        for one in reversed(self.containers.values()):
            one.remove()
        self.task["_docker_ids"] = []
        if self.definition.get("volumes"):
            task_containers.remove_volumes(f"benchtop-{self.id}-")


def _fulfilled(container: task_containers.Running, condition: str) -> bool:
    if condition == "HEALTHY":
        return container.health() == "HEALTHY"
    if condition in ("COMPLETE", "SUCCESS"):
        return container.exited.is_set() and (condition == "COMPLETE" or container.exit_code == 0)
    return True


def live(run: Run, no_capacity: str | None) -> None:
    """A task's whole life; ``no_capacity`` is why it can't have any."""
    task, arn = run.task, run.task["taskArn"]
    with launching:
        runs[arn] = run
    try:
        if no_capacity:
            begin_stop(task, no_capacity, FAILED_TO_START)
        elif ecs._mark_task_pending(arn, task) and ecs._mark_task_activating(arn, task):
            run.start()
            if ecs._mark_task_running(arn, task):
                _settle(task)
                run.watch()
    except CannotStart as error:
        begin_stop(task, str(error), FAILED_TO_START)
    except Exception as error:
        logger.exception("task %s failed in the emulator", run.id)
        begin_stop(task, f"ResourceInitializationError: {error}", FAILED_TO_START)
    if leaving.is_set():
        return
    try:
        run.end()
    finally:
        finish(task)
        runs.pop(arn, None)
        run.remove()


def _settle(task: dict[str, Any]) -> None:
    """Let a service's deployment be complete when this task has run for a moment."""
    key = service_key(task)
    if key:
        cluster = key.partition("/")[0]
        ecs._schedule_service_deployment_completion(
            cluster, key, responses.get_account_id(), responses.get_region(), healthy_task=task
        )


def service_key(task: dict[str, Any]) -> str:
    """The key of the service whose task this is; empty for a task of its own."""
    kind, _, name = str(task.get("group") or "").partition(":")
    cluster = ecs._cluster_name_from_arn(task["clusterArn"])
    return f"{cluster}/{name}" if kind == "service" and cluster else ""
