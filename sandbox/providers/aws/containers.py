"""ECS container definitions: what is wrong with them, and when two documents mean the same.

ECS answers with every default filled in, and in an order of its own. The official provider compares what is
left after taking both away: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
"""

from typing import Any

Values = dict[str, Any]

_HEALTH = {"interval": 30, "timeout": 5, "retries": 3, "startPeriod": 0}
_BY_NAME = ("environment", "secrets", "systemControls")


def problem(document: Any) -> str | None:
    """The first thing that ECS would refuse, in its own names."""
    from botocore.validate import ParamValidator

    from sandbox.providers.aws.shapes import operation

    if not isinstance(document, list) or not document:
        return "must be a list of at least one container definition"
    shape = operation("ecs", "RegisterTaskDefinition").input_shape.members["containerDefinitions"]
    report = ParamValidator().validate(document, shape)
    if report.has_errors():
        return str(report.generate_report().splitlines()[0])
    names: set[str] = set()
    for i, container in enumerate(document):
        for key in ("name", "image"):
            if not container.get(key):
                return f"[{i}].{key} is required"
        if container["name"] in names:
            return f"[{i}].name must be unique, but {container['name']!r} is there twice"
        names.add(container["name"])
    if not any(container.get("essential", True) for container in document):
        return "must have at least one essential container"
    for i, container in enumerate(document):
        for other in container.get("dependsOn") or []:
            if other["containerName"] not in names:
                return f"[{i}].dependsOn names {other['containerName']!r}, which is no container of this task"
    return None


def meaning(document: Any) -> Any:
    """A normal form whose equality is equal meaning."""
    if not isinstance(document, list) or not all(isinstance(item, dict) for item in document):
        return document
    return sorted((_container(item) for item in document), key=lambda item: str(item.get("name")))


def _container(given: Values) -> Values:
    found: Values = _without_empty({**given, "essential": given.get("essential", True)})
    if found.get("cpu") == 0:
        del found["cpu"]
    if found.get("versionConsistency") == "enabled":
        del found["versionConsistency"]
    for key in _BY_NAME:
        if key in found:
            found[key] = sorted(found[key], key=lambda item: str(item.get("name") or item.get("namespace")))
    if "portMappings" in found:
        found["portMappings"] = sorted(
            map(_port, found["portMappings"]), key=lambda item: str(sorted(item.items()))
        )
    if "healthCheck" in found:
        found["healthCheck"] = {**_HEALTH, **found["healthCheck"]}
    return found


def _port(given: Values) -> Values:
    """With the network mode of Fargate, the host's port is the container's, whether it is said or not."""
    found = dict(given)
    if found.get("protocol") == "tcp":
        del found["protocol"]
    if found.get("hostPort") in (0, found.get("containerPort")):
        del found["hostPort"]
    return found


def _without_empty(value: Any) -> Any:
    """Without members that are null or an empty list or object: ECS doesn't tell them from absent ones."""
    if isinstance(value, dict):
        cleaned = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item is not None and item != [] and item != {}}
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value
