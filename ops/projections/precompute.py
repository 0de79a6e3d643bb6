"""``ops projections precompute``: the usual runs of a state, before anybody asks for them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ops.common.errors import ExitCode, OpsError, not_found
from ops.projections import measures
from ops.projections.measures import Compute
from ops.projections.runs import FINAL
from ops.projections.target import Target

QUARANTINE_PERCENTS = (0, 25, 50, 75)
POLL_S = 2.0
DEFAULT_RUNNING = 20
"""Tasks at once. An account's quota of Fargate Spot tasks is shared with everybody's own runs."""


def grid(counties: Sequence[str], defaults: Sequence[str]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Counties and measures of each run: the default counties together, then each county alone.

    For each of them quarantine of 0, 25, 50 and 75 % with and without social distancing.

    >>> len(list(grid(["A", "B", "C"], ["A", "B"])))
    32
    """
    groups = [list(defaults)] if len(defaults) > 1 else []
    for group in [*groups, *([county] for county in sorted(counties))]:
        for percent in QUARANTINE_PERCENTS:
            for distancing in (True, False):
                yield group, {"quarantine_percent": percent, "social_distancing": distancing}


@dataclass
class Tally:
    """What has become of the requests so far."""

    new: int = 0
    existing: int = 0
    failed: list[str] = field(default_factory=list)
    running: dict[str, str] = field(default_factory=dict)
    """Runs that haven't ended, from id to what they are."""
    succeeded: int = 0

    def ended(self, run: dict[str, Any], what: str) -> None:
        if run["status"] == "succeeded":
            self.succeeded += 1
        else:
            self.failed.append(f"{run['id']} ({what}): {run.get('reason') or 'no reason given'}")


def state_of(target: Target, wanted: str) -> dict[str, Any]:
    """The state as the site knows it; NOT_FOUND names those that it has data of."""
    states = target.site.document("GET", "/covid/api/get_states_counties/")["states"]
    for state in states:
        if wanted.casefold() in (state["name"].casefold(), str(state.get("code") or "").casefold()):
            return dict(state)
    names = (
        ", ".join(sorted(state["name"] for state in states)) or f"none: `{target.again('addhashes --all')}`"
    )
    raise not_found(f"the site has no data of {wanted!r}; it has: {names}")


def settle(target: Target, tally: Tally) -> int:
    """Look at the runs that go on; returns how many have ended since last time."""
    done = 0
    for run_id, what in list(tally.running.items()):
        run = target.site.run(run_id)
        if run["status"] in FINAL:
            del tally.running[run_id]
            tally.ended(run, what)
            done += 1
    return done


def progress_bar(target: Target) -> Progress:
    """A bar on standard error, on terminals only."""
    console = Console(stderr=True, highlight=False, quiet=target.out.as_json)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    return Progress(*columns, console=console, disable=not console.is_terminal or target.out.as_json)


def advance(bar: Progress, task: TaskID, tally: Tally, done: int) -> None:
    bar.update(
        task, advance=done, note=f"{len(tally.running)} running, {tally.existing} there already, "
        f"{len(tally.failed)} failed",
    )  # fmt: skip


def precompute(
    target: Target,
    state: Annotated[str, typer.Argument(help="State, by name or code.", metavar="STATE")],
    compute: Annotated[
        Compute, typer.Option("--compute", help="Where they run; Spot is a third of the price.")
    ] = Compute.SPOT,
    max_running: Annotated[
        int, typer.Option("--max-running", min=1, max=1000, help="Tasks at once.")
    ] = DEFAULT_RUNNING,
    draws: measures.Draws = None,
    days: measures.Days = None,
    counties: Annotated[
        list[str] | None, typer.Option("--county", help="Only these counties; repeatable.")
    ] = None,
) -> None:
    """Run the grid of measures for a state's default counties and for each county; what is there is kept."""
    found = state_of(target, state)
    unknown = sorted(set(counties or ()) - set(found["counties"]))
    if unknown:
        raise not_found(
            f"{found['name']} has no county {unknown[0]!r}; it has: {', '.join(found['counties'])}"
        )
    wanted = list(grid(counties or found["counties"], [] if counties else found["default_counties"]))
    tally = Tally()
    bar = progress_bar(target)
    try:
        with bar:
            task = bar.add_task(f"{found['name']}", total=len(wanted), note="")
            for group, given in wanted:
                while len(tally.running) >= max_running:
                    advance(bar, task, tally, settle(target, tally))
                    if len(tally.running) >= max_running:
                        time.sleep(POLL_S)
                fields = measures.inputs(found["name"], group, draws=draws, days=days) | given
                run, new = target.site.submit({**fields, "compute": compute.value})
                tally.new, tally.existing = tally.new + new, tally.existing + (not new)
                what = f"{', '.join(group)}, {given}"
                if run["status"] in FINAL:
                    tally.ended(run, what)
                    advance(bar, task, tally, 1)
                else:
                    tally.running[run["id"]] = what
                    advance(bar, task, tally, 0)
            while tally.running:
                advance(bar, task, tally, settle(target, tally))
                time.sleep(POLL_S if tally.running else 0)
    except KeyboardInterrupt:
        target.out.note(
            f"\n{len(tally.running)} runs go on; the same command again takes up where this one was",
            style=None,
        )
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
    report(target, found["name"], len(wanted), tally)


def report(target: Target, state: str, total: int, tally: Tally) -> None:
    """Say what has become of the grid; RUN_FAILED when a run failed."""
    target.out.result(
        {"state": state, "runs": total, "new": tally.new, "existing": tally.existing,
         "succeeded": tally.succeeded, "failed": tally.failed}
    )  # fmt: skip
    target.out.say(
        f"{state}: {total} runs, {tally.new} new, {tally.existing} there already, "
        f"{tally.succeeded} succeeded, {len(tally.failed)} failed"
    )
    if tally.failed:
        raise OpsError(
            ExitCode.RUN_FAILED, f"{len(tally.failed)} of {total} runs failed", "\n".join(tally.failed)
        )
