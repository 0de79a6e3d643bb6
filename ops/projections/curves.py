"""Results of runs: files, the same-curves check, and the picture."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

BANDS = {
    "Cumulative": "confirmed cases, cumulative",
    "Epidemic": "infectious",
    "Hospitalized": "in hospital",
    "ICU": "in intensive care",
    "Fatalities": "deaths, cumulative",
}
"""Curves of the output document: from a day to its 5th, 50th and 95th percentile (persons)."""

Curves = dict[str, dict[str, list[float]]]


def curves(output: Mapping[str, Any]) -> Curves:
    """The curves alone: what two runs of the same inputs must agree in."""
    return {name: output[name] for name in BANDS if name in output}


def differences(one: Curves, other: Curves) -> list[str]:
    """In words, where two runs' curves differ; empty when they are the same number for number.

    >>> differences({"ICU": {"2022-01-01": [1, 2, 3]}}, {"ICU": {"2022-01-01": [1, 2, 4]}})
    ['ICU on 2022-01-01: [1, 2, 3] and [1, 2, 4]']
    """
    found = []
    for name in sorted({*one, *other}):
        mine, theirs = one.get(name, {}), other.get(name, {})
        for day in sorted({*mine, *theirs}):
            if mine.get(day) != theirs.get(day):
                found.append(f"{name} on {day}: {mine.get(day)} and {theirs.get(day)}")
    return found


def table(output: Mapping[str, Any]) -> str:
    """CSV: a row a projected day, three columns a curve."""
    found = curves(output)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["day", *(f"{name}_{band}" for name in found for band in ("low", "median", "high"))])
    for day in sorted(next(iter(found.values()), {})):
        writer.writerow([day, *(value for name in found for value in found[name][day])])
    return text.getvalue()


def save(output: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write ``output.json``, ``output.csv`` and ``chart.png``; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "output.json", folder / "output.csv", folder / "chart.png"]
    files[0].write_text(json.dumps(output, indent=1) + "\n", encoding="utf-8")
    files[1].write_text(table(output), encoding="utf-8")
    draw(output, files[2])
    return files


def observed(output: Mapping[str, Any]) -> tuple[Sequence[date], Sequence[float | None]]:
    """Days and numbers of the confirmed cases."""
    from datetime import timedelta

    first = output.get("first_observed")
    numbers = output.get("Confirmed") or []
    if not first:
        return [], []
    start = date.fromisoformat(str(first))
    return [start + timedelta(days=index) for index in range(len(numbers))], numbers


def draw(output: Mapping[str, Any], path: Path) -> None:
    """The five curves with their bands, and the observed cases before them, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second of imports
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(2, 3).flat)
    found = curves(output)
    for axis, (name, bands) in zip(axes, found.items(), strict=False):
        days = [date.fromisoformat(day) for day in sorted(bands)]
        low, median, high = zip(*(bands[day] for day in sorted(bands)), strict=True)
        if name == "Cumulative":
            seen_days, seen = observed(output)
            recent = slice(-4 * len(days), None)
            axis.plot(seen_days[recent], seen[recent], ".", markersize=3, color="0.35", label="observed")
        axis.fill_between(days, low, high, color="#3b7dd8", alpha=0.25, linewidth=0, label="5 to 95 %")
        axis.plot(days, median, color="#1f4e8c", label="median")
        axis.set_title(BANDS[name], loc="left", fontsize=10)
        locator = AutoDateLocator(maxticks=5)  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _at: f"{value:,.0f}"))
        axis.set_ylim(bottom=0 if name != "Cumulative" else None)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    for axis in axes[len(found) :]:
        axis.axis("off")
    if found and len(axes) > len(found):
        handles, labels = axes[0].get_legend_handles_labels()
        axes[-1].legend(handles, labels, loc="upper left", frameon=False)
    places = ", ".join(output.get("counties") or ())
    figure.suptitle(
        f"{places}, {output.get('state', '')}: projection from {output.get('start_date', '')} "
        f"({output.get('nDraws', 0):,} draws)",
        x=0.01, ha="left", fontsize=12,
    )  # fmt: skip
    figure.savefig(path, dpi=110)
