"""Which stack a command works on, and the site that the stack has deployed."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import typer

from ops.common.commands import (
    AS_JSON,
    OUTPUTS_FILE,
    CommandLine,
    StackOption,
    StackTarget,
    option,
    outputs_of,
)
from ops.common.errors import invalid
from ops.common.output import Output
from ops.projections.site import Site

DEFAULT_STACK = "projections-sandbox"


@dataclass(frozen=True, kw_only=True)
class Target(StackTarget):
    """A command's stack with its site."""

    system: ClassVar[str] = "projections"
    default_stack: ClassVar[str] = DEFAULT_STACK

    @functools.cached_property
    def site(self) -> Site:
        """The site's API, as an operator: whoever may read the signing key from Secrets Manager is one."""
        return Site(self.output("site_url"), self._signing_key)

    def _signing_key(self) -> str:
        secrets = self.client("secretsmanager")
        text = secrets.get_secret_value(SecretId=self.output("api_key_secret_arn"))["SecretString"]
        return str(text)


def resolve(stack: str, as_json: bool, outputs_file: Path | None) -> Target:
    """Prepare the environment and ask the stack."""
    target = Target(stack=stack, outputs=outputs_of(stack, outputs_file), out=Output(as_json))
    if "run_table" not in target.outputs:
        raise invalid(f"stack {stack} has no output 'run_table': it is not a projections stack")
    return target


LINE = CommandLine(options=(option("stack", DEFAULT_STACK, StackOption), AS_JSON, OUTPUTS_FILE))


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function ``(target, own options...)`` as a command."""
    return LINE.command(app, name, resolve)
