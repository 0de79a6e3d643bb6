"""EventBridge's rules and targets, which Pulumi has in the module ``cloudwatch``."""

import json
from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.shapes import bound, operation, put, to_aws
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values
from sandbox.providers.aws.tags import tags_for
from sandbox.providers.server import ProviderError

_NAME = rules.matches(r"[.\-_A-Za-z0-9]{1,64}", "1 to 64 letters, digits and . - _")
_BUS = Field("EventBusName", replace=True, default="default", pattern="")
_SCHEDULE = rules.matches(
    r"(rate\(\d+ (minutes?|hours?|days?)\)|cron\(.+\))", "the form rate(5 minutes) or cron(...)"
)


def _bus(run: Run) -> str:
    return run.value("eventBusName") or "default"


# --- rules


@creates("PutRule")
def _create_rule(run: Run) -> Values:
    """The id is the rule's name, with the bus before it unless that is the default one."""
    tags = tags_for(operation("events", "PutRule").input_shape.members["Tags"], run.tags)
    result: Values = run.perform(_PUT_RULE, run.names_for(_PUT_RULE), {"Tags": tags} if tags else {})
    name = run.inputs["name"]
    return {**result, "Id": name if _bus(run) == "default" else f"{_bus(run)}/{name}"}


def _import_rule(run: Run) -> None:
    bus, _, name = run.id.rpartition("/")
    run.state["name"], run.state["eventBusName"] = name, bus or "default"
    run.id = name if bus in ("", "default") else run.id


def _find_rule(run: Run) -> str | None:
    name = run.inputs["name"]
    if not run.optional("DescribeRule", Name=name, EventBusName=_bus(run)):
        return None
    return name if _bus(run) == "default" else f"{_bus(run)}/{name}"


def _delete_rule(run: Run) -> None:
    """Targets of a program are resources of their own; ``forceDestroy`` also takes those of somebody else."""
    where: Values = {"EventBusName": _bus(run)}
    force = run.value("forceDestroy") is True
    if force:
        targets = run.optional("ListTargetsByRule", Rule=run.value("name"), **where).get("Targets", [])
        if targets:
            ids = [target["Id"] for target in targets]
            run.call("RemoveTargets", Rule=run.value("name"), Ids=ids, Force=True, **where)
    run.call("DeleteRule", Name=run.value("name"), Force=force, **where)


def _rule_rules(values: Values) -> dict[str, str]:
    if values.get("eventPattern") is None and values.get("scheduleExpression") is None:
        return {"eventPattern": "is required, or scheduleExpression"}
    if values.get("scheduleExpression") and values.get("eventBusName", "default") != "default":
        return {"scheduleExpression": "is only for rules of the default bus"}
    return {}


def _pattern_problem(value: Any) -> str | None:
    """Every leaf of a pattern is a list: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html"""
    document = json.loads(value) if isinstance(value, str) else value
    if not isinstance(document, dict) or not document:
        return "must be an object with at least one field"
    path = _bare_leaf(document)
    return f"must have a list at {path}: a pattern lists the allowed values" if path else None


def _bare_leaf(document: Values, where: str = "") -> str | None:
    for key, value in document.items():
        if isinstance(value, dict):
            found = _bare_leaf(value, f"{where}{key}.")
            if found:
                return found
        elif not isinstance(value, list):
            return f"{where}{key}"
    return None


_PUT_RULE = Call(op="PutRule")

