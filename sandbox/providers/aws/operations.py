"""Runs what the table says: one :class:`Run` is one operation on one resource."""

import re
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

from sandbox.providers.aws.clients import Clients
from sandbox.providers.aws.diffing import empty, same
from sandbox.providers.aws.errors import Refused
from sandbox.providers.aws.shapes import (
    Bound,
    TableError,
    bind,
    bound,
    dig,
    from_aws,
    operation,
    plain,
    put,
    to_aws,
)
from sandbox.providers.aws.table import Call, Custom, Hook, Resource, resource
from sandbox.providers.aws.tags import creation_tags, read_tags, sync_tags
from sandbox.providers.server import ProviderError

Values = dict[str, Any]
T = TypeVar("T")

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def creates(op: str) -> Callable[[Hook], Hook]:
    """Marks a create hook with the operation whose input has the shapes of the type's fields."""

    def mark(hook: Hook) -> Hook:
        setattr(hook, "operation", op)  # noqa: B010 - read by shapes.shape_operation
        return hook

    return mark


@cache
def fields_of(token: str, op: str) -> dict[str, Bound]:
    """The fields of a type that an operation's input has a member for."""
    entry = resource(token)
    found = {}
    for name, field in entry.fields.items():
        if not field.local:
            try:
                found[name] = bind(entry, op, name, field)
            except TableError:
                continue
    return found


