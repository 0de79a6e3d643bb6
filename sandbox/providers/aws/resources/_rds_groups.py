"""``aws:rds/subnetGroup`` and ``parameterGroup``: where databases are, and how they are set up."""

from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values

TAGS = Tags(
    member="Tags",
    add="AddTagsToResource",
    remove="RemoveTagsFromResource",
    list="ListTagsForResource",
    target={"ResourceName": "{arn}"},
)
_SUBNETS_NAME = rules.matches(r"(?!default$)[a-z0-9 ._-]+", "lower-case letters, digits and . _ -")
_PARAMETERS_NAME = rules.matches(
    r"[a-z](?!.*--)[a-z0-9-]*(?<!-)",
    "lower-case letters, digits and single hyphens, with a letter first and no hyphen last",
)

SUBNET_GROUP = Resource(
    token="aws:rds/subnetGroup:SubnetGroup",
    service="rds",
    fields={
        "name": Field("DBSubnetGroupName", computed=True, replace=True, maximum=255, rule=_SUBNETS_NAME),
        "namePrefix": Field(local=True, type="string", replace=True, maximum=229, rule=_SUBNETS_NAME),
        "description": Field("DBSubnetGroupDescription", default="Managed by Pulumi", minimum=1, maximum=255),
        "subnetIds": Field(
            "SubnetIds",
            required=True,
            unordered=True,
            read=lambda group: [item["SubnetIdentifier"] for item in group["Subnets"]],
        ),
    },
    autoname=AutoName(limit=255, lower=True, prefix_property="namePrefix"),
    identity=("name",),
    create=Call(op="CreateDBSubnetGroup", result="DBSubnetGroup"),
    read=Call(op="DescribeDBSubnetGroups", params={"DBSubnetGroupName": "{id}"}, result="DBSubnetGroups.0"),
    update=(
        Call(
            op="ModifyDBSubnetGroup",
            params={"DBSubnetGroupName": "{id}"},
            fields=("description", "subnetIds"),
        ),
    ),
    delete=Call(op="DeleteDBSubnetGroup", params={"DBSubnetGroupName": "{id}"}),
    outputs={"arn": "DBSubnetGroupArn", "vpcId": "VpcId", "supportedNetworkTypes": "SupportedNetworkTypes"},
    tags=TAGS,
)

_AT_ONCE = 20
"""Parameters that AWS takes in one call."""


def _parameters_problem(given: list[Any]) -> str | None:
    for i, item in enumerate(given):
        if not isinstance(item, dict) or not {"name", "value"} <= set(item) <= {
            "applyMethod",
            "name",
            "value",
        }:
            return f"[{i}] must be an object with name, value and, if need be, applyMethod"
        if item.get("applyMethod") not in (None, "immediate", "pending-reboot"):
            return f"[{i}].applyMethod must be immediate or pending-reboot, not {item['applyMethod']!r}"
    names = [str(item["name"]).lower() for item in given]
    return "must not have a name twice" if len(set(names)) < len(names) else None


def _members(item: Values) -> Values:
    return {
        "ParameterName": item["name"],
        "ParameterValue": item["value"],
        "ApplyMethod": item.get("applyMethod") or "immediate",
    }


def _read_parameters(run: Run) -> Values | None:
    group: Values = run.call("DescribeDBParameterGroups", DBParameterGroupName=run.id)["DBParameterGroups"][0]
    answer = run.call("DescribeDBParameters", DBParameterGroupName=run.id, Source="user")
    group["Parameters"] = [
        {"name": item["ParameterName"], "value": item["ParameterValue"], "applyMethod": item["ApplyMethod"]}
        for item in answer["Parameters"]
    ]
    return group


def _set_parameters(run: Run) -> None:
    wanted = {item["name"]: item for item in run.inputs.get("parameters") or []}
    before = (_read_parameters(run) or {}).get("Parameters") or []
    gone = [
        {"ParameterName": item["name"], "ApplyMethod": item["applyMethod"]}
        for item in before
        if item["name"] not in wanted
    ]
    new = [_members(item) for item in wanted.values() if {"applyMethod": "immediate", **item} not in before]
    for op, items in (("ModifyDBParameterGroup", new), ("ResetDBParameterGroup", gone)):
        for start in range(0, len(items), _AT_ONCE):
            run.call(op, DBParameterGroupName=run.id, Parameters=items[start : start + _AT_ONCE])


def _delete_parameters(run: Run) -> None:
    if not run.value("skipDestroy"):
        run.call("DeleteDBParameterGroup", DBParameterGroupName=run.id)


PARAMETER_GROUP = Resource(
    token="aws:rds/parameterGroup:ParameterGroup",
    service="rds",
    fields={
        "name": Field(
            "DBParameterGroupName", computed=True, replace=True, maximum=255, rule=_PARAMETERS_NAME
        ),
        "namePrefix": Field(
            local=True,
            type="string",
            replace=True,
            maximum=229,
            rule=rules.matches(r"[a-z][a-z0-9-]*", "lower-case letters, digits and hyphens"),
        ),
        "family": Field("DBParameterGroupFamily", required=True, replace=True),
        "description": Field("Description", default="Managed by Pulumi", replace=True, maximum=255),
        "parameters": Field(
            local=True,
            type="list",
            read="Parameters",
            unordered=True,
            rule=_parameters_problem,
            sub={"applyMethod": Field(default="immediate")},
        ),
        "skipDestroy": Field(local=True, type="boolean", default=False),
    },
    autoname=AutoName(limit=255, lower=True, prefix_property="namePrefix"),
    identity=("name",),
    create=Call(op="CreateDBParameterGroup", result="DBParameterGroup"),
    read=_read_parameters,
    update=(Custom(run=_set_parameters, fields=("parameters",), on_create=True),),
    delete=_delete_parameters,
    outputs={"arn": "DBParameterGroupArn"},
    tags=TAGS,
)
