"""Spot interruptions at random, vanished tasks, no capacity: nothing is lost and nothing runs twice."""

import random
import time
from collections import Counter
from typing import Any

import pytest

from ops.projections import curves
from sandbox.aws.interruptions import interrupt
from tests.sandbox.projections_cloud import DEADLINE_S, Deployed, interruptions, until

RUNS = 50
AT_ONCE = 16
"""Runs that go on at the same time; two cores have to do the work."""
WANTED_INTERRUPTIONS = 100
MAX_INTERRUPTIONS = 3
CHAOS_DEADLINE_S = 1200.0
INPUTS = {"state": "Massachusetts", "nDraws": 16_000, "sim_length": 56}
COUNTIES = ("Suffolk", "Norfolk", "Middlesex", "Worcester", "Bristol")


def attempts(history: list[dict[str, Any]]) -> list[int]:
    return sorted({int(event["attempt"]) for event in history})


class Chaos:
    """Keeps ``AT_ONCE`` runs going and interrupts their Spot tasks at random moments."""

    def __init__(self, projections: Deployed, seed: int) -> None:
        self.projections, self.random = projections, random.Random(seed)
        self.waiting = [
            {**INPUTS, "county": [county], "replicate": 1000 + number, "compute": "fargate-spot"}
            for number in range(RUNS // len(COUNTIES))
            for county in COUNTIES
        ]
        self.going: set[str] = set()
        self.runs: list[str] = []
        self.fates: dict[str, float] = {}
        """When a task is to be interrupted, by its ARN."""
        self.sent: Counter[str] = Counter()

    def step(self) -> None:
        while self.waiting and len(self.going) < AT_ONCE:
            run, created = self.projections.site.submit(self.waiting.pop())
            assert created, run
            self.going.add(run["id"])
            self.runs.append(run["id"])
        for run_id in list(self.going):
            if self.projections.item(run_id).get("status") in ("succeeded", "failed"):
                self.going.remove(run_id)
        for task in self.projections.tasks():
            arn, now = task["taskArn"], time.monotonic()
            if task.get("startedBy") not in self.going or task["lastStatus"] != "RUNNING":
                continue
            if task["capacityProviderName"] != "FARGATE_SPOT" or task["desiredStatus"] != "RUNNING":
                continue
            due = self.fates.setdefault(arn, now + self.random.uniform(0.0, 6.0))
            if now >= due and arn not in self.sent:
                self.sent[arn] += 1
                interrupt(arn, notice_s=5)

    def run(self) -> None:
        deadline = time.monotonic() + CHAOS_DEADLINE_S
        while self.waiting or self.going:
            assert time.monotonic() < deadline, f"{len(self.waiting)} wait, {sorted(self.going)} go on"
            self.step()
            time.sleep(0.3)


def test_a_hundred_interruptions_lose_nothing(
    projections: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = {}
    for county in COUNTIES:
        run = projections.submit(**{**INPUTS, "county": [county], "compute": "onboard", "replicate": 0})
        expected[county] = run["id"]
    chaos = Chaos(projections, seed=20261121)
    began = time.monotonic()
    chaos.run()
    took = time.monotonic() - began
    items = {run_id: projections.item(run_id) for run_id in chaos.runs}
    finished = {run_id: projections.site.run(run_id) for run_id in chaos.runs}
    whole = {county: projections.wait(run_id, "succeeded") for county, run_id in expected.items()}
    counts = Counter(int(item["interruptions"]) for item in items.values())
    total = sum(number * count for number, count in counts.items())
    tasks = Counter(task["startedBy"] for task in projections.tasks())
    with capsys.disabled():
        print(
            f"\n{len(items)} runs, {sum(chaos.sent.values())} interruptions sent, {total} taken, "
            f"in {took:.0f} s; runs by interruptions {dict(sorted(counts.items()))}; "
            f"{sum(tasks[run] for run in items)} tasks"
        )
    assert len(items) == RUNS
    assert {item["status"] for item in items.values()} == {"succeeded"}
    assert {run["status"] for run in finished.values()} == {"succeeded"}
    assert total >= WANTED_INTERRUPTIONS
    for run_id, item in items.items():
        history = list(item["history"])
        # None twice: one success, one attempt after each loss, one task an attempt.
        assert sum(event["status"] == "succeeded" for event in history) == 1, history
        assert interruptions(history) == item["interruptions"] + item.get("losses", 0), history
        assert attempts(history) == list(range(1, int(item["attempt"]) + 1)), history
        assert tasks[run_id] == item["attempt"] == interruptions(history) + 1, history
        assert item["interruptions"] <= MAX_INTERRUPTIONS, history
        if item["interruptions"] == MAX_INTERRUPTIONS:
            assert history[-1]["capacity"] == "FARGATE", "no fallback to on-demand"
        county = finished[run_id]["model_input"]["county"][0]
        assert curves.curves(finished[run_id]["output"]) == curves.curves(whole[county]["output"]), run_id


def test_the_replacement_has_the_same_environment_but_for_its_attempt(projections: Deployed) -> None:
    run = projections.submit(compute="fargate-spot", nDraws=60_000, sim_length=56)
    task = projections.running_task(run["id"])
    projections.wait(run["id"], "running")
    interrupt(task["taskArn"], notice_s=5)
    finished = projections.wait(run["id"], "succeeded")
    assert finished["interruptions"] == 1
    first, second = sorted(projections.tasks(run["id"]), key=lambda found: found["createdAt"])
    environments = [
        {item["name"]: item["value"] for item in found["overrides"]["containerOverrides"][0]["environment"]}
        for found in (first, second)
    ]
    assert [environment.pop("ATTEMPT") for environment in environments] == ["1", "2"]
    assert environments[0] == environments[1]
    assert environments[0]["RUN_ID"] == run["id"]
    assert (first["stopCode"], first["containers"][0]["exitCode"]) == ("SpotInterruption", 75)
    # The second went on where the first was: no block of draws was computed twice.
    done = [
        line["text"] for line in projections.good("logs", run["id"])["lines"] if line["source"] == "model"
    ]
    assert any("resumed" in line for line in done), done


def test_the_sweeper_finds_a_task_that_was_killed_without_any_event(projections: Deployed) -> None:
    run = projections.submit(compute="fargate-spot", nDraws=60_000, sim_length=56)
    task = projections.running_task(run["id"])
    projections.wait(run["id"], "running")
    interrupt(task["taskArn"], silent=True)
    finished = projections.wait(run["id"], "succeeded")
    item = projections.item(run["id"])
    assert (int(item["losses"]), int(item["interruptions"]), int(item["attempt"])) == (1, 0, 2)
    # ECS knows nothing of the lost task any more; the one that took its place is another.
    assert task["taskArn"] not in {found["taskArn"] for found in projections.tasks(run["id"])}
    assert len(projections.tasks(run["id"])) == 1
    assert finished["output"]["nDraws"] == 60_000


def test_a_run_waits_for_spot_capacity(projections: Deployed) -> None:
    assert projections.sandbox("spot", "off").code == 0
    try:
        run = projections.submit(compute="fargate-spot")
        until(
            lambda: any(task["stopCode"] == "TaskFailedToStart" for task in projections.tasks(run["id"])),
            "a task that found no capacity",
        )
        time.sleep(3)
        assert projections.site.run(run["id"])["status"] in ("queued", "interrupted")
    finally:
        assert projections.sandbox("spot", "on").code == 0
    finished = projections.wait(run["id"], "succeeded", deadline_s=DEADLINE_S)
    assert projections.item(finished["id"])["interruptions"] == 0


def test_only_spot_tasks_are_interrupted(projections: Deployed) -> None:
    run = projections.submit(compute="fargate", nDraws=40_000)
    task = projections.running_task(run["id"])
    refused = projections.sandbox("interrupt", task["taskArn"])
    assert refused.code != 0
    assert "FARGATE_SPOT" in refused.output
    assert len(refused.output.strip().splitlines()) == 1, refused.output
    projections.wait(run["id"], "succeeded")
    assert projections.item(run["id"])["attempt"] == 1


@pytest.mark.parametrize("lost", ["task_arn"])
def test_a_dispatcher_that_died_half_way_is_made_good(projections: Deployed, lost: str) -> None:
    """The item is written, the task never started: the sweeper sends the start again."""
    import boto3

    run = projections.submit(compute="fargate-spot")
    projections.wait(run["id"], "succeeded")
    item = projections.item(run["id"])
    table = boto3.resource("dynamodb").Table(projections.outputs["run_table"])
    old = "2026-01-01T00:00:00.000Z"
    broken = {key: value for key, value in item.items() if key != lost}
    table.put_item(Item={**broken, "attempt": 2, "status": "queued", "updated_at": old, "created_at": old})
    until(lambda: projections.item(run["id"])["status"] == "succeeded", "the run to be started again")
    assert projections.item(run["id"])["attempt"] in (2, 3)
