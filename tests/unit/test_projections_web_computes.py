"""The computes: what the site asks of AWS and of the onboard service, and what it makes of their answers."""

import importlib
import json
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.unit import projections_people as people
from tests.unit import projections_site
from tests.unit.projections_aws import Aws, item_of

models = importlib.import_module("covid.models")
errors = importlib.import_module("covid.errors")
runner = importlib.import_module("covid.runner")
cloud = importlib.import_module("covid.runner.cloud")
fargate = importlib.import_module("covid.runner.fargate")
onboard = importlib.import_module("covid.runner.onboard")
document = importlib.import_module("covid.runner.document")
ModelInput = importlib.import_module("projections_inputs").ModelInput

SITE = "https://projections.example.org"


def run_of(compute: str = "fargate", **changes: Any) -> Any:
    """A run as the database would give it; nothing is saved."""
    inputs = ModelInput.model_validate({**people.INPUTS, "data_hash": people.HASH})
    created = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)
    return models.SimulationRun(
        id=uuid.UUID(inputs.run_id()), input_hash=inputs.input_hash(), model_input=inputs.as_dict(),
        state="Vermont", compute=compute, created_at=created, **changes,
    )  # fmt: skip


@pytest.fixture
def aws() -> Aws:
    return Aws()


def compute_on(aws: Aws) -> Any:
    names = {
        "bucket": "bucket",
        "table": "runs",
        "restart_queue_url": "http://q/1/restart",
        "cluster_arn": "arn:c",
    }
    return fargate.Fargate(cloud.Cloud(**aws.clients(), **names), SITE)


def put(aws: Aws, run: Any, status: str, **changes: Any) -> None:
    aws.items[str(run.pk)] = item_of(run, status, **changes)


# --- Fargate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("compute", "delay"), [("fargate", 2), ("fargate-spot", 0), ("onboard", 0)])
def test_the_request_document_has_all_a_run_needs_and_no_secret(compute: str, delay: int) -> None:
    run = run_of(compute)
    made = document.request_document(run, SITE)
    assert made == {
        "id": str(run.pk),
        "timestamp": "2026-11-21T13:00:00.000Z",
        "model_input": run.model_input,
        "replicate": 0,
        "model_output": f"runs/{run.pk}/output.json",
        "capacity_provider": {"fargate": "FARGATE", "fargate-spot": "FARGATE_SPOT", "onboard": "ONBOARD"}[
            compute
        ],
        "webhook_url": f"{SITE}/covid/api/simulations/{run.pk}/webhook/",
        "progress_delay": delay,
        "data": {
            "confirmed": f"hashes/{people.HASH}/confirmed.csv",
            "deaths": f"hashes/{people.HASH}/deaths.csv",
        },
    }
    assert not [
        value for key, value in projections_site.ENVIRONMENT.items() if "KEY" in key and value in str(made)
    ]


def test_start_puts_the_request_once_and_never_overwrites_it(aws: Aws) -> None:
    compute, run = compute_on(aws), run_of()
    compute.start(run)
    first = dict(aws.objects)
    assert list(first) == [f"requests/{run.pk}.json"]
    assert json.loads(first[f"requests/{run.pk}.json"]) == document.request_document(run, SITE)
    run.compute = "fargate-spot"  # whatever the second request would say
    compute.start(run)
    assert aws.objects == first


def test_a_request_that_led_to_nothing_is_put_again_when_it_is_overdue(aws: Aws) -> None:
    compute, run = compute_on(aws), run_of()
    compute.start(run)
    run.started_at = datetime.now(UTC) - timedelta(seconds=60)
    assert compute.look(run).lost is False
    run.started_at -= timedelta(seconds=fargate.DISPATCH_S)
    assert compute.look(run).lost is True
    puts = aws.calls.count("PutObject")
    compute.start(run)
    assert aws.calls.count("PutObject") == puts + 2  # the conditional one, refused, and the one that counts
    put(aws, run, "queued")
    assert compute.look(run).lost is False
    compute.start(run)
    assert aws.calls.count("PutObject") == puts + 3


@pytest.mark.parametrize("service", ["s3", "dynamodb", "sqs"])
def test_a_service_that_is_down_is_one_line_without_its_names(aws: Aws, service: str) -> None:
    compute, run = compute_on(aws), run_of()
    put(aws, run, "failed")
    aws.down.add(service)
    with pytest.raises(errors.Unavailable) as caught:
        (compute.look if service == "dynamodb" else compute.retry)(run)
    assert "503" in caught.value.message
    assert "127.0.0.1" not in caught.value.message


