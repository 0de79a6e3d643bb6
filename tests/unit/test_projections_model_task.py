"""One attempt of a run: the table decides who may do what; the site hears of it by a fresh token each."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.unit.projections_model_runs import RunTable, chosen, data_folder, module, request

errors, simulation, storage, task = (module(name) for name in ("errors", "simulation", "storage", "task"))
webhook = module("webhook")
KEY = "k" * 40


class Site:
    """A real HTTP server in the site's place; answers ``answers`` in turn, the last one for ever."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.answers = [200]
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                token = self.headers["Authorization"].removeprefix("Bearer ")
                claims = jwt.decode(token, KEY, algorithms=["HS256"], audience="projections-webhook")
                site.calls.append((self.path, claims, body))
                status = site.answers.pop(0) if len(site.answers) > 1 else site.answers[0]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"http://127.0.0.1:{site.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/covid/api/simulations/x/webhook/"


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Any:
    return storage.FolderStorage(data_folder(tmp_path))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "FINAL_WAITS_S", (0.01, 0.02))


def settings(run_id: str, **fields: Any) -> Any:
    known = {
        "run_id": run_id,
        "attempt": 1,
        "request_key": f"requests/{run_id}.json",
        "capacity": "FARGATE",
        "bucket": "b",
        "table": "t",
        "checkpoint_s": 60.0,
        "heartbeat_s": 0.05,
        "signing_key": KEY,
    }
    return task.Settings(**known | fields)


def item(status: str = "queued", attempt: int = 1) -> dict[str, Any]:
    return {"status": {"S": status}, "attempt": {"N": str(attempt)}}


def ask(store: Any, inputs: Any = None, **fields: Any) -> str:
    """Put a request into the storage; its run id."""
    wanted = request(inputs or chosen(), **fields)
    store.write(f"requests/{wanted['id']}.json", json.dumps(wanted).encode())
    return str(wanted["id"])


def output(store: Any, run_id: str) -> Any:
    content = store.read(f"runs/{run_id}/output.json")
    return None if content is None else json.loads(content)


def statuses(table: RunTable) -> list[str]:
    assert table.item is not None
    return [note["M"]["status"]["S"] for note in table.item["history"]["L"]]


def test_a_run_goes_from_queued_to_succeeded_and_the_site_hears_of_it(store: Any, site: Site) -> None:
    run_id = ask(store, chosen(nDraws=4000), webhook_url=site.url, progress_delay=0.05)
    table = RunTable(**item())
    assert task.attempt(settings(run_id), store, table, simulation.Stop()) == 0
    assert statuses(table) == ["running", "succeeded"]
    assert table.item is not None
    assert (table.item["status"], table.item["progress"]) == ({"S": "succeeded"}, {"N": "1"})
    assert table.item["heartbeat_at"]["S"].endswith("Z")
    assert output(store, run_id)["status"] == "complete"
    progress = json.loads(store.read(f"runs/{run_id}/progress.json"))
    assert (progress["progress"], progress["draws_done"], progress["capacity"]) == (1.0, 4000, "FARGATE")
    assert store.list(f"runs/{run_id}/checkpoints/") == []
    kinds = [body["status"] for _, _, body in site.calls]
    assert kinds[-1] == "complete"
    assert kinds.count("running") >= 2
    shares = [body["progress"] for _, _, body in site.calls]
    assert shares == sorted(shares)
    assert site.calls[-1][2]["output"] == output(store, run_id)


def test_each_token_is_for_this_run_and_lives_five_minutes(store: Any, site: Site) -> None:
    run_id = ask(store, webhook_url=site.url)
    task.attempt(settings(run_id, attempt=3), store, RunTable(**item(attempt=3)), simulation.Stop())
    ((path, claims, body),) = site.calls  # progress_delay 0: only when done
    assert path == "/covid/api/simulations/x/webhook/"
    assert (claims["iss"], claims["sub"]) == ("projections-model", run_id)
    assert claims["exp"] - claims["iat"] == 300
    assert abs(claims["iat"] - time.time()) < 30
    assert (body["status"], body["attempt"]) == ("complete", 3)


def test_spot_tells_the_site_only_the_end(store: Any, site: Site) -> None:
    run_id = ask(store, chosen(nDraws=2000), webhook_url=site.url, progress_delay=0.01)
    task.attempt(settings(run_id, capacity="FARGATE_SPOT"), store, RunTable(**item()), simulation.Stop())
    assert [body["status"] for _, _, body in site.calls] == ["complete"]


