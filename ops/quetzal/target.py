"""Which model of which stack a command works on, and the AWS clients for it.

``@command(app, ...)`` gives every command the same four options (``--stack``, ``--model``,
``--json`` and, hidden, ``--outputs-file``), resolves them to a ``Target``, and turns errors into one
line and a documented exit code.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, cast

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.quetzal_api.errors import ApiError
from ops.common import sessions, stack
from ops.common.errors import ExitCode, OpsError, from_aws, invalid, not_found, usage
from ops.common.output import Output

DEFAULT_STACK = "quetzal-sandbox"

StackOption = Annotated[
    str, typer.Option("--stack", envvar="BENCHTOP_STACK", help="Pulumi stack.", metavar="STACK")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Model; needed when the stack has several.", metavar="MODEL")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--outputs-file", envvar="BENCHTOP_OUTPUTS_FILE", hidden=True, help="Stack outputs as JSON."
    ),
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
class Target:
    """A command's stack, model and way to speak to AWS."""

    stack: str
    model: Model
    outputs: dict[str, Any]
    out: Output
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def region(self) -> str | None:
        return cast("str | None", self.outputs.get("region"))

    @functools.cached_property
    def session(self) -> boto3.Session:
        return sessions.aws_session(self.region)

    def client(self, service: str) -> Any:
        """The boto3 client of a service, made once; boto3 has no types of its own."""
        if service not in self._clients:
            self._clients[service] = self.session.client(service, config=sessions.CLIENT_CONFIG)
        return self._clients[service]

    def output(self, key: str) -> str:
        """A stack output that the command can't do without."""
        value = self.outputs.get(key)
        if not value:
            raise invalid(
                f"stack {self.stack} has no output {key!r}: {stack.how_to_deploy(self.stack)} to complete it"
            )
        return str(value)

    def again(self, command: str) -> str:
        """A command line that continues on the same target, for hints."""
        options = "" if self.stack == DEFAULT_STACK else f" --stack {self.stack}"
        if len(self.outputs.get("models") or {}) > 1:
            options += f" --model {self.model.name}"
        return f"python -m ops quetzal {command}{options}"


def resolve(stack_name: str, model: str | None, as_json: bool, outputs_file: Path | None) -> Target:
    """Prepare the environment, ask the stack, choose the model."""
    out = Output(as_json)
    if not stack_name:
        raise usage("--stack is empty")
    sessions.prepare(stack_name)
    outputs = stack.outputs(stack_name, outputs_file)
    return Target(stack=stack_name, model=choose(outputs, model, stack_name), outputs=outputs, out=out)


CODE_OF_STATUS = {
    400: ExitCode.USAGE,
    403: ExitCode.REFUSED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.REFUSED,
    423: ExitCode.REFUSED,
}
"""Exit codes for the errors of the core that is shared with the HTTP API."""


def guarded(out: Output, action: Callable[[], None]) -> None:
    """Run ``action``; an error becomes one line (or document) and its exit code."""
    try:
        action()
    except OpsError as error:
        out.error(error)
        raise typer.Exit(int(error.code)) from error
    except ApiError as error:
        clear = OpsError(CODE_OF_STATUS.get(error.status, ExitCode.UNEXPECTED), error.message)
        out.error(clear)
        raise typer.Exit(int(clear.code)) from error
    except (ClientError, BotoCoreError) as error:
        clear = from_aws(error)
        out.error(clear)
        raise typer.Exit(int(clear.code)) from error
    except KeyboardInterrupt:
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a command that needs no deployed stack was asked for."""

    stack: str
    model: str | None
    out: Output


def place(stack_name: str, model: str | None, as_json: bool, outputs_file: Path | None) -> Place:
    """As ``resolve``, without asking the stack."""
    sessions.prepare(stack_name)
    return Place(stack=stack_name, model=model, out=Output(as_json))


COMMON = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    for name, default, annotation in (
        ("stack", DEFAULT_STACK, StackOption),
        ("model", None, ModelOption),
        ("as_json", False, JsonOption),
        ("outputs_file", None, FileOption),
    )
]
"""The options of every command."""


def command(
    app: typer.Typer, name: str, resolver: Callable[..., Any] = resolve
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function ``(target, own options...)`` as a command with the common options added.

    ``resolver`` makes the first argument of the common options: a ``Target``, or with ``place`` a ``Place``.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        def call(**arguments: Any) -> None:
            common = [arguments.pop(parameter.name) for parameter in COMMON]
            guarded(Output(common[2]), lambda: function(resolver(*common), **arguments))

        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + COMMON
        call.__name__ = function.__name__
        call.__doc__ = function.__doc__
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name)(call)
        return function

    return register
