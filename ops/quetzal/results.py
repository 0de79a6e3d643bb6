"""``ops quetzal logs`` and ``outputs``: what runs have written."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lambdas.quetzal_api.runs import RUN_ID, Run, Runs, check_scenario
from ops.common.errors import invalid, not_found, refused, usage
from ops.common.output import Output, iso
from ops.quetzal import runs as running
from ops.quetzal import sync, workflow
from ops.quetzal.follow import POLL_S, SETTLE_S, left_going, watch
from ops.quetzal.logtail import LogTail, cloudwatch
from ops.quetzal.scenarios import existing
from ops.quetzal.target import Target

Name = Annotated[str, typer.Argument(help="Scenario (its latest run) or run id.", metavar="SCENARIO|RUN")]


def logs(
    target: Target,
    name: Name,
    following: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    step: Annotated[str | None, typer.Option("--step", help="Only this step's log.")] = None,
    from_cloudwatch: Annotated[
        bool,
        typer.Option("--cloudwatch", help="All lines of the function while the run went, from CloudWatch."),
    ] = False,
) -> None:
    """Show the logs of a run, each step's below the other; an older run's come from CloudWatch."""
    core = running.core_of(target, with_steps=True)
    run = _run_of(target, core, name)
    if from_cloudwatch and (following or step is not None or run is None):
        raise usage("--cloudwatch shows one run, whole: leave --follow and --step out")
    if run is not None and (from_cloudwatch or not _is_latest(core, run)):
        if step is not None or following:
            raise usage(
                f"run {run.id} is not the latest of {run.scenario}: --step and --follow are for the latest"
            )
        _from_cloudwatch(target, run)
        return
    if following and run is not None and not run.is_final and step is None and not target.out.as_json:
        with left_going(target, run):
            finished = watch(target, core, run)
        running.end_with(target.out, finished)
        return
    scenario = run.scenario if run is not None else check_scenario(name)
    names = {info.name: info.log for info in workflow.steps(workflow.deployed(target))}
    if step is not None and step not in {*names, *names.values()}:
        raise not_found(f"model {target.model.name} has no step {step!r}; it has: {', '.join(names)}")
    tail = LogTail(
        target.client("s3"), target.model.bucket, scenario, since=run.started if run else None,
        steps=list(names.values()), only=names.get(step, step) if step else None,
    )  # fmt: skip
    lines = _until_ended(core, run, tail) if following and run is not None else tail.poll(last=True)
    _print(target, scenario, run, step, lines, following)
    if following and run is not None:
        running.end_with(target.out, core.get(run.id))


def _run_of(target: Target, core: Runs, name: str) -> Run | None:
    """The run that a name means; ``None`` for a scenario that exists but was not run by this workflow."""
    if RUN_ID.fullmatch(name):
        return core.get(name)
    existing(target, name)
    latest = next(running.all_runs(core, limit=1, scenario=name), None)
    return None if latest is None else core.get(latest.id)


def _is_latest(core: Runs, run: Run) -> bool:
    """The bucket keeps the logs of a scenario's latest run only."""
    latest = next(running.all_runs(core, limit=1, scenario=run.scenario), None)
    return latest is None or latest.id == run.id


def _until_ended(core: Runs, run: Run, tail: LogTail) -> Iterator[tuple[str, str]]:
    while True:
        ended = core.get(run.id).is_final
        if ended:
            time.sleep(min(SETTLE_S, POLL_S))
        yield from tail.poll(last=ended)
        if ended:
            return
        time.sleep(POLL_S)


def _print(
    target: Target,
    scenario: str,
    run: Run | None,
    step: str | None,
    lines: Iterator[tuple[str, str]],
    endless: bool,
) -> None:
    """Lines under a heading for each log; one document, or with ``endless`` one JSON line a line."""
    if endless and target.out.as_json:
        for log, line in lines:
            target.out.line_document({"log": log, "line": line})
        return
    found: dict[str, list[str]] = {}
    heading = None
    for log, line in lines:
        if target.out.as_json:
            found.setdefault(log, []).append(line)
        if heading != log and step is None:
            target.out.say(f"==> {scenario}/logs/{log}.txt", style="bold")
        heading = log
        target.out.say(line)
    target.out.result({"scenario": scenario, "run": run.id if run else None, "logs": found})
    if heading is None:
        if step is not None:
            target.out.note(f"no log of step {step}")
        else:
            target.out.note(f"{scenario} has no log {'of this run ' if run else ''}yet")


