"""``aws:lambda/*``."""

import json
from typing import Any

from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.resources._lambda_events import EVENT_INVOKE_CONFIG, EVENT_SOURCE_MAPPING
from sandbox.providers.aws.resources._lambda_function import FUNCTION
from sandbox.providers.aws.table import AutoName, Call, Field, Resource, Values


def _read_permission(run: Run) -> Values | None:
    """The statement with our id in the function's policy, in the members of AddPermission."""
    params = {"FunctionName": run.value("function")}
    if run.value("qualifier"):
        params["Qualifier"] = run.value("qualifier")
    policy = json.loads(run.call("GetPolicy", **params)["Policy"])
    for statement in policy["Statement"]:
        if statement.get("Sid") == run.value("statementId"):
            return _members(run, statement)
    return None


def _members(run: Run, statement: Values) -> Values:
    principal: Any = statement["Principal"]
    if isinstance(principal, dict):
        principal = next(iter(principal.values()))
    tests: Values = {}
    for wanted in (statement.get("Condition") or {}).values():
        tests.update({key.lower(): value for key, value in wanted.items()})
    old = run.value("principal")
    if isinstance(old, str) and principal == f"arn:aws:iam::{old}:root":
        principal = old
    return {
        "FunctionName": run.value("function"),
        "StatementId": statement["Sid"],
        "Action": statement["Action"],
        "Principal": principal,
        "Qualifier": run.value("qualifier"),
        "SourceArn": tests.get("aws:sourcearn"),
        "SourceAccount": tests.get("aws:sourceaccount"),
        "PrincipalOrgID": tests.get("aws:principalorgid"),
        "FunctionUrlAuthType": tests.get("lambda:functionurlauthtype"),
        "EventSourceToken": tests.get("lambda:eventsourcetoken"),
    }


PERMISSION = Resource(
    token="aws:lambda/permission:Permission",
    service="lambda",
    fields={
        "action": Field("Action", required=True, replace=True),
        "function": Field("FunctionName", required=True, replace=True, pattern=""),
        "principal": Field("Principal", required=True, replace=True),
        "statementId": Field("StatementId", replace=True, computed=True, maximum=100),
        "statementIdPrefix": Field(local=True, type="string", replace=True),
        "sourceArn": Field("SourceArn", replace=True, pattern="arn:.+"),
        "sourceAccount": Field("SourceAccount", replace=True, pattern=r"\d{12}"),
        "qualifier": Field("Qualifier", replace=True),
        "principalOrgId": Field("PrincipalOrgID", replace=True),
        "functionUrlAuthType": Field("FunctionUrlAuthType", replace=True),
        "invokedViaFunctionUrl": Field("InvokedViaFunctionUrl", replace=True, unread=True),
        "eventSourceToken": Field("EventSourceToken", replace=True),
    },
    autoname=AutoName(property="statementId", limit=100, prefix_property="statementIdPrefix"),
    identity=("function", "statementId"),
    id="{statementId}",
    import_id="{function}/{statementId}",
    create=Call(op="AddPermission"),
    read=_read_permission,
    delete=Call(
        op="RemovePermission",
        params={"FunctionName": "{function}", "StatementId": "{id}", "Qualifier": "{qualifier}"},
    ),
    read_after_create=False,
)

RESOURCES = (FUNCTION, PERMISSION, EVENT_SOURCE_MAPPING, EVENT_INVOKE_CONFIG)
