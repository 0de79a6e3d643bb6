"""A run's result as planners read it: figures, charts' settings and tables, from the output document."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from covid.models import County

BEFORE_DAYS = 28
"""Observed days before the projection that tables and the first view of charts show."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One of the document's bands."""

    key: str
    """In the output document."""
    title: str
    about: str
    observed: str | None = None
    """The document's list of observed values that goes with it."""
    beds: str | None = None
    """The column of `County` with the places there are."""
    peaks: bool = True
    """Whether its highest day is the figure to show, not its last."""

    @property
    def slug(self) -> str:
        return self.key.lower()


CURVES = (
    Curve(
        key="Cumulative", title="Confirmed cases", observed="Confirmed", peaks=False,
        about="All confirmed so far.",
    ),
    Curve(key="Epidemic", title="Infectious people", about="Who can pass it on that day."),
    Curve(key="Hospitalized", title="In hospital", about="Patients that day.", beds="hospital_beds"),
    Curve(key="ICU", title="In intensive care", about="ICU patients that day.", beds="icu_beds"),
    Curve(
        key="Fatalities", title="Deaths", observed="Deaths", peaks=False,
        about="All deaths so far.",
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The one number of a curve."""

    title: str
    slug: str
    when: str
    """``peak on`` or ``by``."""
    day: str
    low: float
    median: float
    high: float
    beds: int | None
    over: str | None
    """First day on which the median needs more beds than there are."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A day of a curve; what isn't known is None."""

    day: str
    observed: float | None
    band: Sequence[float] | None


def beds_of(state: str, counties: Sequence[str]) -> dict[str, int | None]:
    """Column of `County` to the places in all the counties together; None unless known of each."""
    rows = list(County.objects.filter(state__name=state, name__in=counties))
    known: dict[str, int | None] = {}
    for column in ("hospital_beds", "icu_beds"):
        values = [getattr(row, column) for row in rows]
        complete = len(rows) == len(set(counties)) and None not in values
        known[column] = sum(values) if complete else None
    return known


def figures(output: dict[str, Any], beds: dict[str, int | None]) -> list[Figure]:
    """One figure for each curve that the document has."""
    found = []
    for curve in CURVES:
        bands = output.get(curve.key)
        if not bands:
            continue
        days = sorted(bands)
        day = max(days, key=lambda each: bands[each][1]) if curve.peaks else days[-1]
        places = beds.get(curve.beds) if curve.beds else None
        over = None if places is None else next((each for each in days if bands[each][1] > places), None)
        low, median, high = bands[day]
        found.append(
            Figure(
                title=curve.title,
                slug=curve.slug,
                when="highest on" if curve.peaks else "by",
                day=day,
                low=low,
                median=median,
                high=high,
                beds=places,
                over=over,
            )
        )
    return found


def observed_days(output: dict[str, Any], key: str | None) -> dict[str, float | None]:
    """Day to observed value, from one of the document's lists."""
    values = output.get(key or "") or []
    first = output.get("first_observed")
    if not first:
        return {}
    begin = date.fromisoformat(first)
    return {(begin + timedelta(days=number)).isoformat(): value for number, value in enumerate(values)}


def rows(output: dict[str, Any], curve: Curve) -> list[Row]:
    """The projected days of a curve, and the last observed ones before them."""
    bands: dict[str, Sequence[float]] = output.get(curve.key) or {}
    observed = observed_days(output, curve.observed)
    first = min(bands, default="9999")
    shown: Iterable[str] = sorted(day for day in observed if day < first)[-BEFORE_DAYS:]
    days = [*shown, *sorted(bands)]
    return [Row(day=day, observed=observed.get(day), band=bands.get(day)) for day in days]


def charts(output: dict[str, Any], beds: dict[str, int | None]) -> list[dict[str, Any]]:
    """Each curve with its table, for the page; ``observed``: whether anything is known to go with it."""
    shown = []
    for curve in CURVES:
        if output.get(curve.key):
            observed = any(value is not None for value in observed_days(output, curve.observed).values())
            places = beds.get(curve.beds) if curve.beds else None
            shown.append({"curve": curve, "rows": rows(output, curve), "beds": places, "observed": observed})
    return shown


def chart_settings(output_url: str, beds: dict[str, int | None]) -> dict[str, Any]:
    """What ``run.js`` needs to draw."""
    return {
        "output": output_url,
        "before_days": BEFORE_DAYS,
        "curves": [
            {
                "key": curve.key, "slug": curve.slug, "title": curve.title, "observed": curve.observed,
                "beds": beds.get(curve.beds) if curve.beds else None,
            }
            for curve in CURVES
        ],
    }  # fmt: skip
