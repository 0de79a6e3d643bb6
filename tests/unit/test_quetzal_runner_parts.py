"""Parts of the runner alone: conversion, lines, deadline, server; and the files of the transit model."""

import ast
import http.client
import importlib
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.paths import ROOT

IMAGE = ROOT / "containers" / "quetzal-model"
TRANSIT = IMAGE / "models" / "transit"
sys.path.insert(0, str(IMAGE / "runner"))
convert = importlib.import_module("quetzal_runner.convert")
deadline = importlib.import_module("quetzal_runner.deadline")
errors = importlib.import_module("quetzal_runner.errors")
output = importlib.import_module("quetzal_runner.output")
server = importlib.import_module("quetzal_runner.server")
tracebacks = importlib.import_module("quetzal_runner.tracebacks")


def notebook(*cells: tuple[str, str]) -> dict[str, Any]:
    return {"nbformat": 4, "cells": [{"cell_type": kind, "source": source} for kind, source in cells]}


def test_a_converted_line_is_found_again_in_its_cell() -> None:
    cells = ("markdown", "# Title\ntext"), ("code", "a = 1\nb = 2"), ("code", "c = 3")
    script = convert.script_of(notebook(*cells))
    line = script.splitlines().index("b = 2") + 1
    assert convert.locate(script, line) == (1, 2)
    assert convert.locate(script, script.splitlines().index("c = 3") + 1) == (2, 1)
    assert convert.locate(script, 1) is None


def test_what_only_jupyter_understands_becomes_a_comment() -> None:
    script = convert.script_of(notebook(("code", "%matplotlib inline\n!ls\nx = 1 % 2")))
    namespace: dict[str, Any] = {}
    exec(compile(script, "x", "exec"), namespace)
    assert namespace["x"] == 1


def test_a_syntax_error_is_found_when_the_image_is_built(tmp_path: Path) -> None:
    path = tmp_path / "bad.ipynb"
    path.write_text(json.dumps(notebook(("code", "x = 1"), ("code", "y = 2\nx = ="))))
    with pytest.raises(ValueError, match=r"bad.ipynb: cell 2, line 2: "):
        convert.convert(path)
    assert convert.main([str(tmp_path)]) == 1
    assert convert.main([str(tmp_path / "empty")]) == 1


def collect(*chunks: bytes) -> list[str]:
    lines: list[str] = []
    cutter = output.Lines(lines.append)
    for chunk in chunks:
        cutter.feed(chunk)
    cutter.close()
    return lines


def test_lines_are_the_same_however_the_bytes_arrive() -> None:
    data = "one\r\ntwo\n\nth\u00e9\rfour\rfive\nsix".encode()
    expected = ["one", "two", "", "five", "six"]
    assert collect(data) == expected
    assert collect(*(data[n : n + 1] for n in range(len(data)))) == expected


def test_a_return_line_longer_than_a_cut_line_stays_whole() -> None:
    text = 'RETURN:{"x": "' + "y" * 100_000 + '"}'
    assert collect(text.encode()[:50], text.encode()[50:], b"\n") == [text]
    assert len(collect(b"z" * 100_000)) == 7


def test_the_deadline_keeps_a_margin() -> None:
    assert deadline.margin_for(10) == 2
    assert deadline.margin_for(300) == 30
    assert deadline.margin_for(900) == 45
    limit = deadline.from_context(SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000), {})
    assert (limit.limit_s, limit.margin_s) == (60, 6)
    assert 53 < limit.remaining() <= 54
    assert deadline.from_context(None, {"AWS_LAMBDA_FUNCTION_TIMEOUT": "20"}).limit_s == 20
    assert deadline.from_context(None, {"DEADLINE_MARGIN_S": "7"}).margin_s == 7


def test_a_long_traceback_keeps_beginning_and_end() -> None:
    text = tracebacks.shorten("start " + "x" * 20_000 + " end")
    assert len(text) < tracebacks.LIMIT + 100
    assert text.startswith("start ")
    assert text.endswith(" end")


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    gate = threading.Event()

    def handler(event: Any) -> Any:
        if event.get("wait"):
            gate.wait(10)
        if event.get("fail"):
            raise errors.ScenarioNotFound("no scenario 'x'")
        return {"got": event}

    made = server.make_server(handler, "127.0.0.1", 0)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield "127.0.0.1", made.server_address[1]
    gate.set()
    made.shutdown()
    thread.join()
    made.server_close()


def post(address: tuple[str, int], body: bytes, path: str = server.PATH) -> tuple[int, Any, str | None]:
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("POST", path, body)
    answer = connection.getresponse()
    result = answer.status, json.loads(answer.read()), answer.getheader("Lambda-Runtime-Function-Error-Type")
    connection.close()
    return result


def test_the_server_answers_as_the_runtime_interface_emulator(address: tuple[str, int]) -> None:
    assert post(address, b'{"a": 1}') == (200, {"got": {"a": 1}}, None)
    status, answer, kind = post(address, b'{"fail": true}')
    assert (status, kind) == (200, "ScenarioNotFound")
    assert (answer["errorType"], answer["errorMessage"]) == ("ScenarioNotFound", "no scenario 'x'")
    assert any("handler" in line for line in answer["stackTrace"])
    assert post(address, b"{")[2] == "InvalidEvent"
    assert post(address, b"{}", "/other")[0] == 404


def test_the_server_runs_one_invocation_at_a_time(address: tuple[str, int]) -> None:
    waiting = http.client.HTTPConnection(*address, timeout=10)
    waiting.request("POST", server.PATH, b'{"wait": true}')
    for _ in range(200):
        if post(address, b"{}")[0] == 429:
            break
    else:
        pytest.fail("a second invocation ran beside the first")
    waiting.close()


NOTEBOOKS = sorted((TRANSIT / "notebooks").glob("*.ipynb"))


def test_the_workflow_runs_each_notebook_of_the_transit_model_once() -> None:
    asl = importlib.import_module("components.parts.asl")
    definition = asl.load(TRANSIT / "step-functions.json")
    steps = [state["Parameters"]["Payload"]["notebook_path"] for state in definition["States"].values()]
    assert sorted(steps) == [f"notebooks/{path.name}" for path in NOTEBOOKS]
    assert list(definition["States"]) == ["import_gtfs", "preparation", "assignment", "results"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_clean_and_documented(path: Path) -> None:
    content = json.loads(path.read_text())
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    identifiers = [cell["id"] for cell in content["cells"]]
    assert len(set(identifiers)) == len(identifiers)
    assert content["cells"][0]["cell_type"] == "markdown"
    for cell in content["cells"]:
        assert set(cell) >= {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
    tree = ast.parse(convert.script_of(content))
    assert "launcher_arg" in {name.id for name in ast.walk(tree) if isinstance(name, ast.Name)}


def test_every_package_of_the_transit_model_is_pinned() -> None:
    for name in ("requirements.txt", "requirements-no-deps.txt"):
        lines = [line for line in (TRANSIT / name).read_text().splitlines() if not line.startswith("#")]
        assert lines
        assert all("==" in line for line in lines), name


def test_the_build_context_holds_no_secrets_and_no_data() -> None:
    ignored = (IMAGE / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    assert {"**/.env*", "**/.git", "**/scenarios", "**/__pycache__"} <= set(ignored)
