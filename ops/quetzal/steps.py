"""``ops quetzal steps``: the deployed workflow beside the model's ``step-functions.json``."""

from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer

from ops.common import stack
from ops.common.errors import ExitCode, invalid
from ops.quetzal import workflow
from ops.quetzal.target import Target

STATE_MACHINE = "aws:sfn/stateMachine:StateMachine"


def steps(
    target: Target,
    apply: Annotated[bool, typer.Option("--apply", help="Deploy the file's workflow.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 9 when the two differ.")] = False,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Compare with this file; default: that of the model's source."),
    ] = None,
) -> None:
    """Show the deployed steps, and whether the model's step-functions.json says the same."""
    if apply and file is not None:
        raise invalid("--apply deploys the file of the model's source; leave --file out")
    path = file if file is not None else workflow.model_folder(target.model) / workflow.FILE
    definition = workflow.in_file(path)
    there = workflow.deployed(target)
    equal = workflow.same(target, definition, there)
    applied = False
    if apply and not equal:
        _apply(target)
        there = workflow.deployed(target)
        equal, applied = workflow.same(target, definition, there), True
    now, wanted = workflow.steps(there), workflow.steps(definition)
    target.out.result(
        {
            "model": target.model.name, "file": path.resolve(), "same": equal, "applied": applied,
            "deployed": [asdict(step) for step in now], "in_file": [asdict(step) for step in wanted],
        }
    )  # fmt: skip
    target.out.table(
        ("STEP", "NOTEBOOK", "RETRIES", "NEXT", "IN FILE"),
        [
            (
                *((mine.name, mine.notebook, str(mine.retries), mine.next) if mine else ("", "", "", "")),
                "same" if mine == other else f"{other.name} {other.notebook}" if other else "not in the file",
            )
            for mine, other in zip_longest(now, wanted)
        ],
    )
    if applied:
        target.out.say(f"deployed the workflow of {path}")
    if equal:
        target.out.say(f"the deployed workflow and {path} say the same")
    else:
        hint = "" if applied else f"; `{target.again('steps --apply')}` deploys the file"
        target.out.say(f"the deployed workflow differs from {path}{hint}", style="yellow")
        if check:
            raise typer.Exit(int(ExitCode.DIFFERENT))


def _apply(target: Target) -> None:
    resources = stack.state(target.stack)
    machines = stack.urns_of(resources, STATE_MACHINE, id=target.model.state_machine_arn)
    if not machines:
        raise invalid(
            f"the state of stack {target.stack} has no state machine {target.model.state_machine_arn}"
        )
    stack.deploy(
        target.stack, machines, f"ops quetzal steps --apply {target.model.name}",
        lambda line: target.out.note(line.rstrip()),
    )  # fmt: skip
