"""Spot capacity that is taken back, tasks that are lost, and tasks whose emulator ends."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import docker
import pytest

from sandbox import paths
from sandbox.aws.control import SandboxError
from sandbox.aws.interruptions import interrupt, spot
from sandbox.images.ensure import ensure
from tests.sandbox import sandbox_aws_support as support
from tests.sandbox.task_support import PATIENT, SPOT, Cluster, make_cluster, remove_cluster


@pytest.fixture(scope="module")
def cluster(sandbox_env: dict[str, str]) -> Iterator[Cluster]:
    made = make_cluster("spot-tests", ensure([support.BASE_IMAGE], print)[support.BASE_IMAGE])
    yield made
    remove_cluster(made)


def command(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *argv], cwd=paths.ROOT, text=True, capture_output=True, timeout=60
    )


def patient(cluster: Cluster, pause: str, provider: str = "FARGATE_SPOT", stop_s: int = 120) -> str:
    """Run a task that says when it is told to end, and ends after a pause; return when it is ready."""
    container = cluster.container("main", PATIENT.replace("PAUSE", pause), stopTimeout=stop_s)
    strategy = [{**SPOT[0], "capacityProvider": provider}]
    arn = cluster.run(cluster.define("patient", container), capacityProviderStrategy=strategy)
    cluster.said(arn, "ready")
    return arn


def containers(arn: str) -> list[str]:
    engine = docker.from_env()
    try:
        found = engine.containers.list(all=True, filters={"label": f"com.amazonaws.ecs.task-arn={arn}"})
        return [container.name for container in found]
    finally:
        engine.close()


def test_an_interruption_is_told_before_the_task_ends(cluster: Cluster) -> None:
    arn = patient(cluster, pause="1.5")
    done = command("interrupt", arn.rsplit("/", 1)[-1], "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"task": arn, "killed_within_s": 12.0, "silent": False}
    task = cluster.task(arn)
    assert (task["desiredStatus"], task["stopCode"]) == ("STOPPED", "SpotInterruption")
    assert (task["launchType"], task["capacityProviderName"]) == ("FARGATE", "FARGATE_SPOT")
    with pytest.raises(SandboxError, match="has stopped or is stopping"):
        interrupt(arn)
    task = cluster.until(arn, "STOPPED")
    assert task["containers"][0]["exitCode"] == 75
    assert cluster.lines(arn)[-1] == "told"

    events = [event["detail"] for event in cluster.events(arn)]
    assert [(one["lastStatus"], one["desiredStatus"]) for one in events][-3:] == [
        ("RUNNING", "STOPPED"), ("DEPROVISIONING", "STOPPED"), ("STOPPED", "STOPPED"),
    ]  # fmt: skip
    for one in events[-3:]:
        assert one["stopCode"] == "SpotInterruption"
        assert one["stoppedReason"] == "Your Spot Task was interrupted."
        assert one["capacityProviderName"] == "FARGATE_SPOT"
    assert events[-1]["containers"][0]["exitCode"] == 75
    assert not containers(arn)


def test_a_task_that_takes_too_long_is_killed(cluster: Cluster) -> None:
    arn = patient(cluster, pause="60", stop_s=60)
    began = time.monotonic()
    # Its stopTimeout is half of AWS's two minutes, so it has half of the notice.
    assert interrupt(arn, notice_s=3)["killed_within_s"] == 1.5
    task = cluster.until(arn, "STOPPED", 10)
    assert 1.5 <= time.monotonic() - began < 8
    assert task["containers"][0]["exitCode"] == 137


def test_only_spot_tasks_are_interrupted(cluster: Cluster) -> None:
    arn = patient(cluster, pause="0", provider="FARGATE")
    done = command("interrupt", arn)
    assert done.returncode == 1
    assert done.stderr == f"error: task {arn} runs on FARGATE; only tasks on FARGATE_SPOT are interrupted\n"
    with pytest.raises(SandboxError, match="there is no task 'nobody'"):
        interrupt("nobody")
    with pytest.raises(SandboxError, match="allowed are 0 to 120 s"):
        interrupt(arn, notice_s=121)
    assert cluster.task(arn)["desiredStatus"] == "RUNNING"


def test_a_lost_task_tells_nobody(cluster: Cluster) -> None:
    arn = patient(cluster, pause="60", provider="FARGATE")
    cluster.events(arn, "RUNNING")
    assert interrupt(arn, silent=True)["silent"]
    answer = boto3.client("ecs").describe_tasks(cluster=cluster.name, tasks=[arn])
    assert answer["failures"] == [{"arn": arn, "reason": "MISSING"}]
    support.until(lambda: not containers(arn), 10)
    assert cluster.lines(arn) == ["ready"]
    # A later task's last event has come: an event of the lost one would have come before.
    other = cluster.run(cluster.define("later", cluster.container("main", "print(1)")))
    cluster.events(other)
    assert [one["detail"]["lastStatus"] for one in cluster.events(arn, "RUNNING")][-1] == "RUNNING"


def test_without_spot_capacity_nothing_starts_there(cluster: Cluster) -> None:
    definition = cluster.define("capacity", cluster.container("main", "print(1)"))
    try:
        assert command("spot", "off").stdout == "Spot capacity: off\n"
        arn = cluster.run(definition, capacityProviderStrategy=SPOT)
        task = cluster.until(arn, "STOPPED")
        assert task["stopCode"] == "TaskFailedToStart"
        assert task["stoppedReason"].startswith("Capacity is unavailable at this time.")
        assert cluster.events(arn)[-1]["detail"]["capacityProviderName"] == "FARGATE_SPOT"
        task, lines = cluster.finished(definition)
        assert (task["stopCode"], lines) == ("EssentialContainerExited", ["1"])
    finally:
        assert spot(True) == {"spot": "on"}
    task, lines = cluster.finished(definition, capacityProviderStrategy=SPOT)
    assert lines == ["1"]


def test_a_task_can_not_interrupt_others(cluster: Cluster) -> None:
    program = """
