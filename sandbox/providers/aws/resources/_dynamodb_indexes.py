"""Keys and indexes of a DynamoDB table, whose form in Pulumi is another one than in AWS."""

from collections.abc import Iterator
from typing import Any

from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import Values
from sandbox.providers.server import ProviderError
from sandbox.providers.wire import has_unknown

_INDEX = {
    "name": str,
    "hashKey": str,
    "rangeKey": str,
    "keySchemas": list,
    "projectionType": str,
    "nonKeyAttributes": list,
    "readCapacity": int,
    "writeCapacity": int,
}
_PROJECTIONS = ("ALL", "INCLUDE", "KEYS_ONLY")


def key_schema(hash_key: str, range_key: str | None) -> list[Values]:
    keys = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    return [*keys, {"AttributeName": range_key, "KeyType": "RANGE"}] if range_key else keys


def index_problem(indexes: list[Any]) -> str | None:
    """What is wrong with the first bad one of a table's indexes."""
    names: set[str] = set()
    for i, index in enumerate(indexes):
        found = _problem(index)
        if not found and index["name"] in names:
            found = f"has the name {index['name']!r}, which another index has"
        if found:
            return f"[{i}] {found}"
        names.add(index["name"])
    return None


def _problem(index: Any) -> str | None:
    if not isinstance(index, dict):
        return "must be an object"
    for name, value in index.items():
        if name not in _INDEX:
            return f"has no property {name!r}; allowed: {', '.join(_INDEX)}"
        if value is not None and type(value) is not _INDEX[name]:
            return f"has {name} {value!r}, which must be a {_INDEX[name].__name__}"
    for name in ("name", "projectionType"):
        if not index.get(name):
            return f"must have {name}"
    kind = index["projectionType"]
    if kind not in _PROJECTIONS:
        return f"has projectionType {kind!r}, which must be one of {', '.join(_PROJECTIONS)}"
    if bool(index.get("nonKeyAttributes")) != (kind == "INCLUDE"):
        return "must have nonKeyAttributes with projectionType INCLUDE, and only then"
    return None


def key_rules(values: Values) -> Iterator[tuple[str, str]]:
    """Every key must be a declared attribute, and every declared attribute a key."""
    names = ("attributes", "globalSecondaryIndexes", "localSecondaryIndexes", "hashKey", "rangeKey")
    if has_unknown([values.get(name) for name in names]):
        return
    attributes = values.get("attributes") or []
    indexes = [*(values.get("globalSecondaryIndexes") or []), *(values.get("localSecondaryIndexes") or [])]
    used = [values.get("hashKey"), values.get("rangeKey")]
    declared = {attribute["name"] for attribute in attributes}
    for index in indexes:
        used += _keys(index)
    keys = {name for name in used if name}
    for name in sorted(keys - declared):
        yield "attributes", f"must declare {name!r}, which is a key"
    for name in sorted(declared - keys):
        yield "attributes", f"declares {name!r}, which is no key of the table or an index"


def _keys(index: Values) -> list[str | None]:
    if index.get("keySchemas"):
        return [key.get("attributeName") for key in index["keySchemas"]]
    return [index.get("hashKey"), index.get("rangeKey")]


def index_to_aws(index: Values, hash_key: str) -> Values:
    """``hash_key`` is the table's, which a local index shares."""
    if index.get("keySchemas"):
        keys = [
            {"AttributeName": key["attributeName"], "KeyType": key["keyType"]} for key in index["keySchemas"]
        ]
    else:
        keys = key_schema(index.get("hashKey") or hash_key, index.get("rangeKey"))
    projection: Values = {"ProjectionType": index["projectionType"]}
    if index.get("nonKeyAttributes"):
        projection["NonKeyAttributes"] = index["nonKeyAttributes"]
    found: Values = {"IndexName": index["name"], "KeySchema": keys, "Projection": projection}
    if index.get("readCapacity") and index.get("writeCapacity"):
        found["ProvisionedThroughput"] = _throughput(index)
    return found


