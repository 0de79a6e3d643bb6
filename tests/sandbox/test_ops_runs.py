"""Runs, logs and outputs through the operators' command line, against a real emulator."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.common.errors import ExitCode
from ops.quetzal.logtail import LogTail
from sandbox import paths
from tests.sandbox import ops_cloud
from tests.sandbox.ops_cloud import Cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with ops_cloud.running(tmp_path_factory.mktemp("ops")) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return ops_cloud.write_scenario(tmp_path / "scenario")


@pytest.fixture
def scenario(cloud: Cloud, folder: Path) -> str:
    return ops_cloud.copy_of_base(cloud, folder)


def test_a_run_is_followed_to_its_end_with_the_lines_of_its_log(cloud: Cloud, scenario: str) -> None:
    cloud.put(f"{scenario}/logs/old.txt", "of an earlier run\n")
    time.sleep(1.1)  # times of objects have whole seconds
    with subprocess.Popen(
        cloud.command("run", scenario, "-p", "general.speed=20", "-p", "name=am"),
        cwd=paths.ROOT,
        env=cloud.env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        deadline = threading.Timer(60, process.kill)
        deadline.start()
        lines = [process.stdout.readline().rstrip("\n")]
        assert lines[0].endswith("import_gtfs started"), process.stderr.read()
        cloud.put(f"{scenario}/logs/import_gtfs.txt", "one\ntwo\n")  # as a runner: once its step is on
        lines += process.stdout.read().splitlines()
        began = process.stderr.read().splitlines()
        deadline.cancel()
    assert process.returncode == 0, began
    assert "  one" in lines
    assert lines.count("  two") == 1
    assert not [line for line in lines if "of an earlier run" in line]
    assert lines[-1].startswith("SUCCESS in ")
    assert "param general.speed = 20" in began
    [run] = cloud.good("runs", "--scenario", scenario)["runs"]
    found = cloud.good("status", run["run_id"])
    assert found["params"] == {"general": {"speed": 20}, "name": "am"}
    assert found["status"] == "SUCCESS"
    assert {step["name"] for step in found["steps"]} >= {"import_gtfs", "good"}


@pytest.mark.parametrize(
    ("choice", "code", "said"),
    [
        ("bad", ExitCode.RUN_FAILED, "ValueError: no stops"),
        ("late", ExitCode.RUN_STOPPED, "stopped after 20 s"),
    ],
)
def test_a_failed_run_shows_why_and_exits_accordingly(
    cloud: Cloud, scenario: str, choice: str, code: ExitCode, said: str
) -> None:
    ran = cloud.ops("run", scenario, "--choice", choice)
    assert ran.code == code
    assert said in ran.stdout
    document = cloud.ops("run", scenario, "--choice", choice, "--json")
    assert document.code == code
    assert said in document.document["error"]["message"]
    shown = cloud.ops("status", scenario)
    assert shown.code == 0
    assert said in shown.stdout
    listed = {row["scenario"]: row for row in cloud.good("scenario", "list")["scenarios"]}
    assert listed[scenario]["last_run_status"] == "FAILED"


def test_ctrl_c_leaves_the_run_going_and_stop_ends_it(cloud: Cloud, scenario: str) -> None:
    with subprocess.Popen(
        cloud.command("run", scenario, "--choice", "long"),
        cwd=paths.ROOT,
        env=cloud.env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        started = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert "has started" in started
    assert process.returncode == ExitCode.INTERRUPTED
    assert "goes on" in stderr
    run = cloud.good("status", scenario)
    assert run["status"] == "RUNNING"
    assert run["run_id"] in stderr
    again = cloud.ops("run", scenario)
    assert again.code == ExitCode.REFUSED
    assert run["run_id"] in again.stderr
    assert cloud.good("stop", run["run_id"])["status"] == "STOPPING"
    assert cloud.good("status", run["run_id"])["status"] == "STOPPED"
    assert cloud.ops("stop", run["run_id"]).code == ExitCode.REFUSED
    assert cloud.ops("logs", run["run_id"], "--follow").code == ExitCode.RUN_STOPPED


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["run", "base"], ExitCode.REFUSED),
        (["run", "nowhere"], ExitCode.NOT_FOUND),
        (["run", "a/b"], ExitCode.USAGE),
        (["run", "nowhere", "-p", "x"], ExitCode.USAGE),
        (["status", "t_20260102T030405Z_0a1b2c"], ExitCode.NOT_FOUND),
        (["logs", "nowhere"], ExitCode.NOT_FOUND),
        (["outputs", "nowhere"], ExitCode.NOT_FOUND),
        (["runs", "--model", "nope"], ExitCode.NOT_FOUND),
        (["runs", "--unknown"], ExitCode.USAGE),
    ],
)
def test_what_cannot_be_is_one_line_and_its_exit_code(cloud: Cloud, argv: list[str], code: ExitCode) -> None:
    ran = cloud.ops(*argv)
    assert ran.code == code, ran.stderr
    assert ran.stdout == ""
    if "--unknown" not in argv:
        assert len(ran.stderr.strip().splitlines()) == 1, ran.stderr
        assert cloud.ops(*argv, "--json").document["error"]["exit_code"] == code


def test_logs_by_step_and_of_older_runs(cloud: Cloud, scenario: str) -> None:
    first = cloud.good("run", scenario)["run_id"]
    run = cloud.client("stepfunctions").describe_execution(
        executionArn=json.loads(cloud.outputs.read_text())["models"]["transit"]["state_machine_arn"].replace(
            ":stateMachine:", ":execution:"
        )
        + f":{first}"
    )
    logs = cloud.client("logs")
    logs.create_log_stream(logGroupName="/aws/lambda/transit", logStreamName=first)
    moment = int(run["startDate"].timestamp() * 1000) + 200
    logs.put_log_events(
        logGroupName="/aws/lambda/transit",
        logStreamName=first,
        logEvents=[{"timestamp": moment, "message": "a line of the first run"}],
    )
    time.sleep(1.1)
    cloud.good("run", scenario)
    cloud.put(f"{scenario}/logs/import_gtfs.txt", "a line of the second run\nunfinished")
    assert cloud.good("logs", scenario)["logs"] == {"import_gtfs": ["a line of the second run", "unfinished"]}
    old = cloud.good("logs", first)
    assert [event["line"] for event in old["events"]] == ["a line of the first run"]
    unknown = cloud.ops("logs", scenario, "--step", "nope")
    assert unknown.code == ExitCode.NOT_FOUND


def test_a_log_that_is_rewritten_while_it_is_read(cloud: Cloud, scenario: str) -> None:
    tail = LogTail(cloud.client("s3"), cloud.bucket, scenario)

    def poll(last: bool = False) -> list[str]:
        return [line for _, line in tail.poll(last)]

    key = f"{scenario}/logs/step.txt"
    cloud.put(key, "ärger\nhal")
    assert poll() == ["ärger"]
    cloud.put(key, "ärger\nhalf\nthree\n")
    assert poll() == ["half", "three"]
    assert poll() == []
    cloud.put(key, "again from the start, and longer than before\nnext\n")
    assert poll() == ["again from the start, and longer than before", "next"]
    cloud.put(key, "short")
    assert poll() == []
    assert poll(last=True) == ["short"]


def test_outputs_are_fetched_with_indicators_and_map(cloud: Cloud, scenario: str, tmp_path: Path) -> None:
    assert "no outputs" in cloud.ops("outputs", scenario).stderr
    cloud.put(
        f"{scenario}/outputs/indicators.json",
        json.dumps({"stops": 812, "speed": {"value": 21.4567, "unit": "km/h"}}),
    )
    cloud.put(f"{scenario}/outputs/map.png", "png")
    cloud.put(f"{scenario}/outputs/deep/links.geojson", "{}")
    ran = cloud.ops("outputs", scenario, "--to", str(tmp_path / "o"))
    assert ran.code == 0, ran.stderr
    assert "speed      21.46  km/h" in ran.stdout
    assert f"map  {tmp_path / 'o' / 'map.png'}" in ran.stdout
    assert (tmp_path / "o" / "deep" / "links.geojson").read_text() == "{}"
    document = cloud.good("outputs", scenario, "--to", str(tmp_path / "o"))
    assert document["indicators"]["stops"] == 812
    assert document["maps"] == [str(tmp_path / "o" / "map.png")]
