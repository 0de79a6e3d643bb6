"""What Check does: every problem of a resource's inputs at once, and names for those that have none."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.providers.aws.archives import with_hash
from sandbox.providers.aws.checks import check_field, suggestion
from sandbox.providers.aws.naming import make_name
from sandbox.providers.aws.shapes import Bound, bound
from sandbox.providers.aws.table import Field, Resource
from sandbox.providers.server import Failure, Naming, ProviderError, urn_name
from sandbox.providers.wire import UNKNOWN, Archive, Asset, has_unknown

Values = dict[str, Any]

REGION = Field(local=True, type="string", computed=True, pattern=r"[a-z]{2}(-[a-z]+)+-\d")
TAGS = Field(local=True, type="map")


def checked(
    entry: Resource, urn: str, olds: Values, news: Values, naming: Naming, names: Mapping[str, str]
) -> tuple[Values, list[Failure]]:
    """The inputs to use and all that is wrong with them; ``names`` are names of an interrupted creation."""
    values = {key: value for key, value in news.items() if value is not None}
    failures = list(_failures(entry, values))
    _hash_files(values, failures)
    for name, field in entry.fields.items():
        document = values.get(name)
        if field.json and isinstance(document, dict | list) and not has_unknown(document):
            values[name] = json.dumps(document)
    if entry.autoname is not None:
        _name(entry, urn, olds, values, naming, names)
    for name, field in entry.fields.items():
        if field.required and name not in values:
            failures.append(Failure(name, "is required"))
    if not failures and entry.validate is not None:
        failures += [Failure(path, reason) for path, reason in entry.validate(values).items()]
    return values, failures


def _failures(entry: Resource, values: Values) -> Iterator[Failure]:
    known = set(entry.fields)
    if entry.regional:
        known.add("region")
    if entry.tags is not None:
        known.add("tags")
    places = bound(entry)
    for name, value in values.items():
        if name.startswith("__"):
            continue
        if name in entry.unsupported:
            yield Failure(name, f"isn't supported by the sandbox's aws provider: {entry.unsupported[name]}")
        elif name not in known:
            yield Failure(name, f"{entry.token} has no such property here.{suggestion(name, known)}")
        elif name == "tags" and entry.tags is not None:
            yield from _tag_failures(value)
        elif name in places:
            yield from check_field(places[name], value)
        else:
            yield from check_field(Bound(name, REGION, (), None), value)


def _tag_failures(value: Any) -> Iterator[Failure]:
    wrong = list(check_field(Bound("tags", TAGS, (), None), value))
    yield from wrong
    if wrong or not isinstance(value, dict):
        return
    if len(value) > 50:
        yield Failure("tags", f"must have at most 50 entries, not {len(value)}")
    for key, text in value.items():
        if not 1 <= len(key) <= 128 or key.lower().startswith("aws:"):
            yield Failure(f"tags.{key}", "a tag's key has 1 to 128 characters and doesn't start with 'aws:'")
        if isinstance(text, str) and len(text) > 256:
            yield Failure(f"tags.{key}", f"a tag's value has at most 256 characters, not {len(text)}")


def _hash_files(values: Values, failures: list[Failure]) -> None:
    """Assets get the hash of what would be uploaded, so that only a change of content is a change."""
    for name, value in values.items():
        if isinstance(value, Asset | Archive) and (
            value.path is not None
            or value.uri is not None
            or getattr(value, "assets", None) is not None
            or getattr(value, "text", None) is not None
        ):
            try:
                values[name] = with_hash(value)
            except ProviderError as problem:
                failures.append(Failure(name, str(problem)))


def _name(
    entry: Resource, urn: str, olds: Values, values: Values, naming: Naming, names: Mapping[str, str]
) -> None:
    rule = entry.autoname
    if rule is None or values.get(rule.property) is not None:
        return
    ours = rule.property in (olds.get("__defaults") or [])
    prefix = values.get(rule.prefix_property) if rule.prefix_property else None
    if prefix is UNKNOWN:
        values[rule.property] = UNKNOWN
        return
    if ours and olds.get(rule.property) is not None and str(olds[rule.property]).startswith(prefix or ""):
        values[rule.property] = olds[rule.property]
    elif rule.property in names:
        values[rule.property] = names[rule.property]
    elif naming.disabled:
        return
    else:
        fifo = bool(rule.suffix_when and values.get(rule.suffix_when) is True)
        values[rule.property] = make_name(rule, urn, urn_name(urn), naming, fifo, str(prefix or ""))
    values["__defaults"] = [rule.property]
