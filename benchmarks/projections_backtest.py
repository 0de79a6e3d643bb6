"""How often what happened lies in the projected bands: past projections of the example's counties.

    python benchmarks/projections_backtest.py [--every 35]

For each county, and each day so many days apart, the model sees the data up to that day alone and projects
without measures. Prior and half-life of `projections_model.fit` and `projections_model.seir.DRIFT` were
chosen with this, so it doesn't say how well other places and years are met.
"""

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "examples" / "projections-new-england" / "source"
sys.path.insert(0, str(ROOT / "containers" / "projections-model"))

import numpy as np  # noqa: E402 (after the path)
from projections_inputs import ModelInput  # noqa: E402
from projections_model import observations  # noqa: E402
from projections_model.blocks import Projection  # noqa: E402

HORIZONS = (7, 14, 28)
FIRST_DAY = 100
"""A county's first projection: earlier there is too little to fit."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare past projections with what happened.")
    parser.add_argument("--every", type=int, default=35, help="days between a county's projections (35)")
    chosen = parser.parse_args()
    if chosen.every < 1:
        parser.error("--every: must be 1 or more")
    results = list(_results(chosen.every))
    print(f"{len(results)} projections; new cases within the 90 % band after so many days:")
    for number, days in enumerate(HORIZONS):
        inside = [result[number][0] for result in results]
        errors = [abs(result[number][1]) for result in results if math.isfinite(result[number][1])]
        print(
            f"  {days:2d}: {np.mean(inside):.2f}, median off by a factor of {math.exp(np.median(errors)):.2f}"
        )
    return 0


def _results(every: int) -> Iterator[list[tuple[bool, float]]]:
    newest = json.loads((SOURCE / "commits.json").read_text())[0]["sha"]
    files = [
        (SOURCE / newest / f"time_series_covid19_{name}_US.csv").read_bytes()
        for name in ("confirmed", "deaths")
    ]
    rows = csv.DictReader(io.StringIO(files[0].decode()))
    for state, county in [(row["Province_State"], row["Admin2"]) for row in rows]:
        whole = observations.read(files[0], files[1], state, [county])
        asked: dict[str, Any] = {"state": state, "county": [county], "data_hash": newest, "nDraws": 500}
        chosen = ModelInput.model_validate({**asked, "sim_length": max(HORIZONS)})
        for end in range(FIRST_DAY, len(whole.confirmed) - max(HORIZONS), every):
            seen = observations.Observations(
                first=whole.first,
                confirmed=whole.confirmed[:end],
                deaths=whole.deaths[:end],
                population=whole.population,
            )
            cumulative = Projection(chosen, seen).block(0)[0]
            before = whole.confirmed[end - 1] or 0
            yield [
                _compared(cumulative[days - 1] - before, whole.confirmed[end - 1 + days], before)
                for days in HORIZONS
            ]


def _compared(draws: Any, after: int | None, before: int) -> tuple[bool, float]:
    """Whether the band holds what happened (whole cases), and the logarithm of median / happened."""
    happened = (after or 0) - before
    low, middle, high = np.percentile(draws, (5, 50, 95))
    off = math.log((middle + 1) / (happened + 1)) if happened >= 0 else math.inf
    return bool(low - 0.5 <= happened <= high + 0.5), off


if __name__ == "__main__":
    sys.exit(main())