EVENT_RULE = Resource(
    token="aws:cloudwatch/eventRule:EventRule",
    service="events",
    fields={
        "name": Field("Name", replace=True, computed=True, pattern="", rule=_NAME),
        "namePrefix": Field(local=True, type="string", replace=True, maximum=38, rule=_NAME),
        "eventBusName": _BUS,
        "eventPattern": Field("EventPattern", json="any", rule=_pattern_problem, maximum=4096),
        "scheduleExpression": Field("ScheduleExpression", rule=_SCHEDULE),
        "description": Field("Description", default="", clear=""),
        "roleArn": Field("RoleArn", rule=rules.arn("iam")),
        "state": Field("State", default="ENABLED"),
        "forceDestroy": Field(local=True, type="boolean", default=False),
    },
    autoname=AutoName(prefix_property="namePrefix"),
    identity=("name", "eventBusName"),
    validate=_rule_rules,
    id="@Id",
    import_id=_import_rule,
    find=_find_rule,
    create=_create_rule,
    read=Call(op="DescribeRule", params={"Name": "{name}", "EventBusName": "{eventBusName}"}),
    update=(_PUT_RULE,),
    delete=_delete_rule,
    outputs={"arn": lambda run, result: result.get("Arn") or result.get("RuleArn")},
    tags=Tags(
        member="Tags",
        add="TagResource",
        remove="UntagResource",
        list="ListTagsForResource",
        target={"ResourceARN": "{arn}"},
    ),
    unsupported={"isEnabled": "use state"},
)


# --- targets


def _target_id(run: Run) -> str:
    bus = "" if _bus(run) == "default" else f"{_bus(run)}-"
    return f"{bus}{run.value('rule')}-{run.value('targetId')}"


@creates("PutTargets")
def _put_target(run: Run) -> Values:
    """The whole target, since PutTargets replaces it."""
    target: Values = {}
    for name, item in bound(run.entry).items():
        value = run.inputs.get(name)
        if value is not None and item.path[:1] == ("Targets",):
            put(target, item.path[2:], to_aws(value, item.field, item.shape))
    answer = run.call("PutTargets", Rule=run.value("rule"), EventBusName=_bus(run), Targets=[target])
    if answer.get("FailedEntryCount"):
        failed = answer["FailedEntries"][0]
        raise ProviderError(f"events PutTargets refused ({failed['ErrorCode']}): {failed['ErrorMessage']}")
    return {"Id": _target_id(run)}


def _read_target(run: Run) -> Values | None:
    token: Values = {}
    while True:
        page = run.call("ListTargetsByRule", Rule=run.value("rule"), EventBusName=_bus(run), **token)
        for target in page["Targets"]:
            if target["Id"] == run.value("targetId"):
                return {"Rule": run.value("rule"), "EventBusName": _bus(run), "Targets": [target]}
        if not page.get("NextToken"):
            return None
        token = {"NextToken": page["NextToken"]}


def _import_target(run: Run) -> None:
    parts = run.id.split("/")
    if len(parts) < 2:
        shape = "<rule>/<target id> or <bus>/<rule>/<target id>"
        raise ProviderError(f"{run.entry.token}: the id to import must be {shape}, not {run.id!r}")
    run.state["eventBusName"] = "/".join(parts[:-2]) or "default"
    run.state["rule"], run.state["targetId"] = parts[-2:]
    run.id = _target_id(run)


def _find_target(run: Run) -> str | None:
    return _target_id(run) if run.inputs.get("targetId") and _read_target(run) else None


def _target_rules(values: Values) -> dict[str, str]:
    given = [name for name in ("input", "inputPath", "inputTransformer") if values.get(name) is not None]
    if len(given) > 1:
        return {given[1]: f"conflicts with {given[0]}"}
    if values.get("ecsTarget") is not None and values.get("roleArn") is None:
        return {"roleArn": "is required with ecsTarget"}
    return {}


def _target(member: str, **options: Any) -> Field:
    return Field(f"Targets.0.{member}", **options)


_NETWORK = {
    "subnets": Field(unordered=True),
    "securityGroups": Field(unordered=True),
    "assignPublicIp": Field(default=False),
}


def _network_problem(given: Values) -> str | None:
    unknown = sorted(set(given) - set(_NETWORK))
    if unknown:
        return f"has no property {unknown[0]!r}; allowed: {', '.join(_NETWORK)}"
    return None if given.get("subnets") else "must have subnets"


