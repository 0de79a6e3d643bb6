"""For the tests of the site's pages: places, data, people, and a compute that says what a test wants.

Importing it makes Django ready, through ``projections_site``.
"""

import html
import importlib
import re
from datetime import UTC, date, datetime
from typing import Any

import pytest

from tests.unit import projections_site

database = projections_site.database
models = importlib.import_module("covid.models")
runner = importlib.import_module("covid.runner")
errors = importlib.import_module("covid.errors")
auth = importlib.import_module("django.contrib.auth.models")
Client = importlib.import_module("django.test").Client

HASH = "4f1c" * 10
PASSWORD = "a-good-long-password"
MEASURES: dict[str, Any] = {
    "state": "Massachusetts",
    "county": ["Suffolk", "Essex"],
    "shelter": "on",
    "shelter_date": "2021-12-01",
    "lockdown_strength": "55",
    "social_distancing_strength": "30",
    "quarantine_percent": "25",
    "sim_length": "28",
    "nDraws": "1000",
}
"""A form as a browser sends it; without JavaScript the fields of measures that are off come too."""


class Table:
    """A compute that does nothing, and says of a run what the test put there."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}
        self.started: list[str] = []
        self.down = False

    @classmethod
    def used(cls, monkeypatch: pytest.MonkeyPatch) -> "Table":
        """A new one, in place of the three real ones."""
        table = cls()
        monkeypatch.setattr(runner, "get", lambda: table)
        return table

    def start(self, run: Any) -> None:
        self.started.append(str(run.pk))

    def look(self, run: Any) -> Any:
        return runner.Seen(**{"status": "queued", **self.seen})

    def cancel(self, run: Any, reason: str) -> Any:
        if self.down:
            raise errors.Unavailable("the run table doesn't answer")
        return runner.Seen(status="failed", attempt=run.attempt, reason=reason)

    def retry(self, run: Any) -> int:
        return int(run.attempt)


PLACES: dict[str, dict[str, tuple[int | None, int | None]]] = {
    "Massachusetts": {"Suffolk": (900, 60), "Essex": (400, 20), "Dukes": (None, None)},
    "Vermont": {"Addison": (30, None)},
}
"""State to county to beds in hospital and in intensive care."""


def add_places() -> None:
    for name, counties in PLACES.items():
        state, _ = models.State.objects.update_or_create(
            name=name,
            defaults={"code": name[:2].upper(), "default_counties": [], "shelter_date": None},
        )
        for number, (county, (beds, icu)) in enumerate(counties.items()):
            models.County.objects.create(
                state=state, name=county, population=900_000 - number, hospital_beds=beds, icu_beds=icu
            )


def add_data() -> None:
    """Places, and a version of the case data until 30 December 2021."""
    add_places()
    models.HashValue.objects.create(
        hash=HASH, date=datetime(2021, 12, 31, 6, tzinfo=UTC), last_day=date(2021, 12, 30), counties=4
    )


def person(name: str, group: str | None = "Fargate Spot", *, staff: bool = False) -> Any:
    user = auth.User.objects.create_user(name, password=PASSWORD, is_staff=staff)
    if group:
        user.groups.add(auth.Group.objects.get(name=group))
    return user


def logged_in(user: Any, **options: Any) -> Any:
    client = Client(**options)
    client.force_login(user)
    return client


def text(response: Any) -> str:
    """What the page says, without markup, on one line."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def only_run() -> Any:
    return models.SimulationRun.objects.get()


def submitted(client: Any, **changes: Any) -> Any:
    """The run that the form leads to."""
    answer = client.post("/", {**MEASURES, **changes})
    assert answer.status_code == 302, text(answer)
    return models.SimulationRun.objects.get(pk=answer["Location"].rstrip("/").rpartition("/")[2])


def output(days: int = 3) -> dict[str, Any]:
    """An output document: ICU needs more than 80 beds from the second day."""
    names = [f"2021-12-{31 - days + number + 1:02d}" for number in range(days)]
    document: dict[str, Any] = {
        key: {day: [10.0 * (n + 1), 60.0 * (n + 1), 90.5 * (n + 1)] for n, day in enumerate(names)}
        for key in ("Cumulative", "Epidemic", "Hospitalized", "ICU", "Fatalities")
    }
    return document | {
        "Confirmed": [*range(1, 41), None],
        "Deaths": [0] * 41,
        "first_observed": "2021-11-18",
        "start_date": names[0],
        "sim_time": days,
        "real_time": 75.0,
        "model_version": "test",
        "status": "complete",
    }
