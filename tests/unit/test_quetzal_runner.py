"""The runner as a whole: scripts as notebooks, real child processes, a folder as storage."""

import importlib
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.paths import ROOT

sys.path.insert(0, str(ROOT / "containers" / "quetzal-model" / "runner"))
deadline = importlib.import_module("quetzal_runner.deadline")
errors = importlib.import_module("quetzal_runner.errors")
invocation = importlib.import_module("quetzal_runner.invocation")
storage = importlib.import_module("quetzal_runner.storage")
convert = importlib.import_module("quetzal_runner.convert")

Run = Callable[..., dict[str, Any]]
HEAD = """import json, sys, time
from pathlib import Path
folder = Path(json.loads(sys.argv[1])['training_folder'])
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """``code``, ``scratch`` and a storage with scenario ``test`` that has one input."""
    for name in ("code/notebooks", "scratch", "store/test/inputs", "store/base/inputs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "store/test/inputs/params.json").write_text('{"a": 1}')
    (tmp_path / "store/base/inputs/params.json").write_text("{}")
    return tmp_path


@pytest.fixture
def run(place: Path) -> Run:
    def run(
        *cells: str, scenario: str = "test/", limit_s: float = 60, notebook: str = "x", **fields: Any
    ) -> dict[str, Any]:
        """Make a notebook of ``cells``, convert it as the image's build does, and invoke the runner on it."""
        found = [{"cell_type": "code", "source": cell} for cell in (HEAD, *cells)]
        path = place / "code/notebooks" / f"{notebook}.ipynb"
        path.write_text(json.dumps({"nbformat": 4, "cells": found}))
        convert.convert(path)
        event = {
            "notebook_path": f"notebooks/{notebook}.ipynb",
            "scenario_path_S3": scenario,
            "launcher_arg": {
                "training_folder": str(place / "scratch"),
                "params": {"old": 1, "deep": {"a": 1}},
            },
            "metadata": {"user_email": "ada@example.com"},
            **fields,
        }
        settings = invocation.Settings(code=place / "code", scratch=place / "scratch", log_interval_s=0.2)
        result: dict[str, Any] = invocation.invoke(
            event, storage.FolderStorage(place / "store"), deadline.Deadline.after(limit_s), settings
        )
        return result

    return run


def stored(place: Path, name: str) -> str:
    return (place / "store/test" / name).read_text()


def test_results_are_stored_and_inputs_are_not(place: Path, run: Run) -> None:
    run(
        "assert json.loads((folder / 'inputs/params.json').read_text()) == {'a': 1}\n"
        "(folder / 'inputs/params.json').write_text('changed')\n"
        "(folder / 'outputs').mkdir()\n(folder / 'outputs/links.geojson').write_text('{}')\n"
        "(folder / 'outputs/elsewhere').symlink_to('/etc/passwd')\nprint('hello')"
    )
    assert stored(place, "outputs/links.geojson") == "{}"
    assert stored(place, "inputs/params.json") == '{"a": 1}'
    assert stored(place, "logs/x.txt") == "hello\n"
    assert not (place / "store/test/outputs/elsewhere").exists()
    assert list((place / "scratch").glob("quetzal-run-*")) == []
    info = json.loads(stored(place, "info.json"))
    assert (info["status"], info["notebook"]) == ("SUCCESS", "notebooks/x.ipynb")
    assert info["user_email"] == "ada@example.com"
    assert info["started_at"] <= info["ended_at"]
    assert info["ended_at"].endswith("Z")


def test_only_changed_files_are_uploaded_again(place: Path, run: Run) -> None:
    run("(folder / 'outputs').mkdir()\n(folder / 'outputs/a.txt').write_text('a')")
    before = (place / "store/test/outputs/a.txt").stat().st_mtime_ns
    run("assert (folder / 'outputs/a.txt').read_text() == 'a'\n(folder / 'outputs/b.txt').write_text('b')")
    assert (place / "store/test/outputs/a.txt").stat().st_mtime_ns == before
    assert stored(place, "outputs/b.txt") == "b"


def test_returned_objects_are_merged_deeply_into_the_next_event(run: Run) -> None:
    result = run(
        "from quetzal_runner import return_event\n"
        "return_event({'launcher_arg': {'params': {'new': 2, 'deep': {'b': 2}}}, 'found': [1]})\n"
        "print('RETURN:{\"found\": [2]}')"
    )
    assert result["launcher_arg"]["params"] == {"old": 1, "new": 2, "deep": {"a": 1, "b": 2}}
    assert result["found"] == [2]
    assert result["metadata"] == {"user_email": "ada@example.com"}


