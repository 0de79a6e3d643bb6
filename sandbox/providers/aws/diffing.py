"""What differs between the state and new inputs, by meaning rather than by text."""

from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, Shape, StructureShape
from pulumi.provider.experimental.provider import PropertyDiffKind as Kind

from sandbox.providers.aws.rules import meaning
from sandbox.providers.aws.shapes import DEFAULT, bound, nested
from sandbox.providers.aws.table import Field, Resource
from sandbox.providers.server import DiffResult
from sandbox.providers.wire import UNKNOWN, Archive, Asset, has_unknown

Values = dict[str, Any]

_REPLACING = {
    Kind.ADD: Kind.ADD_REPLACE,
    Kind.DELETE: Kind.DELETE_REPLACE,
    Kind.UPDATE: Kind.UPDATE_REPLACE,
}


def empty(value: Any) -> bool:
    """Absent, for AWS and Pulumi alike. Zero is a value."""
    return value is None or value is False or (isinstance(value, str | list | dict) and not value)


def same(field: Field, shape: Shape | None, one: Any, other: Any) -> bool:
    """True when both values mean the same to AWS."""
    return not any(True for _ in _differences("", field, shape, one, other))


def differences(name: str, field: Field, shape: Shape | None, old: Any, new: Any) -> dict[str, Kind]:
    """Property paths that differ and how; ``old`` is from the state, ``new`` from the inputs."""
    return dict(_differences(name, field, shape, old, new))


def _kind(old: Any, new: Any) -> Kind:
    if old is None:
        return Kind.ADD
    return Kind.DELETE if new is None else Kind.UPDATE


def _differences(
    path: str, field: Field, shape: Shape | None, old: Any, new: Any
) -> Iterator[tuple[str, Kind]]:
    if new is None and field.computed:
        return
    if new is UNKNOWN:
        yield path, _kind(old, new)
        return
    kind = _kind(old, new)
    if new is None and old is not None and field.default is not None:
        new = field.default
    elif old is None and new is not None and field.default is not None:
        old = field.default
    if old == new or (empty(old) and empty(new)):
        return
    if field.alike is not None and old is not None and new is not None and field.alike(old, new):
        return
    if field.json:
        if has_unknown(new) or meaning(field.json, old) != meaning(field.json, new):
            yield path, kind
        return
    if isinstance(old, Asset | Archive) and isinstance(new, Asset | Archive):
        if not (old.hash and old.hash == new.hash):
            yield path, Kind.UPDATE
        return
    yield from _inside(path, field, shape, old, new, kind)


def _inside(
    path: str, field: Field, shape: Shape | None, old: Any, new: Any, kind: Kind
) -> Iterator[tuple[str, Kind]]:
    if field.single and isinstance(shape, ListShape):
        shape = shape.member
    inner = Field(sub=field.sub, unordered=field.unordered)
    if isinstance(old, dict | None) and isinstance(new, dict | None):
        before, after = old or {}, new or {}
        for key in [*after, *(key for key in before if key not in after)]:
            sub, target = _member(inner, shape, key)
            yield from _differences(f"{path}.{key}", sub, target, before.get(key), after.get(key))
        return
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        target = shape if field.listed else getattr(shape, "member", None)
        pairs = list(enumerate(zip(old, new, strict=True)))
        if field.unordered and not has_unknown(new):
            pairs = _unlike(inner, target, old, new)
        for i, (before_item, after_item) in pairs:
            yield from _differences(f"{path}[{i}]", inner, target, before_item, after_item)
        return
    yield path, kind


def _unlike(field: Field, shape: Shape | None, old: list[Any], new: list[Any]) -> list[tuple[int, Any]]:
    """Of two sets of the same size, the elements without an equal in the other, paired; with their place in
    ``new``.
    """
    left, changed = list(old), []
    for i, item in enumerate(new):
        equal = next((other for other in left if same(field, shape, other, item)), None)
        if equal is None:
            changed.append((i, item))
        else:
            left.remove(equal)
    return [(i, (before, item)) for (i, item), before in zip(changed, left, strict=True)]


def _member(field: Field, shape: Shape | None, key: str) -> tuple[Field, Shape | None]:
    if isinstance(shape, StructureShape):
        place = nested(field, shape, key)
        if place is not None:
            return place[1], None if place[1].out else shape.members[place[0]]
    return field.sub.get(key, DEFAULT), None


def diff(entry: Resource, state: Values, news: Values, default_tags: dict[str, str]) -> DiffResult:
    """Compares checked inputs with the state; knows what forces replacement and what must go first.

    A resource whose identity (its name, say) stays the same while something else forces replacement is
    deleted before it is made anew, because AWS can't hold both.
    """
    changes: dict[str, Kind] = {}
    replaces = []
    for name, item in bound(entry).items():
        field = item.field
        unread = field.read is None or field.computed
        if field.local and unread and name not in state and news.get(name) is not None:
            continue  # after an import: AWS doesn't keep it, the new value just enters the state
        found = differences(name, field, item.shape, state.get(name), news.get(name))
        replace = field.replace(state, news) if callable(field.replace) else field.replace
        if found and replace:
            replaces.append(name)
            found = {path: _REPLACING[kind] for path, kind in found.items()}
        changes.update(found)
    if entry.regional and news.get("region") not in (None, UNKNOWN, state.get("region")):
        replaces.append("region")
        changes["region"] = Kind.UPDATE_REPLACE
    if entry.tags is not None:
        changes.update(_tag_changes(state, news, default_tags))
    named_by_us = set(news.get("__defaults") or ())
    first = bool(
        replaces
        and entry.identity
        and not any(name in replaces or name in named_by_us for name in entry.identity)
        and "region" not in replaces
    )
    return DiffResult(changes, replaces, first)


def _tag_changes(state: Values, news: Values, default_tags: dict[str, str]) -> dict[str, Kind]:
    new = news.get("tags") or {}
    if new is UNKNOWN:
        return {"tags": Kind.UPDATE}
    wanted = {**default_tags, **new}
    current = state.get("tagsAll") or {}
    found = {}
    for key in {*wanted, *current}:
        if wanted.get(key) != current.get(key):
            prop = "tags" if key in new or key in (state.get("tags") or {}) else "tagsAll"
            kind = _kind(current.get(key), wanted.get(key))
            found[f'{prop}["{key}"]' if "." in key or "[" in key else f"{prop}.{key}"] = kind
    return found
