"""Reading a stack's configuration once, into a checked pydantic model.

Every problem is reported at once, one line each: the key, its value, what is allowed, the file to change,
and the command that changes it. A field's ``description`` is the text of what is allowed.
"""

import difflib
import json
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import pulumi
from pulumi.runtime import config as runtime_config
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from sandbox.paths import ROOT


class Settings(BaseModel):
    """Base of the settings of a system and of what is nested in them: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


S = TypeVar("S", bound=Settings)


class SettingsError(Exception):
    """Settings that can't be used; ``lines`` has one clear line a problem."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


def unusable(*problems: str) -> PydanticCustomError:
    """What a validator raises: each problem becomes a line after the key and the value."""
    return PydanticCustomError("unusable", "{problems}", {"problems": list(problems)})


def of_stack(model: type[S], namespace: str) -> S:
    """Settings of the current stack in ``namespace``. Raises ``SettingsError``."""
    raw, hidden = _stack_config(namespace)
    return load(model, raw, namespace=namespace, stack=pulumi.get_stack(), hidden=hidden)


def load(
    model: type[S],
    raw: Mapping[str, Any],
    *,
    namespace: str,
    stack: str,
    root: Path = ROOT,
    hidden: frozenset[str] = frozenset(),
) -> S:
    """Check ``raw``, keys without the namespace. Paths are relative to ``root``, ``hidden`` keys secret."""
    problems: list[str] = []
    values: dict[str, Any] = {}
    for key, value in raw.items():
        try:
            values[key] = _parsed(model.model_fields.get(key), value)
        except ValueError as error:
            problems.append(
                _line(namespace, stack, (key,), f"is not JSON ({error})", _allowed(model, (key,)))
            )
    try:
        settings = model.model_validate(values, context={"root": root, "stack": stack})
    except ValidationError as error:
        unread = {key for key in raw if key not in values}
        for details in error.errors(include_url=False):
            if not unread.intersection(details["loc"][:1]):
                problems += _lines(model, details, namespace, stack, hidden)
    if problems:
        raise SettingsError(problems)
    return settings


def _stack_config(namespace: str) -> tuple[dict[str, Any], frozenset[str]]:
    """The stack's keys of a namespace, and which of them are secret.

    ``pulumi.Config`` answers for keys that one knows; unknown ones can be found only in the whole map.
    """
    everything = {**runtime_config.get_config_env(), **runtime_config.CONFIG.get()}
    prefix = f"{namespace}:"
    secret = {key for key in everything if runtime_config.is_config_secret(key)}
    secret |= set(runtime_config.get_config_secret_keys_env())
    found = {key.removeprefix(prefix): value for key, value in everything.items() if key.startswith(prefix)}
    return found, frozenset(key.removeprefix(prefix) for key in secret)


def _parsed(field: FieldInfo | None, value: Any) -> Any:
    """The engine hands over text; objects and lists come as JSON."""
    if not isinstance(value, str) or field is None or field.annotation is str:
        return value
    text = value.strip()
    return json.loads(text) if text[:1] in ("{", "[") else value


# --- problems as lines -----------------------------------------------------------------------------


def _lines(
    model: type[Settings], details: ErrorDetails, namespace: str, stack: str, hidden: frozenset[str]
) -> list[str]:
    loc = tuple(part for part in details["loc"] if part != "[key]")
    if not loc:  # about several keys together
        return [
            f"{namespace}: {problem} (in Pulumi.{stack}.yaml)"
            for problem in details.get("ctx", {})["problems"]
        ]
    value = "[secret]" if loc[0] in hidden else repr(details["input"])
    kind = details["type"]
    if kind == "unusable":
        return [
            _line(namespace, stack, loc, f"is {value}: {problem}", None)
            for problem in details.get("ctx", {})["problems"]
        ]
    if kind == "extra_forbidden":
        return [_line(namespace, stack, loc, *_unknown(model, loc))]
    if kind == "missing":
        return [_line(namespace, stack, loc, "is missing", _allowed(model, loc))]
    allowed = _allowed(model, loc) or _lower_first(details["msg"])
    return [_line(namespace, stack, loc, f"is {value}", allowed)]


def _line(namespace: str, stack: str, loc: Sequence[int | str], what: str, allowed: str | None) -> str:
    key = f"{namespace}:{_path(loc)}"
    option = "--path " if len(loc) > 1 else ""
    rule = f"; allowed: {allowed}" if allowed else ""
    command = f"pulumi config set --stack {stack} {option}'{key}' <value>"
    return f"{key} {what}{rule} (in Pulumi.{stack}.yaml, or: {command})"


def _path(loc: Sequence[int | str]) -> str:
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif "." in part or "[" in part:
            text += f'["{part}"]'
        else:
            text += f".{part}" if text else part
    return text


def _unknown(model: type[Settings], loc: Sequence[int | str]) -> tuple[str, str]:
    owner = _model_at(model, loc[:-1])
    names = [field.alias or name for name, field in owner.model_fields.items()] if owner else []
    close = difflib.get_close_matches(str(loc[-1]), names, n=1, cutoff=0.5)
    return "is unknown" + (f"; did you mean {close[0]}?" if close else ""), ", ".join(names)


def _allowed(model: type[Settings], loc: Sequence[int | str]) -> str | None:
    """The description of the field at ``loc``, or of the nearest field above it that has one."""
    for end in range(len(loc), 0, -1):
        owner = _model_at(model, loc[: end - 1])
        if owner is None:
            continue
        for name, field in owner.model_fields.items():
            if loc[end - 1] in (name, field.alias) and field.description:
                return field.description
    return None


def _model_at(model: type[Settings], loc: Sequence[int | str]) -> type[Settings] | None:
    """The settings class that holds what is found at ``loc``."""
    here: Any = model
    for part in loc:
        if isinstance(here, type) and issubclass(here, Settings):
            fields = {field.alias or name: field for name, field in here.model_fields.items()}
            field = fields.get(str(part))
            here = field.annotation if field else None
        else:
            arguments = get_args(here)
            here = (
                arguments[-1]
                if get_origin(here) in (dict, Mapping)
                else (arguments[0] if arguments else None)
            )
        if get_origin(here) in (Union, types.UnionType):
            here = next((option for option in get_args(here) if option is not type(None)), None)
    return here if isinstance(here, type) and issubclass(here, Settings) else None


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