def _throughput(index: Values) -> Values:
    return {"ReadCapacityUnits": index["readCapacity"], "WriteCapacityUnits": index["writeCapacity"]}


def indexes_from_aws(held: list[Values], given: list[Values], *, provisioned: bool) -> list[Values] | None:
    """In the form that the program has chosen for the index of the same name."""
    forms = {index["name"]: index for index in given if isinstance(index, dict) and "name" in index}
    return [_index(index, forms.get(index["IndexName"], {}), provisioned) for index in held] or None


def _index(held: Values, form: Values, provisioned: bool) -> Values:
    keys = {key["KeyType"]: key["AttributeName"] for key in held["KeySchema"]}
    projection = held["Projection"]
    found: Values = {"name": held["IndexName"], "projectionType": projection["ProjectionType"]}
    if form.get("keySchemas"):
        found["keySchemas"] = [
            {"attributeName": key["AttributeName"], "keyType": key["KeyType"]} for key in held["KeySchema"]
        ]
    else:
        if "IndexStatus" in held or form.get("hashKey"):  # a local index has the table's, unsaid
            found["hashKey"] = keys["HASH"]
        if keys.get("RANGE"):
            found["rangeKey"] = keys["RANGE"]
    others = projection.get("NonKeyAttributes")
    if others:
        same = set(others) == set(form.get("nonKeyAttributes") or [])
        found["nonKeyAttributes"] = form["nonKeyAttributes"] if same else others
    throughput = held.get("ProvisionedThroughput") or {}
    if provisioned and throughput.get("ReadCapacityUnits"):
        found["readCapacity"] = throughput["ReadCapacityUnits"]
        found["writeCapacity"] = throughput["WriteCapacityUnits"]
    return found


def wait_active(run: Run) -> None:
    """Until the table and its indexes take the next change."""

    def settled() -> bool | None:
        table = run.call("DescribeTable", TableName=run.id)["Table"]
        states = [table["TableStatus"]]
        states += [index.get("IndexStatus", "ACTIVE") for index in table.get("GlobalSecondaryIndexes") or []]
        return True if set(states) == {"ACTIVE"} else None

    run.wait_until(settled, f"the table {run.id}", 1800)


def update_indexes(run: Run) -> None:
    """One change a call, as DynamoDB demands; an index whose keys or projection changed is made anew."""
    _types_stay(run)
    old = {index["name"]: index for index in run.state.get("globalSecondaryIndexes") or []}
    new = {index["name"]: index for index in run.inputs.get("globalSecondaryIndexes") or []}
    changes: list[Values] = []
    for name in [name for name in old if name not in new or _kind(old[name]) != _kind(new[name])]:
        changes.append({"Delete": {"IndexName": name}})
    for name, index in new.items():
        if name not in old or _kind(old[name]) != _kind(index):
            changes.append({"Create": index_to_aws(index, run.inputs["hashKey"])})
        elif index.get("readCapacity") and _speed(old[name]) != _speed(index):
            changes.append({"Update": {"IndexName": name, "ProvisionedThroughput": _throughput(index)}})
    attributes = [
        {"AttributeName": attribute["name"], "AttributeType": attribute["type"]}
        for attribute in run.inputs["attributes"]
    ]
    for change in changes:
        run.call(
            "UpdateTable",
            TableName=run.id,
            AttributeDefinitions=attributes,
            GlobalSecondaryIndexUpdates=[change],
        )
        wait_active(run)


def _types_stay(run: Run) -> None:
    before = {item["name"]: item["type"] for item in run.state.get("attributes") or []}
    for item in run.inputs["attributes"]:
        if before.get(item["name"], item["type"]) != item["type"]:
            raise ProviderError(
                f"DynamoDB can't change the type of {item['name']!r} from {before[item['name']]} to"
                f" {item['type']}: make a table of another name"
            )


def _kind(index: Values) -> Any:
    keys = [name for name in _keys(index) if name]
    return keys, index["projectionType"], sorted(index.get("nonKeyAttributes") or [])


def _speed(index: Values) -> Any:
    return index.get("readCapacity"), index.get("writeCapacity")
