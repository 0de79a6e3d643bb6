"""Debian's Chromium for the browser tests: found, installed when it may be, or one line saying what to do."""

from pathlib import Path

import pytest

from sandbox.bootstrap import browser, debian
from sandbox.bootstrap.errors import Missing, StepFailed


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only folder of programs is this one, and that installs nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("BENCHTOP_SANDBOX", str(tmp_path / "state"))
    monkeypatch.setattr(debian, "is_installed", lambda _: False)
    return folder


def program(folder: Path, script: str, name: str = "chromium") -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_what_is_there_is_used_and_nothing_is_installed(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program(machine, "echo Chromium 156.0.8078.79 built on Debian", name="chromium-browser")
    assert browser.ensure() == str(machine / "chromium-browser")
    assert "156.0.8078.79" in capsys.readouterr().err


def test_it_is_installed_where_there_is_none(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def install(name: str) -> None:
        asked.append(name)
        program(machine, "echo Chromium 156.0")

    monkeypatch.setattr(debian, "ensure_debian_package", install)
    assert browser.ensure() == str(machine / "chromium")
    assert asked == ["chromium"]


@pytest.mark.parametrize(
    ("is_debian", "said"), [(True, "sudo apt-get install chromium"), (False, "no Debian")]
)
def test_who_may_not_install_it_is_told_what_to_do(
    is_debian: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "is_debian", lambda: is_debian)
    monkeypatch.setattr(debian, "is_root", lambda: False)
    with pytest.raises(Missing, match=said) as missing:
        browser.ensure()
    assert "browser tests" in str(missing.value)
    assert "\n" not in str(missing.value)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo error while loading shared libraries: libnss3.so >&2; exit 127", "libnss3.so"),
        ("exit 4", "exit code 4"),
    ],
)
def test_a_chromium_that_does_not_start_is_named_with_what_it_said(
    machine: Path, script: str, said: str
) -> None:
    program(machine, script)
    with pytest.raises(StepFailed, match=said) as failed:
        browser.ensure()
    assert str(machine / "chromium") in str(failed.value)
