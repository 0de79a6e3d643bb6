"""The webhook: what a task may report of its own run, and that nobody else may."""

import importlib
import uuid
from typing import Any

import pytest

from tests.unit import projections_people as people
from tests.unit import projections_site
from tests.unit.projections_people import COMPLETE, RUNNING, SIMULATIONS, Caller, operator, report

database = projections_site.database
compute = people.compute
run_id = people.run_id
models = importlib.import_module("covid.models")


# --- the webhook -----------------------------------------------------------------------------------


def test_a_task_reports_progress_and_its_result_once(run_id: str) -> None:
    assert report(run_id, RUNNING).status_code == 200
    seen = models.SimulationRun.objects.get(pk=run_id)
    assert (seen.status, seen.progress, seen.attempt) == ("running", 0.5, 1)
    assert report(run_id, COMPLETE).status_code == 200
    assert report(run_id, RUNNING).status_code == 409
    assert report(run_id, COMPLETE).status_code == 409
    assert report(run_id, {"status": "complete"}).status_code == 409  # whatever else it says
    assert models.SimulationRun.objects.get(pk=run_id).output == people.output_document()


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", 401),
        ("rubbish", 401),
        ("old", 401),
        ("long", 401),
        ("wrong key", 401),
        ("api audience", 401),
        ("operator", 401),
        ("issuer", 401),
        ("foreign", 403),
    ],
)
def test_a_wrong_old_or_foreign_token_changes_nothing(run_id: str, token: str, code: int) -> None:
    made = {
        "old": people.task_token(run_id, -60),
        "long": people.task_token(run_id, 86_400),
        "wrong key": people.task_token(run_id, key="x" * 40),
        "api audience": people.task_token(run_id, aud="projections-api"),
        "operator": people.operator_token(),
        "issuer": people.task_token(run_id, iss="projections-web"),
        "foreign": people.task_token(uuid.uuid4()),
    }.get(token, token)
    answer = report(run_id, COMPLETE, made)
    assert answer.status_code == code
    seen = models.SimulationRun.objects.get(pk=run_id)
    assert (seen.status, seen.output) == ("queued", None)


def test_an_unknown_runs_own_token_is_404(compute: people.Compute) -> None:
    assert report(uuid.uuid4(), RUNNING).status_code == 404


def test_a_tasks_token_opens_nothing_else(run_id: str) -> None:
    assert Caller(people.task_token(run_id)).get(f"{SIMULATIONS}{run_id}/").status_code == 401


@pytest.mark.parametrize(
    "changes",
    [{"status": "odd"}, {"progress": 2}, {"progress": "1"}, {"attempt": 0}, {"attempt": None}, {"output": {}},
     {"output": {**people.output_document(), "ICU": {"2022-01-01": [1, 2]}}}],
)  # fmt: skip
def test_a_malformed_report_is_refused(run_id: str, changes: dict[str, Any]) -> None:
    assert report(run_id, {**COMPLETE, **changes}).status_code == 400
    assert models.SimulationRun.objects.get(pk=run_id).status == "queued"


def test_an_old_attempts_report_counts_no_more(run_id: str) -> None:
    assert report(run_id, {**RUNNING, "attempt": 3}).status_code == 200
    assert report(run_id, {"status": "failed", "attempt": 2, "reason": "late"}).status_code == 200
    assert models.SimulationRun.objects.get(pk=run_id).status == "running"


def test_a_report_of_the_attempt_that_is_being_retried_counts_no_more(
    run_id: str, compute: people.Compute
) -> None:
    assert report(run_id, {"status": "failed", "attempt": 1, "reason": "boom"}).status_code == 200
    assert operator().post(f"{SIMULATIONS}{run_id}/retry/").status_code == 202
    report(run_id, {"status": "failed", "attempt": 1, "reason": "boom, again"})
    assert models.SimulationRun.objects.get(pk=run_id).status == "queued"
    assert report(run_id, {**COMPLETE, "attempt": 2}).status_code == 200
    assert models.SimulationRun.objects.get(pk=run_id).status == "succeeded"
