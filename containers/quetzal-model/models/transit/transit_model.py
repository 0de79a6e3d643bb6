"""What the four notebooks of the transit model share: parameters, and the files that carry the model.

A scenario's folder holds ``inputs/`` (given), ``outputs/`` (for the planner) and ``model/`` (passed from one
notebook to the next, since each runs in a function of its own). Lengths are metres, times seconds, speeds
km/h unless a name says otherwise; coordinates in files are EPSG 4326.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

DEFAULTS: dict[str, Any] = {
    "files": [],
    "day": "tuesday",
    "dates": [],
    "timeseries": [{"start_time": "07:00", "end_time": "09:00", "value": "am"}],
    "zone_diameter_m": 900.0,
    "trips": 3000.0,
    "mean_trip_m": 6000.0,
    "walk_speed_kmh": 4.0,
    "max_walk_m": 1000.0,
    "max_wait_min": 10.0,
    "transfer_penalty_min": 5.0,
    "max_travel_min": 120.0,
    "title": "",
    "credit": "",
}
"""Every parameter and its default; ``models/transit/README.md`` says what each means."""

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PERIOD_COLUMNS = ("time", "headway", "speed", "volume", "boardings", "alightings")
"""Columns of links that a file holds once a period, as ``time#am``."""


class ParameterError(ValueError):
    """A parameter is not allowed; one line that names it, its value and what is."""


@dataclass(frozen=True)
class Period:
    """A part of the day, from ``start`` up to ``end`` (``HH:MM:SS``, past 24 h for the night after)."""

    name: str
    start: str
    end: str

    @property
    def hours(self) -> float:
        return (pd.to_timedelta(self.end) - pd.to_timedelta(self.start)).total_seconds() / 3600


