"""Whether two files are JHU CSSE's US time series: refused here, they never reach the database.

https://github.com/CSSEGISandData/COVID-19/tree/master/csse_covid_19_data
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from covid.data.sources import DataError

COLUMNS = (
    "UID", "iso2", "iso3", "code3", "FIPS", "Admin2", "Province_State", "Country_Region", "Lat", "Long_",
    "Combined_Key",
)  # fmt: skip
POPULATION = "Population"
LEAST_COUNTIES = 5
MAX_COUNT = 2**31
_DAY = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2})")
_ADMIN2, _STATE, _COUNTRY = (COLUMNS.index(name) for name in ("Admin2", "Province_State", "Country_Region"))


@dataclass(frozen=True, kw_only=True)
class Place:
    """A county with people in it."""

    state: str
    county: str
    population: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    places: tuple[Place, ...]
    last_day: date
    """The last day on which at least one county has a number."""


def check(confirmed: Path, deaths: Path) -> Summary:
    """What is in the two files. Raises ``DataError`` at the first thing that isn't as it should be."""
    cases = _Table(confirmed, "confirmed cases", COLUMNS)
    dead = _Table(deaths, "deaths", (*COLUMNS, POPULATION))
    known = {(row[_STATE], row[_ADMIN2]) for row in cases.rows()}
    if cases.last is None:
        raise DataError("confirmed cases: no numbers")
    places = []
    for row in dead.rows():
        people = _count(row[len(COLUMNS)], "deaths, Population")
        # "Unassigned" and "Out of ..." have no people; states without counties no Admin2.
        if people and row[_ADMIN2] and (row[_STATE], row[_ADMIN2]) in known:
            places.append(Place(state=row[_STATE], county=row[_ADMIN2], population=people))
    if len(places) < LEAST_COUNTIES:
        raise DataError(f"{len(places)} counties are in both files; expected at least {LEAST_COUNTIES}")
    return Summary(places=tuple(places), last_day=cases.last)


class _Table:
    """One file, read row by row."""

    def __init__(self, path: Path, name: str, columns: tuple[str, ...]) -> None:
        self.path, self.name, self.columns = path, name, columns
        self.last: date | None = None

    def rows(self) -> Iterator[list[str]]:
        """The id columns of each row, its numbers checked."""
        seen: set[tuple[str, str]] = set()
        width = len(self.columns)
        latest = -1
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, strict=True)
                header = next(reader, [])
                days = self._days(header)
                for row in reader:
                    if len(row) != len(header):
                        raise DataError(
                            f"{self._at(reader)}: {len(row)} columns, the header has {len(header)}"
                        )
                    if row[_COUNTRY] != "US":
                        raise DataError(f"{self._at(reader)}: country {row[_COUNTRY][:40]!r} is not US")
                    for number, text in enumerate(row[width:]):
                        if text and _count(text, f"{self._at(reader)}, {header[width + number]}") is not None:
                            latest = max(latest, number)
                    place = (row[_STATE], row[_ADMIN2])
                    if row[_ADMIN2] and place in seen:
                        raise DataError(f"{self._at(reader)}: {row[_ADMIN2]}, {row[_STATE]} is there twice")
                    seen.add(place)
                    yield row[:width]
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{self.name}: no CSV ({error})") from error
        self.last = days[latest] if latest >= 0 else None

    def _at(self, reader: object) -> str:
        return f"{self.name}, line {getattr(reader, 'line_num', '?')}"

    def _days(self, header: list[str]) -> list[date]:
        width = len(self.columns)
        if tuple(header[:width]) != self.columns:
            begins = ",".join(header)[:60]
            raise DataError(f"{self.name}: the header begins {begins!r}; expected {','.join(self.columns)}")
        days: list[date] = []
        for column in header[width:]:
            match = _DAY.fullmatch(column)
            try:
                day = date(2000 + int(match[3]), int(match[1]), int(match[2])) if match else None
            except ValueError:
                day = None
            if day is None:
                raise DataError(f"{self.name}: column {column[:40]!r} is no day m/d/yy")
            if days and day != days[-1] + timedelta(days=1):
                raise DataError(f"{self.name}: column {column} doesn't follow {days[-1]}")
            days.append(day)
        if not days:
            raise DataError(f"{self.name}: no column with a day")
        return days


def _count(text: str, where: str) -> int | None:
    """None for an empty cell; ``12.0`` is 12."""
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < MAX_COUNT or value != int(value):
        raise DataError(f"{where}: {text[:40]!r} is no count")
    return int(value)
