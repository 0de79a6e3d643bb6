"""The parts of ``./dev`` on their own: steps and logs, locks, background processes, the engine's folder."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

from sandbox import paths
from sandbox.bootstrap import console, docker_engine, engine, lock, processes, stacks, venv
from sandbox.bootstrap.errors import Busy, Missing, StepFailed


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("BENCHTOP_SANDBOX", str(folder))
    monkeypatch.setenv("BENCHTOP_CACHE", str(tmp_path / "cache"))
    return folder


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


# --- steps ----------------------------------------------------------------------------------------


def test_a_failed_step_shows_the_end_of_its_log_and_where_it_is(state: Path) -> None:
    with pytest.raises(StepFailed) as failed:
        console.run(
            "a step",
            python("print('first'); print('the reason'); raise SystemExit(7)"),
            step="s",
            timeout_s=20,
        )
    message = str(failed.value)
    assert "a step failed (exit code 7)" in message
    assert "the reason" in message
    assert str(state / "logs" / "s.log") in message
    assert "first" in (state / "logs" / "s.log").read_text()


def test_a_step_that_hangs_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    child = "import time; time.sleep(60)"
    code = (
        "import subprocess, sys, time; "
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}]); "
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); time.sleep(60)"
    )
    began = time.monotonic()
    with pytest.raises(StepFailed, match=r"took longer than 1\.5 s"):
        console.run("slow", python(code), step="slow", timeout_s=1.5)
    assert time.monotonic() - began < 15
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while processes.start_time(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes.start_time(pid) is None


def test_without_a_terminal_a_long_step_says_that_it_lives(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "QUIET_S", 0.1)
    monkeypatch.setattr(console, "LINE_EVERY_S", 0.2)
    console.run(
        "long",
        python("import time; print('at work', flush=True); time.sleep(0.9)"),
        step="long",
        timeout_s=20,
    )
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("… long") >= 3
    assert "at work" in shown.err
    assert "✓ long" in shown.err


def test_a_short_step_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.run("short", python("pass"), step="short", timeout_s=20, result="there")
    assert capsys.readouterr().err.splitlines()[0].startswith("✓ short: there")


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(StepFailed, match="can't run /nowhere/tool"):
        console.run("a step", ["/nowhere/tool"], step="s", timeout_s=5)


def test_streamed_output_goes_to_the_user_and_to_the_log(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console.stream(
        python("print('result')"), step="streamed", timeout_s=20, env=os.environ, output=sys.stdout
    )
    assert capsys.readouterr().out == "result\n"
    assert (state / "logs" / "streamed.log").read_text() == "result\n"
    with pytest.raises(StepFailed, match=r"failed \(exit code 3\)"):
        console.stream(
            python("raise SystemExit(3)"), step="streamed", timeout_s=20, env=os.environ, output=sys.stdout
        )


def test_an_interrupted_program_finishes_what_it_began(state: Path, tmp_path: Path) -> None:
    """As the engine does with the resource it is making; meanwhile its output is still read."""
    worker = (
        "import signal, time\n"
        "stop = []\n"
        "signal.signal(signal.SIGINT, lambda *_: stop.append(1))\n"
        "print('ready', flush=True)\n"
        "while not stop: time.sleep(0.05)\n"
        "print('x' * 300000, flush=True)\n"
        "print('finished', flush=True)"
    )
    code = (
        "import os, sys; from sandbox.bootstrap import console\n"
        f"console.stream([sys.executable, '-c', {worker!r}], step='worker', timeout_s=60, env=os.environ, "
        "output=sys.stdout)"
    )
    with (tmp_path / "out").open("w") as out:
        running = subprocess.Popen(python(code), cwd=paths.ROOT, stdout=out, stderr=subprocess.DEVNULL)
        log = state / "logs" / "worker.log"
        while not (log.exists() and b"ready" in (tmp_path / "out").read_bytes()):
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        assert running.wait(20) != 0
    assert log.read_text().endswith("finished\n")


# --- lock -----------------------------------------------------------------------------------------


def test_a_second_one_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "dev.lock"
    code = (
        "import sys, time; from pathlib import Path; from sandbox.bootstrap import lock\n"
        "sys.argv = ['./dev', 'up', 'quetzal']\n"
        f"with lock.held(Path({str(path)!r})): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(python(code), cwd=paths.ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(Busy, match=rf"`dev up quetzal` \(process {holder.pid}, since 20"),
            lock.held(path),
        ):
            pass
    finally:
        holder.kill()
        holder.wait(10)
        holder.stdout.close()
    # Killed hard, it holds nothing any more.
    with lock.held(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_lock_can_be_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    inside: list[str] = []

    def other() -> None:
        with lock.held(path):
            inside.append("other")
            time.sleep(0.7)
            inside.append("other leaves")

    thread = threading.Thread(target=other)
    thread.start()
    while not inside:
        time.sleep(0.01)
    with lock.held(path, wait_s=10):
        inside.append("mine")
    thread.join()
    assert inside == ["other", "other leaves", "mine"]


# --- background processes -------------------------------------------------------------------------


def test_a_background_process_is_found_again_and_stopped(tmp_path: Path) -> None:
    kept = processes.Recorded(tmp_path / "record.json")
    assert kept.pid() is None
    pid = kept.start(python("import time; time.sleep(60)"), tmp_path / "log")
    assert processes.Recorded(tmp_path / "record.json").pid() == pid
    assert kept.stop(patience_s=5) is True
    assert kept.pid() is None
    assert kept.stop() is False


def test_a_stranger_with_the_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(python("import time; time.sleep(60)"))
    try:
        record = tmp_path / "record.json"
        record.write_text(json.dumps({"pid": stranger.pid, "start": "1"}))
        assert processes.Recorded(record).stop() is False
        assert stranger.poll() is None
    finally:
        stranger.send_signal(signal.SIGKILL)
        stranger.wait(10)


# --- Python packages ------------------------------------------------------------------------------


@pytest.fixture
def fake_venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with a stamp, as a complete installation leaves it."""
    folder = tmp_path / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("pulumi==3.259.0\n")
    monkeypatch.setattr(paths, "VENV", folder)
    monkeypatch.setattr(venv, "PYTHON", folder / "bin" / "python")
    monkeypatch.setattr(venv, "REQUIREMENTS", requirements)
    monkeypatch.setattr(venv, "_STAMP", folder / "stamp")
    stamp = {"key": venv.key(), "python": venv._version(), "folder": str(folder)}
    (folder / "stamp").write_text(json.dumps(stamp))
    return folder


