"""The ECS task definition: a family's revisions, each made once and never changed."""

import json

from sandbox.providers.aws import containers, rules
from sandbox.providers.aws.errors import Refused
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import Call, Field, Resource, Tags, Values
from sandbox.providers.server import ProviderError

_FARGATE_MEMORY = {
    256: (512, 1024, 2048),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
    8192: range(16384, 61441, 4096),
    16384: range(32768, 122881, 8192),
}
"""CPU units -> MiB: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html"""


def _read(run: Run) -> Values | None:
    """By ARN; a family alone means its latest active revision, as with ``trackLatest``."""
    arn = run.state.get("arn")
    wanted = run.id if run.value("trackLatest") is True or not arn else arn
    try:
        run.response = run.call("DescribeTaskDefinition", taskDefinition=wanted, include=["TAGS"])
    except Refused as problem:
        if "Unable to describe task definition" in problem.reason:
            return None
        raise
    found: Values = run.response["taskDefinition"]
    return found if found["status"] == "ACTIVE" else None


def _import(run: Run) -> None:
    family, _, revision = run.id.rpartition("/")[2].rpartition(":")
    if not run.id.startswith("arn:") or not family or not revision.isdigit():
        raise ProviderError(
            f"{run.entry.token}: the id to import must be its ARN with revision, not {run.id!r}"
        )
    run.state["arn"], run.id = run.id, family


def _find(run: Run) -> str | None:
    """The family, when its latest revision is what the inputs ask for; an older one is another resource's."""
    try:
        answer = run.call("DescribeTaskDefinition", taskDefinition=run.inputs["family"])
    except Refused:
        return None
    found = answer["taskDefinition"]
    names = ("cpu", "memory", "networkMode", "executionRoleArn", "taskRoleArn")
    alike = all(run.inputs.get(name) in (None, found.get(name)) for name in names)
    wanted = json.loads(run.inputs["containerDefinitions"])
    same = alike and containers.meaning(wanted) == containers.meaning(found["containerDefinitions"])
    return run.inputs["family"] if same and found["status"] == "ACTIVE" else None


def _deregister(run: Run) -> None:
    if run.value("skipDestroy") is True:
        return
    try:
        run.call("DeregisterTaskDefinition", taskDefinition=run.value("arn"))
    except Refused as problem:
        if "Unable to describe task definition" not in problem.reason:
            raise


def _ordered(document: list[Values]) -> str:
    """In an order that doesn't change from answer to answer."""
    for container in document:
        for key in ("environment", "secrets"):
            if container.get(key):
                container[key] = sorted(container[key], key=lambda item: str(item["name"]))
    return json.dumps(sorted(document, key=lambda item: str(item["name"])), separators=(",", ":"))


def _rules(values: Values) -> dict[str, str]:
    kinds = values.get("requiresCompatibilities")
    if not isinstance(kinds, list) or "FARGATE" not in kinds:
        return {}
    for name in ("cpu", "memory"):
        if values.get(name) is None:
            return {name: "is required with FARGATE"}
    if isinstance(values.get("networkMode"), str | None) and values.get("networkMode") != "awsvpc":
        return {"networkMode": f"must be awsvpc with FARGATE, not {values.get('networkMode')!r}"}
    cpu, memory = values["cpu"], values["memory"]
    if not isinstance(cpu, str) or not isinstance(memory, str) or not cpu.isdigit() or not memory.isdigit():
        return {}
    sizes = _FARGATE_MEMORY.get(int(cpu))
    if sizes is None:
        return {"cpu": f"must be one of {', '.join(map(str, _FARGATE_MEMORY))} with FARGATE, not {cpu}"}
    if int(memory) not in sizes:
        allowed = f"{min(sizes)} to {max(sizes)} MiB in Fargate's steps"
        return {"memory": f"must be {allowed} with cpu {cpu}, not {memory}"}
    return {}


def _properties(given: Values) -> list[Values]:
    return [{"name": name, "value": value} for name, value in given.items()]


def _host(path: str) -> Values:
    return {"sourcePath": path}


_VOLUME = {
    "name": Field(required=True),
    "hostPath": Field("host", type="string", out=_host, back=lambda host: host.get("sourcePath")),
    "configureAtLaunch": Field("configuredAtLaunch", default=False),
    "dockerVolumeConfiguration": Field(
        sub={"scope": Field(computed=True), "autoprovision": Field(default=False)}
    ),
    "efsVolumeConfiguration": Field(
        sub={
            "fileSystemId": Field(required=True),
            "rootDirectory": Field(default="/"),
            "transitEncryptionPort": Field(computed=True),
        }
    ),
}

TASK_DEFINITION = Resource(
    token="aws:ecs/taskDefinition:TaskDefinition",
    service="ecs",
    fields={
        "family": Field(
            "family",
            required=True,
            replace=True,
            rule=rules.matches(r"[A-Za-z0-9_-]{1,255}", "1 to 255 letters, digits, hyphens and underscores"),
        ),
        "containerDefinitions": Field(
            "containerDefinitions",
            required=True,
            replace=True,
            json="containers",
            out=json.loads,
            back=_ordered,
        ),
        "cpu": Field("cpu", replace=True),
        "memory": Field("memory", replace=True),
        "networkMode": Field("networkMode", replace=True, computed=True),
        "requiresCompatibilities": Field("requiresCompatibilities", replace=True, unordered=True),
        "executionRoleArn": Field("executionRoleArn", replace=True, rule=rules.arn("iam")),
        "taskRoleArn": Field("taskRoleArn", replace=True, rule=rules.arn("iam")),
        "runtimePlatform": Field("runtimePlatform", replace=True),
        "ephemeralStorage": Field(
            "ephemeralStorage",
            replace=True,
            sub={"sizeInGib": Field("sizeInGiB", required=True, minimum=21, maximum=200)},
        ),
        "volumes": Field("volumes", replace=True, unordered=True, sub=_VOLUME),
        "placementConstraints": Field("placementConstraints", replace=True, unordered=True),
        "proxyConfiguration": Field(
            "proxyConfiguration",
            replace=True,
            sub={
                "type": Field(default="APPMESH"),
                "properties": Field(
                    type="map",
                    out=_properties,
                    back=lambda found: {item["name"]: item["value"] for item in found},
                ),
            },
        ),
        "ipcMode": Field("ipcMode", replace=True),
        "pidMode": Field("pidMode", replace=True),
        "enableFaultInjection": Field("enableFaultInjection", replace=True, computed=True),
        "skipDestroy": Field(local=True, type="boolean", default=False),
        "trackLatest": Field(local=True, type="boolean", default=False),
    },
    id="{family}",
    import_id=_import,
    find=_find,
    validate=_rules,
    create=Call(op="RegisterTaskDefinition", result="taskDefinition"),
    read=_read,
    delete=_deregister,
    outputs={
        "arn": "taskDefinitionArn",
        "arnWithoutRevision": lambda run, result: result["taskDefinitionArn"].rpartition(":")[0],
        "revision": "revision",
    },
    tags=Tags(
        member="tags",
        add="TagResource",
        remove="UntagResource",
        target={"resourceArn": "{arn}"},
        read="tags",
    ),
)
