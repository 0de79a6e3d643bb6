"""Runs of a small model through the operator's commands: chatty, failing, overrunning, refused."""

import json
from typing import Any

import boto3
import pytest

from tests.sandbox.conftest import Probes


def keys(bucket: str, prefix: str) -> set[str]:
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", [])}


def text(bucket: str, key: str) -> str:
    body: bytes = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return body.decode()


def test_a_run_passes_what_a_step_returns_to_the_next_and_leaves_its_log(probes: Probes) -> None:
    scenario = probes.scenario("alpha")
    run = probes.ops("alpha", "run", scenario, "--param", "write.outputs/hello=there", "--follow", "--json")
    assert run.code == 0, run.output
    status: dict[str, Any] = json.loads(run.stdout)
    assert status["status"] == "SUCCESS"
    assert [step["status"] for step in status["steps"]] == ["SUCCESS", "SUCCESS"]
    arn = (
        probes.models["alpha"]["state_machine_arn"].replace(":stateMachine:", ":execution:")
        + ":"
        + status["run_id"]
    )
    output = json.loads(boto3.client("stepfunctions").describe_execution(executionArn=arn)["output"])
    assert output["answer"] == 42
    assert output["launcher_arg"]["params"]["write"] == {"outputs/hello": "there"}
    bucket = probes.models["alpha"]["bucket"]
    assert {"logs/probe.txt", "info.json", "outputs/hello", "inputs/params.json"} <= keys(
        bucket, f"{scenario}/"
    )
    assert json.loads(text(bucket, f"{scenario}/info.json"))["model_tag"]
    # The bucket's expiry rule finds logs by this tag.
    tags = boto3.client("s3").get_object_tagging(Bucket=bucket, Key=f"{scenario}/logs/probe.txt")["TagSet"]
    [rule] = [
        rule
        for rule in boto3.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        if "Tag" in rule.get("Filter", {})
    ]
    assert rule["Filter"]["Tag"] in tags
    assert rule["Expiration"]["Days"] == 14


def test_a_notebook_that_prints_five_megabytes_finishes(probes: Probes) -> None:
    scenario = probes.scenario("alpha")
    run = probes.ops("alpha", "run", scenario, "--param", "print_mb=5", "--follow")
    assert run.code == 0, run.output[-2000:]
    log = text(probes.models["alpha"]["bucket"], f"{scenario}/logs/probe.txt")
    assert log.count("x" * 1023) >= 5 * 1024


def test_a_notebook_that_raises_shows_its_traceback(probes: Probes) -> None:
    scenario = probes.scenario("alpha")
    run = probes.ops("alpha", "run", scenario, "--param", "fail=the bridge is out", "--follow")
    assert run.code == 5, run.output
    assert "ValueError: the bridge is out" in run.output
    assert "Traceback" in run.output
    assert "probe.ipynb" in run.output
    assert "partial.txt" in " ".join(keys(probes.models["alpha"]["bucket"], f"{scenario}/outputs/"))


def test_a_notebook_past_its_limit_leaves_log_and_partial_outputs(probes: Probes) -> None:
    scenario = probes.scenario("beta")  # beta's time limit is 20 s
    run = probes.ops("beta", "run", scenario, "--param", "wait_s=120", "--follow")
    assert run.code in (5, 6), run.output
    assert "20" in run.output
    assert "time limit" in run.output or "DeadlineExceeded" in run.output
    bucket = probes.models["beta"]["bucket"]
    assert "waiting" in text(bucket, f"{scenario}/logs/probe.txt")
    assert "written before" in text(bucket, f"{scenario}/outputs/partial.txt")


@pytest.mark.parametrize(("scenario", "why"), [("base", "read-only"), ("nowhere", "nowhere")])
def test_a_run_that_may_not_be_is_refused_in_one_line(probes: Probes, scenario: str, why: str) -> None:
    run = probes.ops("alpha", "run", scenario)
    assert run.code in (3, 4)
    assert why in run.output
    assert len(run.output.strip().splitlines()) == 1, run.output


def test_a_locked_scenario_is_refused_until_it_is_unlocked(probes: Probes) -> None:
    scenario = probes.scenario("alpha")
    assert probes.ops("alpha", "scenario", "lock", scenario).code == 0
    refused = probes.ops("alpha", "run", scenario)
    assert refused.code == 4
    assert "locked" in refused.output
    assert probes.ops("alpha", "scenario", "unlock", scenario).code == 0
    assert probes.ops("alpha", "run", scenario, "--follow").code == 0


def test_a_run_can_be_stopped(probes: Probes) -> None:
    scenario = probes.scenario("alpha")
    started = probes.ops("alpha", "run", scenario, "--param", "wait_s=60", "--no-follow", "--json")
    run_id = json.loads(started.stdout)["run_id"]
    assert json.loads(probes.ops("alpha", "status", run_id, "--json").stdout)["status"] == "RUNNING"
    second = probes.ops("alpha", "run", scenario)
    assert second.code == 4, "two runs at once would overwrite each other's outputs"
    assert probes.ops("alpha", "stop", run_id).code == 0
    assert json.loads(probes.ops("alpha", "status", run_id, "--json").stdout)["status"] in (
        "STOPPED",
        "STOPPING",
    )
