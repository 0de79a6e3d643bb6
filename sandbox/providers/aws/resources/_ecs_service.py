"""The ECS service: made, changed in place where ECS can, drained before it is deleted."""

from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.errors import Refused
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values
from sandbox.providers.server import ProviderError

STEADY_S = 1200.0
"""How long to wait for a steady state, and for the end of a service, as with the official provider."""

STRATEGY = {
    "capacityProvider": Field(required=True),
    "base": Field(default=0),
    "weight": Field(default=0),
}


def _address(run: Run) -> Values:
    """Cluster and name, from the ARN where there is one: ``arn:...:service/<cluster>/<name>``."""
    if run.id.startswith("arn:"):
        _, cluster, name = run.id.rsplit(":", 1)[1].split("/")
        return {"cluster": cluster, "services": [name]}
    return {"cluster": run.value("cluster") or "default", "services": [run.value("name")]}


def _describe(run: Run) -> Values | None:
    """None when there is no such service, or only the record of a deleted one."""
    run.response = run.optional("DescribeServices", include=["TAGS"], **_address(run))
    found = [service for service in run.response.get("services", []) if service["status"] != "INACTIVE"]
    run.response = {"service": found[0]} if found else {}
    return found[0] if found else None


def _read(run: Run) -> Values | None:
    """Cluster and task definition in the form in which the program gives them."""
    found = _describe(run)
    if found is None or found["status"] == "DRAINING":
        return None
    run.id = found["serviceArn"]
    given, arn = run.value("taskDefinition"), found.get("taskDefinition")
    if given and arn and not given.startswith("arn:"):
        short = arn.rpartition("/")[2]
        arn = short if ":" in given else short.partition(":")[0]
    cluster, name = found["clusterArn"], run.value("cluster")
    if name and not name.startswith("arn:"):
        cluster = cluster.rpartition("/")[2]
    return {**found, "cluster": cluster, "taskDefinition": arn}


def _import(run: Run) -> None:
    """``<cluster>/<name>``, or the ARN that ends so."""
    cluster, _, name = run.id.rpartition(":service/")[2].partition("/")
    if not cluster or not name or "/" in name:
        raise ProviderError(f"{run.entry.token}: the id to import must be <cluster>/<name>, not {run.id!r}")
    run.state["cluster"] = f"arn:aws:ecs:{run.region}:{run.account}:cluster/{cluster}"
    run.state["name"], run.id = name, ""


def _find(run: Run) -> str | None:
    found = _describe(run)
    return None if found is None else str(found["serviceArn"])


# --- steady state


def _steady(run: Run) -> None:
    """With ``waitForSteadyState``: until what was just deployed runs, and nothing else does."""
    if run.inputs.get("waitForSteadyState") is not True:
        return
    deployed: Values = {}

    def steady() -> bool | None:
        nonlocal deployed
        service = _describe(run)
        if service is None:
            raise ProviderError(f"the ECS service {run.id} is gone")
        deployments = {item["id"]: item for item in service["deployments"]}
        primary = next(item for item in deployments.values() if item["status"] == "PRIMARY")
        deployed = deployed or primary
        ours = deployments.get(deployed["id"])
        if ours is None or ours.get("rolloutState") == "FAILED" or ours["status"] != "PRIMARY":
            reason = (ours or primary).get("rolloutStateReason") or "it was replaced by another one"
            reason = f"{reason.rstrip('.')}{_last_end(run, deployed)}"
            raise ProviderError(f"the deployment of the ECS service {run.id} failed: {reason}")
        others = [item for item in deployments.values() if item.get("rolloutState") != "FAILED"]
        done = ours.get("rolloutState", "COMPLETED") == "COMPLETED" and len(others) == 1
        return True if done and service["runningCount"] == service["desiredCount"] else None

    try:
        run.wait_until(steady, f"the steady state of the ECS service {run.id}", STEADY_S)
    except ProviderError as problem:
        if "took longer than" not in str(problem):
            raise
        raise ProviderError(f"{problem}{_last_end(run, deployed)}") from problem


