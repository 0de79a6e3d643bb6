"""Is a value what AWS would take? Said before anything is created, in Pulumi's names.

Limits come from botocore's shapes (type, enumeration, length, range, pattern, required members); what the
model doesn't say or says wrong is in the table. Values that aren't known yet pass.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

from sandbox.providers.aws.shapes import Bound, keyed, members, nested
from sandbox.providers.aws.table import Field
from sandbox.providers.server import Failure
from sandbox.providers.wire import UNKNOWN, Archive, Asset, has_unknown

_NUMBERS = {"integer", "long", "float", "double", "number"}
_WORDS = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "map": "a map",
    "object": "an object",
    "json": "a string of JSON",
    "archive": "an archive (pulumi.FileArchive or pulumi.AssetArchive)",
    "asset": "an asset or archive (pulumi.FileAsset, pulumi.StringAsset, ...)",
}


def suggestion(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` or nothing."""
    options = list(known)
    exact = [option for option in options if option.lower() == name.replace("_", "").lower()]
    close = exact or difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def check_field(bound: Bound, value: Any) -> Iterator[Failure]:
    """Everything that is wrong with one top-level property."""
    yield from _check(value, bound.name, bound.field, bound.shape)


def _check(value: Any, path: str, field: Field, shape: Shape | None) -> Iterator[Failure]:
    if value is UNKNOWN or value is None:
        return
    if field.json:
        yield from _check_json(value, path, field)
        return
    kind = _kind(field, shape)
    found = _type_problem(value, kind)
    if found:
        yield Failure(path, found)
        return
    found = _limit_problem(value, kind, field, shape) or (
        field.rule(value) if field.rule and not has_unknown(value) else None
    )
    if found:
        yield Failure(path, found)
        return
    if field.out is None:
        yield from _check_inside(value, path, field, shape)


def _check_inside(value: Any, path: str, field: Field, shape: Shape | None) -> Iterator[Failure]:
    if field.single and isinstance(shape, ListShape):
        shape = shape.member
    inner = Field(sub=field.sub, unordered=field.unordered)
    if isinstance(value, list):
        member = shape if field.listed else getattr(shape, "member", None)
        for i, item in enumerate(value):
            if item is None:
                yield Failure(f"{path}[{i}]", "must not be null")
            elif member is not None:
                yield from _check(item, f"{path}[{i}]", inner, member)
    elif isinstance(value, dict) and isinstance(shape, StructureShape):
        yield from _check_structure(value, path, field, shape)
    elif isinstance(value, dict):
        target = shape.value if isinstance(shape, MapShape) else None
        names = keyed(shape)
        if names and isinstance(shape, ListShape) and isinstance(shape.member, StructureShape):
            target = shape.member.members[names[1]]
        for key, item in value.items():
            if item is None:
                yield Failure(f"{path}.{key}", "must not be null")
            elif target is not None:
                yield from _check(item, f"{path}.{key}", inner, target)
            elif field.type == "map" and not isinstance(item, str) and item is not UNKNOWN:
                yield Failure(f"{path}.{key}", f"must be a string, not {_describe(item)}")


def _check_structure(
    value: dict[str, Any], path: str, field: Field, shape: StructureShape
) -> Iterator[Failure]:
    hidden = {sub.member for key, sub in field.sub.items() if sub.member}
    known = [key for key, member in members(shape).items() if member not in hidden] + list(field.sub)
    for key, item in value.items():
        place = nested(field, shape, key) if key in known else None
        if place is None:
            yield Failure(
                f"{path}.{key}", f"no such property; allowed: {_listing(known)}.{suggestion(key, known)}"
            )
        else:
            yield from _check(item, f"{path}.{key}", place[1], shape.members[place[0]])
    for key in known:
        place = nested(field, shape, key)
        if place is None or value.get(key) is not None:
            continue
        if place[1].required or (place[0] in shape.required_members and not place[1].computed):
            yield Failure(f"{path}.{key}", "is required")


