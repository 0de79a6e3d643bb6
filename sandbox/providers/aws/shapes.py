"""Between Pulumi's values and botocore's: which member a property is, and the conversion both ways.

Casing follows botocore's own ``xform_name``: ``KMSMasterKeyID`` is ``kmsMasterKeyId``. Structures are
converted member by member; ``Field.sub`` overrides what is irregular. A list of ``{Key, Value}`` structures
(tags, dimensions) is a plain map in Pulumi.
"""

import datetime
import json
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from sandbox.providers.aws.table import Call, Field, Resource

_LOADER = Loader()
DEFAULT = Field()


@cache
def service_model(service: str) -> ServiceModel:
    """botocore's model of a service, parsed once."""
    return ServiceModel(_LOADER.load_service_model(service, "service-2"), service)


@cache
def operation(service: str, name: str) -> OperationModel:
    return service_model(service).operation_model(name)


@lru_cache(maxsize=4096)
def camel(member: str) -> str:
    """``SSEAlgorithm`` -> ``sseAlgorithm``."""
    head, *rest = xform_name(member).split("_")
    return str(head + "".join(part.capitalize() for part in rest))


@cache
def members(shape: StructureShape) -> dict[str, str]:
    """Pulumi's name -> member of a structure."""
    return {camel(name): name for name in shape.members}


def keyed(shape: Shape | None) -> tuple[str, str] | None:
    """Names of the two members when ``shape`` is a list of keys and values, which Pulumi has as a map."""
    if isinstance(shape, ListShape) and isinstance(shape.member, StructureShape):
        names = list(shape.member.members)
        lowered = [name.lower() for name in names]
        if lowered in (["key", "value"], ["name", "value"]) and shape.name.lower().startswith(("tag", "dim")):
            return names[0], names[1]
    return None


@dataclass(frozen=True)
class Bound:
    """A field of a resource type together with its place in the create operation."""

    name: str
    field: Field
    path: tuple[str, ...]
    """Members from the operation's input down to the value; empty for local fields."""
    shape: Shape | None
    """None for local fields and for entries of attribute maps, whose type the field says."""


class TableError(Exception):
    """An entry of the table doesn't fit botocore's model: a mistake in the table."""


def _root(shape: StructureShape, name: str) -> str | None:
    if name in shape.members:
        return name
    by_camel = members(shape)
    if name in by_camel:
        return by_camel[name]
    lowered = {member.lower(): member for member in shape.members}
    return lowered.get(name.lower())


def bind(entry: Resource, op: str, name: str, field: Field) -> Bound:
    """Finds a field's member in an operation. Raises :class:`TableError` when it has none."""
    if field.local:
        return Bound(name, field, (), None)
    shape: Shape | None = operation(entry.service, op).input_shape
    path: list[str] = []
    for step in (field.member or name).split("."):
        if isinstance(shape, StructureShape):
            member = _root(shape, step)
            if member is None:
                raise TableError(f"{entry.token}: {entry.service}.{op} has no member for {name} ({step})")
            path.append(member)
            shape = shape.members[member]
        elif isinstance(shape, MapShape):
            path.append(step)
            shape = None if field.type else shape.value
        elif isinstance(shape, ListShape) and step.isdigit():
            path.append(step)
            shape = shape.member
        else:
            raise TableError(f"{entry.token}: {name}: nothing below {'.'.join(path)} in {op}")
    return Bound(name, field, tuple(path), shape)


@cache
def _bound(token: str) -> dict[str, Bound]:
    from sandbox.providers.aws.table import resource

    entry = resource(token)
    op = shape_operation(entry)
    return {name: bind(entry, op, name, field) for name, field in entry.fields.items()}


def shape_operation(entry: Resource) -> str:
    """The operation whose input has the shapes of the fields: create's, also when a hook makes the call."""
    if isinstance(entry.create, Call):
        return entry.create.op
    op: str = getattr(entry.create, "operation")  # noqa: B009 - set by the ``creates`` decorator
    return op