def test_look_reads_the_table_then_what_the_status_needs(aws: Aws) -> None:
    compute, run = compute_on(aws), run_of()
    assert compute.look(run) == runner.Seen(status="queued")
    aws.objects[f"runs/{run.pk}/progress.json"] = b'{"progress": 0.75}'
    put(aws, run, "running", progress={"N": "0.5"}, attempt={"N": "3"}, interruptions={"N": "2"})
    seen = compute.look(run)
    assert (seen.status, seen.progress, seen.attempt, seen.interruptions) == ("running", 0.75, 3, 2)
    assert seen.history == [{"at": "t", "status": "queued", "attempt": 1}]
    put(aws, run, "interrupted", reason={"S": "Spot"}, progress={"N": "0.5"}, task_arn={"NULL": True})
    seen = compute.look(run)
    assert (seen.status, seen.progress, seen.reason) == ("interrupted", 0.5, "Spot")


def test_a_run_has_succeeded_only_with_its_output(aws: Aws) -> None:
    compute, run = compute_on(aws), run_of()
    put(aws, run, "succeeded", reason={"S": "of an earlier attempt"})
    with pytest.raises(errors.Unavailable, match=r"output\.json"):
        compute.look(run)
    aws.objects[f"runs/{run.pk}/output.json"] = json.dumps(people.output_document()).encode()
    seen = compute.look(run)
    assert (seen.output, seen.reason) == (people.output_document(), "")


