"""Data, users, tokens and a compute of one's own, for tests of the site's API and services."""

import importlib
import time
from datetime import UTC, date, datetime
from typing import Any

import jwt
import pytest

from tests.unit import projections_site

models = importlib.import_module("covid.models")
runner = importlib.import_module("covid.runner")
errors = importlib.import_module("covid.errors")
auth_models = importlib.import_module("django.contrib.auth.models")
django_test = importlib.import_module("django.test")

HASH = "9" * 40
OLDER = "8" * 40
PASSWORD = "a-good-long-password"
INPUTS: dict[str, Any] = {"state": "Vermont", "county": ["Windham", "Addison"], "nDraws": 1000}
SIMULATIONS = "/covid/api/simulations/"


class Compute:
    """A compute that counts, says what the test put into ``seen``, and is ``down`` when it is to fail."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.seen: dict[str, Any] = {"status": "queued"}
        self.attempt = 1
        self.down = False

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.down:
            raise errors.Unavailable("the compute is down")

    def start(self, run: Any) -> None:
        self._called("start")

    def look(self, run: Any) -> Any:
        self._called("look")
        return runner.Seen(**self.seen)

    def cancel(self, run: Any, reason: str) -> Any:
        self._called("cancel")
        if self.seen["status"] in ("succeeded", "failed"):
            return runner.Seen(**self.seen)
        return runner.Seen(status="failed", attempt=self.attempt, reason=reason)

    def retry(self, run: Any) -> int:
        self._called("retry")
        return self.attempt


def load_data() -> None:
    """Two versions of the data and three counties of Vermont."""
    state = models.State.objects.get(name="Vermont")
    for name in ("Addison", "Chittenden", "Windham"):
        models.County.objects.create(state=state, name=name, population=50_000)
    for value, day in ((OLDER, date(2021, 11, 30)), (HASH, date(2021, 12, 31))):
        at = datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
        models.HashValue.objects.create(hash=value, date=at, last_day=day, counties=3)


def person(name: str, group: str | None = None, *, staff: bool = False) -> Any:
    user = auth_models.User.objects.create_user(name, password=PASSWORD, is_staff=staff)
    if group:
        user.groups.add(auth_models.Group.objects.get(name=group))
    return user


def operator_token(life_s: int = 300, **changes: Any) -> str:
    """As ``python -m ops`` mints it."""
    return _token(
        "API_SIGNING_KEY",
        {"iss": "projections-ops", "aud": "projections-api", "sub": "operator", "role": "operator"},
        life_s,
        changes,
    )


def task_token(run_id: object, life_s: int = 300, key: str = "", **changes: Any) -> str:
    """As the model's task mints it."""
    claims = {"iss": "projections-model", "aud": "projections-webhook", "sub": str(run_id)}
    return _token(key or "WEBHOOK_SIGNING_KEY", claims, life_s, changes)


def _token(key: str, claims: dict[str, Any], life_s: int, changes: dict[str, Any]) -> str:
    now = int(time.time())
    whole = {**claims, "iat": now, "exp": now + life_s, **changes}
    return jwt.encode(whole, projections_site.ENVIRONMENT.get(key, key), algorithm="HS256")


class Caller:
    """Calls the API with one token (empty: without)."""

    def __init__(self, token: str = "", address: str = "192.0.2.1") -> None:
        self.client = django_test.Client(raise_request_exception=False)
        self.headers = {"X-Forwarded-For": address}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(path, query, headers=self.headers)

    def send(self, method: str, path: str, body: Any = None) -> Any:
        return self.client.generic(
            method, path, body if isinstance(body, (str, bytes)) else _json(body),
            content_type="application/json", headers=self.headers,
        )  # fmt: skip

    def post(self, path: str, body: Any = None) -> Any:
        return self.send("POST", path, body)


def operator() -> Caller:
    return Caller(operator_token())


def user_caller(name: str = "planner", group: str | None = "Onboard", *, staff: bool = False) -> Caller:
    """A new user, logged in by name and password."""
    person(name, group, staff=staff)
    answer = Caller().post("/users/api/token/", {"username": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.content
    return Caller(answer.json()["access_token"])


def _json(body: Any) -> str:
    import json

    return json.dumps({} if body is None else body)


def output_document(days: int = 2) -> dict[str, Any]:
    """An output of a run, as far as the site looks into it."""
    band = {f"2022-01-{number + 1:02d}": [1.0, 2.5, 4.0] for number in range(days)}
    names = ("Cumulative", "Epidemic", "Hospitalized", "ICU", "Fatalities")
    observed = {"Confirmed": [5, None, 9], "Deaths": [None, None, None], "first_observed": "2021-12-29"}
    return {
        **dict.fromkeys(names, band),
        **observed,
        "start_date": "2022-01-01",
        "sim_time": days,
        "status": "complete",
    }


# --- fixtures and helpers of the site's tests: a module names those that it uses ---------------------


@pytest.fixture
def compute(database: None, monkeypatch: pytest.MonkeyPatch) -> Compute:
    """A compute of the test's own in place of the real ones, with data loaded."""
    load_data()
    made = Compute()
    monkeypatch.setattr(runner, "get", lambda: made)
    return made


@pytest.fixture
def run_id(compute: Compute) -> str:
    """A run that was submitted and goes on."""
    return str(operator().post(SIMULATIONS, INPUTS).json()["id"])


def report(run_id: object, body: Any, token: str | None = None) -> Any:
    """What a task tells the webhook about its run."""
    caller = Caller(task_token(run_id) if token is None else token)
    return caller.send("PUT", f"{SIMULATIONS}{run_id}/webhook/", body)


RUNNING = {"status": "running", "progress": 0.5, "attempt": 1}
COMPLETE = {"status": "complete", "progress": 1, "attempt": 1, "output": output_document()}