def test_the_next_event_keeps_the_training_folder_that_was_asked_for(place: Path, run: Run) -> None:
    result = run("assert folder != Path('/tmp') and folder.is_dir()")
    assert result["launcher_arg"]["training_folder"] == str(place / "scratch")


@pytest.mark.parametrize("text", ['RETURN:{"a": ', "RETURN:[1]"])
def test_a_return_that_is_no_object_is_an_error(run: Run, text: str) -> None:
    with pytest.raises(errors.NotebookError, match="RETURN line"):
        run(f"print({text!r})")


def test_a_return_cannot_send_the_next_step_to_another_scenario(run: Run) -> None:
    with pytest.raises(errors.NotebookError, match="must not change scenario_path_S3"):
        run("""print('RETURN:{"scenario_path_S3": "base/"}')""")


@pytest.mark.parametrize(
    "cell",
    ["from quetzal_runner import end_of_notebook; end_of_notebook('done')", "end_of_notebook",
     "raise Exception('end_of_notebook')"],
)  # fmt: skip
def test_end_of_notebook_stops_without_an_error(place: Path, run: Run, cell: str) -> None:
    run("(folder / 'before.txt').write_text('')", cell, "(folder / 'after.txt').write_text('')")
    assert (place / "store/test/before.txt").exists()
    assert not (place / "store/test/after.txt").exists()
    assert json.loads(stored(place, "info.json"))["status"] == "SUCCESS"


def test_a_failure_ends_with_the_traceback_in_the_notebooks_terms(place: Path, run: Run) -> None:
    with pytest.raises(errors.NotebookError) as caught:
        run("(folder / 'partial.txt').write_text('p')\nx = 1", "def f():\n    return 1 / (x - 1)", "f()")
    message = str(caught.value)
    assert message.startswith("notebooks/x.ipynb failed\nTraceback (most recent call last):")
    assert "notebooks/x.ipynb, cell 4, line 1, in <module>" in message
    assert "notebooks/x.ipynb, cell 3, line 2, in f" in message
    assert message.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "ZeroDivisionError" in stored(place, "logs/x.txt")
    assert stored(place, "partial.txt") == "p"
    info = json.loads(stored(place, "info.json"))
    assert info["status"] == "FAILED"
    assert info["error"]["type"] == "NotebookError"


def test_a_chained_failure_shows_where_it_came_from(run: Run) -> None:
    with pytest.raises(errors.NotebookError) as caught:
        run("try:\n    {}['k']\nexcept KeyError as e:\n    raise ValueError('outer') from e")
    assert "KeyError: 'k'" in str(caught.value)
    assert str(caught.value).endswith("ValueError: outer")


def test_a_killed_notebook_is_reported(run: Run) -> None:
    with pytest.raises(errors.NotebookError, match="signal 9 \\(out of memory\\?\\)"):
        run("import os; os.kill(os.getpid(), 9)")


@pytest.mark.parametrize(
    "cell",
    ["for _ in range(5120): print('x' * 1023)",
     "sys.stderr.write('x' * (5 << 20))",
     "for n in range(300000): sys.stderr.write(f'\\r{n:6d} of 300000 |####|')",
     "for _ in range(5120): print('x' * 1023, file=sys.stderr)"],
)  # fmt: skip
def test_five_megabytes_of_output_finish(
    place: Path, run: Run, cell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    run(cell, "print('the end')")
    assert time.monotonic() - started < 20
    log = stored(place, "logs/x.txt")
    assert log.rstrip().endswith("the end")
    assert "the end" in capsys.readouterr().out
    if "300000" in cell:
        assert len(log) < 10_000
        assert "299999 of 300000" in log
    else:
        assert log.count("x") == 5120 * 1023 or log.count("x") == 5 << 20
        assert max(map(len, log.splitlines())) <= 16 * 1024


def test_the_log_is_there_while_the_notebook_works(place: Path, run: Run) -> None:
    log = place / "store/test/logs/x.txt"
    run(
        f"log = Path({str(log)!r})\nprint('first line')\nuntil = time.time() + 10\n"
        "while time.time() < until and not (log.exists() and 'first' in log.read_text()): time.sleep(0.05)\n"
        "assert 'first line' in log.read_text()"
    )
    assert stored(place, "logs/x.txt").startswith("first line")


def test_the_deadline_leaves_log_and_partial_outputs(place: Path, run: Run) -> None:
    started = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded, match=r"x.ipynb was stopped after 2 s.*limit is 4 s"):
        run("(folder / 'partial.txt').write_text('p')\nprint('working')\ntime.sleep(60)", limit_s=4)
    assert time.monotonic() - started < 4
    assert stored(place, "partial.txt") == "p"
    assert stored(place, "logs/x.txt").startswith("working\nnotebooks/x.ipynb was stopped")
    assert json.loads(stored(place, "info.json"))["error"]["type"] == "DeadlineExceeded"


