"""What a container of a task gets from its definition: the options of Docker, and the environment."""

import functools
import json
import os
from typing import Any

from ministack.core import container_reaper, responses
from ministack.services import ecr, ecs, secretsmanager, ssm

from sandbox.aws import task_permissions
from sandbox.aws.bridge import bridge_addresses

STOP_TIMEOUT_S = 30
LONGEST_STOP_S = 120
"""Seconds between SIGTERM and SIGKILL on Fargate: without ``stopTimeout``, and at most."""
_NANO = 1_000_000_000
_REGISTRY = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
_SECRETS = (
    "ResourceInitializationError: unable to pull secrets or registry auth: "
    "execution resource retrieval failed: "
)


class CannotStart(Exception):
    """A task can't start; the text is its ``stoppedReason``."""


@functools.cache
def host() -> str:
    """Where a task's containers reach the emulator; the name is Docker Desktop's."""
    return next(iter(bridge_addresses()), "host.docker.internal")


def amount(text: object, unit: int) -> int:
    """CPU units or MiB from ``512``, ``"0.5 vCPU"`` (unit 1024) or ``"2 GB"`` (unit 1024); 0 for nothing."""
    words = str(text or 0).split()
    return int(float(words[0]) * (unit if len(words) > 1 else 1))


def stop_seconds(definition: dict[str, Any]) -> float:
    return float(min(definition.get("stopTimeout") or STOP_TIMEOUT_S, LONGEST_STOP_S))


