"""Tags: read, and made equal to what is wanted."""

from typing import TYPE_CHECKING, Any

from botocore.model import MapShape, StructureShape

from sandbox.providers.aws.shapes import dig, operation, put

if TYPE_CHECKING:
    from sandbox.providers.aws.operations import Run

Values = dict[str, Any]


def sync_tags(run: "Run", old: dict[str, str]) -> None:
    """Makes the resource's tags equal to ``run.tags``."""
    spec = run.entry.tags
    if spec is None or not spec.add:
        return
    target = {key: run.fill(template) for key, template in spec.target.items()}
    gone = sorted(key for key in old if key not in run.tags)
    new = {key: value for key, value in run.tags.items() if old.get(key) != value}
    if not spec.remove:
        if not run.tags and spec.clear:
            run.call(spec.clear, **target)
        elif gone or new:
            _add_tags(run, spec.add, spec.body, target, run.tags)
        return
    if gone:
        names = operation(run.entry.service, spec.remove).input_shape.members
        member = next((name for name in names if name.lower() == "tagkeys"), "Tags")
        keys = [{"Key": key} for key in gone] if member == "Tags" else gone
        run.call(spec.remove, **target, **{member: keys})
    if new:
        _add_tags(run, spec.add, spec.body, target, new)


def _add_tags(run: "Run", op: str, body: str, target: Values, tags: dict[str, str]) -> None:
    shape: Any = operation(run.entry.service, op).input_shape
    path = tuple(body.split(".")) if body else ()
    if not path:
        path = (next(name for name in shape.members if name.lower() in ("tags", "taglist")),)
    for step in path:
        shape = shape.members[step]
    params = dict(target)
    put(params, path, tags_for(shape, tags))
    run.call(op, **params)


def read_tags(run: "Run") -> dict[str, str]:
    """The resource's tags as they are in AWS; ``aws:`` tags are AWS's own."""
    spec = run.entry.tags
    if spec is None:
        return {}
    found: Any = dig(run.response, spec.read) if spec.read else None
    if not spec.read and spec.list:
        target = {key: run.fill(template) for key, template in spec.target.items()}
        answer = run.optional(spec.list, **target) if spec.missing_ok else run.call(spec.list, **target)
        found = next((value for key, value in answer.items() if key.lower().startswith("tag")), None)
    return {key: value for key, value in _as_map(found).items() if not key.startswith("aws:")}


def creation_tags(run: "Run", op: str) -> Values:
    """The parameter of a create operation that brings the tags; none when there are no tags."""
    spec = run.entry.tags
    if spec is None or not spec.member or not run.tags:
        return {}
    if spec.kind:
        tags = [{"Key": key, "Value": value} for key, value in run.tags.items()]
        return {spec.member: [{"ResourceType": spec.kind, "Tags": tags}]}
    shape = operation(run.entry.service, op).input_shape
    return {spec.member: tags_for(shape.members[spec.member], run.tags)}


def tags_for(shape: Any, tags: dict[str, str]) -> Any:
    """Tags in the form of a shape: a map, or a list of keys and values."""
    if isinstance(shape, MapShape):
        return dict(tags)
    member = shape.member
    key, value = member.members if isinstance(member, StructureShape) else ("Key", "Value")
    return [{key: name, value: text} for name, text in tags.items()]


def _as_map(tags: Any) -> dict[str, str]:
    if isinstance(tags, dict):
        return {str(key): str(value) for key, value in tags.items()}
    found = {}
    for item in tags or []:
        lowered = {key.lower(): value for key, value in item.items()}
        found[lowered["key"]] = lowered.get("value") or ""
    return found