def _last_end(run: Run, deployed: Values) -> str:
    """Why the last task of a deployment ended: what whoever reads the error needs to know."""
    where = _address(run)
    cluster, name = where["cluster"], where["services"][0]
    try:
        arns = run.call("ListTasks", cluster=cluster, serviceName=name, desiredStatus="STOPPED")["taskArns"]
        tasks = run.call("DescribeTasks", cluster=cluster, tasks=arns[:100])["tasks"] if arns else []
    except ProviderError:
        return ""
    tasks = [task for task in tasks if task["taskDefinitionArn"] == deployed.get("taskDefinition")]
    if not tasks:
        return ""
    task = max(tasks, key=lambda item: str(item.get("stoppedAt") or item.get("createdAt")))
    said = [str(task.get("stoppedReason") or "no reason given")]
    for container in task.get("containers", []):
        code = f"exit code {container['exitCode']}" if container.get("exitCode") is not None else ""
        text = " ".join(part for part in (code, container.get("reason")) if part)
        said += [f"container {container['name']}: {text}"] if text else []
    return f"; its last task ended: {'; '.join(said)}"


# --- change and delete

_DEPLOYMENT = (
    "deploymentCircuitBreaker",
    "deploymentMaximumPercent",
    "deploymentMinimumHealthyPercent",
    "alarms",
)
_CHANGEABLE = (
    *_DEPLOYMENT,
    "availabilityZoneRebalancing",
    "capacityProviderStrategies",
    "desiredCount",
    "enableEcsManagedTags",
    "enableExecuteCommand",
    "healthCheckGracePeriodSeconds",
    "loadBalancers",
    "networkConfiguration",
    "orderedPlacementStrategies",
    "placementConstraints",
    "platformVersion",
    "propagateTags",
    "serviceRegistries",
    "taskDefinition",
)
_UPDATE = Call(
    op="UpdateService",
    params={"cluster": "{cluster}", "service": "{name}", "forceNewDeployment": "{forceNewDeployment}"},
    fields=_CHANGEABLE,
)


def _update(run: Run) -> None:
    """ECS replaces the deployment's configuration as a whole, so all of it goes along."""
    names = run.changed & set(_CHANGEABLE)
    if names & set(_DEPLOYMENT):
        names |= {name for name in _DEPLOYMENT if run.inputs.get(name) is not None}
    run.perform(_UPDATE, sorted(names))


def _delete(run: Run) -> None:
    """No more tasks first, then the service; returns when the last of them has gone."""
    found = _describe(run)
    if found is None:
        return
    where = _address(run)
    cluster, name = where["cluster"], where["services"][0]
    force = run.value("forceDelete") is True
    if found["status"] != "DRAINING":
        if found.get("schedulingStrategy") != "DAEMON" and not force:
            run.call("UpdateService", cluster=cluster, service=name, desiredCount=0)
        run.wait_until(
            lambda: _deleted(run, cluster, name, force), f"the end of deployments of {name}", STEADY_S
        )
    run.wait_until(lambda: _describe(run) is None or None, f"the end of the ECS service {name}", STEADY_S)


def _deleted(run: Run, cluster: str, name: str, force: bool) -> bool | None:
    try:
        run.call("DeleteService", cluster=cluster, service=name, force=force)
    except Refused as problem:
        if problem.code == "InvalidParameterException" and "cannot be stopped while" in problem.reason:
            return None
        if not problem.missing:
            raise
    return True


# --- the entry


def _moves_to_or_from(state: Values, news: Values) -> bool:
    """ECS changes a strategy with a new deployment, but not a launch type into a strategy or back."""
    before, after = state.get("capacityProviderStrategies"), news.get("capacityProviderStrategies")
    return news.get("forceNewDeployment") is not True or bool(before) != bool(after)


def _rules(values: Values) -> dict[str, str]:
    if values.get("launchType") and values.get("capacityProviderStrategies"):
        return {"launchType": "conflicts with capacityProviderStrategies"}
    if values.get("taskDefinition") is None and _controller(values) != "EXTERNAL":
        return {"taskDefinition": "is required"}
    if values.get("schedulingStrategy") == "DAEMON" and values.get("desiredCount"):
        return {"desiredCount": "isn't allowed with schedulingStrategy DAEMON"}
    if values.get("healthCheckGracePeriodSeconds") and values.get("loadBalancers") is None:
        return {"healthCheckGracePeriodSeconds": "is only for services with loadBalancers"}
    if values.get("triggers") and values.get("forceNewDeployment") is not True:
        return {"triggers": "need forceNewDeployment"}
    return {}


def _controller(values: Values) -> Any:
    given = values.get("deploymentController")
    return given.get("type", "ECS") if isinstance(given, dict) else "ECS"


