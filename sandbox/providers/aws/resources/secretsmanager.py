"""``aws:secretsmanager/*``."""

import base64
from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.errors import Refused
from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values
from sandbox.providers.server import ProviderError

_CURRENT = "AWSCURRENT"


def _read_secret(run: Run) -> Values | None:
    """A secret that waits for its deletion counts as gone."""
    found = run.optional("DescribeSecret", SecretId=run.id)
    run.response = found
    if not found or found.get("DeletedDate"):
        return None
    policy = run.optional("GetResourcePolicy", SecretId=run.id).get("ResourcePolicy")
    return {**found, "Policy": policy}


def _find_secret(run: Run) -> str | None:
    found = run.optional("DescribeSecret", SecretId=run.inputs["name"])
    return None if not found or found.get("DeletedDate") else str(found["ARN"])


def _set_policy(run: Run) -> None:
    policy = run.inputs.get("policy")
    if policy:
        run.call("PutResourcePolicy", SecretId=run.id, ResourcePolicy=policy)
    else:
        run.optional("DeleteResourcePolicy", SecretId=run.id)


def _delete_secret(run: Run) -> None:
    """0 days take the secret away at once, and its name is free again."""
    days = run.value("recoveryWindowInDays")
    how: Values = {"ForceDeleteWithoutRecovery": True}
    if days != 0:
        how = {"RecoveryWindowInDays": 30 if days is None else days}
    try:
        run.call("DeleteSecret", SecretId=run.id, **how)
    except Refused as problem:
        if "marked for deletion" not in problem.reason and "scheduled for deletion" not in problem.reason:
            raise
    if days == 0:
        run.wait_until(
            lambda: True if not run.optional("DescribeSecret", SecretId=run.id) else None,
            f"the deletion of the secret {run.value('name')}",
        )


def _days(value: Any) -> str | None:
    return None if value == 0 or 7 <= value <= 30 else f"must be 0 (at once) or 7 to 30 days, not {value}"


SECRET = Resource(
    token="aws:secretsmanager/secret:Secret",
    service="secretsmanager",
    fields={
        "name": Field(
            "Name",
            replace=True,
            computed=True,
            maximum=512,
            rule=rules.matches(r"[A-Za-z0-9/_+=.@-]+", "letters, digits and / _ + = . @ -"),
        ),
        "namePrefix": Field(local=True, type="string", replace=True),
        "description": Field("Description", default="", clear=""),
        "kmsKeyId": Field("KmsKeyId"),
        "policy": Field(
            local=True, type="string", read="Policy", computed=True, json="policy", rule=rules.resource_policy
        ),
        "recoveryWindowInDays": Field(local=True, type="integer", default=30, rule=_days),
        "forceOverwriteReplicaSecret": Field(local=True, type="boolean", default=False),
    },
    autoname=AutoName(limit=512, prefix_property="namePrefix"),
    identity=("name",),
    id="@ARN",
    find=_find_secret,
    create=Call(op="CreateSecret"),
    read=_read_secret,
    update=(
        Call(op="UpdateSecret", params={"SecretId": "{id}"}, fields=("description", "kmsKeyId")),
        Custom(run=_set_policy, fields=("policy",), on_create=True),
    ),
    delete=_delete_secret,
    outputs={"arn": "{id}"},
    tags=Tags(
        member="Tags",
        add="TagResource",
        remove="UntagResource",
        target={"SecretId": "{id}"},
        read="Tags",
    ),
    unsupported={"replicas": "leave it out", "type": "leave it out"},
)


# --- versions


@creates("PutSecretValue")
def _create_version(run: Run) -> Values:
    params: Values = {"SecretId": run.inputs["secretId"]}
    if run.inputs.get("secretString") is not None:
        params["SecretString"] = run.inputs["secretString"]
    if run.inputs.get("secretBinary") is not None:
        params["SecretBinary"] = base64.b64decode(run.inputs["secretBinary"])
    if run.inputs.get("versionStages"):
        params["VersionStages"] = run.inputs["versionStages"]
    result = run.call("PutSecretValue", **params)
    return {**result, "Id": f"{run.inputs['secretId']}|{result['VersionId']}"}