def _from_cloudwatch(target: Target, run: Run) -> None:
    target.out.note(f"{target.model.log_group} while {run.id} went (runs of other scenarios may be among it)")
    found = []
    for moment, line in cloudwatch(target.client("logs"), target.model.log_group, run.started, run.ended):
        if target.out.as_json:
            found.append({"time": iso(moment), "line": line})
        target.out.say(f"{moment:%H:%M:%S}  {line}")
    target.out.result(
        {"scenario": run.scenario, "run": run.id, "log_group": target.model.log_group, "events": found}
    )


# --- outputs ---------------------------------------------------------------------------------------


def outputs(
    target: Target,
    scenario: Annotated[str, typer.Argument(help="Scenario.", metavar="SCENARIO")],
    to: Annotated[Path | None, typer.Option("--to", help="Folder; default: ./SCENARIO-outputs.")] = None,
) -> None:
    """Download what the latest run of a scenario made, and show its indicators and map."""
    objects = existing(target, scenario)
    made = [item for path, item in objects.items() if path.startswith("outputs/")]
    if not made:
        raise not_found(f"scenario {scenario} has no outputs: `{target.again(f'run {scenario}')}` makes them")
    folder = to if to is not None else Path(f"{scenario}-outputs")
    if folder.exists() and not folder.is_dir():
        raise refused(f"{folder} is a file; --to takes a folder")
    with target.out.transfer(f"{scenario}: {len(made)} files", sum(item.size for item in made)) as done:
        s3, bucket = target.client("s3"), target.model.bucket
        sync.download(s3, bucket, scenario, made, folder, done, strip="outputs/")
    place = folder.resolve()
    indicators = read_indicators(place / "indicators.json")
    target.out.result(
        {
            "model": target.model.name,
            "scenario": scenario,
            "folder": place,
            "files": sorted(item.path.removeprefix("outputs/") for item in made),
            "modified": max(item.modified for item in made),
            "indicators": indicators,
            "maps": maps_in(place),
        }
    )
    show(target.out, indicators, place)
    target.out.say(f"{len(made)} files in {place}")


def show(out: Output, indicators: Any, folder: Path) -> None:
    """A table of indicators and the paths of maps, for people."""
    rows = table_of(indicators)
    columns: tuple[str, ...] = ("INDICATOR", "VALUE", "UNIT", "PERIOD")
    if not any(row[3] for row in rows):
        columns, rows = columns[:3], [row[:3] for row in rows]
    if rows:
        out.table(columns, rows)
        out.say()
    for path in maps_in(folder):
        out.say(f"map  {path}")


def maps_in(folder: Path) -> list[Path]:
    """Pictures and pages named ``map`` or ``map_...``."""
    return sorted(
        path for path in folder.rglob("map*.*") if path.stem == "map" or path.stem.startswith("map_")
    )


def read_indicators(path: Path) -> Any:
    """The content of ``indicators.json``; ``None`` when the model writes none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise invalid(f"{path}: the model wrote no valid JSON ({error})") from error


def table_of(indicators: Any, prefix: str = "") -> list[tuple[str, ...]]:
    """Rows (name, value, unit, period) of ``indicators.json``.

    It is a list of ``{"name", "value", "unit"?, "period"?}``, or an object,
    nested by dots, whose leaves are values or ``{"value", "unit"?}``.

    >>> table_of([{"name": "speed", "value": 21.456, "unit": "km/h", "period": "am"}])
    [('speed', '21.46', 'km/h', 'am')]
    >>> table_of({"stops": 812, "am": {"speed": {"value": 21.456, "unit": "km/h"}}})
    [('stops', '812', '', ''), ('am.speed', '21.46', 'km/h', '')]
    """
    if isinstance(indicators, list):
        items = [(str(item.get("name", "")), item) for item in indicators if isinstance(item, Mapping)]
    elif isinstance(indicators, Mapping):
        items = [(str(key), value) for key, value in indicators.items()]
    else:
        return []
    rows: list[tuple[str, ...]] = []
    for name, item in items:
        if isinstance(item, Mapping) and "value" in item:
            unit, period = (str(item.get(key) or "") for key in ("unit", "period"))
            rows.append((f"{prefix}{name}", number(item["value"]), unit, period))
        elif isinstance(item, Mapping):
            rows += table_of(item, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", number(item), "", ""))
    return rows


def number(value: Any) -> str:
    """Four significant digits for fractions, thousands separated; other values as they are.

    >>> number(1234567), number(0.123456), number(2026.5), number("am"), number(True)
    ('1,234,567', '0.1235', '2,026.5', 'am', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return "-"
        digits = max(0, 4 - len(str(int(abs(value)))) + (abs(value) < 1))
        text = f"{value:,.{max(digits, 1)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, list):
        return ", ".join(number(item) for item in value)
    return "" if value is None else str(value)