def in_order(definitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Containers in the order in which they start: each after those that it depends on."""
    found: list[dict[str, Any]] = []
    left = list(definitions)
    while left:
        names = {definition["name"] for definition in left}
        needs = [{need["containerName"] for need in one.get("dependsOn") or []} for one in left]
        ready = [one for one, needed in zip(left, needs, strict=True) if not names & needed]
        if not ready:
            circle = ", ".join(sorted(names))
            raise CannotStart(f"ResourceInitializationError: dependsOn goes in a circle: {circle}")
        found += ready
        left = [one for one in left if one not in ready]
    return found


def check_image(image: str, execution_role: str) -> None:
    """Whether the execution role may pull an image of the account's registry, and the image is there.

    Raises:
        CannotStart: it may not, or it isn't.
    """
    registry = f"127.0.0.1:{os.environ['GATEWAY_PORT']}/"
    if not image.startswith(registry):
        return
    name, _, reference = image.removeprefix(registry).partition("@")
    if not reference:
        name, _, reference = name.partition(":")
    arn = f"arn:aws:ecr:{responses.get_region()}:{responses.get_account_id()}:repository/{name}"
    needed = {"ecr:GetAuthorizationToken": "*", **dict.fromkeys(_REGISTRY, arn)}
    if denied := task_permissions.execution_denial(execution_role, needed):
        raise CannotStart(f"{_SECRETS}unable to retrieve ecr registry auth: {denied}")
    if ecr._resolve_manifest(name, reference or "latest")[0] is None:
        raise CannotStart(f"CannotPullContainerError: failed to resolve ref {image}: not found")


def check_log(definition: dict[str, Any], task_id: str, execution_role: str) -> dict[str, Any] | None:
    """Where a container's output goes, its stream made; None when it isn't sent to CloudWatch.

    Raises:
        CannotStart: the group isn't there, or the execution role may not write to it.
    """
    config: dict[str, Any] | None = ecs._awslogs_config(definition, task_id, "")
    if config is None:
        return None
    region = config["region"] or responses.get_region()
    stream = f"log-group:{config['group']}:log-stream:{config['stream']}"
    arn = f"arn:aws:logs:{region}:{responses.get_account_id()}:{stream}"
    what = "ResourceInitializationError: failed to validate logger args: create stream"
    denied = task_permissions.execution_denial(
        execution_role, dict.fromkeys(("logs:CreateLogStream", "logs:PutLogEvents"), arn)
    )
    if denied:
        raise CannotStart(f"{what}: {denied}")
    with responses.request_scope(responses.get_account_id(), region):
        if not ecs._ensure_awslogs_stream(config):
            group = f"The specified log group does not exist: {config['group']}"
            raise CannotStart(f"{what}: ResourceNotFoundException: {group}")
    return {**config, "region": region}


def secret(value_from: str, execution_role: str) -> str:
    """A secret of a container definition, read as the execution role.

    Raises:
        CannotStart: the role may not read it, or it has no such value.
    """
    parts = value_from.split(":")
    if ":secretsmanager:" in value_from:
        arn = ":".join(parts[:7])
        key, stage, version = [*parts[7:], "", "", ""][:3]
        failed = f"failed to fetch secret {arn} from secrets manager"
        what = f"{_SECRETS}unable to retrieve secret from asm: {failed}"
        action = "secretsmanager:GetSecretValue"
        read = functools.partial(
            secretsmanager.resolve_secret_string, arn, stage or "AWSCURRENT", version or None
        )
    else:
        name = value_from.lstrip("/")
        arn = f"arn:aws:ssm:{responses.get_region()}:{responses.get_account_id()}:parameter/{name}"
        arn, key = (value_from if value_from.startswith("arn:") else arn), ""
        what = f"{_SECRETS}unable to retrieve secrets from ssm: {value_from}"
        action = "ssm:GetParameters"
        read = functools.partial(ssm.resolve_parameter_value, value_from)
    if denied := task_permissions.execution_denial(execution_role, {action: arn}):
        raise CannotStart(f"{what}: {denied}")
    value = read()
    if value is None:
        raise CannotStart(f"{what}: ResourceNotFoundException: there is no such value")
    if not key:
        return str(value)
    try:
        return str(json.loads(value)[key])
    except (ValueError, KeyError, TypeError):
        raise CannotStart(f"{_SECRETS}retrieved secret from asm did not contain json key {key}") from None


def environment(definition: dict[str, Any], override: dict[str, Any], execution_role: str,
                credentials: dict[str, str]) -> dict[str, str]:  # fmt: skip
    """A container's environment: the definition's, its secrets, the caller's overrides, and what AWS adds.

    Raises:
        CannotStart: a secret can't be read.
    """
    found = {one["name"]: one["value"] for one in definition.get("environment") or []}
    for one in definition.get("secrets") or []:
        found[one["name"]] = secret(one["valueFrom"], execution_role)
    found |= {one["name"]: one["value"] for one in override.get("environment") or []}
    region = responses.get_region()
    return {
        "AWS_REGION": region, "AWS_DEFAULT_REGION": region, **found,
        "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://{host()}:{os.environ['GATEWAY_PORT']}", **credentials,
    }  # fmt: skip


def limits(definition: dict[str, Any], override: dict[str, Any], task: dict[str, Any],
           cores: int) -> dict[str, Any]:  # fmt: skip
    """Bounds of a container: its own memory, else the task's; the task's CPU, and its share of it.

    On Fargate the task's bounds hold for its containers together; here they hold for each.
    """
    memory = amount(override.get("memory") or definition.get("memory") or task.get("memory"), 1024)
    units = amount(task.get("cpu"), 1024)
    own = amount(override.get("cpu") or definition.get("cpu"), 1024)
    found: dict[str, Any] = {"cpu_shares": max(own or units, 2)}
    if memory:
        found |= {"mem_limit": f"{memory}m", "memswap_limit": f"{memory}m"}
    if units:
        found["nano_cpus"] = min(units * _NANO // 1024, cores * _NANO)
    return found


def mounts(definition: dict[str, Any], task_definition: dict[str, Any],
           task_id: str) -> dict[str, dict[str, str]]:  # fmt: skip
    """A task's volumes, by their names in Docker, and where this container has them.

    Raises:
        CannotStart: a volume isn't of the task's own storage; no other kind exists here.
    """
    volumes = {one["name"]: one for one in task_definition.get("volumes") or []}
    found: dict[str, dict[str, str]] = {}
    for point in definition.get("mountPoints") or []:
        name = point.get("sourceVolume")
        kinds = [key for key, value in volumes.get(name, {"missing": 1}).items() if key != "name" and value]
        if kinds:
            problem = f"volume {name!r} has {kinds[0]}, which this sandbox doesn't have"
            raise CannotStart(f"ResourceInitializationError: {problem}")
        mode = "ro" if point.get("readOnly") else "rw"
        found[f"benchtop-{task_id}-{name}"] = {"bind": point["containerPath"], "mode": mode}
    return found


def _health(check: dict[str, Any]) -> dict[str, Any]:
    """ECS's health check (seconds) as Docker's (nanoseconds)."""
    return {
        "test": check["command"], "interval": check.get("interval", 30) * _NANO,
        "timeout": check.get("timeout", 5) * _NANO, "retries": check.get("retries", 3),
        "start_period": check.get("startPeriod", 0) * _NANO,
    }  # fmt: skip


def options(definition: dict[str, Any], override: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """What Docker is told of a container besides its image, environment, bounds, volumes and network."""
    task_id, linux = task["taskArn"].rsplit("/", 1)[-1], definition.get("linuxParameters") or {}
    family, _, revision = task["taskDefinitionArn"].rsplit("/", 1)[-1].partition(":")
    prefix = "com.amazonaws.ecs"
    labels = {
        **(definition.get("dockerLabels") or {}), **container_reaper.own_labels("ecs"),
        f"{prefix}.cluster": task["clusterArn"], f"{prefix}.task-arn": task["taskArn"],
        f"{prefix}.container-name": definition["name"], f"{prefix}.task-definition-family": family,
        f"{prefix}.task-definition-version": revision,
    }  # fmt: skip
    found: dict[str, Any] = {
        "name": f"ministack-ecs-{task_id[:8]}-{definition['name']}", "labels": labels, "detach": True,
        # The machine's proxy has no business in a task: AWS has none, and the emulator is next door.
        "use_config_proxy": False,
        "command": override.get("command") or definition.get("command"),
        "read_only": bool(definition.get("readonlyRootFilesystem")),
        "init": bool(linux.get("initProcessEnabled")),
    }  # fmt: skip
    names = {"entrypoint": "entryPoint", "user": "user", "working_dir": "workingDirectory"}
    for ours, theirs in names.items():
        if definition.get(theirs):
            found[ours] = definition[theirs]
    if definition.get("healthCheck"):
        found["healthcheck"] = _health(definition["healthCheck"])
    return found
