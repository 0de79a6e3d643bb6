"""Tasks of ECS live as on Fargate: their roles, secrets, network and bounds, their start and their end."""

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import docker
import pytest

from sandbox.images.ensure import ensure
from tests.sandbox import sandbox_aws_support as support
from tests.sandbox.task_support import (
    ENVIRONMENT,
    PATIENT,
    SUBNET,
    TASKS,
    Cluster,
    make_cluster,
    refused,
    remove_cluster,
    session,
)


@pytest.fixture(scope="module")
def cluster(sandbox_env: dict[str, str]) -> Iterator[Cluster]:
    image = ensure([support.BASE_IMAGE], print)[support.BASE_IMAGE]
    made = make_cluster("task-tests", image)
    yield made
    remove_cluster(made)


def test_a_task_acts_as_its_role(cluster: Cluster) -> None:
    bucket = support.bucket("task-tests-bucket")
    role = support.role("task-tests-role", TASKS, support.allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*"))
    program = ENVIRONMENT + "import time; time.sleep(60)"
    container = cluster.container("main", program, stopTimeout=2)
    arn = cluster.run(cluster.define("acting", container, taskRoleArn=role))
    support.until(lambda: cluster.lines(arn))
    environment = json.loads(cluster.lines(arn)[0])
    assert not [name for name in environment if name.startswith("AWS_CONTAINER")]
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "ca-central-1"
    assert environment["AWS_ENDPOINT_URL"].startswith("http://172.")

    identity = session(environment, "sts").get_caller_identity()["Arn"]
    assert identity == f"arn:aws:sts::000000000000:assumed-role/task-tests-role/{arn.rsplit('/', 1)[-1]}"
    session(environment, "s3").put_object(Bucket=bucket, Key="a", Body=b"")
    refused(lambda: session(environment, "s3").get_object(Bucket=bucket, Key="a"), "AccessDenied")

    definition = boto3.client("ecs").describe_task_definition(taskDefinition="acting")
    shown = json.dumps([cluster.task(arn), definition], default=str)
    assert environment["AWS_SECRET_ACCESS_KEY"] not in shown
    assert environment["AWS_SESSION_TOKEN"] not in shown
    boto3.client("ecs").stop_task(cluster=cluster.name, task=arn)
    cluster.until(arn, "STOPPED", seconds=40)
    refused(session(environment, "sts").get_caller_identity, "InvalidClientTokenId")


def test_a_task_without_a_role_gets_no_credentials(cluster: Cluster) -> None:
    definition = cluster.define("roleless", cluster.container("main", ENVIRONMENT))
    environment = json.loads(cluster.finished(definition)[1][0])
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"} & set(environment)


def test_secrets_are_read_as_the_execution_role(cluster: Cluster) -> None:
    manager = boto3.client("secretsmanager")
    value = json.dumps({"password": "horse staple"})
    secret = manager.create_secret(Name="task-tests/database", SecretString=value)["ARN"]
    named = [{"name": "PASSWORD", "valueFrom": f"{secret}:password::"}]
    container = cluster.container("main", "import os; print(os.environ['PASSWORD'])", secrets=named)
    try:
        role = support.role(
            "task-tests-reader", TASKS,
            support.allow("secretsmanager:GetSecretValue", secret),
            support.allow(["logs:CreateLogStream", "logs:PutLogEvents"], "*"),
        )  # fmt: skip
        task, lines = cluster.finished(cluster.define("secretive", container, executionRoleArn=role))
        assert lines == ["horse staple"]
        assert "horse" not in json.dumps(task, default=str)

        task, _lines = cluster.finished(cluster.define("secretive", container))
        assert (task["stopCode"], task["desiredStatus"]) == ("TaskFailedToStart", "STOPPED")
        assert task["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets")
        assert "not authorized to perform: secretsmanager:GetSecretValue" in task["stoppedReason"]
        assert "exitCode" not in task["containers"][0]
    finally:
        manager.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)


