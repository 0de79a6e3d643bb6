"""``aws:dynamodb/*``: the table, with its indexes and the settings that have calls of their own."""

from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.resources._dynamodb_indexes import (
    index_problem,
    index_to_aws,
    indexes_from_aws,
    key_rules,
    key_schema,
    update_indexes,
    wait_active,
)
from sandbox.providers.aws.shapes import bound, operation, put, to_aws
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values
from sandbox.providers.aws.tags import tags_for

_ON = ("ENABLING", "ENABLED", "UPDATING")


@creates("CreateTable")
def _create(run: Run) -> Values:
    params: Values = {}
    for name, item in bound(run.entry).items():
        value = run.inputs.get(name)
        if value is not None and not item.field.local:
            put(params, item.path, to_aws(value, item.field, item.shape))
    given, capacity = run.inputs, _capacity(run.inputs)
    params["KeySchema"] = key_schema(given["hashKey"], given.get("rangeKey"))
    if capacity:
        params["ProvisionedThroughput"] = capacity
    for name, member in (
        ("globalSecondaryIndexes", "GlobalSecondaryIndexes"),
        ("localSecondaryIndexes", "LocalSecondaryIndexes"),
    ):
        if given.get(name):
            params[member] = [index_to_aws(index, given["hashKey"]) for index in given[name]]
    if given.get("serverSideEncryption"):
        params["SSESpecification"] = _encryption(given["serverSideEncryption"])
    if given.get("streamEnabled"):
        params["StreamSpecification"] = _stream(given)
    if run.tags:
        params["Tags"] = tags_for(operation("dynamodb", "CreateTable").input_shape.members["Tags"], run.tags)
    run.response = run.call("CreateTable", **params)
    found: Values = run.response["TableDescription"]
    return found


def _capacity(values: Values) -> Values | None:
    if values.get("billingMode") == "PAY_PER_REQUEST":
        return None
    read, write = values.get("readCapacity"), values.get("writeCapacity")
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


def _encryption(given: Values) -> Values:
    if not given["enabled"]:
        return {"Enabled": False}
    key = {"KMSMasterKeyId": given["kmsKeyArn"]} if given.get("kmsKeyArn") else {}
    return {"Enabled": True, "SSEType": "KMS", **key}


def _stream(values: Values) -> Values:
    if not values.get("streamEnabled"):
        return {"StreamEnabled": False}
    return {"StreamEnabled": True, "StreamViewType": values.get("streamViewType") or "NEW_AND_OLD_IMAGES"}


def _read(run: Run) -> Values:
    """The table and its settings, in our names, and in the form in which the program gives them."""
    run.response = run.call("DescribeTable", TableName=run.id)
    found: Values = run.response["Table"]
    mode = (found.get("BillingModeSummary") or {}).get("BillingMode") or "PROVISIONED"
    keys = {item["KeyType"]: item["AttributeName"] for item in found["KeySchema"]}
    throughput = found.get("ProvisionedThroughput") or {} if mode == "PROVISIONED" else {}
    stream = found.get("StreamSpecification") or {}
    found["Ours"] = {
        "hashKey": keys["HASH"],
        "rangeKey": keys.get("RANGE"),
        "billingMode": mode,
        "readCapacity": throughput.get("ReadCapacityUnits"),
        "writeCapacity": throughput.get("WriteCapacityUnits"),
        "streamEnabled": stream.get("StreamEnabled", False),
        "streamViewType": stream.get("StreamViewType"),
        "tableClass": (found.get("TableClassSummary") or {}).get("TableClass") or "STANDARD",
        "serverSideEncryption": _encrypted(run, found.get("SSEDescription") or {}),
        "ttl": _expiry(run),
        "pointInTimeRecovery": _recovery(run),
    }
    used = set(keys.values())
    for name in ("globalSecondaryIndexes", "localSecondaryIndexes"):
        held = found.get(name[0].upper() + name[1:]) or []
        found["Ours"][name] = indexes_from_aws(held, run.value(name) or [], provisioned=mode == "PROVISIONED")
        used |= {key["AttributeName"] for index in held for key in index["KeySchema"]}
    # The emulator keeps the attributes of deleted indexes; AWS has none that is no key.
    found["AttributeDefinitions"] = [
        item for item in found["AttributeDefinitions"] if item["AttributeName"] in used
    ]
    return found


def _encrypted(run: Run, found: Values) -> Values | None:
    if found.get("Status") in _ON:
        return {"enabled": True, "kmsKeyArn": found.get("KMSMasterKeyArn")}
    return {"enabled": False} if run.value("serverSideEncryption") else None