def test_a_complete_environment_is_ready_whatever_python_runs_dev(
    fake_venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/another/python3")
    assert venv.ready()


def test_other_requirements_need_another_installation(fake_venv: Path) -> None:
    venv.REQUIREMENTS.write_text("pulumi==3.260.0\n")
    assert not venv.ready()
    assert venv._stamp(), "pip brings it up to date, it needn't be made anew"


def test_a_half_made_environment_is_made_anew(fake_venv: Path) -> None:
    (fake_venv / "stamp").unlink()
    assert not venv.ready()
    assert not venv._stamp()


def test_an_environment_whose_python_is_gone_is_made_anew(fake_venv: Path) -> None:
    (fake_venv / "bin" / "python").unlink()
    assert not venv._stamp()


def test_a_moved_environment_is_made_anew(fake_venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = fake_venv.rename(fake_venv.with_name("moved"))
    monkeypatch.setattr(paths, "VENV", moved)
    monkeypatch.setattr(venv, "PYTHON", moved / "bin" / "python")
    monkeypatch.setattr(venv, "_STAMP", moved / "stamp")
    assert not venv._stamp()


# --- engine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("3.259.0", True),
        ("v3.272.1", True),
        ("3.300.0-alpha.1", True),
        ("3.258.9", False),
        ("4.0.0", False),
        ("dev", False),
        ("", False),
    ],
)
def test_which_engines_are_recent_enough(version: str, fits: bool) -> None:
    assert engine.recent_enough(version, "3.259.0") is fits


def test_the_engine_and_the_sdk_are_pinned_to_one_version() -> None:
    pins = (paths.ROOT / "requirements.txt").read_text().splitlines()
    assert f"pulumi=={engine.wanted_version()}" in pins


def fake_engine(folder: Path, version: str, *, complete: bool) -> engine.Engine:
    folder.mkdir(parents=True)
    names = ["pulumi", *(["pulumi-language-python", "pulumi-watch"] if complete else [])]
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\necho v{version}\n")
        (folder / name).chmod(0o755)
    return engine.Engine(pulumi=folder / "pulumi", version=version, source="path" if complete else "built")


def test_an_engine_on_path_serves_when_it_is_recent_and_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official = fake_engine(tmp_path / "official", "3.301.0", complete=True)
    old = fake_engine(tmp_path / "old", "3.100.0", complete=True)
    bare = fake_engine(tmp_path / "bare", "3.301.0", complete=False)
    for found, expected in ((official, official), (old, None), (bare, None)):
        monkeypatch.setenv("PATH", f"{found.pulumi.parent}:/usr/bin:/bin")
        assert engine.on_path() == expected


def test_the_sandboxs_own_engine_is_not_taken_for_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.install(fake_engine(tmp_path / "official", "3.301.0", complete=True))
    monkeypatch.setenv("PATH", f"{paths.engine_bin()}:/usr/bin:/bin")
    assert engine.on_path() is None


def test_a_complete_engine_is_linked_to_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    official = fake_engine(tmp_path / "official", "3.301.0", complete=True)
    engine.install(official)
    links = {path.name: os.readlink(path) for path in paths.engine_bin().iterdir() if path.is_symlink()}
    assert links == {
        name: str(tmp_path / "official" / name)
        for name in ("pulumi", "pulumi-language-python", "pulumi-watch")
    }
    assert engine.installed() == official