def test_the_deadline_ends_children_too_and_a_chatty_notebook(run: Run, place: Path) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        run(
            "import os, subprocess\n"
            "child = subprocess.Popen(['sleep', '60'])\n(folder / 'pid').write_text(str(child.pid))\n"
            "while True: print('x' * 1000)",
            limit_s=4,
        )
    assert not _alive(int(stored(place, "pid")))


def test_a_worker_that_keeps_the_pipe_open_does_not_hold_the_run(run: Run, place: Path) -> None:
    started = time.monotonic()
    run(
        "import subprocess\nchild = subprocess.Popen(['sleep', '30'])\n"
        "(folder / 'pid').write_text(str(child.pid))"
    )
    assert time.monotonic() - started < 8
    assert not _alive(int(stored(place, "pid")))


def test_the_base_scenario_is_refused(run: Run) -> None:
    with pytest.raises(errors.ScenarioReadOnly, match="'base' is read-only"):
        run("", scenario="base/")


def test_a_missing_scenario_is_named_with_its_place(run: Run, place: Path) -> None:
    with pytest.raises(errors.ScenarioNotFound, match=f"'nope'.*{place}/store/nope"):
        run("", scenario="nope/")


def test_a_locked_scenario_is_refused(run: Run, place: Path) -> None:
    (place / "store/test/.lock").touch()
    with pytest.raises(errors.ScenarioLocked, match="'test' is locked"):
        run("")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("notebook_path", None, "notebook_path: must be text"),
        ("notebook_path", "notebooks/../../etc/x.ipynb", "notebook_path: must be a relative path"),
        ("notebook_path", "/etc/x.ipynb", "notebook_path: must be a relative path"),
        ("notebook_path", "notebooks/y.ipynb", "there are: notebooks/x.ipynb"),
        ("scenario_path_S3", "a/b/", "scenario_path_S3: must be a scenario's name"),
        ("scenario_path_S3", "../x/", "scenario_path_S3: must be a scenario's name"),
        ("scenario_path_S3", "", "scenario_path_S3: must be text"),
        ("launcher_arg", [], "launcher_arg: must be an object, got list"),
        ("launcher_arg", {"params": 3}, "launcher_arg.params: must be an object, got int"),
        ("launcher_arg", {"training_folder": "/usr"}, "launcher_arg.training_folder: must be in"),
        ("launcher_arg", {"training_folder": "tmp"}, "launcher_arg.training_folder: must be an abs"),
        ("metadata", {"user_email": 3}, "metadata.user_email: must be text, got int"),
    ],
)
def test_a_wrong_event_names_the_field(run: Run, field: str, value: Any, says: str) -> None:
    with pytest.raises(errors.InvalidEvent) as caught:
        run("", **{field: value})
    assert says in str(caught.value)


def test_object_names_cannot_lead_outside(place: Path) -> None:
    for name in ("../x", "a/../../x", "/etc/passwd", ""):
        with pytest.raises(errors.RunnerError, match="outside"):
            storage.inside(place, name)


def test_the_notebook_sees_no_credentials(run: Run, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API"):
        monkeypatch.setenv(name, "hidden-value")
    monkeypatch.setenv("SHOWN", "shown-value")
    run("import os; print(dict(os.environ))")
    assert "hidden-value" not in stored(place, "logs/x.txt")
    assert "shown-value" in stored(place, "logs/x.txt")


def test_an_unwritable_storage_is_access_denied(
    place: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(storage.shutil, "copyfile", refuse)
    with pytest.raises(errors.AccessDenied, match=r"may not read .*inputs/params.json"):
        run("")


def test_what_an_earlier_run_left_in_scratch_is_removed(place: Path, run: Run) -> None:
    left = place / "scratch" / f"quetzal-run-{os.getpid()}-abc"
    left.mkdir()
    other = place / "scratch" / "mine"
    other.mkdir()
    run("")
    assert not left.exists()
    assert other.exists()


def test_a_log_past_its_limit_keeps_beginning_and_end(tmp_path: Path) -> None:
    output = importlib.import_module("quetzal_runner.output")
    log = output.Log(tmp_path / "log", lambda path: None, screen=io.StringIO(), limit_bytes=100)
    for number in range(10_000):
        log.line(f"line {number}")
    log.close()
    text = (tmp_path / "log").read_text()
    assert text.startswith("line 0\n")
    assert text.endswith("line 9999\n")
    assert "lines left out" in text
    assert len(text) < 20_000


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
