"""Who sees which page: login, one-time links, forged forms, the policy, errors."""

import importlib
import re
from typing import Any

import pytest

from tests.unit import projections_pages
from tests.unit.projections_pages import (
    MEASURES,
    PASSWORD,
    Client,
    Table,
    add_data,
    auth,
    logged_in,
    only_run,
    output,
    person,
    submitted,
    text,
)

database = projections_pages.database
accounts = importlib.import_module("covid.accounts")


@pytest.fixture
def compute(monkeypatch: pytest.MonkeyPatch) -> Table:
    return Table.used(monkeypatch)


@pytest.fixture
def planner(database: None, compute: Table) -> Any:
    """Logged in, member of Fargate Spot; there is data."""
    add_data()
    return logged_in(person("planner"))


PATHS = ("/", "/runs/", f"/runs/{'0' * 8}-0000-0000-0000-{'0' * 12}/", "/accounts/password/")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_shown_without_login(planner: Any, path: str) -> None:
    answer = Client().get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/?next=")


def test_log_in_and_out(database: None, compute: Table) -> None:
    person("planner")
    client = Client()
    wrong = client.post("/accounts/login/", {"username": "planner", "password": "no"})
    assert "Please enter a correct username and password" in text(wrong)
    there = client.post(
        "/accounts/login/?next=/runs/", {"username": "planner", "password": PASSWORD, "next": "/runs/"}
    )
    assert there["Location"] == "/runs/"
    away = {"username": "planner", "password": PASSWORD, "next": "https://elsewhere.example/"}
    assert Client().post("/accounts/login/", away)["Location"] == "/"
    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/")["Location"] == "/accounts/login/"
    assert client.get("/runs/").status_code == 302


def test_a_one_time_link_sets_a_password_once(planner: Any) -> None:
    user = auth.User.objects.create_user("new planner")
    link = accounts.password_link(user).removeprefix("http://testserver")
    client = Client()
    page = client.get(link, follow=True)
    form = page.redirect_chain[-1][0]
    assert "For the account new planner" in text(page)
    weak = client.post(form, {"new_password1": "short", "new_password2": "short"})
    assert "too short" in text(weak)
    done = client.post(form, {"new_password1": PASSWORD, "new_password2": PASSWORD}, follow=True)
    assert "Password set" in text(done)
    assert Client().login(username="new planner", password=PASSWORD)
    assert "This link doesn't work any more" in text(Client().get(link, follow=True))


def test_change_of_password(planner: Any) -> None:
    assert "Change your password" in text(planner.get("/accounts/password/"))
    given = {"old_password": PASSWORD, "new_password1": PASSWORD + "2", "new_password2": PASSWORD + "2"}
    assert "Password changed" in text(planner.post("/accounts/password/", given, follow=True))


def test_forms_from_elsewhere_are_refused(planner: Any, compute: Table) -> None:
    run = submitted(planner)
    strict = logged_in(auth.User.objects.get(username="planner"), enforce_csrf_checks=True)
    for path in ("/", f"/runs/{run.pk}/cancel/", f"/runs/{run.pk}/retry/", "/accounts/logout/"):
        answer = strict.post(path, {**MEASURES, "nDraws": "2000"})
        assert answer.status_code == 403, path
        assert "For your safety nothing was done" in text(answer)
    assert only_run().status == "queued"


def test_every_answer_has_a_policy_without_anything_inline(planner: Any, compute: Table) -> None:
    run = submitted(planner)
    compute.seen = {"status": "succeeded", "attempt": 1, "output": output()}
    for path in ("/", "/runs/", f"/runs/{run.pk}/", "/nothing", "/accounts/password/"):
        answer = planner.get(path)
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        page = answer.content.decode()
        assert not re.search(r"<[^>]+\s(style|on\w+)=", page), path
        for tag in re.findall(r"<script\b[^>]*>", page):
            assert " src=" in tag or "application/json" in tag
        # Everything is the site's own.
        assert not re.search(r'(src|href|action)="(https?:)?//', page), path


def test_errors_are_pages_in_style(planner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = planner.get("/nothing")
    assert (missing.status_code, "There is nothing here" in text(missing)) == (404, True)
    assert planner.get("/runs/00000000-0000-0000-0000-000000000000/").status_code == 404

    def broken(*_: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("covid.services.runs_of", broken)
    planner.raise_request_exception = False
    failed = planner.get("/runs/")
    assert failed.status_code == 500
    assert "Something went wrong" in text(failed)
    assert "secret detail" not in failed.content.decode()


def test_pages_are_not_kept_by_caches(planner: Any) -> None:
    for path in ("/", "/runs/"):
        assert "no-store" in planner.get(path)["Cache-Control"]


def test_the_pages_static_files_are_there(planner: Any) -> None:
    finders = importlib.import_module("django.contrib.staticfiles.finders")
    for page in ("/", "/runs/", "/accounts/password/"):
        for path in re.findall(r'(?:src|href)="/static/([^"]+)"', planner.get(page).content.decode()):
            assert finders.find(path), path
    assert finders.find("vendor/plotly.min.js")


def test_every_form_that_changes_something_has_its_token(planner: Any, compute: Table) -> None:
    run = submitted(planner)
    failed = submitted(planner, sim_length="9")
    failed.status = "failed"
    failed.save()
    for path, forms in (
        ("/", 2),
        (f"/runs/{run.pk}/", 2),
        (f"/runs/{failed.pk}/", 2),
        ("/accounts/password/", 2),
    ):
        page = planner.get(path).content.decode()
        found = re.findall(r'<form[^>]*method="post".*?</form>', page, flags=re.DOTALL)
        assert len(found) == forms, path
        assert all('name="csrfmiddlewaretoken"' in form for form in found), path
