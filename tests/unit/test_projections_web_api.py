"""The API over HTTP: runs, lists, downloads, places, health, admin, logs."""

import csv
import importlib
import io
import json
import uuid
from typing import Any

import pytest

from tests.unit import projections_people as people
from tests.unit import projections_site
from tests.unit.projections_people import (
    COMPLETE,
    HASH,
    INPUTS,
    RUNNING,
    SIMULATIONS,
    operator,
    report,
    user_caller,
)

database = projections_site.database
compute = people.compute
run_id = people.run_id
models = importlib.import_module("covid.models")
django_test = importlib.import_module("django.test")


# --- submitting and reading ------------------------------------------------------------------------


def test_a_run_is_made_once_and_then_found(compute: people.Compute) -> None:
    first = operator().post(SIMULATIONS, INPUTS)
    again = operator().post(SIMULATIONS, {**INPUTS, "county": ["Addison", "Windham"]})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["model_input"]["data_hash"] == HASH
    assert (first.json()["status"], first.json()["compute"]) == ("queued", "fargate")
    assert compute.calls == ["start"]


def test_a_users_wishes_for_a_compute_are_refused(compute: people.Compute) -> None:
    caller = user_caller()
    assert caller.post(SIMULATIONS, {**INPUTS, "compute": "fargate"}).status_code == 403
    assert caller.post(SIMULATIONS, INPUTS).json()["compute"] == "onboard"
    chosen = operator().post(SIMULATIONS, {**INPUTS, "compute": "fargate-spot", "replicate": 2}).json()
    assert (chosen["compute"], chosen["replicate"]) == ("fargate-spot", 2)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", 400),
        ("[1]", 400),
        ('{"state": NaN}', 400),
        ("[" * 50_000, 400),
        ('{"x": "' + "y" * 70_000 + '"}', 413),
        ({**INPUTS, "nDraws": 1}, 400),
        ({**INPUTS, "nDraws": 10**30}, 400),
        ({**INPUTS, "replicate": True}, 400),
        ({**INPUTS, "compute": 1}, 400),
        ({**INPUTS, "data_hash": ["x"]}, 400),
        ({}, 400),
    ],
)
def test_rubbish_is_refused_with_one_line(compute: people.Compute, body: Any, code: int) -> None:
    answer = operator().post(SIMULATIONS, body)
    assert answer.status_code == code
    detail = answer.json()["detail"]
    assert detail
    assert "\n" not in detail
    assert models.SimulationRun.objects.count() == 0


def test_without_data_a_request_says_what_to_run(compute: people.Compute) -> None:
    models.HashValue.objects.all().delete()
    answer = operator().post(SIMULATIONS, INPUTS)
    assert answer.status_code == 409
    assert answer.json() == {
        "detail": "no data yet: run addhashes --all (python -m ops projections addhashes --all)"
    }
    assert operator().get("/covid/api/status/", **INPUTS).status_code == 409


def test_the_list_is_paged_and_filtered(compute: people.Compute) -> None:
    for days in range(1, 6):
        operator().post(SIMULATIONS, {**INPUTS, "sim_length": days})
    page = operator().get(SIMULATIONS, page_size=2).json()
    assert (page["count"], len(page["results"])) == (5, 2)
    assert "page=2" in page["next"]
    assert page["results"][0]["model_input"]["sim_length"] == 5  # newest first
    assert "output" not in page["results"][0]
    models.SimulationRun.objects.filter(pk=page["results"][0]["id"]).update(status="failed")
    assert operator().get(SIMULATIONS, status="failed").json()["count"] == 1
    assert operator().get(SIMULATIONS, state="Ohio").json()["count"] == 0
    assert operator().get(SIMULATIONS, compute="fargate").json()["count"] == 5
    assert operator().get(SIMULATIONS, status="odd").status_code == 400
    assert operator().get(SIMULATIONS, page=9).status_code == 404


def test_status_reads_inputs_from_the_query_as_the_post_takes_them(compute: people.Compute) -> None:
    body = {**INPUTS, "social_distancing": True, "shelter_date": "2022-01-02", "quarantine_percent": 25}
    made = operator().post(SIMULATIONS, body).json()["id"]
    query = {
        "state": "Vermont", "county": "Windham,Addison", "nDraws": "1000", "social_distancing": "true",
        "shelter_date": "2022-01-02", "quarantine_percent": "25", "quarantine_start_date": "",
    }  # fmt: skip
    for path in ("/covid/api/status/", f"{SIMULATIONS}status/"):
        assert operator().get(path, **query, max_age=0).json()["id"] == made
    assert operator().get("/covid/api/status/", **{**query, "nDraws": "2000"}).status_code == 404
    assert operator().get("/covid/api/status/", **query, max_age="-1").status_code == 400
    assert models.SimulationRun.objects.count() == 1