@pytest.mark.parametrize(
    ("answers", "calls"), [([500, 503, 200], 3), ([500], 3), ([403], 1), ([409], 1), ([302], 3)]
)
def test_a_site_that_does_not_answer_well_does_not_fail_the_run(
    store: Any, site: Site, answers: list[int], calls: int
) -> None:
    site.answers = answers
    run_id = ask(store, webhook_url=site.url)
    table = RunTable(**item())
    assert task.attempt(settings(run_id), store, table, simulation.Stop()) == 0
    assert statuses(table)[-1] == "succeeded"
    assert len(site.calls) == calls
    assert {path for path, _, _ in site.calls} == {
        "/covid/api/simulations/x/webhook/"
    }  # no redirect followed


def test_a_site_that_is_gone_does_not_fail_the_run(store: Any) -> None:
    run_id = ask(store, webhook_url="http://127.0.0.1:9/webhook/")
    assert task.attempt(settings(run_id), store, RunTable(**item()), simulation.Stop()) == 0


@pytest.mark.parametrize(
    "there",
    [
        item("succeeded"),
        item("failed"),
        item("interrupted"),
        item("queued", attempt=2),
        item("running", attempt=2),
    ],
)
def test_an_attempt_that_is_over_or_superseded_does_nothing(store: Any, there: dict[str, Any]) -> None:
    run_id = ask(store)
    table = RunTable(**there)
    with pytest.raises(errors.Superseded):
        task.attempt(settings(run_id), store, table, simulation.Stop())
    assert table.item == there
    assert output(store, run_id) is None


def test_an_old_attempt_stops_at_its_next_heartbeat_and_writes_no_result(store: Any) -> None:
    run_id = ask(store, chosen(nDraws=200_000, sim_length=60))
    table = RunTable(**item())

    def replace() -> None:
        while table.item is not None and table.item["status"] != {"S": "running"}:
            time.sleep(0.01)
        table.item = item("queued", attempt=2)

    threading.Thread(target=replace, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(errors.Superseded):
        task.attempt(settings(run_id), store, table, simulation.Stop())
    assert time.monotonic() - began < 8
    assert table.item == item("queued", attempt=2)
    assert output(store, run_id) is None


def test_an_interrupted_attempt_leaves_the_table_to_the_event(store: Any) -> None:
    run_id = ask(store, chosen(nDraws=200_000))
    table, stop = RunTable(**item()), simulation.Stop()
    threading.Timer(1.0, stop.ask, (errors.Interrupted,)).start()
    with pytest.raises(errors.Interrupted):
        task.attempt(settings(run_id, capacity="FARGATE_SPOT"), store, table, stop)
    assert statuses(table) == ["running"]
    assert len(store.list(f"runs/{run_id}/checkpoints/")) >= 1


def test_a_failure_is_reported_in_one_line(
    store: Any, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = ask(store, chosen(county=["Atlantis"]), webhook_url=site.url)
    table = RunTable(**item())
    assert task.attempt(settings(run_id), store, table, simulation.Stop()) == 1
    assert table.item is not None
    reason = table.item["reason"]["S"]
    assert reason.startswith("county: unknown in Massachusetts: 'Atlantis', allowed are Barnstable")
    assert table.item["history"]["L"][-1]["M"]["reason"]["S"] == reason
    assert statuses(table) == ["running", "failed"]
    assert site.calls[-1][2]["reason"] == reason
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "run failed" in [line["event"] for line in lines]
    assert KEY not in json.dumps(lines)


def test_a_request_of_another_run_is_refused(store: Any) -> None:
    other = ask(store, chosen(nDraws=600))
    run_id = chosen().run_id()
    table = RunTable(**item())
    wrong = settings(run_id, request_key=f"requests/{other}.json")
    assert task.attempt(wrong, store, table, simulation.Stop()) == 1
    assert table.item is not None
    assert table.item["reason"]["S"].endswith(f"is of run {other}, not of {run_id}")


def test_trouble_on_the_way_to_the_cloud_is_left_to_the_sweep(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = ask(store)
    table = RunTable(**item())

    def away(key: str) -> bytes:
        raise EndpointConnectionError(endpoint_url="https://s3")

    monkeypatch.setattr(store, "read", away)
    with pytest.raises(EndpointConnectionError):
        task.attempt(settings(run_id), store, table, simulation.Stop())
    assert statuses(table) == ["running"]
    busy = ClientError(
        {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "PutObject"
    )
    denied = ClientError(
        {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "x"
    )
    assert storage.is_transient(busy)
    assert not storage.is_transient(denied)


def test_all_missing_settings_are_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert task.main({"RUN_ID": "x", "ATTEMPT": "1"}, simulation.Stop()) == 1
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["reason"] == "REQUEST_KEY, CAPACITY, BUCKET_NAME, RUN_TABLE must be set"
    assert (said["run_id"], said["attempt"]) == ("x", "1")
