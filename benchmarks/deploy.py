#!/usr/bin/env python
"""How long deployments take: our engine and light providers beside the AWS CDK, on the same local cloud.

    python benchmarks/deploy.py [--units 25] [--runs 3] [--only pulumi|cdk] [--json FILE]

Exit codes: 0 measured (also when the CDK isn't to be had and only ours was measured); 1 a command failed or
the emulator doesn't hold what was deployed; 2 wrong arguments.
"""

import argparse
import importlib.util
import json
import os
import platform
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":  # then Python has put this folder on the path, and we need the repository's
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    if importlib.util.find_spec("botocore") is None:
        sys.exit("error: run ./dev up once, then .venv/bin/python benchmarks/deploy.py")

from botocore.exceptions import BotoCoreError, ClientError

from benchmarks import emulator, inventory, unit
from benchmarks.timing import CommandError, Spread, Timing
from benchmarks.tools import Cdk, Pulumi, Tool, Unavailable
from sandbox.bootstrap.errors import DevError

STEPS = ("first deploy", "no-change deploy", "preview", "destroy")
"""What is measured, in this order; ``cdk diff`` is the CDK's preview."""


class WrongResult(RuntimeError):
    """The emulator doesn't hold what the tool says it deployed; the message is one line."""


@dataclass
class Measured:
    """All timings of one tool: one for each step and run."""

    title: str
    versions: dict[str, str]
    timings: dict[str, list[Timing]] = field(default_factory=lambda: {step: [] for step in STEPS})

    def spread(self, step: str) -> Spread:
        return Spread.of([timing.seconds for timing in self.timings[step]])

    def cpu(self, step: str) -> Spread:
        return Spread.of([timing.cpu_seconds for timing in self.timings[step]])


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--units", type=_Whole(1, unit.MAX_UNITS), default=25, help="copies of the unit")
    parser.add_argument("--runs", type=_Whole(1, 100), default=3, help="repetitions of everything")
    parser.add_argument("--only", choices=("pulumi", "cdk"), help="measure one tool")
    parser.add_argument(
        "--constructs",
        choices=("usual", "low"),
        default="usual",
        help="of the CDK: those its guide teaches, or its fastest",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    return parser.parse_args(arguments)


class _Whole:
    """An argument that is a whole number within limits."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __call__(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = self.low - 1
        if not self.low <= value <= self.high:
            raise argparse.ArgumentTypeError(
                f"allowed is a whole number {self.low}..{self.high}, got {text!r}"
            )
        return value


def cycle(tool: Tool, units: int, variables: dict[str, str]) -> dict[str, Timing]:
    """Deploy, deploy again, preview and destroy once; after each the emulator is asked what it holds.

    Raises `WrongResult` when that isn't what was deployed, `CommandError` when a command fails.
    """
    timings: dict[str, Timing] = {}
    for step, command, expected in (
        ("first deploy", tool.deploy, units),
        ("no-change deploy", tool.deploy_unchanged, units),
        ("preview", tool.preview, units),
        ("destroy", tool.destroy, 0),
    ):
        timings[step] = command(units)
        problem = inventory.shortfall(inventory.count(variables, tool.prefix), expected)
        if problem:
            raise WrongResult(f"{tool.title}, after {step}: {problem}")
    return timings


def measure(tools: Sequence[Tool], units: int, runs: int, variables: dict[str, str]) -> list[Measured]:
    """Measure the tools by turns (A, B, A, B, ...), after one small round that fills everybody's caches."""
    measured = [Measured(tool.title, tool.versions()) for tool in tools]
    for tool in tools:
        print(f"{tool.title}: preparing", flush=True)
        tool.prepare()
        cycle(tool, 1, variables)
    for run in range(runs):
        for tool, record in zip(tools, measured, strict=True):
            for step, timing in cycle(tool, units, variables).items():
                record.timings[step].append(timing)
            shown = ", ".join(f"{step} {record.timings[step][-1].seconds:.1f} s" for step in STEPS)
            print(f"run {run + 1} of {runs}, {tool.title}: {shown}", flush=True)
    return measured


def table(measured: Sequence[Measured]) -> str:
    """Median (smallest-largest) of each step and tool in seconds; with two tools also second / first."""
    rows = [["seconds", *(record.title for record in measured)]]
    if len(measured) == 2:
        rows[0].append("ratio")
    for label, cpu in (("", False), ("CPU of ", True)):
        for step in STEPS:
            spreads = [record.cpu(step) if cpu else record.spread(step) for record in measured]
            row = [label + step, *(str(spread) for spread in spreads)]
            if len(measured) == 2:
                row.append(f"{spreads[1].median / spreads[0].median:.1f}x")
            rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def as_json(measured: Sequence[Measured], units: int) -> str:
    """Every single measurement, for tools: seconds of wall clock and of CPU for each run."""
    return json.dumps(
        {
            "resources": units * unit.RESOURCES_PER_UNIT,
            "machine": machine(),
            "tools": [
                {
                    "title": record.title,
                    "versions": record.versions,
                    "steps": {
                        step: {
                            "seconds": [round(timing.seconds, 3) for timing in timings],
                            "cpu_seconds": [round(timing.cpu_seconds, 3) for timing in timings],
                        }
                        for step, timings in record.timings.items()
                    },
                }
                for record in measured
            ],
        },
        indent=2,
    )


def machine() -> dict[str, str | int]:
    return {
        "cpus": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def available(
    only: str | None, variables: dict[str, str], scratch: Path, constructs: str = "usual"
) -> list[Tool]:
    """The tools asked for. Without ``only`` a missing CDK is one line and no error.

    Raises `Unavailable` when a tool that must be there isn't.
    """
    tools: list[Tool] = []
    if only != "cdk":
        tools.append(Pulumi(variables, scratch))
    if only != "pulumi":
        try:
            tools.append(Cdk(variables, scratch, constructs))
        except Unavailable as error:
            if only == "cdk":
                raise
            print(f"AWS CDK skipped: {error}", flush=True)
    return tools


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the emulator must be stopped
    try:
        with emulator.fresh(with_engine=options.only != "cdk") as (variables, scratch):
            tools = available(options.only, variables, scratch, options.constructs)
            measured = measure(tools, options.units, options.runs, variables)
    except (
        CommandError,
        DevError,
        Unavailable,
        WrongResult,
        BotoCoreError,
        ClientError,
    ) as error:
        print(f"benchmark failed: {error}", file=sys.stderr)
        return 1
    print(f"\n{options.units} units, {options.units * unit.RESOURCES_PER_UNIT} resources; ", end="")
    print(f"median (smallest-largest) of {options.runs} runs by turns, {os.cpu_count()} CPUs\n")
    print(table(measured))
    for record in measured:
        print(f"\n{record.title}: " + ", ".join(f"{what} {v}" for what, v in record.versions.items()), end="")
    print("\n\nChecked in the emulator after every step: all resources there, and none after destroy.")
    if options.json:
        options.json.write_text(as_json(measured, options.units) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