def _kind(field: Field, shape: Shape | None) -> str:
    if field.type:
        return field.type
    if field.listed:
        return "list"
    if shape is None:
        return "string"
    if field.single:
        return "object"
    if keyed(shape) or isinstance(shape, MapShape):
        return "map"
    names = {
        "structure": "object",
        "long": "integer",
        "float": "number",
        "double": "number",
        "blob": "string",
        "timestamp": "string",
    }
    return str(names.get(shape.type_name, shape.type_name))


def _describe(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string {value!r}" if len(value) <= 40 else "a string"
    names = {list: "a list", dict: "an object", Asset: "an asset", Archive: "an archive"}
    return names.get(type(value), type(value).__name__)


def _type_problem(value: Any, kind: str) -> str | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "string": isinstance(value, str),
        "integer": number and isinstance(value, int),
        "number": number,
        "boolean": isinstance(value, bool),
        "list": isinstance(value, list),
        "map": isinstance(value, dict),
        "object": isinstance(value, dict),
        "archive": isinstance(value, Archive),
        "asset": isinstance(value, Asset | Archive),
    }
    return None if fits.get(kind, True) else f"must be {_WORDS[kind]}, not {_describe(value)}"


def _limit_problem(value: Any, kind: str, field: Field, shape: Shape | None) -> str | None:
    metadata = shape.metadata if shape is not None else {}
    allowed: Any = field.allowed
    if allowed is None and isinstance(shape, StringShape):
        allowed = shape.enum
    if allowed and value not in allowed:
        hint = suggestion(str(value), map(str, allowed))
        return f"must be one of {_listing(allowed)}, not {_describe(value)}.{hint}"
    low = field.minimum if field.minimum is not None else metadata.get("min")
    high = field.maximum if field.maximum is not None else metadata.get("max")
    size: Any = None
    unit = ""
    if kind in _NUMBERS:
        size = value
    elif isinstance(value, str):
        size, unit = len(value), " characters long"
    elif isinstance(value, list) and not field.listed:
        size, unit = len(value), " elements long"
    elif isinstance(value, dict) and kind == "map":
        size, unit = len(value), " entries long"
    if field.listed and len(value) > 1:
        return "must have at most one element"
    if size is not None and ((low is not None and size < low) or (high is not None and size > high)):
        return f"must be {_range(low, high)}{unit}, not {size}"
    if isinstance(value, str):
        return _pattern_problem(value, field, metadata)
    return None


def _range(low: Any, high: Any) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def _pattern_problem(value: str, field: Field, metadata: dict[str, Any]) -> str | None:
    pattern = field.pattern if field.pattern is not None else metadata.get("pattern")
    compiled = _compiled(pattern) if pattern else None
    if compiled is None or compiled.fullmatch(value):
        return None
    return f"must match {pattern}, which {value!r} doesn't"


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:  # Java's syntax, such as \p{L}: the service will judge
        return None


def _listing(items: Iterable[Any]) -> str:
    shown = [str(item) for item in items]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")


def _check_json(value: Any, path: str, field: Field) -> Iterator[Failure]:
    """JSON documents may come as strings or, from typed arguments, as objects; see ``normal_json``."""
    from sandbox.providers.aws import rules

    if has_unknown(value):
        return
    document = value
    if isinstance(value, str):
        try:
            document = json.loads(value)
        except ValueError as problem:
            yield Failure(path, f"must be JSON: {problem}")
            return
    elif not isinstance(value, dict | list):
        yield Failure(path, f"must be {_WORDS['json']}, not {_describe(value)}")
        return
    found = rules.document_problem(field.json, document)
    if not found and isinstance(value, str) and field.maximum is not None and len(value) > field.maximum:
        found = f"must be at most {field.maximum} characters long, not {len(value)}"
    if not found and field.rule:
        found = field.rule(value)
    if found:
        yield Failure(path, found)