def test_what_keeps_a_task_from_starting_is_said(cluster: Cluster) -> None:
    def reason(container: dict[str, Any], **more: Any) -> str:
        task = cluster.finished(cluster.define("hopeless", container, **more))[0]
        assert task["stopCode"] == "TaskFailedToStart", task
        return str(task["stoppedReason"])

    nowhere = cluster.container("main", "print(1)")
    nowhere["logConfiguration"]["options"]["awslogs-group"] = "/ecs/nowhere"
    free = support.role("task-tests-free", TASKS, support.allow(["logs:*", "ecr:*"], "*"))
    assert "The specified log group does not exist" in reason(nowhere, executionRoleArn=free)
    assert "not authorized to perform: logs:CreateLogStream" in reason(nowhere)
    port = boto3.client("sts").meta.endpoint_url.rsplit(":", 1)[-1]
    missing = cluster.container("main", "print(1)", image=f"127.0.0.1:{port}/nothing@sha256:{'0' * 64}")
    assert "not authorized to perform: ecr:GetAuthorizationToken" in reason(missing)
    assert "CannotPullContainerError" in reason(missing, executionRoleArn=free)
    assert "CannotStartContainerError" in reason(cluster.container("main", "", command=["/no/such/program"]))


def test_containers_of_a_task_share_localhost(cluster: Cluster) -> None:
    serve = "import http.server as h; h.ThreadingHTTPServer(('127.0.0.1', 5000), h.SimpleHTTPRequestHandler)"
    ask = "import urllib.request as u; print(u.urlopen('http://localhost:5000/etc/hostname').status)"
    probe = ["CMD-SHELL", "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 5000))'"]
    check = {"command": probe, "interval": 5, "timeout": 2, "retries": 3}
    server = cluster.container("onboard", f"{serve}.serve_forever()", healthCheck=check, workingDirectory="/")
    client = cluster.container("main", ask, dependsOn=[{"containerName": "onboard", "condition": "HEALTHY"}])
    task, lines = cluster.finished(cluster.define("pair", client, {**server, "stopTimeout": 2}))
    assert lines == ["200"]
    codes = {container["name"]: container["exitCode"] for container in task["containers"]}
    assert codes == {"main": 0, "onboard": 137}
    addresses = {one["networkInterfaces"][0]["privateIpv4Address"] for one in task["containers"]}
    assert len(addresses) == 1


def test_a_containers_definition_holds(cluster: Cluster) -> None:
    program = """
import os, pathlib
print(os.getuid(), os.getcwd(), os.environ['WORD'], os.environ['OTHER'])
for path in ('/tmp/x', '/scratch/x'):
    try:
        pathlib.Path(path).write_text('x'); print('written')
    except OSError as error:
        print(type(error).__name__, error.errno)
"""
    container = cluster.container(
        "main", "", entryPoint=["python3"], command=["-c", "print('not this')"], user="0",
        workingDirectory="/usr/lib", readonlyRootFilesystem=True,
        mountPoints=[{"sourceVolume": "scratch", "containerPath": "/scratch"}],
        environment=[{"name": "WORD", "value": "defined"}, {"name": "OTHER", "value": "kept"}],
    )  # fmt: skip
    definition = cluster.define("defined", container, volumes=[{"name": "scratch"}])
    word = [{"name": "WORD", "value": "given"}]
    override = {"name": "main", "command": ["-c", program], "environment": word}
    task, lines = cluster.finished(definition, overrides={"containerOverrides": [override]})
    assert lines == ["0 /usr/lib given kept", "OSError 30", "written"]
    assert task["overrides"]["containerOverrides"] == [override]
    engine = docker.from_env()
    volumes = engine.volumes.list(filters={"name": task["taskArn"].rsplit("/", 1)[-1]})
    engine.close()
    assert not volumes


def test_memory_is_bounded(cluster: Cluster) -> None:
    hungry = cluster.container("main", "b = b'x' * (700 << 20); print('survived')")
    task, lines = cluster.finished(cluster.define("hungry", hungry))
    container = task["containers"][0]
    assert container["exitCode"] == 137
    assert container["reason"] == "OutOfMemoryError: Container killed due to memory usage"
    assert not lines