def bound(entry: Resource) -> dict[str, Bound]:
    """All fields of a type with their shapes."""
    return _bound(entry.token)


def nested(field: Field, shape: StructureShape, key: str) -> tuple[str, Field] | None:
    """Member and overrides of a property inside a structure; None when it has no such property."""
    override = field.sub.get(key)
    if override is not None and override.member:
        return override.member, override
    member = members(shape).get(key)
    return None if member is None else (member, override or DEFAULT)


def to_aws(value: Any, field: Field, shape: Shape | None) -> Any:
    """A checked, known property value as botocore wants it."""
    if field.out is not None:
        return field.out(value)
    if shape is None:
        return _to_attribute(value)
    if field.listed and isinstance(value, list):
        return to_aws(value[0], _inner(field), shape) if value else None
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        result = {}
        for key, item in value.items():
            place = nested(field, shape, key)
            if place is not None and item is not None:
                member, sub = place
                result[member] = to_aws(item, sub, shape.members[member])
        return result
    if isinstance(shape, ListShape):
        names = keyed(shape)
        if names and isinstance(value, dict):
            return [{names[0]: key, names[1]: item} for key, item in value.items()]
        items = value if isinstance(value, list) else [value]
        return [to_aws(item, field, shape.member) for item in items]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: to_aws(item, field, shape.value) for key, item in value.items()}
    if shape.type_name in ("float", "double"):
        return float(value)
    return value


def _inner(field: Field) -> Field:
    return Field(sub=field.sub)


def _to_attribute(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def from_aws(value: Any, field: Field, shape: Shape | None) -> Any:
    """botocore's value in Pulumi's form; None when it is absent or empty."""
    if value is None:
        return None
    if field.back is not None:
        return field.back(value)
    if field.json and isinstance(value, dict | list):
        return json.dumps(value)
    if shape is None or field.type:
        return _from_attribute(value, field.type)
    if field.single and isinstance(value, list):
        value = value[0] if value else None
        inner = shape.member if isinstance(shape, ListShape) else shape
        return from_aws(value, _inner(field), inner)
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        struct = _from_structure(value, field, shape)
        return [struct] if field.listed else struct
    if isinstance(shape, ListShape) and isinstance(value, list):
        names = keyed(shape)
        if names:
            return {item[names[0]]: item.get(names[1], "") for item in value}
        return [from_aws(item, _inner(field), shape.member) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: from_aws(item, _inner(field), shape.value) for key, item in value.items()}
    return plain(value)


def _from_structure(value: dict[str, Any], field: Field, shape: StructureShape) -> dict[str, Any]:
    renamed = {sub.member: key for key, sub in field.sub.items() if sub.member}
    result = {}
    for member, item in value.items():
        if member not in shape.members:
            continue
        key = renamed.get(member) or camel(member)
        converted = from_aws(item, field.sub.get(key, DEFAULT), shape.members[member])
        if converted is not None:
            result[key] = converted
    return result


def _from_attribute(value: Any, kind: str) -> Any:
    if not isinstance(value, str):
        return plain(value)
    if kind == "boolean":
        return value.lower() == "true"
    if kind in ("integer", "number"):
        if value == "":
            return None
        number = float(value)
        return int(number) if number.is_integer() else number
    return value


def plain(value: Any) -> Any:
    """Times as ISO 8601 UTC, bytes as text, whole floats as integers; everything else as it is."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def dig(value: Any, path: str) -> Any:
    """The part of a response at a dotted path; None when there is none. ``""`` is the whole; ``[0]`` is
    ``.0``.
    """
    if not path:
        return value
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def put(params: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Sets ``params[a][b][c]`` for a path of members, making what is between."""
    for step in path[:-1]:
        params = params.setdefault(step, {})
    params[path[-1]] = value
