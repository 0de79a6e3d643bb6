"""Health checks of load balancers' targets, by the settings of their target group."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sandbox.aws.forwarding import TargetError, status_of
from sandbox.aws.patching import module, replace, replace_operation

logger = logging.getLogger("benchtop.aws")

TICK_S = 0.1
FIRST_S = 0.5
"""A new target is asked this often until it answers, whatever the interval: nobody waits half a minute."""

_WORDS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.Timeout": "Request timed out",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.ResponseCodeMismatch": "Health checks failed with these codes: [{detail}]",
}


@dataclass
class _Target:
    """What is known of one target. The first successful check makes a new one healthy, as on AWS, and here
    also one that failed at first: nobody waits for an application's start longer than it takes."""

    state: str = "initial"
    reason: str = "Elb.RegistrationInProgress"
    detail: str = ""
    passed: int = 0
    failed: int = 0
    due: float = 0.0
    busy: bool = False
    served: bool = False
    """Whether it was ever healthy."""

    def saw(self, reason: str, detail: str, group: dict[str, Any]) -> None:
        """Count a check: it passed when there is no reason against."""
        self.passed, self.failed = (0, self.failed + 1) if reason else (self.passed + 1, 0)
        if not reason and (not self.served or self.passed >= group["HealthyThresholdCount"]):
            self.state, self.reason, self.detail, self.served = "healthy", "", "", True
        elif reason and self.failed >= group["UnhealthyThresholdCount"]:
            self.state, self.reason, self.detail = "unhealthy", reason, detail


Key = tuple[str, str, int]
"""Target group's ARN, address and port."""


class TargetHealth:
    """The health of every registered address. ``run`` asks them; everything else may be called anywhere."""

    def __init__(self) -> None:
        self._targets: dict[Key, _Target] = {}

    @staticmethod
    def _registered() -> dict[Key, dict[str, Any]]:
        """Registered targets of groups that a listener uses, with their group."""
        alb = module("services.alb")
        groups = {key[-1]: group for key, group in list(alb._tgs._data.items())}
        actions = [
            action for holder, field in ((alb._listeners, "DefaultActions"), (alb._rules, "Actions"))
            for found in list(holder._data.values()) for action in found.get(field) or []
        ]  # fmt: skip
        used: set[str] = set()
        for action in actions:
            used.add(action.get("TargetGroupArn", ""))
            used |= {
                g.get("TargetGroupArn", "")
                for g in (action.get("ForwardConfig") or {}).get("TargetGroups") or []
            }
        return {
            (arn, target["Id"], int(target.get("Port") or groups[arn]["Port"])): groups[arn]
            for (*_scope, arn), targets in list(alb._targets._data.items())
            if arn in used and arn in groups and groups[arn].get("TargetType", "instance") != "lambda"
            for target in list(targets)
        }

    def healthy(self, group_arn: str) -> list[tuple[str, int]]:
        """Addresses and ports of a group's healthy targets."""
        alb, found = module("services.alb"), []
        group = alb._tgs.get(group_arn) or {}
        for target in list(alb._targets.get(group_arn, [])):
            key = (group_arn, target["Id"], int(target.get("Port") or group.get("Port", 80)))
            known = self._targets.get(key)
            if not group.get("HealthCheckEnabled", True) or (known and known.state == "healthy"):
                found.append(key[1:])
        return found

    def of(self, group_arn: str, address: str, port: int) -> tuple[str, str, str]:
        """State, reason code and description of a target."""
        key = (group_arn, address, port)
        if key not in self._registered():
            return "unused", "Target.NotInUse", _WORDS["Target.NotInUse"]
        known = self._targets.get(key) or _Target()
        return known.state, known.reason, _WORDS.get(known.reason, "").format(detail=known.detail)

    async def run(self) -> None:
        """Check all targets when they are due, for ever."""
        while True:
            try:
                registered = self._registered()
                for gone in set(self._targets) - set(registered):
                    del self._targets[gone]
                for key, group in registered.items():
                    known = self._targets.setdefault(key, _Target())
                    if not known.busy and time.monotonic() >= known.due:
                        known.busy = True
                        checking = asyncio.ensure_future(self._check(key, known, group))
                        checking.add_done_callback(lambda done: done.cancelled() or done.exception())
            except (RuntimeError, KeyError):
                pass  # changed by a request meanwhile: at the next tick
            await asyncio.sleep(TICK_S)

    async def _check(self, key: Key, known: _Target, group: dict[str, Any]) -> None:
        wanted = group.get("HealthCheckPort") or "traffic-port"
        port = key[2] if wanted == "traffic-port" else int(wanted)
        reason = detail = ""
        before = known.state
        try:
            timeout_s = float(group["HealthCheckTimeoutSeconds"])
            status = await status_of(key[1], port, group.get("HealthCheckPath") or "/", timeout_s)
            codes = str((group.get("Matcher") or {}).get("HttpCode") or "200")
            if not matches(status, codes):
                reason, detail = "Target.ResponseCodeMismatch", str(status)
        except TimeoutError:
            reason = "Target.Timeout"
        except (TargetError, OSError, ValueError):
            reason = "Target.FailedHealthChecks"
        finally:
            known.saw(reason, detail, group)
            interval = float(group["HealthCheckIntervalSeconds"])
            known.due = time.monotonic() + (interval if known.served else min(FIRST_S, interval))
            known.busy = False
        if known.state != before:
            logger.info("target %s:%s of %s is %s", key[1], key[2], group["TargetGroupName"], known.state)