def test_logs_are_whole_and_prompt(cluster: Cluster) -> None:
    program = """
import sys, time
sys.stdout.write('first'); sys.stdout.flush(); time.sleep(.3); print(' line', flush=True); time.sleep(1)
for number in range(5000): print('line', number)
sys.stdout.write('last'); sys.stdout.flush(); sys.exit(3)
"""
    arn = cluster.run(cluster.define("talkative", cluster.container("main", program)))
    support.until(lambda: cluster.lines(arn) == ["first line"], 5)
    assert cluster.task(arn)["lastStatus"] == "RUNNING"
    task = cluster.until(arn, "STOPPED")
    assert cluster.lines(arn) == ["first line", *(f"line {number}" for number in range(5000)), "last"]
    assert task["containers"][0]["exitCode"] == 3


def test_a_short_task_takes_a_moment_and_tells_each_change(cluster: Cluster) -> None:
    definition = cluster.define("short", cluster.container("main", "raise SystemExit(7)"))
    began = time.monotonic()
    arn = cluster.run(definition, startedBy="tester", overrides={"containerOverrides": []})
    task = cluster.until(arn, "STOPPED")
    assert time.monotonic() - began < 5  # 0.3 s on an idle machine
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["stoppedReason"] == "Essential container in task exited"

    events = cluster.events(arn)
    states = [(event["detail"]["lastStatus"], event["detail"]["desiredStatus"]) for event in events]
    assert states == [
        ("PROVISIONING", "RUNNING"), ("PENDING", "RUNNING"), ("RUNNING", "RUNNING"), ("RUNNING", "STOPPED"),
        ("DEPROVISIONING", "STOPPED"), ("STOPPED", "STOPPED"),
    ]  # fmt: skip
    assert [event["detail"]["version"] for event in events] == [1, 2, 3, 4, 5, 6]
    last = events[-1]
    assert (last["source"], last["detail-type"]) == ("aws.ecs", "ECS Task State Change")
    detail = last["detail"]
    assert (detail["startedBy"], detail["group"]) == ("tester", "family:short")
    assert (detail["stopCode"], detail["taskArn"]) == ("EssentialContainerExited", arn)
    assert detail["containers"][0]["exitCode"] == 7
    assert detail["overrides"]["containerOverrides"] == [{"name": "main"}]
    assert detail["stoppedAt"].endswith("Z")
    assert "stopCode" not in events[0]["detail"]


def test_an_image_of_the_registry_is_run_by_its_digest(cluster: Cluster) -> None:
    image = support.push(cluster.image, "task-tests-image")
    try:
        pull = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
        role = support.role(
            "task-tests-puller", TASKS,
            support.allow("ecr:GetAuthorizationToken", "*"),
            support.allow(pull, "arn:aws:ecr:ca-central-1:000000000000:repository/task-tests-image"),
            support.allow(["logs:CreateLogStream", "logs:PutLogEvents"], "*"),
        )  # fmt: skip
        container = cluster.container("main", "print('pulled')", image=image)
        task, lines = cluster.finished(cluster.define("pulled", container, executionRoleArn=role))
        assert lines == ["pulled"], task
        assert task["containers"][0]["imageDigest"] == image.partition("@")[2]
    finally:
        support.forget(image)
        boto3.client("ecr").delete_repository(repositoryName="task-tests-image", force=True)


