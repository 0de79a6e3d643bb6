"""Showing a run while it goes: its steps as they advance, and its log lines as they come."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import typer
from rich.console import Console
from rich.text import Text

from lambdas.quetzal_api.history import FAILED, PENDING, RUNNING, SUCCESS, Step
from lambdas.quetzal_api.runs import Run, Runs
from ops.common.errors import ExitCode
from ops.common.output import STATUS_STYLE, duration
from ops.quetzal import workflow
from ops.quetzal.logtail import LogTail, shorten
from ops.quetzal.runs import document, seconds_of
from ops.quetzal.target import Target

POLL_S = 1.0
"""Between two looks; three calls a look, well under the services' rates."""

SETTLE_S = 2.0
"""How long logs may trail behind the end of a run."""


@contextmanager
def left_going(target: Target, run: Run) -> Iterator[None]:
    """Ctrl-C inside ends the showing and exits INTERRUPTED, saying how to come back; the run goes on."""
    try:
        yield
    except KeyboardInterrupt:
        target.out.result(document(run) | {"status": RUNNING, "interrupted": True})
        target.out.note(
            f"\n{run.id} goes on: `{target.again(f'logs {run.id} --follow')}` comes back to it, "
            f"`{target.again(f'stop {run.id}')}` ends it",
            style=None,
        )
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None


def watch(target: Target, core: Runs, run: Run) -> Run:
    """Show ``run`` until it has ended, and return it; to be called inside ``left_going``."""
    logs = {step.name: step.log for step in workflow.steps(workflow.deployed(target))}
    tail = LogTail(
        target.client("s3"), target.model.bucket, run.scenario, since=run.started, steps=list(logs.values())
    )
    shown: dict[str, tuple[str, int]] = {}
    with live_line(target.out.as_json) as say:
        while True:
            # Lines before states: a step whose first lines are there is then known to have started.
            new = list(tail.poll(last=False))
            found = core.get(run.id)
            if found.is_final:
                time.sleep(min(SETTLE_S, POLL_S))
                new += tail.poll(last=True)
            lines = list(shorten(new))
            known = [step for step in found.steps if step.name in core.steps] if core.steps else found.steps
            for text, style in events(known, shown, lines, logs):
                say(text, style)
            if found.is_final:
                say(f"{found.status} in {duration(seconds_of(found))}", STATUS_STYLE.get(found.status, ""))
                return found
            say(current_line(found), None)
            time.sleep(POLL_S)


def events(
    steps: Sequence[Step],
    shown: dict[str, tuple[str, int]],
    lines: Sequence[tuple[str, str]],
    logs: Mapping[str, str],
) -> Iterator[tuple[str, str]]:
    """What to print since last time, as (text, style): steps that began, their lines, steps that ended.

    ``shown`` remembers the status and attempts printed for each step, and is updated. Lines are (log,
    text) and go between the beginning and the end of the step whose log (``logs``) they are; those of
    other logs come last.
    """
    waiting: dict[str, list[str]] = {}
    for log, line in lines:
        waiting.setdefault(log, []).append(line)
    for index, step in enumerate(steps, 1):
        was, tries = shown.get(step.name, (PENDING, 0))
        if step.status == PENDING:
            continue
        head = f"[{index}/{len(steps)}] {step.name}"
        if was == PENDING and step.started is not None:
            yield f"{head} started", "bold"
        elif was == RUNNING and step.attempts > max(tries, 1):
            yield f"{head} is tried again (attempt {step.attempts})", "yellow"
        for line in waiting.pop(logs.get(step.name, step.name), []):
            yield f"  {line}", ""
        if step.status != was and step.status not in (PENDING, RUNNING):
            took = (step.ended or datetime.now(UTC)) - (step.started or datetime.now(UTC))
            word = {SUCCESS: "done", FAILED: "failed"}.get(step.status, step.status.lower())
            yield f"{head} {word} in {duration(took.total_seconds())}", STATUS_STYLE.get(step.status, "")
        shown[step.name] = (step.status, step.attempts)
    for log, left in waiting.items():
        for line in left:
            yield f"  {log}: {line}", ""


def current_line(run: Run) -> str:
    """The line that a terminal keeps at the bottom: the step now and the time since the start."""
    now = next((step.name for step in run.steps if step.status == RUNNING), run.status.lower())
    return f"{now}, {duration(seconds_of(run))} since the start"


class Say:
    """Prints lines; with style ``None`` a line replaces the changing one, where there is one."""

    def __init__(self, console: Console, change: Callable[[str], None] | None) -> None:
        self._console = console
        self._change = change

    def __call__(self, text: str, style: str | None) -> None:
        if style is not None:
            self._console.print(Text(text, style=style))
        elif self._change is not None:
            self._change(text)


@contextmanager
def live_line(silent: bool) -> Iterator[Say]:
    """A printer of lines above one that changes; the latter on terminals only, nothing when ``silent``."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, quiet=silent)
    if silent or not console.is_terminal:
        yield Say(console, None)
        return
    with console.status(Text("starting")) as status:
        yield Say(console, lambda text: status.update(Text(text)))
