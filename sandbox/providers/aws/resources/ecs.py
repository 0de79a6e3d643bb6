"""``aws:ecs/*``: clusters and their capacity; task definitions and services have files of their own."""

from sandbox.providers.aws import rules
from sandbox.providers.aws.errors import Refused
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.resources._ecs_service import SERVICE, STRATEGY
from sandbox.providers.aws.resources._ecs_task_definition import TASK_DEFINITION
from sandbox.providers.aws.table import AutoName, Call, Field, Resource, Tags, Values

_NAME = rules.matches(r"[A-Za-z0-9_-]{1,255}", "1 to 255 letters, digits, hyphens and underscores")
_ARN = "arn:{partition}:ecs:{region}:{account}:cluster/{name}"
_PARTS = ["TAGS", "SETTINGS", "CONFIGURATIONS"]


def _read_cluster(run: Run) -> Values | None:
    answer = run.call("DescribeClusters", clusters=[run.id], include=_PARTS)
    found: list[Values] = [cluster for cluster in answer["clusters"] if cluster["status"] != "INACTIVE"]
    run.response = {"cluster": found[0]} if found else {}
    return found[0] if found else None


def _delete_cluster(run: Run) -> None:
    """A cluster is empty only a moment after its last service or task ended, so AWS is asked again."""

    def deleted() -> bool | None:
        try:
            run.call("DeleteCluster", cluster=run.id)
        except Refused as problem:
            if not problem.code.startswith("ClusterContains") and problem.code != "UpdateInProgressException":
                raise
            return None
        return True

    if _read_cluster(run) is not None:
        run.wait_until(deleted, f"the end of services and tasks in the cluster {run.id}", 600)


CLUSTER = Resource(
    token="aws:ecs/cluster:Cluster",
    service="ecs",
    fields={
        "name": Field("clusterName", replace=True, computed=True, rule=_NAME),
        "settings": Field(
            "settings",
            computed=True,
            unordered=True,
            sub={
                "name": Field(required=True),
                "value": Field(required=True, allowed=("enabled", "enhanced", "disabled")),
            },
        ),
        "configuration": Field("configuration"),
        "serviceConnectDefaults": Field("serviceConnectDefaults", sub={"namespace": Field(required=True)}),
    },
    autoname=AutoName(limit=255),
    identity=("name",),
    id=_ARN,
    import_id="{name}",
    create=Call(op="CreateCluster", result="cluster"),
    read=_read_cluster,
    update=(Call(op="UpdateCluster", params={"cluster": "{id}"}),),
    delete=_delete_cluster,
    outputs={"arn": "{id}"},
    tags=Tags(
        member="tags",
        add="TagResource",
        remove="UntagResource",
        target={"resourceArn": "{id}"},
        read="cluster.tags",
    ),
)


def _read_capacity(run: Run) -> Values | None:
    answer = run.call("DescribeClusters", clusters=[run.value("clusterName")])
    found: list[Values] = [cluster for cluster in answer["clusters"] if cluster["status"] != "INACTIVE"]
    if not found:
        return None
    cluster = found[0]
    held = cluster.get("capacityProviders") or cluster.get("defaultCapacityProviderStrategy")
    return {**cluster, "cluster": run.value("clusterName")} if held else None


def _capacity_rules(values: Values) -> dict[str, str]:
    given = values.get("defaultCapacityProviderStrategies")
    providers = values.get("capacityProviders") or []
    strategies = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    if not isinstance(providers, list) or not all(isinstance(name, str) for name in providers):
        return {}
    for i, item in enumerate(strategies):
        name = item.get("capacityProvider")
        if isinstance(name, str) and name not in providers:
            where = f"defaultCapacityProviderStrategies[{i}].capacityProvider"
            return {where: f"must be one of capacityProviders, not {name!r}"}
    if len([item for item in strategies if item.get("base")]) > 1:
        return {"defaultCapacityProviderStrategies": "at most one of them may have a base"}
    return {}


def _clear_capacity(run: Run) -> None:
    """A provider is in use until the last task placed with it has ended, so AWS is asked again."""

    def cleared() -> bool | None:
        try:
            run.call(
                "PutClusterCapacityProviders",
                cluster=run.id,
                capacityProviders=[],
                defaultCapacityProviderStrategy=[],
            )
        except Refused as problem:
            if problem.code in ("UpdateInProgressException", "ResourceInUseException"):
                return None
            raise
        return True

    run.wait_until(cleared, f"the end of tasks on the capacity of the cluster {run.id}", 600)


CAPACITY = Resource(
    token="aws:ecs/clusterCapacityProviders:ClusterCapacityProviders",
    service="ecs",
    fields={
        "clusterName": Field("cluster", required=True, replace=True, rule=_NAME),
        "capacityProviders": Field("capacityProviders", unordered=True, default=[]),
        "defaultCapacityProviderStrategies": Field(
            "defaultCapacityProviderStrategy", unordered=True, default=[], sub=STRATEGY
        ),
    },
    identity=("clusterName",),
    id="{clusterName}",
    validate=_capacity_rules,
    create=Call(op="PutClusterCapacityProviders"),
    read=_read_capacity,
    update=(Call(op="PutClusterCapacityProviders"),),
    delete=_clear_capacity,
    read_after_create=False,
)

RESOURCES = (CLUSTER, CAPACITY, TASK_DEFINITION, SERVICE)
