"""Settings that load balancers, target groups and listeners have as lists of keys and values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import Custom, Field, Values


@dataclass(frozen=True)
class Attribute:
    """One input property and its key in AWS."""

    key: str
    type: str
    default: Any = None
    """None: AWS chooses."""
    allowed: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None

    def field(self) -> Field:
        return Field(
            local=True,
            type=self.type,
            read=self.read,
            default=self.default,
            computed=self.default is None,
            allowed=self.allowed,
            minimum=self.minimum,
            maximum=self.maximum,
        )

    def read(self, result: Values) -> Any:
        text = attributes(result).get(self.key, "")
        if text == "":
            return self.default
        if self.type == "boolean":
            return text == "true"
        return int(text) if self.type == "integer" else text


def attributes(result: Values) -> dict[str, str]:
    """Those that a read hook has put into its result."""
    return {item["Key"]: item.get("Value", "") for item in result.get("Attributes") or []}


def pairs(found: Mapping[str, Any]) -> list[Values]:
    """As AWS's operations take them: all values are text."""
    return [
        {"Key": key, "Value": str(value).lower() if isinstance(value, bool) else str(value)}
        for key, value in found.items()
    ]


def fields(known: Mapping[str, Attribute]) -> dict[str, Field]:
    return {name: attribute.field() for name, attribute in known.items()}


def step(
    op: str,
    target: str,
    known: Mapping[str, Attribute],
    more: Mapping[str, Callable[[Any], Mapping[str, Any]]] | None = None,
) -> Custom:
    """The update step that sets them; ``more`` are properties that are several keys, from value (or None) to
    keys.
    """

    def run_step(run: Run) -> None:
        made: dict[str, Any] = {}
        for name, attribute in known.items():
            value = run.inputs.get(name, attribute.default)
            if value is not None and (name in run.changed or name in run.inputs):
                made[attribute.key] = value
        for name, split in (more or {}).items():
            if name in run.changed or run.inputs.get(name) is not None:
                made.update(split(run.inputs.get(name)))
        if made:
            run.call(op, **{target: run.id}, Attributes=pairs(made))

    return Custom(run=run_step, fields=(*known, *(more or {})), on_create=True)


def only_keys(**kinds: type) -> Callable[[Any], str | None]:
    """A rule for an object: the properties that it may have, and their types."""

    def rule(value: Any) -> str | None:
        for name, item in value.items():
            if name not in kinds:
                return f"has {name!r}; allowed: {', '.join(kinds)}"
            if item is not None and (
                not isinstance(item, kinds[name]) or (kinds[name] is int and isinstance(item, bool))
            ):
                return f"has {name} of a wrong type: {item!r}"
        return None

    return rule