def test_output_comes_as_json_and_csv(run_id: str) -> None:
    base = f"{SIMULATIONS}{run_id}/"
    assert operator().get(f"{base}output.json").status_code == 409
    assert operator().get(base).json()["output"] is None
    assert report(run_id, COMPLETE).status_code == 200
    assert operator().get(base).json()["output"] == people.output_document()
    answer = operator().get(f"{base}output.json")
    assert json.loads(answer.content) == people.output_document()
    assert f"projection-{run_id}.json" in answer.headers["Content-Disposition"]
    table = b"".join(operator().get(f"{base}output.csv").streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    first = {
        "day": "2022-01-01",
        "series": "Cumulative",
        "low": "1.0",
        "median": "2.5",
        "high": "4.0",
        "observed": "",
    }
    assert rows[0] == first
    assert len(rows) == 5 * 2 + 2
    seen = [(row["day"], row["series"], row["observed"]) for row in rows if row["observed"]]
    assert seen == [("2021-12-29", "Confirmed", "5"), ("2021-12-31", "Confirmed", "9")]


def test_places_and_defaults(compute: people.Compute) -> None:
    states = operator().get("/covid/api/get_states_counties/").json()["states"]
    assert [state["name"] for state in states] == ["Vermont"]
    assert states[0]["counties"] == ["Addison", "Chittenden", "Windham"]
    assert states[0]["default_counties"] == ["Chittenden"]
    assert states[0]["measures"]["shelter_date"] == "2020-03-25"
    meta = operator().get("/covid/api/meta/").json()
    assert (meta["defaults"]["sim_length"], meta["data_hash"], meta["operator"]) == (56, HASH, True)
    counties = operator().get("/covid/api/county_resources/", state="Vermont").json()["results"]
    assert counties[0]["population"] == 50_000
    assert counties[0]["hospital_beds"] is None
    hashes = operator().get("/covid/api/hash_resources/").json()["results"]
    assert [item["last_day"] for item in hashes] == ["2021-12-31", "2021-11-30"]


def test_the_onboard_proxy_says_when_the_service_is_away(database: None) -> None:
    answer = operator().get("/covid/api/model/health")
    assert answer.status_code == 503
    assert "doesn't answer" in answer.json()["detail"]
    assert (
        operator().post("/covid/api/model/runs", {}).status_code == 404
    )  # nothing can be started through it


# --- cancel and retry ------------------------------------------------------------------------------


def test_cancel_and_retry_over_http(run_id: str, compute: people.Compute) -> None:
    stranger = user_caller("bob")
    assert stranger.get(f"{SIMULATIONS}{run_id}/").status_code == 200
    assert stranger.post(f"{SIMULATIONS}{run_id}/cancel/").status_code == 403
    assert operator().post(f"{SIMULATIONS}{run_id}/retry/").status_code == 409
    cancelled = operator().post(f"{SIMULATIONS}{run_id}/cancel/")
    assert (cancelled.status_code, cancelled.json()["reason"]) == (200, "cancelled by operator")
    assert operator().post(f"{SIMULATIONS}{run_id}/cancel/").status_code == 409
    retried = operator().post(f"{SIMULATIONS}{run_id}/retry/")
    assert (retried.status_code, retried.json()["status"]) == (202, "queued")
    assert operator().post(f"{SIMULATIONS}{uuid.uuid4()}/cancel/").status_code == 404


# --- health, logs, admin ---------------------------------------------------------------------------


def test_health_answers_any_host_and_says_whether_there_is_data(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = django_test.Client(headers={"Host": "10.0.3.7:8000"})
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "no data", "hashes": 0, "database": True})
    assert client.get("/accounts/login/").status_code == 400  # any other page refuses an unknown Host
    people.load_data()
    assert client.get("/health").json() == {"status": "ok", "hashes": 2, "database": True}
    db = importlib.import_module("django.db")

    def broken() -> int:
        raise db.OperationalError("server closed the connection")

    monkeypatch.setattr(models.HashValue.objects, "count", broken)
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["database"]) == (503, False)


def test_the_admin_site_uses_the_one_login_and_shows_every_model(run_id: str) -> None:
    client = django_test.Client()
    assert client.get("/admin/", follow=True).redirect_chain[-1][0].startswith("/accounts/login/")
    people.auth_models.User.objects.create_superuser("admin", password=people.PASSWORD)
    client.force_login(people.auth_models.User.objects.get(username="admin"))
    for name in ("state", "county", "hashvalue", "hashfile", "simulationrun"):
        assert client.get(f"/admin/covid/{name}/").status_code == 200
    page = client.get(f"/admin/covid/simulationrun/{run_id}/change/")
    assert page.status_code == 200
    assert b'name="status"' not in page.content


def test_log_lines_are_json_with_the_run_and_without_secrets(
    run_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    logs = importlib.import_module("projections_web.logs")
    caplog.set_level("INFO")
    token = people.task_token(run_id)
    report(run_id, RUNNING, token)
    lines = [json.loads(logs.JsonFormatter().format(record)) for record in caplog.records]
    request = next(line for line in lines if line["message"] == "request")
    assert (request["run_id"], request["status"], request["method"]) == (run_id, 200, "PUT")
    assert token not in json.dumps(lines)