def test_stopping_gives_time_and_then_kills(cluster: Cluster) -> None:
    ecs = boto3.client("ecs")
    quick = cluster.define("quick", cluster.container("main", PATIENT.replace("PAUSE", "0.2")))
    slow = cluster.define("slow", cluster.container("main", PATIENT.replace("PAUSE", "60"), stopTimeout=2))
    arns = [cluster.run(definition) for definition in (quick, slow)]
    for arn in arns:
        cluster.said(arn, "ready")
    began = time.monotonic()
    for arn in arns:
        answer = ecs.stop_task(cluster=cluster.name, task=arn, reason="enough")["task"]
        assert answer["desiredStatus"] == "STOPPED"
        assert answer["lastStatus"] != "STOPPED"
    assert time.monotonic() - began < 2
    for arn, code in zip(arns, (75, 137), strict=True):
        task = cluster.until(arn, "STOPPED")
        assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
        assert task["containers"][0]["exitCode"] == code
        assert cluster.lines(arn)[-1] == "told"
    assert 2 <= time.monotonic() - began < 12


def test_a_service_replaces_its_tasks(cluster: Cluster) -> None:
    ecs = boto3.client("ecs")
    web = cluster.container("main", PATIENT.replace("PAUSE", "0"), stopTimeout=5)
    helper = cluster.container("helper", "print('done')", essential=False)
    ecs.create_service(
        cluster=cluster.name, serviceName="web", taskDefinition=cluster.define("web", web, helper),
        desiredCount=1, launchType="FARGATE", networkConfiguration=SUBNET,
    )  # fmt: skip

    def tasks() -> list[str]:
        found: list[str] = ecs.list_tasks(cluster=cluster.name, serviceName="web")["taskArns"]
        return found

    ecs.get_waiter("services_stable").wait(
        cluster=cluster.name, services=["web"], WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    service = ecs.describe_services(cluster=cluster.name, services=["web"])["services"][0]
    assert service["deployments"][0]["rolloutState"] in ("IN_PROGRESS", "COMPLETED")
    first = tasks()[0]
    support.until(lambda: cluster.task(first)["containers"][1].get("exitCode") == 0)
    assert cluster.task(first)["lastStatus"] == "RUNNING"  # its helper was not essential

    engine = docker.from_env()
    label = f"com.amazonaws.ecs.task-arn={first}"
    running = engine.containers.list(filters={"label": label})
    running[0].kill()
    engine.close()
    assert cluster.until(first, "STOPPED", 5)["containers"][0]["exitCode"] == 137
    second = support.until(lambda: [arn for arn in tasks() if arn != first])[0]
    cluster.until(second, "RUNNING")
    ecs.update_service(cluster=cluster.name, service="web", desiredCount=0)
    task = cluster.until(second, "STOPPED")
    assert task["stopCode"] == "ServiceSchedulerInitiated"
    refused(lambda: ecs.delete_cluster(cluster=cluster.name), "ClusterContainsServicesException")
    ecs.delete_service(cluster=cluster.name, service="web")


def test_bounds_are_the_containers_or_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Docker is told, from units of either kind; no more CPU than the machine has."""
    monkeypatch.setenv("GATEWAY_PORT", "1")
    from sandbox.aws import task_settings

    task = {"cpu": "2 vCPU", "memory": "4 GB"}
    assert task_settings.limits({}, {}, task, cores=8) == {
        "cpu_shares": 2048, "mem_limit": "4096m", "memswap_limit": "4096m", "nano_cpus": 2_000_000_000,
    }  # fmt: skip
    own = task_settings.limits({"cpu": 64, "memory": 128}, {"memory": 256}, task, cores=1)
    assert own == {
        "cpu_shares": 64, "mem_limit": "256m", "memswap_limit": "256m", "nano_cpus": 1_000_000_000,
    }  # fmt: skip


def test_containers_start_after_what_they_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "1")
    from sandbox.aws import task_settings

    def container(name: str, *needs: str) -> dict[str, Any]:
        return {"name": name, "dependsOn": [{"containerName": one, "condition": "START"} for one in needs]}

    three = [container("web", "model", "migrate"), container("migrate", "model"), container("model")]
    assert [one["name"] for one in task_settings.in_order(three)] == ["model", "migrate", "web"]
    with pytest.raises(task_settings.CannotStart, match="circle: a, b"):
        task_settings.in_order([container("a", "b"), container("b", "a")])
