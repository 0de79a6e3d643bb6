"""``ops projections submit|status|watch|list|retry|cancel``: runs, through the site's API."""

import sys
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ops.common.errors import ExitCode, OpsError
from ops.common.output import duration
from ops.projections import measures
from ops.projections.measures import Compute
from ops.projections.target import Target

RunId = Annotated[str, typer.Argument(help="Run id, or its beginning.", metavar="RUN")]
FINAL = ("succeeded", "failed")
POLL_S = 1.0
"""Between two looks at a run."""


def find(target: Target, wanted: str) -> dict[str, Any]:
    """A run by its id, or by a beginning of it that only one of the latest 500 runs has."""
    if len(wanted) == 36:
        return target.site.run(wanted)
    found = []
    for number, item in enumerate(target.site.runs()):
        if number >= 500:
            break
        if item["id"].startswith(wanted):
            found.append(item["id"])
    if len(found) == 1:
        return target.site.run(found[0])
    how = f"{len(found)} runs begin with" if found else "no run begins with"
    raise OpsError(
        ExitCode.USAGE if found else ExitCode.NOT_FOUND,
        f"{how} {wanted!r}: `{target.again('list')}` shows their ids",
    )


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def seconds_of(run: dict[str, Any]) -> float:
    """How long a run took from its submission, or takes so far."""
    end = moment(run["completed_at"]) if run.get("completed_at") else datetime.now(UTC)
    return max(0.0, (end - moment(run["created_at"])).total_seconds())


def line_of(run: dict[str, Any]) -> str:
    """A run in one line."""
    inputs = run["model_input"]
    text = (
        f"{run['id']}  {run['status']}  {', '.join(inputs['county'])} ({inputs['state']}), {run['compute']}"
    )
    if run["status"] not in FINAL:
        text += f", {round(100 * (run.get('progress') or 0))} %"
    return text


def show(target: Target, run: dict[str, Any]) -> None:
    """A run for people: a line, its inputs, how often it was interrupted, and why it failed."""
    target.out.say(line_of(run))
    inputs = run["model_input"]
    plain = {key: value for key, value in inputs.items() if key not in ("county", "state", "country")}
    target.out.say(
        "inputs  " + ", ".join(f"{key}={value}" for key, value in plain.items() if value is not None)
    )
    target.out.say(
        f"submitted {run['created_at']}, {duration(seconds_of(run))}, attempt {run.get('attempt') or 1}, "
        f"{run.get('interruptions') or 0} interruptions"
    )
    if run.get("reason"):
        target.out.say(run["reason"], style="bold red" if run["status"] == "failed" else "yellow")


def without_output(run: dict[str, Any]) -> dict[str, Any]:
    """A run for ``--json``; its curves are what ``results`` is for."""
    return {key: value for key, value in run.items() if key != "output"}


def end_with(target: Target, run: dict[str, Any]) -> None:
    """Leave with the finished run's exit code."""
    if run["status"] == "failed":
        stopped = str(run.get("reason") or "").startswith("cancelled")
        raise typer.Exit(int(ExitCode.RUN_STOPPED if stopped else ExitCode.RUN_FAILED))


