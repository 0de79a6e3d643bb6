"""``aws:iam/*``."""

import json
from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values

_NAME = rules.matches(r"[\w+=,.@-]+", "letters, digits and + = , . @ _ -")


def _empty_role(run: Run) -> None:
    """AWS deletes only roles without policies. Inline ones go when Pulumi made them or detaching was asked
    for.
    """
    force = run.value("forceDetachPolicies") is True
    inline = run.call("ListRolePolicies", RoleName=run.id)["PolicyNames"]
    attached = run.call("ListAttachedRolePolicies", RoleName=run.id)["AttachedPolicies"]
    ours = {policy["name"] for policy in run.value("inlinePolicies") or [] if policy.get("name")}
    for name in inline:
        if force or name in ours:
            run.call("DeleteRolePolicy", RoleName=run.id, PolicyName=name)
    for policy in attached:
        if force or policy["PolicyArn"] in (run.value("managedPolicyArns") or []):
            run.call("DetachRolePolicy", RoleName=run.id, PolicyArn=policy["PolicyArn"])
    run.call("DeleteRole", RoleName=run.id)


def _read_role(run: Run) -> Values:
    role = run.call("GetRole", RoleName=run.id)
    run.response = role
    found: Values = dict(role["Role"])
    found["Boundary"] = (found.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn")
    if run.value("inlinePolicies") is not None:
        found["Inline"] = [
            {"name": name, "policy": _document(run, name)}
            for name in run.call("ListRolePolicies", RoleName=run.id)["PolicyNames"]
        ]
    if run.value("managedPolicyArns") is not None:
        attached = run.call("ListAttachedRolePolicies", RoleName=run.id)["AttachedPolicies"]
        found["Managed"] = [policy["PolicyArn"] for policy in attached]
    return found


def _document(run: Run, name: str) -> str:
    found = run.call("GetRolePolicy", RoleName=run.id, PolicyName=name)["PolicyDocument"]
    return found if isinstance(found, str) else json.dumps(found)


def _inline_problem(policies: list[Any]) -> str | None:
    for i, policy in enumerate(policies):
        if not isinstance(policy, dict) or not policy.get("name") or not policy.get("policy"):
            return f"[{i}] must be an object with name and policy"
        try:
            document = json.loads(policy["policy"])
        except (TypeError, ValueError) as problem:
            return f"[{i}].policy must be JSON: {problem}"
        found = rules.document_problem("policy", document) or rules.identity_policy(document)
        if found:
            return f"[{i}].policy {found}"
    return None


def _inline(run: Run) -> None:
    wanted = {policy["name"]: policy["policy"] for policy in run.inputs.get("inlinePolicies") or []}
    for policy in run.state.get("inlinePolicies") or []:
        if policy["name"] not in wanted:
            run.call("DeleteRolePolicy", RoleName=run.id, PolicyName=policy["name"])
    for name, document in wanted.items():
        run.call("PutRolePolicy", RoleName=run.id, PolicyName=name, PolicyDocument=document)


def _managed(run: Run) -> None:
    wanted, before = run.inputs.get("managedPolicyArns") or [], run.state.get("managedPolicyArns") or []
    for arn in before:
        if arn not in wanted:
            run.optional("DetachRolePolicy", RoleName=run.id, PolicyArn=arn)
    for arn in wanted:
        run.call("AttachRolePolicy", RoleName=run.id, PolicyArn=arn)


ROLE = Resource(
    token="aws:iam/role:Role",
    service="iam",
    regional=False,
    fields={
        "name": Field("RoleName", replace=True, computed=True, maximum=64, pattern="", rule=_NAME),
        "namePrefix": Field(local=True, type="string", replace=True, maximum=38, rule=_NAME),
        "assumeRolePolicy": Field("AssumeRolePolicyDocument", required=True, json="trust", maximum=2048),
        "path": Field("Path", replace=True, default="/"),
        "description": Field("Description", default="", clear="", maximum=1000),
        "maxSessionDuration": Field("MaxSessionDuration", default=3600),
        "permissionsBoundary": Field("PermissionsBoundary", read="Boundary", rule=rules.arn("iam")),
        "forceDetachPolicies": Field(local=True, type="boolean", default=False),
        "inlinePolicies": Field(
            local=True,
            type="list",
            read="Inline",
            computed=True,
            unordered=True,
            rule=_inline_problem,
            sub={"policy": Field(json="policy")},
        ),
        "managedPolicyArns": Field(local=True, type="list", read="Managed", computed=True, unordered=True),
    },
    autoname=AutoName(prefix_property="namePrefix"),
    identity=("name",),
    create=Call(op="CreateRole", result="Role"),
    read=_read_role,
    delete=_empty_role,
    update=(
        Call(op="UpdateRole", params={"RoleName": "{id}"}, fields=("description", "maxSessionDuration")),
        Call(
            op="UpdateAssumeRolePolicy",
            params={"RoleName": "{id}", "PolicyDocument": "{assumeRolePolicy}"},
            fields=(),
            when=("assumeRolePolicy",),
        ),
        Call(
            op="PutRolePermissionsBoundary",
            params={"RoleName": "{id}"},
            fields=("permissionsBoundary",),
            unset=Call(op="DeleteRolePermissionsBoundary", params={"RoleName": "{id}"}),
        ),
        Custom(run=_inline, fields=("inlinePolicies",), on_create=True),
        Custom(run=_managed, fields=("managedPolicyArns",), on_create=True),
    ),
    outputs={"arn": "Arn", "uniqueId": "RoleId", "createDate": "CreateDate"},
    tags=Tags(
        member="Tags", add="TagRole", remove="UntagRole", target={"RoleName": "{id}"}, read="Role.Tags"
    ),
    read_after_create=False,
)

ROLE_POLICY = Resource(
    token="aws:iam/rolePolicy:RolePolicy",
    service="iam",
    regional=False,
    fields={
        "name": Field("PolicyName", replace=True, computed=True, maximum=128, pattern="", rule=_NAME),
        "namePrefix": Field(local=True, type="string", replace=True, maximum=102, rule=_NAME),
        "role": Field("RoleName", required=True, replace=True, pattern="", rule=_NAME),
        "policy": Field(
            "PolicyDocument", required=True, json="policy", rule=rules.identity_policy, maximum=10240
        ),
    },
    autoname=AutoName(limit=128, prefix_property="namePrefix"),
    identity=("role", "name"),
    id="{role}:{name}",
    create=Call(op="PutRolePolicy"),
    read=Call(op="GetRolePolicy", params={"RoleName": "{role}", "PolicyName": "{name}"}),
    update=(Call(op="PutRolePolicy"),),
    delete=Call(op="DeleteRolePolicy", params={"RoleName": "{role}", "PolicyName": "{name}"}),
    read_after_create=False,
)


def _read_attachment(run: Run) -> Values | None:
    attached = run.call("ListAttachedRolePolicies", RoleName=run.value("role"))
    arn = run.value("policyArn")
    found = any(policy["PolicyArn"] == arn for policy in attached["AttachedPolicies"])
    return {"RoleName": run.value("role"), "PolicyArn": arn} if found else None


ROLE_POLICY_ATTACHMENT = Resource(
    token="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    service="iam",
    regional=False,
    fields={
        "role": Field("RoleName", required=True, replace=True, pattern="", rule=_NAME),
        "policyArn": Field("PolicyArn", required=True, replace=True, rule=rules.arn("iam")),
    },
    identity=("role", "policyArn"),
    id="{role}/{policyArn}",
    create=Call(op="AttachRolePolicy"),
    read=_read_attachment,
    delete=Call(op="DetachRolePolicy", params={"RoleName": "{role}", "PolicyArn": "{policyArn}"}),
    read_after_create=False,
)

RESOURCES = (ROLE, ROLE_POLICY, ROLE_POLICY_ATTACHMENT)
