"""An engine killed in the middle of ``up``: the next one adopts what was made, and makes nothing twice."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

import pytest

from tests.sandbox.aws_provider_project import Project, client


class Holder:
    """A door to the emulator that keeps back the answer to one call, though the call is made."""

    def __init__(self, upstream: str, call: bytes) -> None:
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.call = call
        self.held, self.let_go = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.upstream)
            hold = threading.Event()
            threading.Thread(target=self._forward, args=(near, far, hold), daemon=True).start()
            threading.Thread(target=self._answer, args=(far, near, hold), daemon=True).start()

    def _forward(self, near: socket.socket, far: socket.socket, hold: threading.Event) -> None:
        for data in _received(near):
            if self.call in data and not self.held.is_set():
                hold.set()
            far.sendall(data)
        far.close()

    def _answer(self, far: socket.socket, near: socket.socket, hold: threading.Event) -> None:
        for data in _received(far):
            if hold.is_set() and not self.held.is_set():
                self.held.set()
                self.let_go.wait(60)
            try:
                near.sendall(data)
            except OSError:
                return


def _received(source: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            data = source.recv(65536)
        except OSError:
            return
        if not data:
            return
        yield data


@contextmanager
def holding(upstream: str, call: bytes) -> Iterator[Holder]:
    door = Holder(upstream, call)
    try:
        yield door
    finally:
        door.let_go.set()
        door.listener.close()


PROGRAM = """
trust = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
api = aws.apigatewayv2.Api("LABEL-api", protocol_type="HTTP", description="runs")
route = aws.apigatewayv2.Route("LABEL-route", api_id=api.id, route_key="GET /kept")
role = aws.iam.Role("LABEL-role", assume_role_policy=trust, tags={"team": "transit"})
pool = aws.cognito.UserPool("LABEL-pool")
bucket = aws.s3.Bucket("LABEL-bucket")
"""
COUNT = 5


def held_now(label: str) -> dict[str, int]:
    """How many of the program's resources the emulator has, by kind."""
    apis = [api for api in client("apigatewayv2").get_apis()["Items"] if api["Name"].startswith(f"{label}-")]
    routes = [
        route for api in apis for route in client("apigatewayv2").get_routes(ApiId=api["ApiId"])["Items"]
    ]
    pools = client("cognito-idp").list_user_pools(MaxResults=60)["UserPools"]
    return {
        "api": len(apis),
        "route": len(routes),
        "role": sum(role["RoleName"].startswith(f"{label}-") for role in client("iam").list_roles()["Roles"]),
        "pool": sum(pool["Name"].startswith(f"{label}-") for pool in pools),
        "bucket": sum(
            bucket["Name"].startswith(f"{label}-") for bucket in client("s3").list_buckets()["Buckets"]
        ),
    }


@pytest.mark.parametrize(
    ("call", "with_provider"),
    [
        (b"Action=CreateRole&", True),
        (b"POST /v2/apis HTTP", True),
        (b"POST /v2/apis HTTP", False),
        (b"PUT /LABEL-bucket", True),
    ],
    ids=["named", "made-up id", "made-up id, provider lives on", "bucket"],
)
def test_the_next_up_adopts_what_the_killed_one_made(
    call: bytes, with_provider: bool, sandbox_env: dict[str, str], tmp_path: Path
) -> None:
    label = f"kept{token_hex(3)}"
    project = Project(tmp_path / "killed", sandbox_env)
    project.program(PROGRAM.replace("LABEL", label))
    with holding(sandbox_env["AWS_ENDPOINT_URL"], call.replace(b"LABEL", label.encode())) as door:
        engine = project.start("up", "--yes", "--skip-preview", env={"AWS_ENDPOINT_URL": door.url})
        assert door.held.wait(60), "the call was never made"
        if with_provider:
            os.killpg(engine.pid, signal.SIGKILL)  # the session: engine, program and providers
        else:
            engine.kill()
        engine.wait(10)
        door.let_go.set()
        time.sleep(2.5)  # a provider that lives on ends itself within a second of its last answer
    project.run("cancel", "--yes")  # the killed engine's lock
    project.run("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
    project.changes("up")
    assert held_now(label) == dict.fromkeys(("api", "route", "role", "pool", "bucket"), 1)
    assert project.changes("up") == {"same": COUNT}
    assert json.loads(project.state())["deployment"].get("pending_operations") in (None, [])
    assert project.changes("destroy") == {"delete": COUNT}
    assert set(held_now(label).values()) == {0}


def test_a_name_that_somebody_else_has_is_not_adopted(sandbox_env: dict[str, str], tmp_path: Path) -> None:
    project = Project(tmp_path / "other", sandbox_env)
    client("logs").create_log_group(logGroupName="/somebody/else")
    project.program('aws.cloudwatch.LogGroup("log", name="/somebody/else")\n')
    output = project.run("up", "--yes", "--skip-preview", fails=True)
    assert "logs CreateLogGroup refused (ResourceAlreadyExistsException)" in output
    client("logs").delete_log_group(logGroupName="/somebody/else")
