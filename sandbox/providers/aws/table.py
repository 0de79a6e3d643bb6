"""The words in which a resource type is described: one :class:`Resource` a type.

Names of properties are Pulumi's (camelCase, as they cross the wire), names of operations and members are
botocore's. Paths are dotted. Templates such as ``"{bucket}/{key}"`` are filled from the resource's
properties,
``id``, ``region``, ``account`` and ``partition``; a template that is one placeholder keeps the value's type.
"""

import importlib
import keyword
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.providers.aws.operations import Run

Rule = Callable[[Any], str | None]
"""Looks at one known value; returns what is wrong with it, or None."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One input property; type and limits come from botocore's shape at ``member`` unless said here."""

    member: str = ""
    """Path in the input of the create operation; default: the property's name in the shape's own casing."""
    required: bool = field(default=False, kw_only=True)
    replace: bool | Callable[[Values, Values], bool] = field(default=False, kw_only=True)
    """A change replaces the resource, as with the official provider; code, given the state and the new
    inputs, where that depends on other properties.
    """
    computed: bool = field(default=False, kw_only=True)
    """AWS chooses a value when there is none, so its absence is no difference."""
    default: Any = field(default=None, kw_only=True)
    """What absence means, as the official provider has it."""
    local: bool = field(default=False, kw_only=True)
    """Not a member of the create operation: only hooks and templates use it. Needs ``type``."""
    unread: bool = field(default=False, kw_only=True)
    """AWS doesn't give it back (or not in this form), so the state keeps what was written."""
    read: str | Callable[[Any], Any] | None = field(default=None, kw_only=True)
    """Path in the result of the read operation (``""``: all of it) or code; default: ``member``."""
    type: str = field(default="", kw_only=True)
    """string, integer, number, boolean, list, map, json, archive, asset; default: the shape's."""
    json: str = field(default="", kw_only=True)
    """The string is JSON, compared by meaning: ``policy`` (IAM), ``states`` (Amazon States Language),
    ``containers`` (ECS), ``any``.
    """
    unordered: bool = field(default=False, kw_only=True)
    """The list is a set: order means nothing."""
    single: bool = field(default=False, kw_only=True)
    """One object here, a list in AWS."""
    listed: bool = field(default=False, kw_only=True)
    """A list of at most one object here, a structure in AWS."""
    allowed: tuple[Any, ...] | None = field(default=None, kw_only=True)
    """Allowed values, instead of the shape's enumeration; ``()`` for no such check."""
    minimum: float | None = field(default=None, kw_only=True)
    """Least number, length or count, instead of the shape's."""
    maximum: float | None = field(default=None, kw_only=True)
    pattern: str | None = field(default=None, kw_only=True)
    """Regular expression for the whole string, instead of the shape's; ``""`` for none."""
    rule: Rule | None = field(default=None, kw_only=True)
    alike: Callable[[Any, Any], bool] | None = field(default=None, kw_only=True)
    """Code that says of a value from the state and a new one that the new one asks for nothing else."""
    sub: "Mapping[str, Field]" = field(default_factory=dict, kw_only=True)
    """Overrides for nested properties (of list elements too)."""
    out: Callable[[Any], Any] | None = field(default=None, kw_only=True)
    """Makes AWS's form of a value whose form is irregular; with ``type`` or ``sub`` for the checks."""
    back: Callable[[Any], Any] | None = field(default=None, kw_only=True)
    """The way back from AWS's form."""
    clear: Any = field(default=None, kw_only=True)
    """What an update sends when the property was removed; default: ``default``."""


Hook = Callable[["Run"], Any]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One AWS operation. Sends ``params`` and those ``fields`` that have a value."""

    op: str
    params: Mapping[str, Any] = field(default_factory=dict)
    """Member path -> template or constant."""
    fields: tuple[str, ...] | None = None
    """Default: every field whose member the operation's input has (none for read and delete)."""
    result: str = ""
    """Path to the part of the response that the fields' ``read`` paths and the outputs start from."""
    when: tuple[str, ...] = ()
    """Update steps: run when one of these changed; default: one of ``fields``."""
    changed_only: bool = False
    """Update steps: send only what changed."""
    on_create: bool = False
    """Update steps: run after create too, when one of its fields has a value."""
    unset: "Call | None" = None
    """Update steps: what to call instead when all of its fields were removed."""
    missing_ok: bool = False
    """An answer "not found" is a success (for reads of optional parts: an empty result)."""


