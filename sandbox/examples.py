"""What ``./dev up <system>`` runs at its end: each system's example, as commands of ``python -m ops``.

Standard library only: ``./dev`` reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of an example."""

    title: str
    ops: tuple[str, ...]
    """Arguments of ``python -m ops``; ``{results}`` stands for the folder of the system's results."""
    timeout_s: float
    shown: bool = True
    """Whether its output is part of the result; else it goes to the log."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A system with a sandbox stack and an example to run on it."""

    stack: str
    summary: str
    """What is seen at the end."""
    steps: tuple[Step, ...]


_CAIRNS = "examples/quetzal-cairns/scenarios/base"

EXAMPLES: Mapping[str, Example] = {
    "quetzal": Example(
        stack="quetzal-sandbox",
        summary="a transport model run on the bus network of Cairns",
        steps=(
            Step(
                title="upload the base scenario",
                ops=("quetzal", "scenario", "upload", _CAIRNS, "base"),
                timeout_s=300,
                shown=False,
            ),
            Step(
                title="make the scenario demo of it",
                ops=("quetzal", "scenario", "upload", _CAIRNS, "demo"),
                timeout_s=300,
                shown=False,
            ),
            Step(
                title="run the model on demo",
                ops=("quetzal", "run", "demo", "--follow"),
                timeout_s=1800,
            ),
            Step(
                title="results of demo",
                ops=("quetzal", "outputs", "demo", "--to", "{results}/demo"),
                timeout_s=300,
            ),
        ),
    ),
    "projections": Example(
        stack="projections-sandbox",
        summary="one county's projection on Fargate, on Fargate Spot and on the web server",
        steps=(
            Step(
                title="load the cases of New England's counties",
                ops=("projections", "addhashes", "--all"),
                timeout_s=600,
                shown=False,
            ),
            Step(
                title="run it on the three computes and compare the curves",
                ops=(
                    "projections",
                    "check",
                    "--state",
                    "Massachusetts",
                    "--county",
                    "Suffolk",
                    "--to",
                    "{results}",
                ),
                timeout_s=1200,
            ),
        ),
    ),
}
