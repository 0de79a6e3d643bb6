"""The emulator as a process: starting, stopping, crashing, keeping what it holds, and keeping to itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import docker
import pytest

from sandbox import paths
from sandbox.aws.process import start_time
from tests.sandbox import sandbox_aws_support as support


@dataclass
class Sandbox:
    """A sandbox in a folder of its own, driven by its command line."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "BENCHTOP_SANDBOX": str(self.folder)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sandbox", *arguments],
            env=self.env,
            cwd=paths.ROOT,
            text=True,
            capture_output=True,
            timeout=120,
        )

    def do(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return found

    @property
    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "aws" / "settings.json").read_text())
        return found

    @property
    def log(self) -> str:
        return (self.folder / "logs" / "aws.log").read_text()

    def client(self, service: str) -> Any:
        settings = self.settings
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{settings['port']}",
            region_name="ca-central-1",
            aws_access_key_id=settings["access_key_id"],
            aws_secret_access_key=settings["secret_access_key"],
        )


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    made = Sandbox(tmp_path / "sandbox")
    yield made
    made.do("purge")


def bridge() -> list[str]:
    from sandbox.aws.bridge import bridge_addresses

    return list(bridge_addresses())


def test_start_is_idempotent_and_stop_ends_everything(sandbox: Sandbox) -> None:
    assert sandbox.run("status").returncode == 3
    sandbox.do("start")
    first = sandbox.status()
    sandbox.do("start")
    assert sandbox.status()["server_pid"] == first["server_pid"]
    sandbox.do("stop")
    assert sandbox.run("status").returncode == 3
    assert start_time(first["server_pid"]) is None
    assert start_time(first["supervisor_pid"]) is None
    assert "was not running" in sandbox.do("stop")


def test_it_listens_on_loopback_and_the_bridge_only(sandbox: Sandbox) -> None:
    sandbox.do("start")
    port = sandbox.settings["port"]
    assert set(sandbox.status()["listens"]) == {f"{address}:{port}" for address in ["127.0.0.1", *bridge()]}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks which address the machine would use
        outside = probe.getsockname()[0]
    if outside not in ("127.0.0.1", *bridge()):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((outside, port), timeout=3)


def test_containers_reach_it_by_the_name_that_functions_get(sandbox: Sandbox) -> None:
    sandbox.do("start")
    image = support.probe_image()
    client = docker.from_env()
    url = f"http://host.docker.internal:{sandbox.settings['port']}/_ministack/health"
    code = (
        f"import urllib.request, json; print(json.load(urllib.request.urlopen('{url}', timeout=10))['auth'])"
    )
    try:
        said = client.containers.run(
            image, ["python3", "-c", code], remove=True, extra_hosts={"host.docker.internal": "host-gateway"}
        )
    finally:
        client.close()
    assert said.decode().strip() == "enabled"


