"""Make the data source, in the form of JHU CSSE's US time series, from the two files named in README.md.

    python make_source.py us-county-cases.csv population-reference.csv

Each snapshot is a folder named by its commit id; here that is the SHA-1 of its two files, so that the same
data give the same id.
"""

import csv
import hashlib
import io
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
IDENTITY = (
    "UID", "iso2", "iso3", "code3", "FIPS", "Admin2", "Province_State", "Country_Region", "Lat", "Long_",
    "Combined_Key",
)  # fmt: skip
CONFIRMED = "time_series_covid19_confirmed_US.csv"
DEATHS = "time_series_covid19_deaths_US.csv"
SNAPSHOTS = (date(2021, 12, 31), date(2021, 11, 30))
"""Last day of each snapshot, the newest first."""

Cases = Mapping[str, Mapping[date, int]]
"""From a county's FIPS code to its cumulative cases by day."""


def cumulative(path: Path) -> Cases:
    """Daily cases, which hold corrections below zero, added up."""
    found: dict[str, dict[date, int]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            days = found.setdefault(row["geo_value"], {})
            before = next(reversed(days.values()), 0)
            days[date.fromisoformat(row["time_value"])] = before + round(float(row["cases"]))
    return found


def counties(path: Path, wanted: Cases) -> list[dict[str, str]]:
    """The rows of the reference table for the counties with cases, by FIPS code."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row["FIPS"].zfill(5): row for row in csv.DictReader(file) if row["Admin2"]}
    missing = sorted(set(wanted) - set(rows))
    if missing:
        raise SystemExit(f"{path}: no population of the counties {', '.join(missing)}")
    return [rows[code] for code in sorted(wanted)]


def table(rows: Sequence[Mapping[str, str]], days: Sequence[date], cases: Cases, *, deaths: bool) -> str:
    """A time series file. Deaths by county are not in the sources: their cells are empty, not zero."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    extra = ["Population"] if deaths else []
    writer.writerow([*IDENTITY, *extra, *(f"{day.month}/{day.day}/{day:%y}" for day in days)])
    for row in rows:
        mine = cases[row["FIPS"].zfill(5)]
        cells = ["" if deaths else mine[day] for day in days]
        writer.writerow([*(row[name] for name in IDENTITY), *([row["Population"]] if deaths else []), *cells])
    return text.getvalue()


def main(county_cases: str, population: str) -> None:
    cases = cumulative(Path(county_cases))
    rows = counties(Path(population), cases)
    commits = []
    for last in SNAPSHOTS:
        days = sorted({day for mine in cases.values() for day in mine if day <= last})
        files = {
            CONFIRMED: table(rows, days, cases, deaths=False),
            DEATHS: table(rows, days, cases, deaths=True),
        }
        sha = hashlib.sha1("".join(files.values()).encode(), usedforsecurity=False).hexdigest()
        folder = HERE / "source" / sha
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        commits.append({"sha": sha, "date": f"{last.isoformat()}T00:00:00Z"})
    (HERE / "source" / "commits.json").write_text(json.dumps(commits, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