import os, urllib.error, urllib.request
for path in ('interrupt', 'spot'):
    try:
        urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'] + '/_benchtop/' + path, data=b'{}')
    except urllib.error.HTTPError as error:
        print(error.code)
"""
    definition = cluster.define("curious", cluster.container("main", program))
    assert cluster.finished(definition)[1] == ["403", "403"]


def test_tasks_end_with_their_emulator(tmp_path: Path, sandbox_env: dict[str, str]) -> None:
    """In a sandbox of its own, asked by processes with its environment."""
    env = {**os.environ, "BENCHTOP_SANDBOX": str(tmp_path / "sandbox")}

    def run(*argv: str) -> str:
        done = subprocess.run(
            [sys.executable, *argv], cwd=paths.ROOT, env=env, text=True, capture_output=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    image = ensure([support.BASE_IMAGE], print)[support.BASE_IMAGE]
    try:
        run("-m", "sandbox", "start")
        before = json.loads(run("-c", LIFE, "before", image))
        run("-m", "sandbox", "stop")
        assert not [name for arn in before["arns"] for name in containers(arn)]
        run("-m", "sandbox", "start")
        after = json.loads(run("-c", LIFE, "after", image, *before["arns"]))
        assert after["stopped"] == ["InfrastructureHealth", "InfrastructureHealth"]
        assert after["again"] == before["arns"][0]
        assert after["service"] not in before["arns"]
        assert containers(after["service"])
    finally:
        run("-m", "sandbox", "purge")
    assert not containers(after["service"])


LIFE = """
import json, os, sys
from sandbox import environment
os.environ.update(environment.variables())
import boto3
from tests.sandbox import sandbox_aws_support as support
from tests.sandbox.task_support import SUBNET, Cluster, make_cluster
when, image, *arns = sys.argv[1:]
ecs = boto3.client("ecs")
def service_task():
    def running():
        found = ecs.list_tasks(cluster="life", serviceName="web")["taskArns"]
        return [arn for arn in found if arn not in arns and cluster.task(arn)["lastStatus"] == "RUNNING"]
    return support.until(running)[0]
if when == "before":
    cluster = make_cluster("life", image)
    definition = cluster.define("life", cluster.container("main", "import time; time.sleep(300)"))
    task = cluster.run(definition, clientToken="only-once")
    ecs.create_service(cluster="life", serviceName="web", taskDefinition=definition, desiredCount=1,
                       launchType="FARGATE", networkConfiguration=SUBNET)
    cluster.until(task, "RUNNING")
    print(json.dumps({"arns": [task, service_task()]}))
else:
    cluster = Cluster("life", image, "", "")
    stopped = [cluster.task(arn) for arn in arns]
    assert all(task["lastStatus"] == "STOPPED" and task["stoppedAt"] for task in stopped)
    found = [task["stopCode"] for task in stopped]
    again = cluster.run(stopped[0]["taskDefinitionArn"], clientToken="only-once")
    print(json.dumps({"stopped": found, "again": again, "service": service_task()}))
"""