def test_settings_are_private_and_the_key_random(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.do("env")
    other = Sandbox(tmp_path / "other")
    other.do("env")
    for name in ("access_key_id", "secret_access_key", "instance"):
        assert sandbox.settings[name] != other.settings[name]
    assert (sandbox.folder / "aws" / "settings.json").stat().st_mode & 0o777 == 0o600


def test_state_is_kept_over_stop_and_over_a_kill(sandbox: Sandbox) -> None:
    sandbox.do("start")
    sandbox.client("s3").create_bucket(
        Bucket="kept-bucket", CreateBucketConfiguration={"LocationConstraint": "ca-central-1"}
    )
    sandbox.client("s3").put_object(Bucket="kept-bucket", Key="a/b", Body=b"kept")
    sandbox.do("stop")
    sandbox.do("start")
    assert sandbox.client("s3").get_object(Bucket="kept-bucket", Key="a/b")["Body"].read() == b"kept"
    role = {"Version": "2012-10-17", "Statement": []}
    sandbox.client("iam").create_role(RoleName="kept", AssumeRolePolicyDocument=json.dumps(role))
    sandbox.client("s3").put_bucket_versioning(
        Bucket="kept-bucket", VersioningConfiguration={"Status": "Enabled"}
    )
    sandbox.client("ecr").create_repository(repositoryName="kept/images")
    saved = sandbox.status()["saved"]["last"]
    support.until(lambda: sandbox.status()["saved"]["last"] not in ("", saved), 40)

    pid = sandbox.status()["server_pid"]
    os.kill(pid, signal.SIGKILL)
    support.until(lambda: sandbox.status().get("server_pid") not in (None, pid), 30)
    assert sandbox.status()["restarts"] == 1
    assert "ended with signal SIGKILL" in sandbox.log
    assert sandbox.client("iam").get_role(RoleName="kept")["Role"]["RoleName"] == "kept"
    assert sandbox.client("s3").get_bucket_versioning(Bucket="kept-bucket")["Status"] == "Enabled"
    assert sandbox.client("s3").get_object(Bucket="kept-bucket", Key="a/b")["Body"].read() == b"kept"
    found = sandbox.client("ecr").describe_repositories()["repositories"]
    assert [item["repositoryName"] for item in found] == ["kept/images"]


def test_containers_of_a_killed_server_go_with_the_next(sandbox: Sandbox) -> None:
    sandbox.do("start")
    client = docker.from_env()
    labels = {"ministack": "lambda", "ministack.instance": sandbox.settings["instance"]}
    container = client.containers.run(support.probe_image(), ["sleep", "60"], labels=labels, detach=True)
    try:
        os.kill(sandbox.status()["server_pid"], signal.SIGKILL)
        support.until(lambda: not client.containers.list(all=True, filters={"id": container.id}), 30)
        sandbox.do("stop")
        left = client.containers.run(support.probe_image(), ["sleep", "60"], labels=labels, detach=True)
        sandbox.do("stop")
        assert not client.containers.list(all=True, filters={"id": left.id})
    finally:
        with suppress(docker.errors.NotFound):
            container.remove(force=True)
        client.close()


def test_a_killed_supervisor_leaves_nothing_behind(sandbox: Sandbox) -> None:
    sandbox.do("start")
    first = sandbox.status()
    sandbox.client("sqs").create_queue(QueueName="kept")
    os.kill(first["supervisor_pid"], signal.SIGKILL)
    sandbox.do("start")
    second = sandbox.status()
    assert second["state"] == "running"
    assert second["server_pid"] != first["server_pid"]
    assert second["endpoint"] == first["endpoint"]
    assert start_time(first["server_pid"]) is None
    assert len(sandbox.client("sqs").list_queues()["QueueUrls"]) == 1


def test_a_taken_port_is_changed_for_good_and_said(sandbox: Sandbox) -> None:
    sandbox.do("env")
    port = sandbox.settings["port"]
    with socket.create_server(("127.0.0.1", port)):
        started = sandbox.run("start")
        assert started.returncode == 0, started.stderr
        assert f"port {port} is taken" in started.stderr
        assert len(started.stderr.strip().splitlines()) == 1
        assert sandbox.settings["port"] != port
    sandbox.do("stop")
    changed = sandbox.settings["port"]
    sandbox.do("start")
    assert sandbox.settings["port"] == changed


def test_damaged_settings_are_one_clear_line(sandbox: Sandbox) -> None:
    sandbox.do("env")
    (sandbox.folder / "aws" / "settings.json").write_text("{")
    for command in ("start", "env", "status"):
        done = sandbox.run(command)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert "settings.json" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_process_of_somebody_else_is_never_ended(sandbox: Sandbox) -> None:
    sandbox.do("env")
    with subprocess.Popen(["sleep", "60"]) as stranger:
        record = {"pid": stranger.pid, "started": "1"}
        (sandbox.folder / "aws" / "run.json").write_text(
            json.dumps({"supervisor": record, "server": record, "port": 1})
        )
        assert "was not running" in sandbox.do("stop")
        time.sleep(0.2)
        assert stranger.poll() is None
        stranger.terminate()


def test_two_sandboxes_leave_each_others_containers_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    other = Sandbox(tmp_path / "other")
    sandbox.do("start")
    client = docker.from_env()
    image = support.probe_image()
    made = []
    try:
        for labels in ({"ministack.instance": sandbox.settings["instance"]}, {}):
            made.append(
                client.containers.create(image, ["sleep", "60"], labels={"ministack": "lambda", **labels})
            )
        other.do("start")
        other.do("stop")
        assert [client.containers.get(container.id).status for container in made] == ["created", "created"]
        sandbox.do("stop")
        with pytest.raises(docker.errors.NotFound):
            client.containers.get(made[0].id)
        assert client.containers.get(made[1].id)
    finally:
        for container in client.containers.list(all=True, filters={"label": "ministack=lambda"}):
            if container.id in [one.id for one in made]:
                container.remove(force=True)
        client.close()
        other.do("purge")


def test_administration_is_closed(sandbox: Sandbox) -> None:
    import urllib.error
    import urllib.request

    sandbox.do("start")
    sandbox.client("sqs").create_queue(QueueName="kept")
    for path in ("/_ministack/reset", "/_ministack/config"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(
                f"http://127.0.0.1:{sandbox.settings['port']}{path}", data=b"{}", timeout=10
            )
        assert refused.value.code == 403
    assert len(sandbox.client("sqs").list_queues()["QueueUrls"]) == 1


def test_log_is_turned_over_when_it_is_long(sandbox: Sandbox) -> None:
    logs = sandbox.folder / "logs"
    logs.mkdir(parents=True)
    (logs / "aws.log").write_bytes(b"x" * (10 * 1024 * 1024 + 1))
    sandbox.do("start")
    assert (logs / "aws.log.1").stat().st_size > 10 * 1024 * 1024
    assert "starting the AWS emulator" in sandbox.log