def test_the_built_engine_gets_our_language_host_beside_its_own_file(tmp_path: Path) -> None:
    engine.install(fake_engine(tmp_path / "official", "3.301.0", complete=True))
    made = engine.built_path()
    built = fake_engine(made.parent, engine.wanted_version(), complete=False)
    engine.install(built)
    folder = paths.engine_bin()
    assert os.path.samestat((folder / "pulumi").lstat(), built.pulumi.stat())
    host = (folder / "pulumi-language-python").read_text()
    assert "sandbox.engine.language_host" in host
    assert str(venv.PYTHON) in host
    assert not (folder / "pulumi-watch").exists(), "what the engine before it had"
    assert engine.installed() == built


def test_a_damaged_folder_is_installed_again(tmp_path: Path) -> None:
    made = engine.built_path()
    engine.install(fake_engine(made.parent, engine.wanted_version(), complete=False))
    (paths.engine_bin() / "pulumi-language-python").write_text("nonsense")
    assert engine.installed() is None
    (paths.engine_bin() / "engine.json").unlink()
    assert engine.installed() is None


def test_no_go_and_no_download_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_go", lambda: None)
    with pytest.raises(Missing) as missing:
        engine.build()
    assert "\n" not in str(missing.value)
    assert "https://go.dev/dl" in str(missing.value)
    assert "https://www.pulumi.com/docs/install/" in str(missing.value)


# --- stacks ---------------------------------------------------------------------------------------


def write_lock(pid: int, host: str) -> Path:
    folder = paths.pulumi_backend() / ".pulumi" / "locks" / "organization" / "benchtop" / "quetzal-sandbox"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{pid}.json"
    path.write_text(json.dumps({"pid": pid, "username": "u", "hostname": host, "timestamp": "2026-11-21"}))
    return path


def test_the_lock_of_a_dead_engine_is_found_dead() -> None:
    ended = subprocess.Popen(python("pass"))
    ended.wait(10)
    path = write_lock(ended.pid, socket.gethostname())
    assert stacks.dead_locks("quetzal-sandbox") == [path]
    assert stacks.dead_locks("other-sandbox") == []


def test_a_pid_that_another_program_has_now_is_no_engine() -> None:
    path = write_lock(os.getpid(), socket.gethostname())
    assert stacks.dead_locks("quetzal-sandbox") == [path]


def test_an_engine_at_work_is_never_pushed_aside(tmp_path: Path) -> None:
    tool = tmp_path / "pulumi"
    tool.symlink_to("/bin/sleep")
    alive = subprocess.Popen([str(tool), "60"])
    try:
        while not Path(f"/proc/{alive.pid}/cmdline").read_bytes():
            time.sleep(0.01)  # the kernel is still loading it
        path = write_lock(alive.pid, socket.gethostname())
        with pytest.raises(Busy, match=f"process {alive.pid}"):
            stacks.dead_locks("quetzal-sandbox")
        path.unlink()
    finally:
        alive.kill()
        alive.wait(10)
    write_lock(1, "another-machine")
    with pytest.raises(Busy, match="another-machine"):
        stacks.dead_locks("quetzal-sandbox")


def test_stacks_are_read_from_the_backend() -> None:
    folder = paths.pulumi_backend() / ".pulumi" / "stacks" / "benchtop"
    folder.mkdir(parents=True)
    latest = {
        "manifest": {"time": "2026-11-21T09:30:00.123456789Z"},
        "resources": [{}, {}],
        "pending_operations": [{"resource": {"urn": "urn:x"}, "type": "creating"}],
    }
    (folder / "quetzal-sandbox.json").write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))
    (folder / "new-sandbox.json").write_text(json.dumps({"version": 3, "checkpoint": {"stack": "new"}}))
    assert stacks.all_stacks() == [
        stacks.Stack(name="new-sandbox", project="benchtop", updated=None, resources=0, pending=()),
        stacks.Stack(
            name="quetzal-sandbox",
            project="benchtop",
            updated="2026-11-21T09:30:00Z",
            resources=2,
            pending=("urn:x",),
        ),
    ]


# --- Docker ---------------------------------------------------------------------------------------


@contextmanager
def docker_at(path: Path, status: int, body: object) -> Iterator[str]:
    """A server on a socket that answers as an engine does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            return

        def address_string(self) -> str:
            return "socket"

    server = UnixStreamServer(str(path), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"unix://{path}"
    finally:
        server.shutdown()
        server.server_close()


def test_an_engine_that_answers_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with docker_at(tmp_path / "docker.sock", 200, {"Version": "28.1"}) as where:
        monkeypatch.setenv("DOCKER_HOST", where)
        assert docker_engine.ensure() == "28.1"


def test_what_answers_but_is_no_engine_is_named(tmp_path: Path) -> None:
    with docker_at(tmp_path / "docker.sock", 404, {}) as where:
        assert "no Docker engine" in docker_engine.ask(where).error


@pytest.mark.parametrize(
    ("where", "said"),
    [("unix:///nowhere/docker.sock", "there is no /nowhere/docker.sock"), ("ssh://a@b", "not usable here")],
)
def test_a_docker_host_that_does_not_answer_is_never_replaced(
    where: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", where)
    with pytest.raises(Missing, match=said):
        docker_engine.ensure()
