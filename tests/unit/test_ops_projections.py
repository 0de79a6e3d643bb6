"""Operators' commands of projections that need no cloud: the site's client, the grid, curves, logs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from typer.testing import CliRunner

from ops.app import app
from ops.common.errors import ExitCode, OpsError
from ops.projections import curves, logs, measures, precompute, runs
from ops.projections.curves import BANDS
from ops.projections.site import AUDIENCE, ISSUER, Site

KEY = "a key of thirty-two octets at least"
Answer = tuple[int, Any]


@contextmanager
def site(answers: dict[tuple[str, str], list[Answer]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A site that gives these answers in turn, the last one for ever, and keeps what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _, query = self.path.partition("?")
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            asked.append({"path": path, "query": query, "token": token, "body": json.loads(body or b"null")})
            left = answers[self.command, path]
            status, document = left.pop(0) if len(left) > 1 else left[0]
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


RUN = {
    "id": "0a6f3c1e-0000-5000-8000-000000000001", "status": "running", "progress": 0.25, "compute": "fargate",
    "attempt": 1, "interruptions": 0, "created_at": "2026-11-21T09:00:00Z", "completed_at": None,
    "model_input": {"state": "Vermont", "county": ["Orange"], "nDraws": 1000},
}  # fmt: skip
API = "/covid/api/simulations/"


# --- the site's client -----------------------------------------------------------------------------


def test_every_call_carries_a_short_lived_token_of_the_stacks_key() -> None:
    asked_key = []

    def key() -> str:
        asked_key.append(1)
        return KEY

    with site({("POST", API): [(201, RUN), (200, RUN)]}) as (url, asked):
        client = Site(url, key)
        assert client.submit({"state": "Vermont"}) == (RUN, True)
        assert client.submit({"state": "Vermont"}) == (RUN, False)
    claims = jwt.decode(asked[0]["token"], KEY, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    assert claims["role"] == "operator"
    assert 0 < claims["exp"] - claims["iat"] <= 600
    assert len(asked_key) == 1


@pytest.mark.parametrize(
    ("status", "said", "code", "text"),
    [
        (400, {"county": ["no county 'Orangi'"]}, ExitCode.USAGE, "county: no county 'Orangi'"),
        (401, {"detail": "token expired"}, ExitCode.REFUSED, "token expired"),
        (404, {"detail": "Not found."}, ExitCode.NOT_FOUND, "Not found."),
        (409, {"detail": "no data yet: run addhashes --all"}, ExitCode.REFUSED, "no data yet"),
        (500, b"<html>", ExitCode.UNREACHABLE, "the site answered 500"),
        (302, b"", ExitCode.UNEXPECTED, "the site answered 302"),
    ],
)
def test_refusals_are_one_line_with_the_sites_words(
    status: int, said: Any, code: ExitCode, text: str
) -> None:
    with (
        site({("GET", f"{API}x/"): [(status, said)]}) as (url, _asked),
        pytest.raises(OpsError, match=text) as caught,
    ):
        Site(url, lambda: KEY).run("x")
    assert caught.value.code is code
    assert "\n" not in caught.value.message


def test_a_gateway_without_targets_is_tried_again_and_a_closed_port_is_unreachable() -> None:
    with site({("POST", API): [(503, b""), (502, b""), (201, RUN)]}) as (url, asked):
        assert Site(url, lambda: KEY).submit({})[1]
        assert len(asked) == 3
    with pytest.raises(OpsError, match="does not answer") as caught:
        Site(url, lambda: KEY).run("x")
    assert caught.value.code is ExitCode.UNREACHABLE


def test_runs_are_read_over_all_pages_whatever_host_the_site_believes_in() -> None:
    pages: list[Answer] = [
        (
            200,
            {"results": [{**RUN, "id": "1"}, {**RUN, "id": "2"}], "next": f"https://elsewhere{API}?page=2"},
        ),
        (200, {"results": [{**RUN, "id": "3"}], "next": None}),
    ]
    with site({("GET", API): pages}) as (url, asked):
        found = [run["id"] for run in Site(url, lambda: KEY).runs(state="Vermont", status=None)]
    assert found == ["1", "2", "3"]
    assert [item["query"] for item in asked] == ["state=Vermont", "page=2"]


# --- requests --------------------------------------------------------------------------------------


def test_only_what_was_given_is_sent() -> None:
    fields = measures.inputs(
        "Vermont", ["Orange"], quarantine_percent=0.0, social_distancing=False, days=None
    )
    expected = {"quarantine_percent": 0.0, "social_distancing": False}
    assert fields == {"state": "Vermont", "county": ["Orange"], **expected}


def test_every_option_of_submit_has_an_input_of_the_model() -> None:
    import inspect

    options = set(inspect.signature(runs.submit).parameters)
    assert set(measures.INPUT_OF) <= options
    assert options - set(measures.INPUT_OF) == {"target", "state", "county", "compute", "replicate", "watch"}


def test_the_grid_is_the_originals() -> None:
    made = list(precompute.grid(["B", "A"], ["A", "B"]))
    assert len(made) == 3 * 8
    assert [group for group, _ in made[::8]] == [["A", "B"], ["A"], ["B"]]
    percents = sorted({given["quarantine_percent"] for _, given in made})
    assert percents == [0, 25, 50, 75]
    assert len({(tuple(group), *sorted(given.items())) for group, given in made}) == len(made)
    assert len(list(precompute.grid(["A"], ["A"]))) == 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "queued"}, "queued"),
        ({"status": "queued", "attempt": 3}, "queued again (attempt 3)"),
        (
            {"status": "interrupted", "interruptions": 2},
            "interrupted (2 times so far); it goes on from its checkpoint",
        ),
        ({"status": "succeeded", "completed_at": "2026-11-21T09:01:05Z"}, "succeeded in 1 min 05 s"),
        ({"status": "failed", "reason": "no county"}, "failed: no county"),
    ],
)
def test_changes_of_a_run_are_told_in_words(change: dict[str, Any], words: str) -> None:
    assert runs.happened({**RUN, **change}) == words


# --- commands, on a stack's outputs in a file ------------------------------------------------------


def test_a_stack_of_another_kind_is_named(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs.json"
    outputs.write_text(json.dumps({"models": {}}))
    arguments = ["projections", "list", "--stack", "quetzal-paris", "--json", "--outputs-file", str(outputs)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == ExitCode.INVALID
    assert "not a projections stack" in json.loads(done.stdout)["error"]["message"]


# --- logs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"message": "started", "run_id": "r", "level": "info", "attempt": 2}', "started attempt=2"),
        ('[INFO] r\t{"event": "queued", "capacity": "FARGATE"}', "queued capacity=FARGATE"),
        ("plain text of r", "plain text of r"),
        ("{broken", "{broken"),
    ],
)
def test_lines_of_json_are_readable(text: str, shown: str) -> None:
    assert logs.readable(text, "r") == shown


@pytest.mark.parametrize(
    ("text", "look"),
    [
        ('{"message": "request", "method": "GET", "path": "/runs/r/"}', True),
        ('{"message": "request", "method": "PUT", "path": "/covid/api/simulations/r/webhook/"}', False),
        ('{"message": "submitted by ada"}', False),
        ("GET", False),
    ],
)
def test_looking_at_a_run_is_no_part_of_its_story(text: str, look: bool) -> None:
    assert logs.is_look(text) is look


# --- curves ----------------------------------------------------------------------------------------

DAYS = range(1, 15)
OUTPUT: dict[str, Any] = {
    **{name: {f"2022-01-{day:02d}": [1.0 * day, 2.0 * day, 3.5 * day] for day in DAYS} for name in BANDS},
    "Confirmed": [1, 2, None, 4], "first_observed": "2021-12-28", "counties": ["Orange"], "state": "Vermont",
    "nDraws": 1000, "start_date": "2022-01-01",
}  # fmt: skip


def test_curves_are_compared_number_for_number() -> None:
    other = json.loads(json.dumps(OUTPUT))
    assert curves.differences(curves.curves(OUTPUT), curves.curves(other)) == []
    other["ICU"]["2022-01-03"][1] += 0.001
    del other["Epidemic"]["2022-01-14"]
    assert curves.differences(curves.curves(OUTPUT), curves.curves(other)) == [
        "Epidemic on 2022-01-14: [14.0, 28.0, 49.0] and None",
        "ICU on 2022-01-03: [3.0, 6.0, 10.5] and [3.0, 6.001, 10.5]",
    ]


def test_results_are_saved_as_json_csv_and_a_picture(tmp_path: Path) -> None:
    from PIL import Image

    document, table, picture = curves.save(OUTPUT, tmp_path / "new" / "folder")
    assert json.loads(document.read_text()) == OUTPUT
    rows = table.read_text().splitlines()
    assert rows[0].startswith("day,Cumulative_low,Cumulative_median,Cumulative_high,Epidemic_low")
    assert rows[2].startswith("2022-01-02,2.0,4.0,7.0,")
    assert len(rows) == 15
    with Image.open(picture) as image:
        assert image.size[0] > 1000
        colours = image.convert("RGB").getcolors(maxcolors=1_000_000)
    assert colours is not None
    assert len(colours) > 50, "the picture is empty"
