"""The root of the operators' command line; each system brings its own sub-command."""

import typer

from ops.common.errors import exit_code_help
from ops.projections.app import app as projections
from ops.quetzal.app import app as quetzal

app = typer.Typer(
    name="ops",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=exit_code_help(),
    help="Operate what the stacks have deployed. The same commands serve AWS and the local sandbox.",
)
app.add_typer(quetzal, name="quetzal", epilog=exit_code_help())
app.add_typer(projections, name="projections", epilog=exit_code_help())


def main() -> None:
    """Run the command line and leave with an ``ExitCode``."""
    app(prog_name="python -m ops")
