"""What each command of every system has: options, a deployed stack, errors as one line with an exit code."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError

from ops.common import sessions, stack
from ops.common.errors import ExitCode, OpsError, from_aws, invalid, usage
from ops.common.output import Output

StackOption = Annotated[
    str, typer.Option("--stack", envvar="BENCHTOP_STACK", help="Pulumi stack.", metavar="STACK")
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


def option(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    """An option that a command gets without its function naming it."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


AS_JSON = option("as_json", False, JsonOption)
OUTPUTS_FILE = option("outputs_file", None, FileOption)


@dataclass(frozen=True, kw_only=True)
class StackTarget:
    """A command's stack and its way to speak to AWS; systems add what is theirs."""

    system: ClassVar[str]
    default_stack: ClassVar[str]

    stack: str
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
        options = "" if self.stack == self.default_stack else f" --stack {self.stack}"
        return f"python -m ops {self.system} {command}{options}"


def outputs_of(stack_name: str, outputs_file: Path | None) -> dict[str, Any]:
    """Prepare the environment for the stack and ask it for its outputs."""
    if not stack_name:
        raise usage("--stack is empty")
    sessions.prepare(stack_name)
    return stack.outputs(stack_name, outputs_file)


def nothing_of_its_own(_error: Exception) -> OpsError | None:
    return None


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """The options that all commands of a system share, and how its own errors read."""

    options: Sequence[inspect.Parameter]
    """They go to the resolver by name; ``as_json`` is one of them."""
    clear: Callable[[Exception], OpsError | None] = nothing_of_its_own
    """The system's own exceptions as an ``OpsError``; ``None`` for one that it doesn't know."""

    def guarded(self, out: Output, action: Callable[[], None]) -> None:
        """Run ``action``; an error becomes one line (or document) and its exit code."""
        try:
            action()
        except KeyboardInterrupt:
            raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
        except Exception as error:
            clear = error if isinstance(error, OpsError) else self.clear(error)
            if clear is None and isinstance(error, ClientError | BotoCoreError):
                clear = from_aws(error)
            if clear is None:
                raise
            out.error(clear)
            raise typer.Exit(int(clear.code)) from error

    def command(
        self, app: typer.Typer, name: str, resolver: Callable[..., Any]
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Register a function ``(target, own options...)`` as a command with the shared options added.

        ``resolver`` makes the first argument of the shared options, for example the system's target.
        """

        def register(function: Callable[..., None]) -> Callable[..., None]:
            own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

            def call(**arguments: Any) -> None:
                shared = {parameter.name: arguments.pop(parameter.name) for parameter in self.options}
                self.guarded(Output(shared["as_json"]), lambda: function(resolver(**shared), **arguments))

            parameters = [
                *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
                *self.options,
            ]
            call.__name__ = function.__name__
            call.__doc__ = function.__doc__
            call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
            call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
            app.command(name)(call)
            return function

        return register