def follow(target: Target, run_id: str) -> dict[str, Any]:
    """Show a run until it has ended; a line for each change of its state, a bar on terminals."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, quiet=target.out.as_json)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    shown: tuple[Any, ...] = ()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("waiting", total=1.0)
        while True:
            run = target.site.run(run_id)
            state = run["status"], run.get("attempt"), run.get("interruptions")
            if state != shown:
                target.out.say(happened(run))
                shown = state
            bar.update(task, completed=run.get("progress") or 0.0, description=run["status"])
            if run["status"] in FINAL:
                return run
            time.sleep(POLL_S)


def happened(run: dict[str, Any]) -> str:
    """What a change of state means, in words."""
    attempt, lost = run.get("attempt") or 1, run.get("interruptions") or 0
    match run["status"]:
        case "queued":
            return "queued" if attempt == 1 else f"queued again (attempt {attempt})"
        case "running":
            return f"running (attempt {attempt})" if attempt > 1 else "running"
        case "interrupted":
            return f"interrupted ({lost} times so far); it goes on from its checkpoint"
        case "succeeded":
            return f"succeeded in {duration(seconds_of(run))}"
        case _:
            return f"{run['status']}: {run.get('reason') or 'no reason given'}"


def watching(target: Target, run_id: str) -> dict[str, Any]:
    """``follow``; Ctrl-C ends the showing and says how to come back, the run goes on."""
    try:
        return follow(target, run_id)
    except KeyboardInterrupt:
        target.out.note(
            f"\n{run_id} goes on: `{target.again(f'watch {run_id}')}` comes back to it, "
            f"`{target.again(f'cancel {run_id}')}` ends it",
            style=None,
        )
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None


def submit(
    target: Target,
    state: measures.State,
    county: measures.Counties,
    draws: measures.Draws = None,
    days: measures.Days = None,
    shelter_date: measures.ShelterDate = None,
    shelter_release_start: measures.ReleaseStart = None,
    shelter_release_end: measures.ReleaseEnd = None,
    lockdown_strength: measures.LockdownStrength = None,
    social_distancing: measures.Distancing = None,
    social_distancing_strength: measures.DistancingStrength = None,
    social_distancing_end: measures.DistancingEnd = None,
    quarantine_percent: measures.Quarantine = None,
    quarantine_start: measures.QuarantineStart = None,
    data_hash: measures.DataHash = None,
    compute: Annotated[
        Compute | None, typer.Option("--compute", help="Where it runs; default: fargate.")
    ] = None,
    replicate: Annotated[
        int, typer.Option("--replicate", min=0, help="Run the same inputs once more, under this number.")
    ] = 0,
    watch: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait until it has ended.")] = False,
) -> None:
    """Ask for a projection. Inputs that were run before give their run at once."""
    given = {name: value for name, value in locals().items() if name in measures.INPUT_OF}
    fields = measures.inputs(state, county, **given) | {"replicate": replicate}
    if compute is not None:
        fields["compute"] = compute.value
    run, new = target.site.submit(fields)
    if watch and run["status"] not in FINAL:
        target.out.note(f"run {run['id']}" + ("" if new else " is there already"))
        run = watching(target, run["id"])
    target.out.result({**without_output(run), "created": new})
    target.out.say(run["id"] + ("" if new else "  (there already: the same inputs)"))
    if watch:
        end_with(target, run)
    else:
        target.out.note(f"follow it with `{target.again('watch ' + run['id'])}`")


def task_of(target: Target, run: dict[str, Any]) -> str | None:
    """ARN of the task of the run's latest attempt, from the run table; none on the web server."""
    item = target.client("dynamodb").get_item(
        TableName=target.output("run_table"),
        Key={"run_id": {"S": run["id"]}},
        ProjectionExpression="task_arn",
    )
    found = (item.get("Item") or {}).get("task_arn") or {}
    return str(found["S"]) if "S" in found else None


def status(target: Target, run_id: RunId) -> None:
    """Show a run, with the task of its latest attempt."""
    run = find(target, run_id)
    task = task_of(target, run)
    target.out.result({**without_output(run), "task_arn": task})
    show(target, run)
    if task:
        target.out.say(f"task {task}")


def watch(target: Target, run_id: RunId) -> None:
    """Follow a run to its end; Ctrl-C stops the showing, not the run."""
    run = watching(target, find(target, run_id)["id"])
    target.out.result(without_output(run))
    end_with(target, run)


def list_runs(
    target: Target,
    state: Annotated[str | None, typer.Option("--state", help="Only runs of this state.")] = None,
    wanted: Annotated[str | None, typer.Option("--status", help="Only runs of this status.")] = None,
    compute: Annotated[Compute | None, typer.Option("--compute", help="Only runs on this.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 20,
) -> None:
    """List runs, newest first."""
    found: list[dict[str, Any]] = []
    for run in target.site.runs(state=state, status=wanted, compute=compute.value if compute else None):
        found.append(run)
        if len(found) >= limit:
            break
    target.out.result({"runs": [without_output(run) for run in found]})
    if not found:
        target.out.say(f"no run yet: `{target.again('submit --state STATE --county COUNTY')}`")
        return
    target.out.table(
        ("RUN", "STATUS", "DONE", "COMPUTE", "ATTEMPT", "STATE", "COUNTIES", "SUBMITTED"),
        [
            (
                run["id"],
                run["status"],
                f"{round(100 * (run.get('progress') or 0))} %",
                run["compute"],
                run.get("attempt") or 1,
                run["model_input"]["state"],
                ", ".join(run["model_input"]["county"]),
                run["created_at"],
            )
            for run in found
        ],
    )


def retry(target: Target, run_id: RunId) -> None:
    """Start a failed run again; it goes on from its checkpoints."""
    run = target.site.act(find(target, run_id)["id"], "retry")
    target.out.result(without_output(run))
    target.out.say(f"{run['id']} {run['status']}")


def cancel(target: Target, run_id: RunId) -> None:
    """End a run: its task is stopped and its state is failed, "cancelled by ..."."""
    run = target.site.act(find(target, run_id)["id"], "cancel")
    target.out.result(without_output(run))
    target.out.say(f"{run['id']} {run['status']}: {run.get('reason') or ''}")
