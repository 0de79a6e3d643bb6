"""The script ``./dev`` as a user types it."""

import ast
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.app import app
from sandbox import environment, paths
from sandbox.bootstrap import commands, engine, venv
from sandbox.examples import EXAMPLES

DEV = paths.ROOT / "dev"


def dev(*arguments: str, cwd: Path, state: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it in an environment with nothing in it, from another folder."""
    env = {"HOME": str(cwd), "PATH": "/usr/bin:/bin", "BENCHTOP_SANDBOX": str(state), **variables}
    return subprocess.run(
        [sys.executable, str(DEV), *arguments], cwd=cwd, env=env, text=True, capture_output=True, timeout=120
    )


def test_help_says_what_each_exit_code_means(tmp_path: Path) -> None:
    shown = dev("--help", cwd=tmp_path, state=tmp_path / "state")
    assert shown.returncode == 0
    for command in ("up", "test", "down", "status", "env", "doctor"):
        assert f"\n    {command} " in shown.stdout
    assert "exit codes:" in shown.stdout
    for code in ("0", "1", "2", "3", "4", "130"):
        assert f"\n  {code} " in shown.stdout


def test_an_unknown_system_is_wrong_usage_and_the_known_ones_are_named(tmp_path: Path) -> None:
    shown = dev("up", "quetzl", cwd=tmp_path, state=tmp_path / "state")
    assert shown.returncode == 2
    assert "no system 'quetzl'; there are: quetzal" in shown.stderr
    assert not (tmp_path / "state").exists()


def test_env_of_a_sandbox_that_is_not_set_up_prints_nothing_to_evaluate(tmp_path: Path) -> None:
    shown = dev("env", cwd=tmp_path, state=tmp_path / "state")
    assert shown.returncode == 3
    assert shown.stdout == ""
    assert len(shown.stderr.splitlines()) == 1
    assert "./dev up" in shown.stderr


def test_status_of_a_sandbox_that_is_not_set_up(tmp_path: Path) -> None:
    shown = dev("status", cwd=tmp_path, state=tmp_path / "state")
    assert shown.returncode == 0
    assert "not set up" in shown.stdout


def test_env_survives_a_shell_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "a folder with 'quotes' and $signs"
    monkeypatch.setenv("BENCHTOP_SANDBOX", str(state))
    monkeypatch.setenv("AWS_PROFILE", "somebody's")
    environment.aws_settings()
    monkeypatch.setattr(venv, "ready", lambda: True)
    monkeypatch.setattr(engine, "installed", lambda: object())
    monkeypatch.setenv("PATH", f"{paths.engine_bin()}{os.pathsep}{os.environ['PATH']}")
    assert commands.env() == 0
    printed = capsys.readouterr().out
    for line in printed.splitlines():
        assert line.startswith(("export ", "unset ")), line
        assert len(shlex.split(line)) == 2
    script = f'{printed}\nprintf "%s\\n" "$PULUMI_HOME" "$PATH" "${{AWS_PROFILE-unset}}"'
    home, path, profile = subprocess.run(
        ["sh", "-c", script], text=True, capture_output=True, check=True, env={**os.environ}
    ).stdout.splitlines()
    assert home == str(paths.pulumi_home())
    assert path.split(os.pathsep)[0] == str(paths.engine_bin())
    assert path.count(str(paths.engine_bin())) == 1
    assert profile == "unset"


def test_old_pythons_can_read_the_script_and_say_what_they_need(tmp_path: Path) -> None:
    ast.parse(DEV.read_text(), feature_version=(3, 4))
    code = (
        "import runpy, sys; sys.version_info = (3, 9, 2); "
        f"sys.argv = [{str(DEV)!r}, 'up']; runpy.run_path({str(DEV)!r}, run_name='__main__')"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, timeout=60, env={"PATH": str(tmp_path)}
    )
    assert shown.returncode == 3
    assert shown.stderr.startswith("error: ./dev needs Python 3.11 or newer, this is 3.9")
    assert len(shown.stderr.splitlines()) == 1


@pytest.mark.parametrize("system", sorted(EXAMPLES))
def test_the_commands_of_an_example_exist(system: str) -> None:
    example = EXAMPLES[system]
    assert (paths.ROOT / f"Pulumi.{example.stack}.yaml").is_file()
    for step in example.steps:
        # Options are read before help is printed, so a wrong one fails.
        shown = CliRunner().invoke(app, [*step.ops, "--help"])
        assert shown.exit_code == 0, shown.output
        assert step.ops[1] in shown.output
        for argument in step.ops:
            if "/" in argument and "{" not in argument:
                assert (paths.ROOT / argument).exists(), argument