def _enabled(value: bool) -> str:
    return "ENABLED" if value else "DISABLED"


_OFF = {"enable": False, "rollback": False}

SERVICE = Resource(
    token="aws:ecs/service:Service",
    service="ecs",
    fields={
        "name": Field(
            "serviceName",
            replace=True,
            computed=True,
            rule=rules.matches(r"[A-Za-z0-9_-]{1,255}", "1 to 255 letters, digits, hyphens and underscores"),
        ),
        "cluster": Field("cluster", replace=True, computed=True),
        "taskDefinition": Field("taskDefinition"),
        "desiredCount": Field("desiredCount", default=0, minimum=0),
        "launchType": Field("launchType", replace=True, computed=True),
        "capacityProviderStrategies": Field(
            "capacityProviderStrategy", replace=_moves_to_or_from, unordered=True, sub=STRATEGY
        ),
        "platformVersion": Field("platformVersion", computed=True),
        "schedulingStrategy": Field("schedulingStrategy", replace=True, default="REPLICA"),
        "deploymentController": Field(
            "deploymentController", replace=True, computed=True, sub={"type": Field(default="ECS")}
        ),
        "deploymentCircuitBreaker": Field(
            "deploymentConfiguration.deploymentCircuitBreaker",
            default=_OFF,
            sub={"enable": Field(required=True), "rollback": Field(required=True)},
        ),
        "deploymentMaximumPercent": Field("deploymentConfiguration.maximumPercent", default=200),
        "deploymentMinimumHealthyPercent": Field(
            "deploymentConfiguration.minimumHealthyPercent", default=100
        ),
        "alarms": Field("deploymentConfiguration.alarms", computed=True),
        "availabilityZoneRebalancing": Field("availabilityZoneRebalancing", computed=True),
        "networkConfiguration": Field(
            "networkConfiguration.awsvpcConfiguration",
            sub={
                "subnets": Field(required=True, unordered=True),
                "securityGroups": Field(unordered=True, computed=True),
                "assignPublicIp": Field(
                    type="boolean",
                    allowed=(),
                    default=False,
                    out=_enabled,
                    back=lambda word: word == "ENABLED",
                ),
            },
        ),
        "loadBalancers": Field(
            "loadBalancers",
            unordered=True,
            clear=[],
            sub={
                "elbName": Field("loadBalancerName"),
                "containerName": Field(required=True),
                "containerPort": Field(required=True, minimum=0, maximum=65535),
            },
        ),
        "healthCheckGracePeriodSeconds": Field("healthCheckGracePeriodSeconds", default=0, minimum=0),
        "iamRole": Field("role", replace=True, computed=True, read="roleArn"),
        "orderedPlacementStrategies": Field("placementStrategy", clear=[], maximum=5),
        "placementConstraints": Field("placementConstraints", unordered=True, clear=[], maximum=10),
        "serviceRegistries": Field("serviceRegistries", single=True, clear=[]),
        "enableEcsManagedTags": Field("enableECSManagedTags", default=False),
        "enableExecuteCommand": Field("enableExecuteCommand", default=False),
        "propagateTags": Field("propagateTags", default="NONE"),
        "triggers": Field(local=True, type="map"),
        "forceNewDeployment": Field(local=True, type="boolean", default=False),
        "forceDelete": Field(local=True, type="boolean", default=False),
        "waitForSteadyState": Field(local=True, type="boolean", default=False),
    },
    autoname=AutoName(limit=255),
    identity=("cluster", "name"),
    id="@serviceArn",
    import_id=_import,
    find=_find,
    validate=_rules,
    create=Call(op="CreateService", result="service"),
    read=_read,
    update=(
        Custom(run=_update, fields=(*_CHANGEABLE, "triggers", "forceNewDeployment")),
        Custom(run=_steady, fields=(*_CHANGEABLE, "triggers", "waitForSteadyState"), on_create=True),
    ),
    delete=_delete,
    outputs={"arn": "{id}"},
    tags=Tags(
        member="tags",
        add="TagResource",
        remove="UntagResource",
        target={"resourceArn": "{id}"},
        read="service.tags",
    ),
    unsupported={
        "deploymentConfiguration": "use deploymentCircuitBreaker and the percentages",
        "serviceConnectConfiguration": "let services find each other by their load balancers",
        "volumeConfiguration": "leave it out",
        "vpcLatticeConfigurations": "use loadBalancers",
        "sigintRollback": "leave it out",
    },
)
