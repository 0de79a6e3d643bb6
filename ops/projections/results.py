"""``ops projections results|compare|check|open``: what runs have found, and where to look at it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ops.common.errors import ExitCode, OpsError, usage
from ops.common.output import duration
from ops.projections import curves, measures
from ops.projections.runs import RunId, find, seconds_of, watching
from ops.projections.target import Target


def output_of(run: dict[str, Any]) -> dict[str, Any]:
    """The output document of a run that has succeeded."""
    output = run.get("output")
    if run["status"] != "succeeded" or not isinstance(output, dict):
        why = f": {run['reason']}" if run.get("reason") else ""
        raise OpsError(ExitCode.REFUSED, f"run {run['id']} has no results, it is {run['status']}{why}")
    return output


def summary(output: dict[str, Any]) -> list[tuple[str, str, str]]:
    """For each curve its last day's median and band."""
    rows = []
    for name, bands in curves.curves(output).items():
        day = max(bands)
        low, median, high = bands[day]
        rows.append((curves.BANDS[name], f"{median:,.0f}", f"{low:,.0f} to {high:,.0f}"))
    return rows


def page_of(target: Target, run: dict[str, Any]) -> str:
    return f"{target.output('site_url').rstrip('/')}/runs/{run['id']}/"


def shown(target: Target, run: dict[str, Any], to: Path) -> dict[str, Any]:
    """Save a run's files under ``to``, show its last day, its picture and its page."""
    output = output_of(run)
    files = curves.save(output, to / run["id"])
    rows = summary(output)
    target.out.table(("ON THE LAST DAY", "MEDIAN", "5 TO 95 %"), rows)
    target.out.say()
    target.out.say(f"picture  {files[2].resolve()}")
    target.out.say(f"page     {page_of(target, run)}")
    target.out.say(f"sign in  `{target.again('user add NAME')}` prints a link for choosing a password")
    last_day = [dict(zip(("curve", "median", "band"), row, strict=True)) for row in rows]
    return {"run_id": run["id"], "page": page_of(target, run), "files": files, "last_day": last_day}


def compared(target: Target, runs: list[dict[str, Any]]) -> list[list[str]]:
    """Show whether the runs have the first one's curves; returns the differences of each."""
    first = curves.curves(output_of(runs[0]))
    found = [curves.differences(first, curves.curves(output_of(run))) for run in runs]
    target.out.table(
        ("RUN", "COMPUTE", "TIME", "ATTEMPTS", "CURVES"),
        [
            (run["id"], run["compute"], duration(seconds_of(run)), run.get("attempt") or 1,
             "the same" if not different else f"{len(different)} values differ, first {different[0]}")
            for run, different in zip(runs, found, strict=True)
        ],
    )  # fmt: skip
    return found


def comparison(runs: list[dict[str, Any]], found: list[list[str]]) -> dict[str, Any]:
    """The same as a document."""
    return {
        "same": not any(found),
        "runs": [
            {"run_id": run["id"], "compute": run["compute"], "differences": different}
            for run, different in zip(runs, found, strict=True)
        ],
    }


def results(
    target: Target,
    run_id: RunId,
    to: Annotated[Path, typer.Option("--to", help="Folder for the files.", metavar="DIR")] = Path("results"),
) -> None:
    """Download a run's curves as JSON and CSV, with a picture of them."""
    target.out.result(shown(target, find(target, run_id), to))


def compare(
    target: Target,
    run_ids: Annotated[list[str], typer.Argument(help="Two runs or more.", metavar="RUN...")],
) -> None:
    """Say whether runs have the same curves, number for number; exit 9 when they don't."""
    if len(run_ids) < 2:
        raise usage("compare needs two runs or more")
    runs = [find(target, wanted) for wanted in run_ids]
    found = compared(target, runs)
    target.out.result(comparison(runs, found))
    if any(found):
        raise typer.Exit(int(ExitCode.DIFFERENT))


def check(
    target: Target,
    state: measures.State,
    county: measures.Counties,
    draws: measures.Draws = None,
    to: Annotated[Path, typer.Option("--to", help="Folder for the files.", metavar="DIR")] = Path("results"),
) -> None:
    """Run one projection on each of the three computes and compare their curves; exit 9 when they differ."""
    fields = measures.inputs(state, county, draws=draws)
    ids = []
    for number, compute in enumerate(measures.Compute):
        run, new = target.site.submit({**fields, "compute": compute.value, "replicate": number})
        target.out.say(f"{run['id']}  on {compute.value}" + ("" if new else ", there already"))
        ids.append(run["id"])
    runs = [watching(target, run_id) for run_id in ids]
    target.out.say()
    found = compared(target, runs)
    target.out.say()
    document = shown(target, runs[0], to)
    target.out.result({**comparison(runs, found), **document})
    if any(found):
        raise typer.Exit(int(ExitCode.DIFFERENT))


def show_site(target: Target) -> None:
    """Show the site's address and health."""
    health = target.site.document("GET", "/health")
    url = target.output("site_url")
    target.out.result({"url": url, **health})
    target.out.say(url)
    target.out.say(f"health {health.get('status')}, {health.get('hashes')} days of data")
    if not health.get("hashes"):
        target.out.say(f"no data yet: `{target.again('addhashes --all')}`", style="yellow")