@pytest.mark.parametrize("content", [b"not JSON", b"[1]", b'{"a": "' + b"x" * 2000 + b'"}'])
def test_an_output_that_is_none_is_not_taken(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(fargate, "MAX_OUTPUT", 1000)
    compute, run = compute_on(aws), run_of()
    put(aws, run, "succeeded")
    aws.objects[f"runs/{run.pk}/output.json"] = content
    with pytest.raises(errors.Unavailable, match="no JSON object"):
        compute.look(run)


def test_cancel_writes_the_table_before_it_stops_the_task(aws: Aws) -> None:
    compute, run = compute_on(aws), run_of()
    put(aws, run, "running", attempt={"N": "2"}, task_arn={"S": "arn:task"})
    seen = compute.cancel(run, "cancelled by ada")
    item = aws.items[str(run.pk)]
    assert (item["status"], item["reason"]) == ({"S": "failed"}, {"S": "cancelled by ada"})
    assert item["history"]["L"][-1]["M"]["attempt"] == {"N": "2"}
    assert aws.stopped == [("arn:task", "cancelled by ada")]
    assert aws.calls.index("UpdateItem") < aws.calls.index("StopTask")
    assert (seen.status, seen.attempt, seen.history[-1]["reason"]) == ("failed", 2, "cancelled by ada")


def test_cancel_before_the_dispatch_leaves_an_item_that_the_dispatcher_respects(aws: Aws) -> None:
    compute, run = compute_on(aws), run_of("fargate-spot")
    assert compute.cancel(run, "cancelled by ada").attempt == 1
    item = aws.items[str(run.pk)]
    assert item["status"] == {"S": "failed"}
    for name in ("attempt", "interruptions", "losses", "expires_at"):
        assert "N" in item[name]
    for name in ("capacity", "requested_capacity"):
        assert item[name] == {"S": "FARGATE_SPOT"}
    assert item["request_key"] == {"S": f"requests/{run.pk}.json"}
    assert item["output_key"] == {"S": f"runs/{run.pk}/output.json"}
    assert aws.stopped == []


def test_cancel_that_races_with_the_next_attempt_stops_that_one(aws: Aws) -> None:
    compute, run = compute_on(aws), run_of()
    put(aws, run, "interrupted")

    def resumed() -> None:
        put(aws, run, "running", attempt={"N": "2"}, task_arn={"S": "arn:second"})

    aws.before_update = resumed
    assert compute.cancel(run, "cancelled").attempt == 2
    assert [task for task, _ in aws.stopped] == ["arn:second"]


def test_cancel_that_races_with_the_end_tells_the_end(aws: Aws) -> None:
    compute, run = compute_on(aws), run_of()
    put(aws, run, "running", task_arn={"S": "arn:task"})
    aws.objects[f"runs/{run.pk}/output.json"] = json.dumps(people.output_document()).encode()
    aws.before_update = lambda: put(aws, run, "succeeded")
    seen = compute.cancel(run, "cancelled")
    assert (seen.status, seen.output) == ("succeeded", people.output_document())
    assert aws.stopped == []


def test_a_task_that_cannot_be_stopped_is_cancelled_all_the_same(aws: Aws) -> None:
    compute, run = compute_on(aws), run_of()
    put(aws, run, "running", task_arn={"S": "arn:gone"})
    aws.down.add("ecs")
    assert compute.cancel(run, "cancelled").status == "failed"
    assert aws.items[str(run.pk)]["status"] == {"S": "failed"}


def test_retry_asks_for_the_attempt_after_the_failed_one(aws: Aws) -> None:
    compute, run = compute_on(aws), run_of()
    put(aws, run, "failed", attempt={"N": "4"})
    assert compute.retry(run) == 4
    assert aws.messages == [{"run_id": str(run.pk), "attempt": 4, "retry": True}]
    assert aws.items[str(run.pk)]["status"] == {"S": "failed"}  # the resume function changes it


def test_retry_of_a_run_that_was_never_dispatched_is_a_start(aws: Aws) -> None:
    compute, run = compute_on(aws), run_of()
    assert compute.retry(run) == 0
    assert list(aws.objects) == [f"requests/{run.pk}.json"]
    assert aws.messages == []


def test_retry_of_a_run_that_goes_on_sends_nothing(aws: Aws) -> None:
    compute, run = compute_on(aws), run_of()
    put(aws, run, "running", attempt={"N": "3"})
    assert compute.retry(run) == 2
    put(aws, run, "succeeded")
    with pytest.raises(errors.Conflict):
        compute.retry(run)
    assert aws.messages == []


def test_a_site_without_a_bucket_has_the_onboard_compute_only() -> None:
    made = cloud.from_settings()
    with pytest.raises(errors.Unavailable, match="BUCKET_NAME"):
        made.start(run_of())
    with pytest.raises(errors.Unavailable, match="onboard service"):
        made.look(run_of("onboard"))


def test_every_compute_must_be_there() -> None:
    with pytest.raises(ValueError, match="fargate-spot, onboard"):
        runner.ModelRunner({"fargate": people.Compute()})


# --- onboard ---------------------------------------------------------------------------------------


class Service:
    """Answers like the onboard service; ``answers`` are (status, body) by method, ``pause_s`` delays them."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.requests: list[tuple[str, str, bytes]] = []
        self.pause_s = 0.0
        self.port = 0


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(onboard, "PAUSE_S", 0.01)
    made = Service()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.requests.append((self.command, self.path, body))
            time.sleep(made.pause_s)
            status, text = made.answers.get(self.command, (404, b"{}"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            try:
                self.wfile.write(text)
            except OSError:
                return

        do_GET = do_DELETE = do_POST

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


def onboard_on(service: Service) -> Any:
    return onboard.Onboard(f"http://127.0.0.1:{service.port}", SITE)


def says(service: Service, **answer: Any) -> None:
    service.answers["GET"] = (200, json.dumps(answer).encode())


def test_onboard_is_sent_the_same_document(service: Service) -> None:
    service.answers["POST"] = (202, b'{"id": "x", "status": "queued"}')
    run = run_of("onboard")
    onboard_on(service).start(run)
    ((method, path, body),) = service.requests
    assert (method, path) == ("POST", "/runs")
    assert json.loads(body) == document.request_document(run, SITE)


def test_onboard_is_polled_until_it_is_done(service: Service) -> None:
    compute, run = onboard_on(service), run_of("onboard")
    says(service, status="queued", progress=0)
    assert compute.look(run).attempt == 0
    says(service, status="running", progress=0.3)
    seen = compute.look(run)
    assert (seen.status, seen.progress, seen.attempt) == ("running", 0.3, 1)
    says(service, status="complete", progress=1, output=people.output_document())
    seen = compute.look(run)
    assert (seen.status, seen.output) == ("succeeded", people.output_document())
    says(service, status="failed", reason="too few cases")
    assert compute.look(run).reason == "too few cases"


def test_a_restarted_service_has_lost_the_run(service: Service) -> None:
    service.answers["GET"] = (404, b"{}")
    assert onboard_on(service).look(run_of("onboard")).lost


@pytest.mark.parametrize(
    "answer", [(200, b"<html>"), (200, b'{"status": "odd"}'), (200, b'{"status": "complete"}')]
)
def test_an_answer_that_makes_no_sense_changes_nothing(service: Service, answer: tuple[int, bytes]) -> None:
    service.answers["GET"] = answer
    with pytest.raises(errors.Unavailable):
        onboard_on(service).look(run_of("onboard"))


def test_an_error_is_tried_again_and_then_told(service: Service) -> None:
    service.answers["POST"] = (500, b'{"detail": "no"}')
    with pytest.raises(errors.Unavailable, match="with 500: no"):
        onboard_on(service).start(run_of("onboard"))
    assert len(service.requests) == onboard.TRIES
    service.answers["POST"] = (400, b'{"detail": "bad document"}')
    service.requests.clear()
    with pytest.raises(errors.Unavailable, match="with 400: bad document"):
        onboard_on(service).start(run_of("onboard"))
    assert len(service.requests) == 1


def test_a_service_that_hangs_is_given_up_within_the_timeouts(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onboard, "TIMEOUT_S", (0.2, 0.2))
    service.pause_s = 2
    begun = time.monotonic()
    with pytest.raises(errors.Unavailable, match="doesn't answer: ReadTimeout"):
        onboard_on(service).look(run_of("onboard"))
    assert time.monotonic() - begun < 2


def test_cancel_tells_the_service_but_does_not_need_it(service: Service) -> None:
    compute, run = onboard_on(service), run_of("onboard", attempt=1)
    seen = compute.cancel(run, "cancelled by ada")
    assert (seen.status, seen.reason) == ("failed", "cancelled by ada")
    assert service.requests[-1][:2] == ("DELETE", f"/runs/{run.pk}")
    away = onboard.Onboard("http://127.0.0.1:9", SITE)
    assert away.cancel(run, "cancelled by ada").status == "failed"
