"""Runs on the three computes, asked for once and many times, watched, cancelled, tried again."""

import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ops.projections import curves
from ops.projections.measures import Compute
from tests.sandbox.projections_cloud import COUNTY, STATE, Deployed, until

SIMULATIONS = "/covid/api/simulations/"


def test_one_county_has_the_same_curves_on_all_three_computes(projections: Deployed, tmp_path: Any) -> None:
    ran = projections.ops(
        "check", "--state", STATE, "--county", COUNTY, "--draws", "3000", "--to", str(tmp_path), "--json"
    )
    assert ran.code == 0, ran.output
    found = json.loads(ran.stdout)
    assert found["same"] is True
    assert [run["compute"] for run in found["runs"]] == [compute.value for compute in Compute]
    runs = [projections.site.run(run["run_id"]) for run in found["runs"]]
    first = curves.curves(runs[0]["output"])
    assert set(first) == set(curves.BANDS)
    assert all(len(days) == 56 for days in first.values())
    assert all(curves.curves(run["output"]) == first for run in runs)
    assert {run["output"]["seed"] for run in runs} == {runs[0]["output"]["seed"]}
    # Really run in three places: a task on each capacity, none for the web server.
    capacities = [[task["capacityProviderName"] for task in projections.tasks(run["id"])] for run in runs]
    assert capacities == [["FARGATE"], ["FARGATE_SPOT"], []]
    for name in ("output.json", "output.csv", "chart.png"):
        assert (tmp_path / runs[0]["id"] / name).stat().st_size > 1000


def test_members_of_the_groups_get_their_compute_and_the_same_inputs_the_same_run(
    projections: Deployed,
) -> None:
    inputs = {"state": STATE, "county": ["Norfolk"], "nDraws": 1000, "sim_length": 21}
    wanted = {"Fargate": "fargate", "Fargate Spot": "fargate-spot", "Onboard": "onboard", "": "fargate"}
    first: dict[str, Any] = {}
    for number, (group, compute) in enumerate(wanted.items()):
        person = projections.member(group)
        own = person.call("POST", SIMULATIONS, json={**inputs, "nDraws": 2000 + number})
        assert own.status_code == 201, own.text
        assert own.json()["compute"] == compute
        shared = person.call("POST", SIMULATIONS, json=inputs)
        assert shared.status_code == (200 if first else 201)
        first = first or shared.json()
        assert shared.json()["id"] == first["id"]
        # What only operators may ask for.
        for field in ({"compute": "onboard"}, {"replicate": 7}):
            assert person.call("POST", SIMULATIONS, json={**inputs, **field}).status_code == 403
        finished = projections.wait(own.json()["id"], "succeeded")
        assert finished["progress"] == 1


def test_an_identical_request_starts_no_task_and_is_answered_at_once(
    projections: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    person = projections.member("Fargate")
    request = {"state": STATE, "county": ["Essex"], "nDraws": 1000}
    run = person.call("POST", SIMULATIONS, json=request).json()
    projections.wait(run["id"], "succeeded")
    before, times = len(projections.tasks()), []
    for _ in range(30):
        began = time.perf_counter()
        answer = person.call("POST", SIMULATIONS, json=dict(reversed(request.items())))
        times.append(1000 * (time.perf_counter() - began))
        assert (answer.status_code, answer.json()["id"]) == (200, run["id"])
    assert len(projections.tasks()) == before
    with capsys.disabled():
        print(f"\nidentical request: median {statistics.median(times):.1f} ms, slowest {max(times):.1f} ms")
    assert statistics.median(times) < 500, "ten times what a quiet machine needs"


def test_a_thousand_identical_requests_at_once_start_one_task(projections: Deployed) -> None:
    person = projections.member("Fargate Spot")
    person.token()
    request = {"state": STATE, "county": ["Plymouth"], "nDraws": 1000}
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: person.call("POST", SIMULATIONS, json=request), range(1000)))
    codes = [answer.status_code for answer in answers]
    assert {code: codes.count(code) for code in sorted(set(codes))} == {200: 999, 201: 1}
    ids = {answer.json()["id"] for answer in answers}
    assert len(ids) == 1
    run = projections.wait(ids.pop(), "succeeded")
    assert len(projections.tasks(run["id"])) == 1
    assert [event["status"] for event in projections.history(run["id"])] == ["queued", "running", "succeeded"]


