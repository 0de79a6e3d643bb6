"""The pages of runs: state, result, actions and the list."""

import json
import re
from typing import Any

import pytest

from tests.unit import projections_pages
from tests.unit.projections_pages import (
    Table,
    add_data,
    logged_in,
    only_run,
    output,
    person,
    submitted,
    text,
)

database = projections_pages.database


@pytest.fixture
def compute(monkeypatch: pytest.MonkeyPatch) -> Table:
    return Table.used(monkeypatch)


@pytest.fixture
def planner(database: None, compute: Table) -> Any:
    """Logged in, member of Fargate Spot; there is data."""
    add_data()
    return logged_in(person("planner"))


def test_an_interrupted_run_says_that_it_resumes_and_refreshes_itself(planner: Any, compute: Table) -> None:
    compute.seen = {
        "status": "interrupted",
        "progress": 0.437,
        "attempt": 1,
        "interruptions": 1,
        "history": [
            {"at": "2026-11-21T13:00:00.000Z", "status": "running", "attempt": 1, "capacity": "FARGATE_SPOT"},
            {
                "at": "2026-11-21T13:01:00.000Z",
                "status": "interrupted",
                "attempt": 1,
                "reason": "Spot",
            },
        ],
    }
    page = planner.get(f"/runs/{submitted(planner).pk}/")
    shown = text(page)
    assert "Interrupted, resuming on Fargate Spot" in shown
    assert "43 %" in shown
    assert "21 Nov, 13:01:00 UTC Interrupted attempt 1: Spot" in shown
    assert '<noscript><meta http-equiv="refresh"' in page.content.decode()
    assert 'aria-live="polite"' in page.content.decode()


def test_a_run_that_fell_back_to_on_demand_says_so(planner: Any, compute: Table) -> None:
    entry = {"at": "2026-11-21T13:00:00.000Z", "status": "running", "attempt": 4, "capacity": "FARGATE"}
    compute.seen = {"status": "running", "attempt": 4, "interruptions": 3, "history": [entry]}
    shown = text(planner.get(f"/runs/{submitted(planner).pk}/"))
    assert "Computing on Fargate, attempt 4." in shown
    assert "Fargate Spot (now Fargate)" in shown


def test_a_result_has_figures_charts_tables_and_downloads(planner: Any, compute: Table) -> None:
    compute.seen = {"status": "succeeded", "attempt": 1, "output": output()}
    run = submitted(planner)
    page = planner.get(f"/runs/{run.pk}/")
    shown = text(page)
    assert "In intensive care 180 highest on 31 Dec 2021 90 % range 30 to 272" in shown
    assert "More than the 80 beds from 30 Dec 2021" in shown
    assert "Of 1 300 beds" in shown
    # A projected day that was observed as well, and one before.
    assert "29 Dec 2021 \u2013 10 60 90" in shown
    assert "20 Dec 2021 33 \u2013 \u2013 \u2013" in shown
    assert "1 min 15 s" in shown
    assert "http-equiv" not in page.content.decode()
    found = re.search(r'<script id="chart-settings"[^>]*>(.*?)</script>', page.content.decode())
    assert found
    settings = json.loads(found[1])
    assert [curve["beds"] for curve in settings["curves"]] == [None, None, 1300, 80, None]
    for link in (settings["output"], f"/covid/api/simulations/{run.pk}/output.csv"):
        assert planner.get(link).status_code == 200


def test_where_nothing_was_observed_there_is_no_empty_column(planner: Any, compute: Table) -> None:
    compute.seen = {"status": "succeeded", "attempt": 1, "output": output() | {"Deaths": [None] * 41}}
    page = planner.get(f"/runs/{submitted(planner).pk}/")
    assert page.content.decode().count(">Observed</th>") == 1
    assert text(page).count("The data has no observed values.") == 1


def test_beds_are_not_summed_when_one_county_is_unknown(planner: Any, compute: Table) -> None:
    compute.seen = {"status": "succeeded", "attempt": 1, "output": output()}
    shown = text(planner.get(f"/runs/{submitted(planner, county=['Essex', 'Dukes']).pk}/"))
    assert "beds" not in shown


def test_what_others_wrote_is_escaped(planner: Any, compute: Table) -> None:
    evil = "<script>alert(1)</script>"
    compute.seen = {
        "status": "failed",
        "attempt": 1,
        "reason": evil,
        "history": [{"at": evil, "status": evil, "attempt": evil, "capacity": evil, "reason": evil}],
    }
    run = submitted(planner)
    run.model_input["county"] = [evil, "</title>"]
    run.save()
    for path in (f"/runs/{run.pk}/", "/runs/", f"/runs/?search={evil}"):
        page = planner.get(path).content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
    document = {**output(), "model_version": f"</script>{evil}"}
    compute.seen = {"status": "succeeded", "attempt": 1, "output": document}
    page = planner.get(f"/runs/{submitted(planner, sim_length='9').pk}/").content.decode()
    assert "<script>alert" not in page


def test_cancel_and_retry(planner: Any, compute: Table) -> None:
    run = submitted(planner)
    assert "Cancel this run" in text(planner.get(f"/runs/{run.pk}/"))
    compute.down = True
    assert "The run table doesn't answer." in text(planner.post(f"/runs/{run.pk}/cancel/", follow=True))
    compute.down = False
    page = text(planner.post(f"/runs/{run.pk}/cancel/", follow=True))
    assert "The run was cancelled." in page
    assert "It ended without a result: cancelled by planner" in page
    assert "has ended already: failed." in text(planner.post(f"/runs/{run.pk}/cancel/", follow=True))
    assert "started again" in text(planner.post(f"/runs/{run.pk}/retry/", follow=True))
    assert only_run().status == "queued"
    for action in ("cancel", "retry"):
        assert planner.get(f"/runs/{run.pk}/{action}/").status_code == 405


def test_others_see_a_run_but_may_not_act_on_it(planner: Any, compute: Table) -> None:
    run = submitted(planner)
    other = logged_in(person("other", None))
    assert "Cancel this run" not in text(other.get(f"/runs/{run.pk}/"))
    assert "may cancel it" in text(other.post(f"/runs/{run.pk}/cancel/", follow=True))
    assert only_run().status == "queued"
    assert "The run was cancelled." in text(
        logged_in(person("chief", staff=True)).post(f"/runs/{run.pk}/cancel/", follow=True)
    )


# --- the list -----------------------------------------------------------------------------------------


def test_the_list_shows_ones_own_runs_and_filters(planner: Any, compute: Table) -> None:
    submitted(planner)
    submitted(planner, state="Vermont", county=["Addison"])
    submitted(logged_in(person("other")), county=["Dukes"])
    assert "2 runs" in text(planner.get("/runs/"))
    assert "Dukes" not in text(planner.get("/runs/"))
    assert "Dukes, Massachusetts" in text(planner.get("/runs/?whose=all"))
    assert "1 run," in text(planner.get("/runs/?search=addis"))
    assert "1 run," in text(planner.get("/runs/?state=Massachusetts"))
    assert "No run is like this." in text(planner.get("/runs/?status=failed"))
    assert planner.get("/runs/?status=rubbish&page=x").status_code == 200


def test_a_long_list_has_pages_that_keep_the_filter(planner: Any, compute: Table) -> None:
    for days in range(1, 29):
        submitted(planner, sim_length=str(days))
    page = planner.get("/runs/?state=Massachusetts").content.decode()
    assert "Page 1 of 2" in page
    assert 'href="?state=Massachusetts&amp;page=2"' in page
    assert "Page 2 of 2" in planner.get("/runs/?state=Massachusetts&page=2").content.decode()
