"""The model as a service: real processes, real HTTP."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.projections_model_runs import IMAGE, chosen, data_folder, inputs, module, request

errors, document, simulation, storage = (
    module(name) for name in ("errors", "document", "simulation", "storage")
)


class Service:
    """``python -m projections_model onboard`` on a folder in place of a bucket."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "projections_model", "onboard"]
        command += ["--host", "127.0.0.1", "--port", "0", "--store", str(folder)]
        environment = {**os.environ, "PYTHONPATH": str(IMAGE)}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["address"].rsplit(":", 1)[1])

    def call(self, method: str, path: str, body: Any = None, headers: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        connection.request(method, path, content, headers or {})
        answer = connection.getresponse()
        found = json.loads(answer.read() or b"null")
        connection.close()
        return answer.status, found

    def wait(self, run_id: str) -> Any:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            status, found = self.call("GET", f"/runs/{run_id}")
            assert status == 200
            if found["status"] in ("complete", "failed"):
                return found
            time.sleep(0.05)
        raise AssertionError(f"not done: {found}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return data_folder(tmp_path)


@pytest.fixture
def service(folder: Path) -> Iterator[Service]:
    found = Service(folder)
    yield found
    if found.process.poll() is None:
        found.stop()


def test_a_run_by_http_is_what_the_task_would_compute(service: Service, folder: Path) -> None:
    wanted = request(chosen(nDraws=2000), capacity_provider="ONBOARD")
    status, found = service.call("POST", "/runs", wanted)
    assert (status, found["id"]) == (202, wanted["id"])
    again = service.call("POST", "/runs", wanted)
    assert again[0] == 202
    done = service.wait(wanted["id"])
    assert (done["status"], done["progress"]) == ("complete", 1.0)
    store = storage.FolderStorage(folder)
    of = document.Request.of(wanted)
    alone = simulation.run(of, store, None, simulation.Stop(), simulation.Progress(0))
    assert all(done["output"][name] == alone[name] for name in ("Cumulative", "ICU", "Fatalities"))
    assert json.loads(store.read(of.output)) == done["output"]
    written = (folder / of.output).stat().st_mtime_ns
    assert service.call("POST", "/runs", wanted)[1]["status"] == "complete"
    time.sleep(0.5)
    assert (folder / of.output).stat().st_mtime_ns == written  # the same run, not another one


def test_answers_come_at_once_while_a_run_is_simulated_and_runs_can_be_stopped(service: Service) -> None:
    wanted = request(chosen(nDraws=200_000, sim_length=365))
    queued = request(chosen(nDraws=1000))
    assert service.call("POST", "/runs", wanted)[0] == 202
    assert service.call("POST", "/runs", queued)[0] == 202
    slowest, shares = 0.0, set[float]()
    until = time.monotonic() + 30
    while time.monotonic() < until and len(shares) < 3:
        began = time.monotonic()
        _, found = service.call("GET", f"/runs/{wanted['id']}")
        slowest = max(slowest, time.monotonic() - began)
        shares.add(found["progress"])
        time.sleep(0.05)
    assert len(shares) >= 3
    assert slowest < 1
    assert service.call("GET", "/health")[1] == {"status": "ok", "queued": 1, "running": 1}
    assert service.call("DELETE", f"/runs/{wanted['id']}")[0] == 202
    again = service.call("POST", "/runs", wanted)[1]  # at once: the cancelled one may still be ending
    assert again["status"] == "queued"
    assert service.call("DELETE", f"/runs/{wanted['id']}")[1]["status"] == "failed"
    assert service.wait(wanted["id"])["reason"] == "cancelled"
    assert service.wait(queued["id"])["status"] == "complete"  # the next one goes on


def test_after_a_restart_a_run_goes_on_from_its_checkpoint(service: Service, folder: Path) -> None:
    wanted = request(chosen(nDraws=20_000))
    service.call("POST", "/runs", wanted)
    while service.call("GET", f"/runs/{wanted['id']}")[1]["progress"] == 0:
        time.sleep(0.02)
    assert service.stop() == 0
    assert len(list((folder / "runs" / wanted["id"] / "checkpoints").iterdir())) >= 1
    later = Service(folder)
    try:
        assert later.call("GET", f"/runs/{wanted['id']}")[0] == 404  # the site then posts it again
        assert later.call("POST", "/runs", wanted)[0] == 202
        assert later.wait(wanted["id"])["status"] == "complete"
    finally:
        later.stop()
    third = Service(folder)
    try:
        assert third.call("GET", f"/runs/{wanted['id']}")[1]["output"]["nDraws"] == 20_000
    finally:
        third.stop()


def test_a_run_that_fails_says_why_and_may_be_asked_for_again(service: Service) -> None:
    wanted = request(chosen(county=["Atlantis"]))
    service.call("POST", "/runs", wanted)
    assert service.wait(wanted["id"])["reason"].startswith("county: unknown in Massachusetts")
    assert service.call("POST", "/runs", wanted)[1]["status"] == "queued"
    assert service.wait(wanted["id"])["status"] == "failed"


def test_what_is_wrong_is_said(service: Service) -> None:
    unknown = inputs.run_id("{}")
    assert service.call("GET", f"/runs/{unknown}") == (404, {"detail": "no such run"})
    assert service.call("DELETE", f"/runs/{unknown}")[0] == 404
    assert service.call("GET", "/runs/../../etc/passwd")[0] == 404
    assert service.call("POST", "/other", {})[0] == 404
    status, said = service.call("POST", "/runs", request(chosen()) | {"id": unknown})
    assert (status, "for these inputs" in said["detail"]) == (400, True)
    assert service.call("POST", "/runs", b"{")[0] == 400
    assert service.call("POST", "/runs", b"x" * 70_000)[0] == 413
    assert service.call("POST", "/runs", b"{}", {"Content-Length": "-1"})[0] == 411
    assert service.call("GET", "/health") == (200, {"status": "ok", "queued": 0, "running": 0})


def test_silent_connections_do_not_shut_others_out(service: Service) -> None:
    silent = [socket.create_connection(("127.0.0.1", service.port), timeout=5) for _ in range(20)]
    began = time.monotonic()
    assert service.call("GET", "/health")[0] == 200
    assert time.monotonic() - began < 2
    for connection in silent:
        connection.close()


def test_only_so_many_runs_wait(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = module("queue_of_runs")
    monkeypatch.setattr(runs, "WAITING", 2)
    monkeypatch.setattr(runs.Runs, "_work", lambda self: None)
    waiting = runs.Runs(storage.FolderStorage(folder), folder)
    for draws in (500, 501):
        waiting.submit(document.Request.of(request(chosen(nDraws=draws))), b"")
    with pytest.raises(runs.Full):
        waiting.submit(document.Request.of(request(chosen(nDraws=502))), b"")
    again = waiting.submit(document.Request.of(request(chosen(nDraws=501))), b"")
    assert again["status"] == "queued"
