"""Which model of which stack a command works on.

``@command(app, ...)`` gives every command the same four options (``--stack``, ``--model``,
``--json`` and, hidden, ``--outputs-file``) and resolves them to a ``Target``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from lambdas.quetzal_api.errors import ApiError
from ops.common import sessions, stack
from ops.common.commands import (
    AS_JSON,
    OUTPUTS_FILE,
    CommandLine,
    StackOption,
    StackTarget,
    option,
    outputs_of,
)
from ops.common.errors import ExitCode, OpsError, invalid, not_found, usage
from ops.common.output import Output

DEFAULT_STACK = "quetzal-sandbox"

ModelOption = Annotated[
    str | None, typer.Option("--model", help="Model; needed when the stack has several.", metavar="MODEL")
]


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model of a ``quetzal-*`` stack, as the stack's output ``models`` describes it."""

    name: str
    source: str = ""
    """Its folder in ``containers/quetzal-model/models``; empty in the outputs of older deployments."""
    bucket: str
    function_name: str
    log_group: str
    state_machine_arn: str
    repository_url: str = ""
    image_digest_uri: str = ""
    api_url: str = ""
    groups: tuple[str, ...] = ()
    user_role_arn: str = ""


REQUIRED = ("bucket", "function_name", "log_group", "state_machine_arn")


def choose(outputs: dict[str, Any], wanted: str | None, stack_name: str) -> Model:
    """The model of a command: the one named, or the stack's only one.

    Raises ``OpsError``: INVALID for a stack of another kind, NOT_FOUND for an unknown model, USAGE
    when there are several and none is named; each lists what there is.
    """
    models = outputs.get("models")
    if not isinstance(models, dict):
        raise invalid(f"stack {stack_name} has no output `models`: it is not a quetzal stack")
    names = ", ".join(sorted(models)) or "none"
    if wanted is None:
        if len(models) != 1:
            raise usage(f"stack {stack_name} has {len(models)} models: name one with --model ({names})")
        wanted = next(iter(models))
    if wanted not in models:
        raise not_found(f"stack {stack_name} has no model {wanted!r}; it has: {names}")
    found = models[wanted]
    missing = [key for key in REQUIRED if not found.get(key)]
    if missing:
        raise invalid(
            f"the output of model {wanted} lacks {', '.join(missing)}: "
            f"{stack.how_to_deploy(stack_name)} completes it"
        )
    known = {
        key: found[key]
        for key in Model.__dataclass_fields__
        if found.get(key) and key not in ("name", "groups")
    }
    return Model(name=wanted, groups=tuple(found.get("groups") or ()), **known)


@dataclass(frozen=True, kw_only=True)
class Target(StackTarget):
    """A command's stack and model."""

    system: ClassVar[str] = "quetzal"
    default_stack: ClassVar[str] = DEFAULT_STACK

    model: Model

    def again(self, command: str) -> str:
        several = len(self.outputs.get("models") or {}) > 1
        return super().again(command) + (f" --model {self.model.name}" if several else "")


def resolve(stack: str, model: str | None, as_json: bool, outputs_file: Path | None) -> Target:
    """Prepare the environment, ask the stack, choose the model."""
    outputs = outputs_of(stack, outputs_file)
    return Target(stack=stack, model=choose(outputs, model, stack), outputs=outputs, out=Output(as_json))


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a command that needs no deployed stack was asked for."""

    stack: str
    model: str | None
    out: Output


def place(stack: str, model: str | None, as_json: bool, outputs_file: Path | None) -> Place:
    """As ``resolve``, without asking the stack."""
    sessions.prepare(stack)
    return Place(stack=stack, model=model, out=Output(as_json))


CODE_OF_STATUS = {
    400: ExitCode.USAGE,
    403: ExitCode.REFUSED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.REFUSED,
    423: ExitCode.REFUSED,
}
"""Exit codes for the errors of the core that is shared with the HTTP API."""


def _clear(error: Exception) -> OpsError | None:
    if not isinstance(error, ApiError):
        return None
    return OpsError(CODE_OF_STATUS.get(error.status, ExitCode.UNEXPECTED), error.message)


LINE = CommandLine(
    options=(
        option("stack", DEFAULT_STACK, StackOption),
        option("model", None, ModelOption),
        AS_JSON,
        OUTPUTS_FILE,
    ),
    clear=_clear,
)


def command(
    app: typer.Typer, name: str, resolver: Callable[..., Any] = resolve
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function ``(target, own options...)``; with ``place`` its first argument is a ``Place``."""
    return LINE.command(app, name, resolver)