@dataclass(frozen=True, kw_only=True)
class Custom:
    """An update step that needs code; ``fields`` are the properties that it takes care of."""

    run: Hook
    fields: tuple[str, ...]
    on_create: bool = False


@dataclass(frozen=True, kw_only=True)
class Tags:
    """How a type is tagged; the form (map or list of keys and values) follows the operations' shapes."""

    member: str = ""
    """Member of the create operation; empty: tagged after create, with ``add``."""
    kind: str = ""
    """EC2's word for the type, where ``member`` is a list of tag specifications."""
    add: str = ""
    """Operation that adds or replaces tags."""
    remove: str = ""
    """Operation that removes tags by key; empty: ``add`` replaces all tags, ``clear`` removes all."""
    clear: str = ""
    target: Mapping[str, str | list[str]] = field(default_factory=dict)
    """Parameters of these operations that name the resource, as templates."""
    body: str = ""
    """Member path of the tags in ``add``; default: its member named like tags."""
    read: str = ""
    """Path of the tags in the result of the type's read operation; empty: ``list`` is called."""
    list: str = ""
    missing_ok: bool = False


@dataclass(frozen=True, kw_only=True)
class AutoName:
    """The property that gets ``<logical name>-<7 hex>`` when absent, as the official provider names it."""

    property: str = "name"
    limit: int = 64
    lower: bool = False
    prefix_property: str = ""
    """A property such as ``namePrefix`` that stands before a random suffix instead."""
    suffix: str = ""
    """Ending of names of first-in-first-out resources."""
    suffix_when: str = ""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """Everything about one type. ``create``, ``read`` and ``delete`` may be a call or a hook."""

    token: str
    service: str
    """botocore's name of the service."""
    fields: Mapping[str, Field]
    create: Call | Hook
    read: Call | Hook
    delete: Call | Hook | None
    update: tuple[Call | Custom, ...] = ()
    id: str = "{name}"
    """Template; with ``@`` in front a path in the result of create."""
    identity: tuple[str, ...] = ()
    """Properties that name it uniquely in AWS: while they stay, a replacement deletes first."""
    outputs: Mapping[str, str | Callable[["Run", Values], Any]] = field(default_factory=dict)
    """Path in the result of create and read, template (has ``{``), or code with that result."""
    import_id: str | Hook = ""
    """Template of the id that ``import`` takes; default: ``id``. Code, where no template says it, turns
    ``run.id`` into the type's own id and fills ``run.state``.
    """
    autoname: AutoName | None = None
    tags: Tags | None = None
    validate: Callable[[Values], Mapping[str, str]] | None = None
    """Rules over several properties: property path -> what is wrong. Gets known and unknown values."""
    unsupported: Mapping[str, str] = field(default_factory=dict)
    """Inputs of the official provider that this one refuses -> what to use instead."""
    secret_outputs: tuple[str, ...] = ()
    volatile: tuple[str, ...] = ()
    """Outputs that an update may change: unknown in its preview."""
    read_after_create: bool = True
    """False when the result of create and templates give every output: saves a call."""
    regional: bool = True
    """Has the ``region`` input (all but IAM)."""
    wait: Hook | None = None
    """Returns once the resource takes the next change; runs before each step that follows creation."""
    find: Hook | None = None
    """Looks for the resource by its inputs, for recovery of a type whose id AWS makes up, or whose id an
    older one has too; id or None.
    """


class UnknownType(LookupError):
    """No table entry has this token."""


@cache
def resource(token: str) -> Resource:
    """The entry of a type; loads only its service's table. Raises :class:`UnknownType`."""
    module = token.split(":")[1].split("/")[0] if token.count(":") == 2 else ""
    if token.startswith("aws:") and module.isidentifier():
        for entry in entries(module):
            if entry.token == token:
                return entry
    raise UnknownType(
        f"the sandbox's aws provider doesn't have {token} yet: add an entry to "
        f"sandbox/providers/aws/resources/{module_file(module or 'service')}.py"
        " (see sandbox/providers/README.md)"
    )


def module_file(module: str) -> str:
    return f"{module}_" if keyword.iskeyword(module) else module


@cache
def entries(module: str) -> tuple[Resource, ...]:
    """All types of one Pulumi module such as ``s3``; empty when there is no table for it."""
    name = f"sandbox.providers.aws.resources.{module_file(module)}"
    try:
        loaded = importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name != name:
            raise
        return ()
    found: tuple[Resource, ...] = loaded.RESOURCES
    return found