def _version(run: Run, **which: str) -> Values | None:
    """A version without any label is one that AWS will delete: it counts as gone."""
    try:
        found = run.call("GetSecretValue", **which)
    except Refused as problem:
        if problem.missing or "marked for deletion" in problem.reason:
            return None
        raise
    return found if found.get("VersionStages") else None


def _read_version(run: Run) -> Values | None:
    secret, _, version = run.id.rpartition("|")
    found = _version(run, SecretId=secret, VersionId=version)
    if found is None:
        return None
    binary = found.get("SecretBinary")
    return {
        **found,
        "SecretId": secret,
        "SecretBinary": base64.b64encode(binary).decode() if binary else None,
    }


def _import_version(run: Run) -> None:
    secret, _, version = run.id.rpartition("|")
    if not secret or not version:
        raise ProviderError(f"{run.entry.token}: the id to import must be <secret's ARN>|<version id>")
    run.state["secretId"] = secret


def _find_version(run: Run) -> str | None:
    """The current version, when it has the value that is to be written."""
    secret = run.inputs["secretId"]
    for stage in run.inputs.get("versionStages") or [_CURRENT]:
        found = _version(run, SecretId=secret, VersionStage=stage)
        binary = base64.b64decode(run.inputs["secretBinary"]) if run.inputs.get("secretBinary") else None
        wanted = (run.inputs.get("secretString"), binary)
        if found is None or (found.get("SecretString"), found.get("SecretBinary")) != wanted:
            return None
    return f"{secret}|{found['VersionId']}" if found else None


def _stages(run: Run) -> None:
    """Labels move from one version to another; only other ones than AWSCURRENT can be taken away."""
    secret, _, version = run.id.rpartition("|")
    before, after = set(run.state.get("versionStages") or []), set(run.inputs.get("versionStages") or [])
    for stage in sorted(after - before):
        held = _version(run, SecretId=secret, VersionStage=stage)
        params = {"SecretId": secret, "VersionStage": stage, "MoveToVersionId": version}
        if held is not None and held["VersionId"] != version:
            params["RemoveFromVersionId"] = held["VersionId"]
        run.call("UpdateSecretVersionStage", **params)
    _take_away(run, before - after)


def _take_away(run: Run, stages: set[str]) -> None:
    secret, _, version = run.id.rpartition("|")
    for stage in sorted(stages - {_CURRENT}):
        held = _version(run, SecretId=secret, VersionStage=stage)
        if held is not None and held["VersionId"] == version:
            run.call(
                "UpdateSecretVersionStage", SecretId=secret, VersionStage=stage, RemoveFromVersionId=version
            )


def _delete_version(run: Run) -> None:
    """As with the official provider, the current version stays until another one is current."""
    _take_away(run, set(run.state.get("versionStages") or []))


def _version_rules(values: Values) -> dict[str, str]:
    if (values.get("secretString") is None) == (values.get("secretBinary") is None):
        return {"secretString": "exactly one of secretString and secretBinary is required"}
    return {}


def _base64_problem(value: str) -> str | None:
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return "must be base64"
    return None


SECRET_VERSION = Resource(
    token="aws:secretsmanager/secretVersion:SecretVersion",
    service="secretsmanager",
    fields={
        "secretId": Field("SecretId", required=True, replace=True),
        "secretString": Field("SecretString", replace=True),
        "secretBinary": Field("SecretBinary", type="string", replace=True, rule=_base64_problem),
        "versionStages": Field("VersionStages", unordered=True, computed=True),
    },
    id="@Id",
    import_id=_import_version,
    find=_find_version,
    validate=_version_rules,
    create=_create_version,
    read=_read_version,
    update=(Custom(run=_stages, fields=("versionStages",)),),
    delete=_delete_version,
    outputs={
        "arn": "ARN",
        "secretArn": "ARN",
        "versionId": "VersionId",
        "hasSecretStringWo": lambda run, result: False,
    },
    secret_outputs=("secretString", "secretBinary"),
    unsupported={
        "secretStringWo": "use secretString, which is a secret of the state",
        "secretStringWoVersion": "use secretString, which is a secret of the state",
    },
)

RESOURCES = (SECRET, SECRET_VERSION)
