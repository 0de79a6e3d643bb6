"""What may be asked for, and what a run is called."""

import json
import re
import uuid
from typing import Any

import pytest

from tests.unit.projections_model_runs import HASH, chosen, inputs, module, request

document, errors = module("document"), module("errors")


def test_equal_requests_are_one_run_whatever_their_form() -> None:
    one = chosen(county=["Suffolk", "Middlesex"], nDraws=500, lockdown_strength=1)
    other = chosen(county=["Middlesex", "Suffolk", "Suffolk"], nDraws=500.0, lockdown_strength=1.0)
    assert one.canonical() == other.canonical()
    assert one.run_id() == other.run_id()
    assert inputs.ModelInput.model_validate(one.as_dict()) == one
    assert json.loads(one.canonical())["quarantine_percent"] == 0.0  # defaults are part of it


def test_identity_is_what_the_other_parts_of_the_system_compute() -> None:
    found = chosen()
    text = json.dumps(found.as_dict(), sort_keys=True, separators=(",", ":"))
    assert found.canonical() == text
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "https://benchtop/projections")
    assert found.run_id() == str(uuid.uuid5(namespace, found.input_hash()))


def test_a_repetition_is_another_run_with_the_same_seed() -> None:
    found = chosen()
    assert found.run_id(1) != found.run_id()
    assert found.seed() == inputs.seed(found.canonical()) < 2**64
    with pytest.raises(ValueError, match="replicate: must be a whole number"):
        found.input_hash(-1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"nDraws": 99}, "nDraws: must be a whole number 100..200000, got 99"),
        ({"nDraws": True}, "nDraws: must be a number, got true"),
        ({"sim_length": 1.5}, "sim_length: must be a whole number 1..365, got 1.5"),
        ({"county": []}, "county: must be a list of 1..20 names, got []"),
        ({"county": ["a\nb"]}, 'county.0: must be a name of 1..60 characters, got "a\\nb"'),
        (
            {"shelter_date": "2020-3-1"},
            'shelter_date: must be a date like 2020-03-31 or null, got "2020-3-1"',
        ),
        ({"shelter_date": 1577836800}, "shelter_date: must be a date like 2020-03-31 or null"),
        ({"shelter_date": "1066-01-01"}, "shelter_date: must be a date in 2019-01-01..2100-12-31"),
        ({"shelter_release_start_date": "2020-05-01"}, "shelter_release_start_date: needs shelter_date too"),
        ({"lockdown_strength": float("nan")}, "lockdown_strength: must be a number 0..1"),
        ({"quarantine_percent": -1}, "quarantine_percent: must be a number 0..100, got -1"),
        ({"country": "FR"}, 'country: must be "US", got "FR"'),
        ({"data_hash": "main"}, "data_hash: must be a commit id of 40 characters"),
        ({"colour": 1}, '"colour": unknown field, allowed are country, state'),
        ({"state": "", "nDraws": 1}, "state: must be a name"),
    ],
)
def test_a_wrong_field_is_named_with_its_value_on_one_line(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(inputs.InputError, match=re.escape(said)) as caught:
        chosen(**fields)
    assert "\n" not in str(caught.value)
    assert len(caught.value.problems) == len(fields)


def test_release_dates_are_in_order() -> None:
    dates = {"shelter_date": "2020-03-20", "shelter_release_start_date": "2020-03-01"}
    with pytest.raises(inputs.InputError, match="must not be before shelter_date"):
        chosen(**dates)


def test_defaults_are_those_of_the_model() -> None:
    needed = {"state": "Vermont", "county": ["Essex"], "data_hash": HASH}
    found = inputs.ModelInput.model_validate(needed).as_dict()
    assert found == {**inputs.DEFAULT_INPUTS, **needed}
    assert (found["nDraws"], found["sim_length"]) == (50_000, 56)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id": "x"}, "id: must be a lower-case UUID"),
        ({"id": "00000000-0000-5000-8000-000000000000"}, "for these inputs"),
        ({"replicate": 1}, "for these inputs"),
        ({"replicate": "1"}, "replicate: must be a whole number"),
        ({"model_input": {}}, "model_input: state: is missing"),
        ({"model_output": "elsewhere.json"}, "model_output: must be runs/<id>/output.json"),
        ({"capacity_provider": "LAMBDA"}, "capacity_provider: must be FARGATE or"),
        ({"data": {"confirmed": "../secret", "deaths": "a/b"}}, "data.confirmed: must be a key like"),
        ({"data": None}, "data.confirmed: must be a key like"),
        ({"webhook_url": "file:///etc/passwd"}, "webhook_url: must be an http or https address"),
        ({"progress_delay": -1}, "progress_delay: must be 0..86400"),
    ],
)
def test_a_wrong_request_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.ModelError, match=re.escape(said)):
        document.Request.of(request(chosen()) | fields)


def test_a_request_is_read_from_its_object() -> None:
    found = document.Request.read(json.dumps(request(chosen(), progress_delay=5)).encode())
    assert found.chosen == chosen()
    assert (found.output, found.progress_delay) == (f"runs/{found.id}/output.json", 5.0)
    with pytest.raises(errors.ModelError, match="no valid JSON"):
        document.Request.read(b"{")