def test_fargate_shows_rising_progress_and_spot_does_too(projections: Deployed) -> None:
    for compute in ("fargate", "fargate-spot"):
        run = projections.submit(compute=compute, nDraws=100_000, sim_length=56)
        seen: list[float] = []

        def look(run_id: str = run["id"], seen: list[float] = seen) -> bool:
            now = projections.site.run(run_id)
            seen.append(now["progress"])
            assert now["status"] != "failed", now
            return bool(now["status"] == "succeeded")

        until(look, f"run {run['id']} on {compute}")
        assert seen == sorted(seen)
        between = {value for value in seen if 0 < value < 1}
        assert len(between) >= 2, seen


def test_logs_of_functions_and_task_are_found_from_the_run_id(projections: Deployed) -> None:
    run = projections.submit(compute="fargate")
    projections.wait(run["id"], "succeeded")

    def look() -> Any:
        lines = projections.good("logs", run["id"])["lines"]
        return lines if {line["source"] for line in lines} >= {"dispatch", "model"} else None

    lines = until(look, "lines of dispatcher and task")
    assert all(run["id"] in line["text"] for line in lines)
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    again = projections.ops("logs", run["id"][:13], "--follow")
    assert again.code == 0, again.output
    assert "model" in again.stdout


def test_a_run_is_cancelled_and_tried_again(projections: Deployed) -> None:
    run = projections.submit(compute="fargate-spot", nDraws=200_000, sim_length=120)
    projections.running_task(run["id"])
    projections.wait(run["id"], "running")
    cancelled = projections.good("cancel", run["id"])
    assert cancelled["status"] == "failed"
    assert cancelled["reason"].startswith("cancelled by")
    until(lambda: all(task["lastStatus"] == "STOPPED" for task in projections.tasks(run["id"])), "no task")
    assert projections.item(run["id"])["status"] == "failed"
    # The same request finds the cancelled run and starts nothing.
    same, created = projections.submitted(
        compute="fargate-spot", nDraws=200_000, sim_length=120, replicate=run["replicate"]
    )
    assert (same["id"], created, same["status"]) == (run["id"], False, "failed")
    assert len(projections.tasks(run["id"])) == 1
    projections.good("retry", run["id"])
    until(lambda: projections.item(run["id"])["attempt"] == 2, "the second attempt")
    projections.wait_again(run["id"], "queued", "running")
    assert projections.ops("cancel", run["id"]).code == 0
    watched = projections.ops("watch", run["id"])
    assert watched.code == 6, watched.output


def test_a_run_that_cannot_be_computed_says_why(projections: Deployed) -> None:
    refused = projections.ops("submit", "--state", STATE, "--county", "Atlantis")
    assert refused.code == 2, refused.output
    assert "Atlantis" in refused.output
    for option, value in (("--draws", "0"), ("--quarantine-percent", "101"), ("--shelter-date", "tomorrow")):
        bad = projections.ops("submit", "--state", STATE, "--county", COUNTY, option, value)
        assert bad.code == 2, bad.output
        assert bad.output.startswith("error: ")
        assert len(bad.output.strip().splitlines()) == 1, bad.output


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_what_is_done_is_not_done_again(projections: Deployed, verb: str) -> None:
    run = projections.submit(compute="onboard")
    projections.wait(run["id"], "succeeded")
    ran = projections.ops(verb, run["id"])
    assert ran.code == 4, ran.output
    assert projections.site.run(run["id"])["status"] == "succeeded"


def test_the_grid_of_a_state_is_computed_once(projections: Deployed) -> None:
    arguments = ("precompute", "Vermont", "--county", "Grand Isle", "--draws", "500", "--max-running", "4")
    first = projections.good(*arguments)
    assert (first["runs"], first["new"], first["succeeded"], first["failed"]) == (8, 8, 8, [])
    second = projections.good(*arguments)
    assert (second["new"], second["existing"], second["succeeded"]) == (0, 8, 8)
    spot = [task for task in projections.tasks() if task["capacityProviderName"] == "FARGATE_SPOT"]
    assert len(spot) >= 8