class Scenario:
    """A scenario's folder and its parameters: defaults, then ``inputs/params.json``, then the run's."""

    def __init__(self, launcher_arg: Mapping[str, Any]) -> None:
        self.folder = Path(launcher_arg["training_folder"])
        file = self.folder / "inputs" / "params.json"
        given: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self.params = {**DEFAULTS, **given, **launcher_arg.get("params", {})}
        unknown = sorted(set(self.params) - set(DEFAULTS))
        if unknown:
            print(f"parameters this model doesn't know, left alone: {', '.join(unknown)}")
        self.periods = parse_periods(self.params["timeseries"])

    def number(self, name: str, lowest: float, highest: float) -> float:
        """A numeric parameter (text is taken too), checked against its range."""
        try:
            value = float(self.params[name])
        except (TypeError, ValueError):
            raise ParameterError(f"{name}: must be a number, got {self.params[name]!r}") from None
        if not lowest <= value <= highest:
            raise ParameterError(f"{name}: must be {lowest:g}..{highest:g}, got {value:g}")
        return value

    def path(self, *parts: str) -> Path:
        """A file of the scenario; its folder is made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def feeds(self) -> list[Path]:
        """The GTFS zips to read: parameter ``files``, or all in ``inputs/gtfs``."""
        folder = self.folder / "inputs" / "gtfs"
        there = sorted(folder.glob("*.zip"))
        wanted = self.params["files"] or [path.name for path in there]
        missing = [name for name in wanted if Path(name).name != name or not (folder / name).is_file()]
        if missing or not wanted:
            names = ", ".join(path.name for path in there) or "nothing"
            raise ParameterError(
                f"files: no {', '.join(missing) or 'GTFS zip'} in inputs/gtfs; there is {names}"
            )
        return [folder / name for name in wanted]


def parse_periods(timeseries: Any) -> list[Period]:
    """Periods of parameter ``timeseries``: a list of ``start_time``, ``end_time``, ``value`` (the name)."""
    if not isinstance(timeseries, list) or not timeseries:
        raise ParameterError(f"timeseries: must be a list of periods, got {timeseries!r}")
    periods = []
    for entry in timeseries:
        missing = {"start_time", "end_time", "value"} - set(entry)
        if missing:
            raise ParameterError(f"timeseries: {entry} lacks {', '.join(sorted(missing))}")
        name = str(entry["value"])
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,20}", name) or name in {period.name for period in periods}:
            raise ParameterError(f"timeseries: value must be a short name used once, got {name!r}")
        period = Period(name, _clock(entry["start_time"]), _clock(entry["end_time"]))
        if period.hours <= 0:
            raise ParameterError(
                f"timeseries: {name} ends at {period.end}, before it starts at {period.start}"
            )
        periods.append(period)
    return periods


def choose_date(trips_a_day: Mapping[str, int], day: str, dates: list[str]) -> str:
    """The date (``YYYYMMDD``) to model, of those in the feed's calendar.

    The first of ``dates``; else ``day`` if it is a date; else, ``day`` being a weekday, the first one with
    as many trips as most of them have, so that public holidays are passed over.
    """
    wanted = [re.sub(r"\D", "", str(date)) for date in [*dates, day] if re.search(r"\d", str(date))]
    if wanted:
        if not trips_a_day.get(wanted[0]):
            first, last = min(trips_a_day), max(trips_a_day)
            raise ParameterError(f"no trip runs on {wanted[0]}: the feed covers {first} to {last}")
        return wanted[0]
    if str(day).lower() not in WEEKDAYS:
        raise ParameterError(f"day: must be a weekday or a date, got {day!r}")
    number = WEEKDAYS.index(str(day).lower())
    same = {
        date: trips for date, trips in trips_a_day.items() if pd.Timestamp(date).weekday() == number and trips
    }
    if not same:
        raise ParameterError(f"day: no trip runs on any {day} of the feed")
    usual = pd.Series(same).mode().max()
    return min(date for date, trips in same.items() if trips == usual)


def write_geojson(frame: gpd.GeoDataFrame, path: Path) -> None:
    """Write ``frame`` with its index as property ``index``, in EPSG 4326 with six decimals (0.1 m)."""
    out = frame.to_crs(4326)
    out.index = out.index.rename("index")
    path.unlink(missing_ok=True)
    out.reset_index().to_file(path, driver="GeoJSON", COORDINATE_PRECISION=6)


def read_geojson(path: Path, epsg: int | None = None) -> gpd.GeoDataFrame:
    """What :func:`write_geojson` wrote, in ``epsg`` if given."""
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing: run the notebook before this one first ({path})")
    frame = gpd.read_file(path).set_index("index")
    return frame.to_crs(epsg) if epsg else frame


def network(scenario: Scenario, period: Period, epsg: int) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Links and nodes that are served in ``period``, with plain columns (``time#am`` is ``time``)."""
    links = read_geojson(scenario.path("outputs", "pt", "links.geojson"), epsg)
    nodes = read_geojson(scenario.path("outputs", "pt", "nodes.geojson"), epsg)
    mine = {
        f"{column}#{period.name}": column for column in PERIOD_COLUMNS if f"{column}#{period.name}" in links
    }
    others = [column for column in links.columns if "#" in column and column not in mine]
    links = links.drop(columns=others).rename(columns=mine)
    links = links.loc[links["headway"].fillna(0) > 0]
    if links.empty:
        raise ParameterError(
            f"timeseries: no trip runs in period {period.name} ({period.start} to {period.end})"
        )
    return links, nodes.loc[nodes.index.isin({*links["a"], *links["b"]})]


def state(scenario: Scenario) -> dict[str, Any]:
    """What the import noted for the later notebooks: date modelled, EPSG of the metric projection."""
    path = scenario.path("model", "network.json")
    if not path.is_file():
        raise FileNotFoundError("model/network.json is missing: run import_gtfs first")
    noted: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return noted


def _clock(text: Any) -> str:
    match = re.fullmatch(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?", str(text).strip())
    if match is None or int(match[1]) > 48:
        raise ParameterError(f"timeseries: a time is HH:MM or HH:MM:SS, got {text!r}")
    return f"{int(match[1]):02d}:{match[2]}:{match[3] or '00'}"