def _expiry(run: Run) -> Values | None:
    found = run.call("DescribeTimeToLive", TableName=run.id).get("TimeToLiveDescription", {})
    if found.get("TimeToLiveStatus") in _ON:
        return {"attributeName": found["AttributeName"], "enabled": True}
    given = run.value("ttl")
    return {**given, "enabled": False} if given else None


def _recovery(run: Run) -> Values:
    answer = run.call("DescribeContinuousBackups", TableName=run.id)
    found = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    if found.get("PointInTimeRecoveryStatus") in _ON:
        days = found.get("RecoveryPeriodInDays")
        return {"enabled": True, **({"recoveryPeriodInDays": days} if days else {})}
    return {"enabled": False}


# --- changes


def _ready(run: Run) -> None:
    wait_active(run)


def _set_expiry(run: Run) -> None:
    """DynamoDB takes a change of the attribute only as off and on again."""
    before, after = run.state.get("ttl") or {}, run.inputs.get("ttl") or {}
    if run.changed and before.get("enabled") and before.get("attributeName") != after.get("attributeName"):
        _expire(run, before["attributeName"], on=False)
        before = {}
    if bool(after.get("enabled")) != bool(run.changed and before.get("enabled")):
        _expire(run, after.get("attributeName") or before["attributeName"], on=bool(after.get("enabled")))


def _expire(run: Run, attribute: str, *, on: bool) -> None:
    run.call(
        "UpdateTimeToLive",
        TableName=run.id,
        TimeToLiveSpecification={"AttributeName": attribute, "Enabled": on},
    )

    def settled() -> bool | None:
        found = run.call("DescribeTimeToLive", TableName=run.id)["TimeToLiveDescription"]
        return True if found.get("TimeToLiveStatus") in ("ENABLED", "DISABLED") else None

    run.wait_until(settled, f"the expiry of items of the table {run.id}", 600)


def _set_recovery(run: Run) -> None:
    given = run.inputs.get("pointInTimeRecovery") or {"enabled": False}
    wanted: Values = {"PointInTimeRecoveryEnabled": given["enabled"]}
    if given["enabled"] and given.get("recoveryPeriodInDays"):
        wanted["RecoveryPeriodInDays"] = given["recoveryPeriodInDays"]
    run.call("UpdateContinuousBackups", TableName=run.id, PointInTimeRecoverySpecification=wanted)


def _set_stream(run: Run) -> None:
    """Another view of the items needs a new stream."""
    if run.state.get("streamEnabled") and run.inputs.get("streamEnabled"):
        run.call("UpdateTable", TableName=run.id, StreamSpecification={"StreamEnabled": False})
        wait_active(run)
    run.call("UpdateTable", TableName=run.id, StreamSpecification=_stream(run.inputs))
    wait_active(run)


def _set_capacity(run: Run) -> None:
    params: Values = {}
    if "billingMode" in run.changed:
        params["BillingMode"] = run.inputs.get("billingMode") or "PROVISIONED"
    capacity = _capacity(run.inputs)
    if capacity:
        params["ProvisionedThroughput"] = capacity
    if params:
        run.call("UpdateTable", TableName=run.id, **params)
        wait_active(run)


def _set_encryption(run: Run) -> None:
    given = run.inputs.get("serverSideEncryption") or {"enabled": False}
    run.call("UpdateTable", TableName=run.id, SSESpecification=_encryption(given))
    wait_active(run)


def _delete(run: Run) -> None:
    """Returns when the table is gone, so that its name is free."""
    run.call("DeleteTable", TableName=run.id)
    run.wait_until(
        lambda: True if not run.optional("DescribeTable", TableName=run.id) else None,
        f"the end of the table {run.id}",
        600,
    )


def _rules(values: Values) -> dict[str, str]:
    found = dict(key_rules(values))
    mode = values.get("billingMode", "PROVISIONED")
    for name in ("readCapacity", "writeCapacity"):
        if mode == "PROVISIONED" and values.get(name) is None:
            found[name] = "is required with billingMode PROVISIONED"
        elif mode == "PAY_PER_REQUEST" and values.get(name):
            found[name] = "isn't allowed with billingMode PAY_PER_REQUEST"
    if values.get("streamEnabled") is True and values.get("streamViewType") is None:
        found["streamViewType"] = "is required with streamEnabled"
    ttl = values.get("ttl")
    if isinstance(ttl, dict) and ttl.get("enabled") is True and ttl.get("attributeName") is None:
        found["ttl.attributeName"] = "is required with enabled"
    return found


