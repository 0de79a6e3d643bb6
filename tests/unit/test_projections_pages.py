"""Choosing a projection: what the form shows, what becomes of it, and what it refuses."""

import importlib
import re
from typing import Any

import pytest

from tests.unit import projections_pages
from tests.unit.projections_pages import (
    HASH,
    MEASURES,
    Table,
    add_data,
    add_places,
    logged_in,
    models,
    person,
    submitted,
    text,
)

database = projections_pages.database
forms = importlib.import_module("covid.forms")


@pytest.fixture
def compute(monkeypatch: pytest.MonkeyPatch) -> Table:
    return Table.used(monkeypatch)


@pytest.fixture
def planner(database: None, compute: Table) -> Any:
    """Logged in, member of Fargate Spot; there is data."""
    add_data()
    return logged_in(person("planner"))


def test_without_data_the_page_says_what_to_run(database: None, compute: Table) -> None:
    add_places()
    client = logged_in(person("planner"))
    for answer in (client.get("/"), client.post("/", MEASURES)):
        assert "python -m ops projections addhashes --all" in text(answer)
    assert models.SimulationRun.objects.count() == 0


def test_the_form_shows_compute_data_and_the_states_counties(planner: Any) -> None:
    page = planner.get("/", {"state": "Vermont"})
    shown = text(page)
    assert "computed on Fargate Spot" in shown
    assert "until 30 Dec 2021" in shown
    assert "Addison" in shown
    assert "Suffolk" not in shown
    assert re.search(r'name="county" value="Addison"[^>]* checked', page.content.decode())


def test_a_choice_becomes_a_run_with_the_models_units(planner: Any, compute: Table) -> None:
    run = submitted(planner, social_distancing="on", quarantine="on", quarantine_start_date="2022-01-03")
    assert compute.started == [str(run.pk)]
    assert run.compute == "fargate-spot"
    assert {key: run.model_input[key] for key in run.model_input if key != "country"} == {
        "state": "Massachusetts",
        "county": ["Essex", "Suffolk"],
        "nDraws": 1000,
        "sim_length": 28,
        "shelter_date": "2021-12-01",
        "shelter_release_start_date": None,
        "shelter_release_end_date": None,
        "lockdown_strength": 0.55,
        "social_distancing": True,
        "social_distancing_strength": 0.3,
        "social_distancing_end_date": None,
        "quarantine_percent": 25.0,
        "quarantine_start_date": "2022-01-03",
        "data_hash": HASH,
    }


def test_what_is_switched_off_does_not_make_another_run(planner: Any, compute: Table) -> None:
    off = {key: value for key, value in MEASURES.items() if key != "shelter"}
    first = planner.post("/", off)
    other = {**off, "shelter_date": "not a date", "lockdown_strength": "90", "quarantine_percent": "900"}
    again = planner.post("/", {**other, "social_distancing_strength": "70"}, follow=True)
    assert again.redirect_chain == [(first["Location"], 302)]
    assert "Somebody asked for exactly this before" in text(again)
    assert len(compute.started) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"county": []}, "Choose at least one county."),
        ({"county": ["Nowhere"]}, "Nowhere is not one of the available choices"),
        ({"shelter_date": ""}, "Say from when people shelter"),
        ({"shelter_release_start_date": "2021-11-01"}, "Easing can't begin before the shelter does."),
        ({"shelter_release_end_date": "2022-01-01"}, "Say when easing begins"),
        (
            {"shelter_release_start_date": "2022-01-05", "shelter_release_end_date": "2022-01-04"},
            "It can't be fully lifted before easing begins.",
        ),
        ({"shelter_date": "1066-10-14"}, "must be a date in 2019-01-01..2100-12-31, got 1066-10-14"),
        ({"lockdown_strength": "101"}, "At most 100."),
        ({"sim_length": "0"}, "At least 1."),
        ({"nDraws": "1000000"}, "At most 200000."),
        ({"nDraws": "many"}, "Enter a whole number"),
    ],
)
def test_a_wrong_choice_is_explained_at_its_field_and_starts_nothing(
    planner: Any, compute: Table, changes: dict[str, Any], said: str
) -> None:
    answer = planner.post("/", {**MEASURES, **changes})
    assert answer.status_code == 400
    assert said in text(answer)
    assert 'role="alert"' in answer.content.decode()
    assert models.SimulationRun.objects.count() == 0
    # What was chosen is still there.
    assert re.search(r'id="id_shelter"[^>]* checked|checked[^>]* id="id_shelter"', answer.content.decode())


def test_more_counties_than_the_model_takes(planner: Any) -> None:
    state = models.State.objects.get(name="Massachusetts")
    names = [f"County {number}" for number in range(21)]
    for name in names:
        models.County.objects.create(state=state, name=name, population=1)
    answer = planner.post("/", {**MEASURES, "county": names})
    assert answer.status_code == 400
    assert "Choose at most 20 counties" in text(answer)


def test_errors_are_tied_to_their_fields(planner: Any) -> None:
    page = planner.post("/", {**MEASURES, "sim_length": "0"}).content.decode()
    field = re.search(r'<input[^>]*id="id_sim_length"[^>]*>', page)
    assert field
    assert 'aria-invalid="true"' in field[0]
    described = re.search(r'aria-describedby="([^"]*)"', field[0])
    assert described
    for name in described[1].split():
        assert f'id="{name}"' in page


def test_every_field_has_a_label(planner: Any) -> None:
    page = planner.get("/").content.decode()
    named = set(re.findall(r'<label[^>]* for="([^"]+)"', page))
    for field in re.findall(r"<(?:input|select)\b[^>]*>", page):
        if 'type="hidden"' in field or "aria-label" in field:
            continue
        found = re.search(r' id="([^"]+)"', field)
        assert found, field
        assert found[1] in named, field


def test_a_run_can_be_the_start_of_the_next(planner: Any) -> None:
    run = submitted(planner, shelter_release_start_date="2022-01-05")
    page = planner.get("/", {"from": str(run.pk)}).content.decode()
    assert re.findall(r'name="county" value="(\w+)"[^>]* checked', page) == ["Essex", "Suffolk"]
    assert re.search(r'name="lockdown_strength" value="55"', page)
    assert re.search(r'name="shelter_release_start_date" value="2022-01-05"', page)
    assert planner.get("/", {"from": "rubbish"}).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shelter": ""},
        {"quarantine": "on", "quarantine_start_date": "2022-02-02"},
        {
            "social_distancing": "on",
            "social_distancing_strength": "29",
            "social_distancing_end_date": "2022-03-01",
        },
    ],
)
def test_the_inputs_of_a_run_make_the_same_form_again(planner: Any, changes: dict[str, str]) -> None:
    run = submitted(planner, **changes)
    state = models.State.objects.get(name="Massachusetts")
    shown = forms.ProjectionForm(state=state, initial=forms.from_inputs(run.model_input))
    values = {name: shown[name].value() for name in shown.fields}
    again = forms.ProjectionForm({name: value for name, value in values.items() if value}, state=state)
    assert again.is_valid(), again.errors
    assert again.inputs() == {key: value for key, value in run.model_input.items() if key != "data_hash"}
