"""What the API says of a run, and a run's output as CSV."""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from covid.models import SimulationRun
from covid.runner.document import stamp

BANDS = ("Cumulative", "Epidemic", "Hospitalized", "ICU", "Fatalities")
OBSERVED = ("Confirmed", "Deaths")
CSV_HEADER = ("day", "series", "low", "median", "high", "observed")


def run_document(run: SimulationRun, *, output: bool = False) -> dict[str, Any]:
    """A run as JSON; ``output`` adds the result, None while there is none."""
    base = f"/covid/api/simulations/{run.pk}/"
    document: dict[str, Any] = {
        "id": str(run.pk),
        "status": run.status,
        "progress": run.progress,
        "attempt": run.attempt,
        "interruptions": run.interruptions,
        "reason": run.reason,
        "compute": run.compute,
        "replicate": run.replicate,
        "state": run.state,
        "user": run.user.get_username() if run.user else None,
        "model_input": run.model_input,
        "created_at": stamp(run.created_at),
        "updated_at": stamp(run.updated_at),
        "completed_at": stamp(run.completed_at) if run.completed_at else None,
        "links": {
            "self": base,
            "page": f"/runs/{run.pk}/",
            "cancel": f"{base}cancel/",
            "retry": f"{base}retry/",
            "output": f"{base}output.json",
            "csv": f"{base}output.csv",
        },
    }
    if output:
        document |= {"history": run.history, "output": run.output}
    return document


def csv_lines(output: Mapping[str, Any]) -> Iterator[str]:
    """The bands of each projected day, then the observed days, one series after the other."""
    yield _line(CSV_HEADER)
    for name in BANDS:
        for day, (low, median, high) in sorted((output.get(name) or {}).items()):
            yield _line((day, name, low, median, high, ""))
    first = output.get("first_observed")
    for name in OBSERVED:
        for number, value in enumerate(output.get(name) or [] if first else []):
            if value is not None:
                yield _line((date.fromisoformat(first) + timedelta(days=number), name, "", "", "", value))


def _line(values: tuple[Any, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue()