class Run:
    """What hooks get: the resource's properties and the way to AWS.

    ``inputs`` are checked inputs (of create and update: the new ones), ``state`` the last known outputs,
    ``changed`` the top-level properties that an update is for, ``tags`` all tags that the resource should
    have.
    """

    def __init__(self, entry: Resource, clients: Clients, *, urn: str, inputs: Values, state: Values) -> None:
        self.entry, self.clients, self.urn = entry, clients, urn
        self.inputs, self.state = inputs, dict(state)
        self.id = ""
        self.changed: set[str] = set()
        settings = clients.settings
        self.region: str = (
            entry.regional and (inputs.get("region") or state.get("region"))
        ) or settings.region
        self.tags: dict[str, str] = {**settings.default_tags, **(inputs.get("tags") or {})}
        self.response: dict[str, Any] = {}
        """The last response in full."""

    @property
    def account(self) -> str:
        return self.clients.account

    def call(self, op: str, /, **params: Any) -> dict[str, Any]:
        """One AWS operation of the type's service. Raises :class:`Refused`."""
        return self.clients.call(self.entry.service, self.region, op, params)

    def other(self, service: str, op: str, /, **params: Any) -> dict[str, Any]:
        """One AWS operation of another service."""
        return self.clients.call(service, self.region, op, params)

    def optional(self, op: str, /, **params: Any) -> dict[str, Any]:
        """Like :meth:`call`, but "not found" is an empty answer."""
        try:
            return self.call(op, **params)
        except Refused as problem:
            if problem.missing:
                return {}
            raise

    def value(self, name: str) -> Any:
        """A property by name, an input before an output; also ``id``, ``region``, ``account``,
        ``partition``.
        """
        if name == "id":
            return self.id
        if name in ("region", "account", "partition"):
            return {"region": self.region, "partition": "aws"}.get(name) or self.account
        found = self.inputs.get(name)
        return self.state.get(name) if found is None else found

    def fill(self, template: Any) -> Any:
        """A template's value; raises :class:`ProviderError` when a property that it needs has no value."""
        if isinstance(template, list):
            return [self.fill(item) for item in template]
        if not isinstance(template, str) or "{" not in template:
            return template
        whole = _PLACEHOLDER.fullmatch(template)
        if whole:
            return self.value(whole.group(1))

        def one(match: re.Match[str]) -> str:
            found = self.value(match.group(1))
            if found is None:
                raise ProviderError(f"{self.entry.token}: no value for {match.group(1)} in {template}")
            return str(found)

        return _PLACEHOLDER.sub(one, template)

    def wait_until(self, ready: Callable[[], T | None], what: str, seconds: float = 120) -> T:
        """Polls until ``ready`` gives something. Raises :class:`ProviderError` after ``seconds``."""
        pause, end = 0.1, time.monotonic() + seconds
        while True:
            found = ready()
            if found is not None:
                return found
            if time.monotonic() > end:
                raise ProviderError(f"{self.entry.token}: {what} took longer than {seconds:.0f} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 1)

    # --- calls described in the table

    def perform(self, call: Call | Hook, names: Iterable[str] = (), extra: Values | None = None) -> Any:
        """Makes a call with its parameters and the fields in ``names``; returns the part at
        ``call.result``.
        """
        if not isinstance(call, Call):
            return call(self)
        params: Values = dict(extra or {})
        for path, template in call.params.items():
            found = self.fill(template)
            if found is not None:
                put(params, tuple(path.split(".")), found)
        available = fields_of(self.entry.token, call.op)
        for name in names:
            item = available[name]
            value = self._outgoing(item, call.op)
            if value is not None:
                put(params, item.path, value)
        try:
            self.response = self.call(call.op, **params)
        except Refused as problem:
            if not (call.missing_ok and problem.missing):
                raise
            self.response = {}
        return dig(self.response, call.result)

    def _outgoing(self, item: Bound, op: str) -> Any:
        value = self.inputs.get(item.name)
        if value is None and item.name in self.changed:
            value = item.field.clear if item.field.clear is not None else item.field.default
        elif value is None and item.path[0] in operation(self.entry.service, op).input_shape.required_members:
            value = item.field.default
        return None if value is None else to_aws(value, item.field, item.shape)

    def names_for(self, call: Call) -> tuple[str, ...]:
        """The fields that a create or update call sends."""
        if call.fields is not None:
            return call.fields
        return tuple(fields_of(self.entry.token, call.op))

    def create(self) -> Any:
        """Creates; returns the result, from which outputs are taken. Tags go along where the type has
        them.
        """
        entry = self.entry
        extra = creation_tags(self, entry.create.op) if isinstance(entry.create, Call) else {}
        names = self.names_for(entry.create) if isinstance(entry.create, Call) else ()
        return self.perform(entry.create, names, extra)

    def finish_create(self) -> None:
        """What follows creation: tags, and the update steps that are also for creation."""
        entry = self.entry
        if entry.tags is not None and not entry.tags.member and self.tags:
            sync_tags(self, {})
        for step in entry.update:
            if step.on_create and any(self._given(name) for name in step_fields(self, step)):
                self._step(step)

    def _given(self, name: str) -> bool:
        value = self.inputs.get(name)
        return value is not None and value != self.entry.fields[name].default

    def update(self) -> None:
        """Makes the calls that ``changed`` needs, then the tags."""
        for step in self.entry.update:
            if self.changed & set(step_fields(self, step)):
                self._step(step)
        if self.entry.tags is not None and self.changed & {"tags", "tagsAll"}:
            sync_tags(self, self.state.get("tagsAll") or {})

    def _step(self, step: Call | Custom) -> None:
        if self.entry.wait is not None:
            self.entry.wait(self)
        if isinstance(step, Custom):
            step.run(self)
            return
        names = self.names_for(step)
        triggers = step_fields(self, step)
        if step.unset is not None and all(empty(self.inputs.get(name)) for name in triggers):
            self.perform(step.unset)
            return
        if step.changed_only:
            names = tuple(name for name in names if name in self.changed)
        self.perform(step, names)

    def delete(self) -> None:
        """Deletes; already gone is a success."""
        if self.entry.delete is None:
            return
        try:
            self.perform(self.entry.delete)
        except Refused as problem:
            if not problem.missing:
                raise

    # --- state

    def assemble(self, result: Any, *, inputs: Values | None = None) -> Values:
        """State after create or update without a read: inputs, defaults, and what the answer has."""
        given = self.inputs if inputs is None else inputs
        state = {
            name: value for name, value in given.items() if not name.startswith("__") and value is not None
        }
        for name, item in bound(self.entry).items():
            if name in state:
                continue
            actual = incoming(item, result) if item.field.computed else None
            kept = self.state.get(name) if item.field.computed else None
            for value in (actual, kept, item.field.default):
                if value is not None:
                    state[name] = value
                    break
        self._finish_state(state, result, self.tags)
        return state

    def _finish_state(self, state: Values, result: Any, tags: dict[str, str]) -> None:
        if self.entry.tags is not None:
            state["tagsAll"] = dict(tags)
        if self.entry.regional:
            state["region"] = self.region
        previous, self.state = self.state, state
        for name, source in self.entry.outputs.items():
            if callable(source):
                found = source(self, result)
            elif "{" in source:
                found = self.fill(source)
            else:
                found = plain(dig(result, source))
            if found is None:
                found = previous.get(name)
            if found is not None:
                state[name] = found

    def read(self, importing: bool) -> tuple[Values, Values] | None:
        """State and inputs as AWS has them now; None when the resource is gone.

        A property keeps its form (text of a JSON document, order of a set) when its meaning didn't change.
        One that isn't in the inputs shows up when AWS has something else than its default: drift, or an
        import.
        """
        try:
            result = self.perform(self.entry.read)
        except Refused as problem:
            if problem.missing:
                return None
            raise
        if result is None:
            return None
        state: Values = {}
        inputs = dict(self.inputs)
        for name, item in bound(self.entry).items():
            self._reconcile(name, item, result, state, inputs, importing)
        old = self.state
        self._finish_state(state, result, {})
        if self.entry.tags is not None:
            state["tagsAll"] = tags = read_tags(self)  # last: their target may be an output
            self._reconcile_tags(tags, old, state, inputs)
        return state, inputs

    def _reconcile(
        self, name: str, item: Bound, result: Any, state: Values, inputs: Values, importing: bool
    ) -> None:
        field, old = item.field, self.state.get(name)
        actual = incoming(item, result)
        if (
            field.unread
            or (field.local and field.read is None)
            or (actual is None and (importing or field.required))
        ):
            if old is not None:
                state[name] = old
                if importing:
                    inputs[name] = old
            return
        if same(field, item.shape, old, actual) or (actual is None and field.computed):
            value = actual if old is None else old
        else:
            value = actual
        if value is None:
            value = field.default
        if value is not None:
            state[name] = value
        if inputs.get(name) is not None:
            if not same(field, item.shape, inputs[name], actual):
                if actual is None:
                    del inputs[name]
                else:
                    inputs[name] = actual
        elif not same(field, item.shape, None, actual) and (
            not field.computed or importing or field.required
        ):
            inputs[name] = actual

    def _reconcile_tags(self, tags: dict[str, str], old: Values, state: Values, inputs: Values) -> None:
        default = self.clients.settings.default_tags
        before = self.inputs.get("tags") or old.get("tags") or {}
        own = {key: value for key, value in tags.items() if key in before or default.get(key) != value}
        if own or before:
            state["tags"] = own
            inputs["tags"] = own
        else:
            inputs.pop("tags", None)

    def parse_id(self) -> None:
        """Fills ``state`` from an id given to import, such as ``bucket/key``; may change ``id``."""
        template = self.entry.import_id or self.entry.id
        if callable(template):
            template(self)
            return
        if template.startswith("@"):
            return
        pattern = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
        pattern = _PLACEHOLDER.sub(lambda match: f"(?P<{match.group(1)}>.+?)", pattern)
        match = re.fullmatch(pattern, self.id)
        if match is None:
            shape = _PLACEHOLDER.sub(lambda part: f"<{part.group(1)}>", template)
            raise ProviderError(f"{self.entry.token}: the id to import must be {shape}, not {self.id!r}")
        for name, value in match.groupdict().items():
            if name == "id":
                self.id = value
            else:
                self.state.setdefault(name, value)
        if "id" not in match.groupdict():
            self.id = str(self.fill(self.entry.id))


def step_fields(run: Run, step: Call | Custom) -> tuple[str, ...]:
    """The properties whose change an update step is for."""
    if isinstance(step, Custom):
        return step.fields
    if step.when:
        return step.when
    return tuple(name for name in run.names_for(step) if not run.entry.fields[name].replace)


def incoming(item: Bound, result: Any) -> Any:
    """A field's value in the result of a read."""
    source = item.field.read
    if callable(source):
        return source(result)
    if source is None:
        if not item.path:
            return None
        source = ".".join(item.path)
    return from_aws(dig(result, source), item.field, item.shape)