def _object(names: dict[str, type], required: tuple[str, ...] = ()) -> Any:
    """A rule for an object whose members are other ones in AWS."""

    def rule(value: Values) -> str | None:
        for name, item in value.items():
            if name not in names:
                return f"has no property {name!r}; allowed: {', '.join(names)}"
            if item is not None and type(item) is not names[name]:
                return f"has {name} {item!r}, which must be a {names[name].__name__}"
        missing = [name for name in required if value.get(name) is None]
        return f"must have {missing[0]}" if missing else None

    return rule


def _ours(name: str, kind: str, **options: Any) -> Field:
    return Field(local=True, type=kind, read=f"Ours.{name}", **options)


TABLE = Resource(
    token="aws:dynamodb/table:Table",
    service="dynamodb",
    fields={
        "name": Field(
            "TableName",
            replace=True,
            computed=True,
            minimum=3,
            maximum=255,
            pattern="",
            rule=rules.matches(r"[a-zA-Z0-9_.-]+", "letters, digits and _ . -"),
        ),
        "attributes": Field(
            "AttributeDefinitions",
            unordered=True,
            sub={
                "name": Field("AttributeName", required=True),
                "type": Field("AttributeType", required=True),
            },
        ),
        "hashKey": _ours("hashKey", "string", required=True, replace=True),
        "rangeKey": _ours("rangeKey", "string", replace=True),
        "billingMode": Field("BillingMode", default="PROVISIONED", read="Ours.billingMode"),
        "readCapacity": _ours("readCapacity", "integer", computed=True, minimum=1),
        "writeCapacity": _ours("writeCapacity", "integer", computed=True, minimum=1),
        "globalSecondaryIndexes": _ours(
            "globalSecondaryIndexes", "list", unordered=True, rule=index_problem, maximum=20
        ),
        "localSecondaryIndexes": _ours(
            "localSecondaryIndexes", "list", replace=True, unordered=True, rule=index_problem, maximum=5
        ),
        "streamEnabled": _ours("streamEnabled", "boolean", default=False),
        "streamViewType": _ours(
            "streamViewType",
            "string",
            computed=True,
            allowed=("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"),
        ),
        "tableClass": Field("TableClass", default="STANDARD", read="Ours.tableClass"),
        "deletionProtectionEnabled": Field("DeletionProtectionEnabled", default=False),
        "ttl": _ours(
            "ttl",
            "object",
            rule=_object({"attributeName": str, "enabled": bool}),
            sub={"enabled": Field(default=False)},
        ),
        "pointInTimeRecovery": _ours(
            "pointInTimeRecovery",
            "object",
            default={"enabled": False},
            rule=_object({"enabled": bool, "recoveryPeriodInDays": int}, ("enabled",)),
            sub={"recoveryPeriodInDays": Field(computed=True)},
        ),
        "serverSideEncryption": _ours(
            "serverSideEncryption",
            "object",
            rule=_object({"enabled": bool, "kmsKeyArn": str}, ("enabled",)),
            sub={"kmsKeyArn": Field(computed=True)},
        ),
    },
    autoname=AutoName(limit=255),
    identity=("name",),
    validate=_rules,
    create=_create,
    read=_read,
    delete=_delete,
    wait=_ready,
    update=(
        Custom(run=_ready, fields=("name",), on_create=True),
        Custom(run=_set_capacity, fields=("billingMode", "readCapacity", "writeCapacity")),
        Custom(run=update_indexes, fields=("attributes", "globalSecondaryIndexes")),
        Custom(run=_set_stream, fields=("streamEnabled", "streamViewType")),
        Custom(run=_set_encryption, fields=("serverSideEncryption",)),
        Call(op="UpdateTable", params={"TableName": "{id}"}, fields=("tableClass",)),
        Call(op="UpdateTable", params={"TableName": "{id}"}, fields=("deletionProtectionEnabled",)),
        Custom(run=_set_expiry, fields=("ttl",), on_create=True),
        Custom(run=_set_recovery, fields=("pointInTimeRecovery",), on_create=True),
    ),
    outputs={
        "arn": "TableArn",
        "streamArn": "LatestStreamArn",
        "streamLabel": "LatestStreamLabel",
    },
    volatile=("streamArn", "streamLabel"),
    tags=Tags(
        member="Tags",
        add="TagResource",
        remove="UntagResource",
        list="ListTagsOfResource",
        target={"ResourceArn": "{arn}"},
    ),
    unsupported={
        "globalTableWitness": "leave it out",
        "importTable": "load the items after the table is made",
        "onDemandThroughput": "leave it out",
        "replicas": "leave it out",
        "restoreBackupArn": "leave it out",
        "restoreDateTime": "leave it out",
        "restoreSourceName": "leave it out",
        "restoreSourceTableArn": "leave it out",
        "restoreToLatestTime": "leave it out",
        "warmThroughput": "leave it out",
    },
)

RESOURCES = (TABLE,)