def matches(status: int, codes: str) -> bool:
    """Whether a status is one of ``200``, ``200,202`` or ``200-299``."""
    for part in codes.split(","):
        first, _, last = part.strip().partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False


def targets_are_checked(health: TargetHealth) -> None:
    """``DescribeTargetHealth`` tells what the checks found; to ministack every target is healthy."""

    def describe(_original: Callable[..., Any]) -> Callable[..., Any]:
        def truly(params: dict[str, Any]) -> Any:
            alb = module("services.alb")
            arn = alb._p(params, "TargetGroupArn")
            group = alb._tgs.get(arn)
            if group is None:
                return alb._error("TargetGroupNotFound", f"Target group '{arn}' not found.")
            wanted = {target["Id"] for target in alb._parse_targets_param(params)}
            members = []
            for target in alb._targets.get(arn, []):
                if wanted and target["Id"] not in wanted:
                    continue
                port = int(target.get("Port") or group.get("Port", 80))
                state, reason, words = ("healthy", "", "")
                if group.get("TargetType") != "lambda":
                    state, reason, words = health.of(arn, target["Id"], port)
                why = f"<Reason>{reason}</Reason><Description>{words}</Description>" if reason else ""
                members.append(
                    f"<member><Target><Id>{target['Id']}</Id><Port>{port}</Port></Target>"
                    f"<HealthCheckPort>{port}</HealthCheckPort>"
                    f"<TargetHealth><State>{state}</State>{why}</TargetHealth></member>"
                )
            content = f"<TargetHealthDescriptions>{''.join(members)}</TargetHealthDescriptions>"
            return alb._xml(200, "DescribeTargetHealth", content)

        return truly

    replace_operation("services.alb", "DescribeTargetHealth", describe)


def services_wait_for_targets(health: TargetHealth) -> None:
    """A deployment of an ECS service behind a load balancer is complete when its new targets are healthy.

    To ministack it is complete when the containers run (that of a new service at once): whoever waited for a
    steady state met a site that doesn't answer yet, and old tasks were stopped before new ones served.
    """
    balanced: ContextVar[bool] = ContextVar("balanced", default=False)
    waiting: set[tuple[str, str]] = set()

    def create(original: Callable[..., Any]) -> Callable[..., Any]:
        def service(data: dict[str, Any]) -> Any:
            token = balanced.set(bool(data.get("loadBalancers")) and data.get("desiredCount", 1) > 0)
            try:
                return original(data)
            finally:
                balanced.reset(token)

        return service

    def deployment(original: Callable[..., Any]) -> Callable[..., Any]:
        def begun(*arguments: Any, **named: Any) -> Any:
            made = original(*arguments, **named)
            if balanced.get():
                made |= {"rolloutState": "IN_PROGRESS", "rolloutStateReason": "ECS deployment in progress."}
            return made

        return begun

    def healthy(service: dict[str, Any], deployment_id: str) -> bool:
        ecs = module("services.ecs")
        addresses = {
            ecs._task_ip(task) for task in list(ecs._tasks.values())
            if task.get("_deployment_id") == deployment_id and task.get("lastStatus") == "RUNNING"
        }  # fmt: skip
        for balancer in service.get("loadBalancers") or []:
            if not (arn := balancer.get("targetGroupArn")):
                continue
            good = {address for address, _port in health.healthy(arn)}
            if len(addresses & good) < service.get("desiredCount", 0):
                return False
        return True

    def complete(original: Callable[..., Any]) -> Callable[..., Any]:
        def when_healthy(cluster: str, key: str, expected_deployment_id: str | None = None) -> Any:
            ecs = module("services.ecs")
            service = ecs._services.get(key) or {}
            primary = ecs._primary_deployment(service) if service else None
            if not primary or healthy(service, primary["id"]):
                return original(cluster, key, expected_deployment_id)
            mark = (key, primary["id"])
            if mark in waiting:
                return None
            waiting.add(mark)

            def later() -> None:
                try:
                    while _current(key, mark[1]) and not healthy(service, mark[1]):
                        time.sleep(TICK_S)
                finally:
                    waiting.discard(mark)
                if _current(key, mark[1]):
                    when_healthy(cluster, key, mark[1])

            scope = module("core.responses")
            account, region = scope.get_account_id(), scope.get_region()

            def scoped() -> None:
                with scope.request_scope(account, region):
                    later()

            module("core.concurrency").spawn_background(scoped, thread_name="benchtop-service-health")
            return None

        return when_healthy

    def _current(key: str, deployment_id: str) -> bool:
        ecs = module("services.ecs")
        service = ecs._services.get(key)
        primary = ecs._primary_deployment(service) if service and service.get("status") == "ACTIVE" else None
        return bool(primary and primary["id"] == deployment_id and primary["rolloutState"] == "IN_PROGRESS")

    replace_operation("services.ecs", "CreateService", create)
    replace("services.ecs", "_make_deployment", deployment)
    replace("services.ecs", "_complete_service_deployment", complete)