def _awsvpc(given: Values) -> Values:
    """One object here, two in AWS."""
    found: Values = {"Subnets": given["subnets"]}
    if given.get("securityGroups"):
        found["SecurityGroups"] = given["securityGroups"]
    return {
        "awsvpcConfiguration": {
            **found,
            "AssignPublicIp": "ENABLED" if given.get("assignPublicIp") else "DISABLED",
        }
    }


def _network(found: Values) -> Values:
    inner = found["awsvpcConfiguration"]
    given: Values = {"subnets": inner["Subnets"], "assignPublicIp": inner.get("AssignPublicIp") == "ENABLED"}
    return {**given, **({"securityGroups": inner["SecurityGroups"]} if inner.get("SecurityGroups") else {})}


_ECS = {
    "taskDefinitionArn": Field("TaskDefinitionArn", required=True, pattern="arn:.+:task-definition/.+"),
    "taskCount": Field("TaskCount", default=1, minimum=1, maximum=10),
    "capacityProviderStrategies": Field(
        "CapacityProviderStrategy", unordered=True, sub={"base": Field(default=0), "weight": Field(default=0)}
    ),
    "orderedPlacementStrategies": Field("PlacementStrategy", maximum=5),
    "placementConstraints": Field("PlacementConstraints", unordered=True, maximum=10),
    "enableEcsManagedTags": Field("EnableECSManagedTags", default=False),
    "enableExecuteCommand": Field("EnableExecuteCommand", default=False),
    "networkConfiguration": Field(
        "NetworkConfiguration",
        type="object",
        sub=_NETWORK,
        rule=_network_problem,
        out=_awsvpc,
        back=_network,
    ),
}


EVENT_TARGET = Resource(
    token="aws:cloudwatch/eventTarget:EventTarget",
    service="events",
    fields={
        "rule": Field("Rule", required=True, replace=True, pattern="", rule=_NAME),
        "eventBusName": _BUS,
        "targetId": _target("Id", replace=True, computed=True, pattern="", rule=_NAME),
        "arn": _target("Arn", required=True, pattern="arn:.+"),
        "roleArn": _target("RoleArn", rule=rules.arn("iam")),
        "input": _target("Input", json="any", maximum=8192),
        "inputPath": _target("InputPath"),
        "inputTransformer": _target(
            "InputTransformer",
            sub={
                "inputPaths": Field("InputPathsMap"),
                "inputTemplate": Field("InputTemplate", required=True),
            },
        ),
        "ecsTarget": _target("EcsParameters", sub=_ECS),
        "sqsTarget": _target("SqsParameters"),
        "httpTarget": _target("HttpParameters"),
        "kinesisTarget": _target("KinesisParameters"),
        "deadLetterConfig": _target("DeadLetterConfig", sub={"arn": Field("Arn", pattern="arn:.+:sqs:.+")}),
        "retryPolicy": _target(
            "RetryPolicy",
            sub={
                "maximumEventAgeInSeconds": Field(default=86400),
                "maximumRetryAttempts": Field(default=185),
            },
        ),
        "forceDestroy": Field(local=True, type="boolean", default=False),
    },
    autoname=AutoName(property="targetId"),
    identity=("rule", "eventBusName", "targetId"),
    validate=_target_rules,
    id="@Id",
    import_id=_import_target,
    find=_find_target,
    create=_put_target,
    read=_read_target,
    update=(
        Custom(
            run=_put_target,
            fields=(
                "arn",
                "roleArn",
                "input",
                "inputPath",
                "inputTransformer",
                "ecsTarget",
                "sqsTarget",
                "httpTarget",
                "kinesisTarget",
                "deadLetterConfig",
                "retryPolicy",
            ),
        ),
    ),
    delete=Call(
        op="RemoveTargets",
        params={"Rule": "{rule}", "EventBusName": "{eventBusName}", "Ids": ["{targetId}"]},
    ),
    unsupported=dict.fromkeys(
        ("appsyncTarget", "batchTarget", "redshiftTarget", "runCommandTargets", "sagemakerPipelineTarget"),
        "leave it out",
    ),
)
