"""Observed cases and deaths from JHU CSSE's US time series, and what of them a fit can use.

A file has 11 columns UID .. Combined_Key (deaths: Population after them), then one cumulative column per
day, ``m/d/yy``. https://github.com/CSSEGISandData/COVID-19/tree/master/csse_covid_19_data
"""

import csv
import datetime
import io
import itertools
import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from projections_model.errors import ModelError

_DAY = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2}|\d{4})")
LEAST_DAYS = 14
"""Days with numbers that a fit needs."""
REPORTED_DAILY = 5.0
"""A county that reports at least so many cases a day (mean of a week each side) doesn't have a day with none:
such a day wasn't reported (weekends, holidays), and the next one holds its cases too."""

Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Observations:
    """The chosen counties together."""

    first: datetime.date
    """Day of ``confirmed[0]`` and ``deaths[0]``."""
    confirmed: list[int | None]
    """Cumulative, one a day up to the last known; ``None``: unknown in at least one of the counties."""
    deaths: list[int | None]
    """As long as ``confirmed``."""
    population: int

    @property
    def last(self) -> datetime.date:
        return self.first + datetime.timedelta(len(self.confirmed) - 1)


def read(confirmed: bytes, deaths: bytes, state: str, counties: list[str]) -> Observations:
    """The sum of ``counties``. Raises `ModelError` when one is unknown or the files aren't of this form."""
    case_days, case_rows = _table(confirmed, "confirmed cases")
    death_days, death_rows = _table(deaths, "deaths")
    chosen = _chosen(case_rows, state, counties)
    cases = _sum([_counts(row, case_days, "confirmed cases") for row in chosen])
    last = max((number for number, value in enumerate(cases) if value is not None), default=-1)
    days = list(case_days)[: last + 1]
    if sum(value is not None for value in cases) < LEAST_DAYS:
        raise ModelError(f"{_place(state, counties)}: fewer than {LEAST_DAYS} days with cases in the data")
    if any((later - earlier).days != 1 for earlier, later in itertools.pairwise(days)):
        raise ModelError("confirmed cases: the columns of days must be consecutive")
    known = {_county(row): row for row in death_rows if row.get("Province_State") == state}
    missing = [county for county in counties if county not in known]
    if missing:
        raise ModelError(f"deaths: no row for {_place(state, missing)}, which holds its population")
    people = sum(_population(known[county]) for county in counties)
    dead = _sum([_counts(known[county], death_days, "deaths") for county in counties])
    by_day = dict(zip(death_days, dead, strict=True))
    return Observations(
        first=days[0],
        confirmed=cases[: last + 1],
        deaths=[by_day.get(day) for day in days],
        population=people,
    )


def cleaned(cumulative: list[int | None]) -> NDArray[np.float64]:
    """New cases of each day after the first, without what reporting did to them.

    A fall of the cumulative count is a correction: earlier values were too high, so none may exceed a later
    one. Unknown days, and days without any case where there are many each day, get an even share of the next
    known day's cases. Days at the end that weren't reported yet are ``nan``.
    """
    values = np.array([math.nan if value is None else float(value) for value in cumulative])
    known = np.flatnonzero(~np.isnan(values))
    values[known] = np.minimum.accumulate(values[known][::-1])[::-1]
    filled = np.interp(np.arange(len(values)), known, values[known])
    mean = _rolling_mean(np.diff(filled), 7)
    silent = (np.diff(filled) == 0) & (mean >= REPORTED_DAILY)
    values[1:][silent] = math.nan
    known = np.flatnonzero(~np.isnan(values))
    filled = np.interp(np.arange(len(values)), known, values[known])
    new: NDArray[np.float64] = np.diff(filled)
    new[known[-1] :] = math.nan
    return new


def _rolling_mean(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Mean of ``reach`` days each side, fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    low, high = np.maximum(place - reach, 0), np.minimum(place + reach + 1, len(values))
    found: NDArray[np.float64] = (total[high] - total[low]) / (high - low)
    return found


def _table(content: bytes, name: str) -> tuple[dict[datetime.date, str], list[Row]]:
    """Day to column, and the rows."""
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ModelError(f"{name}: no valid CSV ({error})") from error
    days: dict[datetime.date, str] = {}
    for column in reader.fieldnames or ():
        match = _DAY.fullmatch(column or "")
        if match:
            month, day, year = (int(part) for part in match.groups())
            try:
                days[datetime.date(year + 2000 if year < 100 else year, month, day)] = column
            except ValueError:
                raise ModelError(f"{name}: column {column!r} is no day") from None
    lacking = {"Admin2", "Province_State"} - set(reader.fieldnames or ())
    if lacking or not days:
        what = ", ".join(sorted(lacking)) or "a column m/d/yy for each day"
        raise ModelError(f"{name}: not JHU CSSE's US time series, lacking {what}")
    return dict(sorted(days.items())), rows


def _chosen(rows: list[Row], state: str, counties: list[str]) -> list[Row]:
    states = sorted({row["Province_State"] for row in rows if row["Province_State"] and _county(row)})
    if state not in states:
        raise ModelError(f"state: unknown {state!r}, allowed are {_listed(states)}")
    known = {_county(row): row for row in rows if row["Province_State"] == state and _county(row)}
    unknown = [county for county in counties if county not in known]
    if unknown:
        found = ", ".join(repr(county) for county in unknown)
        raise ModelError(f"county: unknown in {state}: {found}, allowed are {_listed(sorted(known))}")
    return [known[county] for county in counties]


def _county(row: Row) -> str:
    return row.get("Admin2") or ""


def _counts(row: Row, days: dict[datetime.date, str], name: str) -> list[int | None]:
    return [_count(row.get(column), f"{name}: {_county(row)}, {column}") for column in days.values()]


def _count(text: str | None, where: str) -> int | None:
    """``None`` for an empty cell; numbers may be written ``12.0``."""
    if text is None or not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 2**31:
        raise ModelError(f"{where}: must be a count or empty, got {text[:40]!r}")
    return round(value)


def _population(row: Row) -> int:
    people = _count(row.get("Population"), f"deaths: {_county(row)}, Population")
    if not people:
        raise ModelError(f"deaths: {_county(row)} has no population, so it can't be projected")
    return people


def _sum(lists: list[list[int | None]]) -> list[int | None]:
    days = zip(*lists, strict=True)
    return [None if None in day else sum(value or 0 for value in day) for day in days]


def _place(state: str, counties: list[str]) -> str:
    return f"{', '.join(counties)} ({state})"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:100])
    return shown if len(names) <= 100 else f"{shown} and {len(names) - 100} more"
