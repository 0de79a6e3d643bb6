"""Settings and variables of the sandbox: no emulator, no packages."""

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox import environment, paths


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCHTOP_SANDBOX", str(tmp_path / "sandbox"))
    return tmp_path / "sandbox"


def test_variables_are_those_that_everything_flows_through(folder: Path) -> None:
    found = environment.variables()
    settings = environment.aws_settings()
    assert found["AWS_ENDPOINT_URL"] == f"http://127.0.0.1:{settings.port}"
    assert found["AWS_ACCESS_KEY_ID"] == settings.access_key_id
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "ca-central-1"
    assert found["AWS_CONFIG_FILE"] == found["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert found["PULUMI_BACKEND_URL"] == f"file://{folder}/pulumi-state?metadata=skip"
    assert found["PULUMI_HOME"] == str(folder / "pulumi-home")
    assert found["BENCHTOP_BASE_IMAGES"] == str(folder / "base-images.json")
    assert found["PATH"].split(os.pathsep)[:2] == [str(folder / "bin"), str(paths.VENV / "bin")]
    assert environment.variables() == found


def test_loopback_is_never_asked_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert environment.variables()["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    assert environment.variables()["no_proxy"] == environment.variables()["NO_PROXY"]


def test_a_real_session_never_reaches_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.real.example")
    found = environment.process_environment()
    assert not {"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"} & set(found)


def test_settings_are_made_once_also_by_many_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: environment.aws_settings(), range(16)))
    assert len({settings.access_key_id for settings in found}) == 1


def test_settings_are_private(folder: Path) -> None:
    environment.aws_settings()
    assert environment.settings_path().stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (folder / "aws").iterdir()] == ["settings.json"]


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "not a settings file"), ("{}", "not a settings file"), (None, "allowed is a number")],
)
def test_damaged_settings_are_one_clear_line(content: str | None, said: str) -> None:
    environment.aws_settings()
    path = environment.settings_path()
    path.write_text(
        content if content is not None else json.dumps({**json.loads(path.read_text()), "port": 80})
    )
    with pytest.raises(environment.SettingsError, match=said) as error:
        environment.variables()
    assert str(path) in str(error.value)


def test_a_taken_port_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    first = environment.free_port()
    with socket.create_server(("127.0.0.1", first)):
        assert environment.free_port() != first
    assert environment.free_port() == first


def test_another_sandbox_leaves_the_default_port_to_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.free_port() != environment.DEFAULT_PORT


def test_it_needs_the_standard_library_only() -> None:
    code = (
        "import sys, sandbox.environment; "
        "print([n for n, m in sys.modules.items() if '-packages' in str(getattr(m, '__file__', ''))])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(paths.ROOT)},
    )
    assert done.stdout.strip() == "[]", done.stderr
