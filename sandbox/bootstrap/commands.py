"""The commands of ``./dev``."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

from sandbox import environment, paths
from sandbox.bootstrap import browser, console, docker_engine, engine, lock, setup, stacks, venv
from sandbox.bootstrap.errors import FAILED, OK, DevError, Missing, Terminated
from sandbox.examples import EXAMPLES, Example

TEST_SANDBOX = lock.CLONE / "test"
"""State of the tests' own sandbox, beside the user's; ``tests/sandbox/conftest.py`` names the same."""
_STOP_TIMEOUT_S = 120
_CHECK_TIMEOUT_S = 900
_CODE = ("sandbox", "stacks", "components", "lambdas", "ops", "automation", "policies", "benchmarks", "tests")
"""Folders that mypy reads where ``pyproject.toml`` names none."""


def up(systems: Sequence[str]) -> int:
    """Set up, start, deploy each system's sandbox stack and run its example."""
    began = time.monotonic()
    with setup.alone():
        setup.tools()
        setup.sandbox()
        for system in systems or EXAMPLES:
            example = EXAMPLES[system]
            console.say(f"\n{system}: pulumi up of stack {example.stack}")
            stacks.up(example.stack)
            _run_example(system, example)
    console.say(
        f'\n✓ up in {console.duration(time.monotonic() - began)}. By hand: eval "$(./dev env)", then '
        "pulumi and python -m ops; ./dev status, ./dev down."
    )
    return OK


def _run_example(system: str, example: Example) -> None:
    console.say(f"\n{system}: {example.summary}")
    env = environment.process_environment()
    for number, step in enumerate(example.steps, start=1):
        results = str(paths.state() / "results" / system)
        arguments = [argument.replace("{results}", results) for argument in step.ops]
        command = [str(venv.PYTHON), "-m", "ops", *arguments]
        name = f"{system}-example-{number}"
        if step.shown:
            console.say(f"→ {step.title}: python -m ops {shlex.join(arguments)}")
            console.stream(command, step=name, timeout_s=step.timeout_s, env=env, output=sys.stdout)
        else:
            console.run(step.title, command, step=name, timeout_s=step.timeout_s, env=env)


def down(purge: bool) -> int:
    """Stop what runs; with ``purge`` also destroy the stacks and delete the sandbox's state."""
    code = OK
    with setup.alone():
        if purge:
            code = _destroy_all()
        _stop_emulator("AWS emulator", paths.state(), "purge" if purge else "stop")
        if not os.environ.get("BENCHTOP_SANDBOX") and (TEST_SANDBOX / "aws").exists():
            # A test run that was killed leaves its own running.
            _stop_emulator("AWS emulator of the tests", TEST_SANDBOX, "purge" if purge else "stop")
        docker_engine.stop()
        if purge:
            # What a failed destroy said stays readable.
            _delete_state(keep=("dev.lock",) if code == OK else ("dev.lock", "logs"))
    return code


def _stop_emulator(title: str, state: Path, command: str) -> None:
    if not (state / "aws").exists():
        console.done(title, "was never started")
        return
    if not venv.PYTHON.exists():
        raise Missing(
            f"{paths.VENV} is gone, and with it what stops the emulator: run ./dev up, then this again"
        )
    console.run(
        f"{title}: {command}",
        [str(venv.PYTHON), "-m", "sandbox", command],
        step="stop",
        timeout_s=_STOP_TIMEOUT_S,
        env={**os.environ, "BENCHTOP_SANDBOX": str(state)},
        append=True,
    )


def _destroy_all() -> int:
    """Destroy every stack; one that refuses is named; what it holds goes with the emulator's state."""
    found = stacks.all_stacks()
    if not any(stack.resources for stack in found):
        return OK
    code = OK
    setup.tools()
    setup.sandbox()
    for stack in found:
        try:
            stacks.destroy(stack.name)
        except DevError as error:
            console.say(f"✗ {stack.name}: {error}\n  what it holds goes with the emulator's state instead")
            code = FAILED
    return code


def _delete_state(keep: Sequence[str]) -> None:
    state = paths.state()
    with console.Progress(f"delete {state}"):
        for entry in state.iterdir() if state.exists() else ():
            if entry.name in keep:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def env() -> int:
    """Print what a shell evaluates to work with the sandbox by hand."""
    if not venv.ready() or engine.installed() is None or not environment.settings_path().exists():
        raise Missing("the sandbox is not set up yet, or older than requirements.txt: run ./dev up")
    for name in environment.UNSET:
        if name in os.environ:
            print(f"unset {name}")
    for name, value in environment.variables().items():
        shown = _once(value) if name == "PATH" else value
        print(f"export {name}={shlex.quote(shown)}")
    return OK


def _once(path: str) -> str:
    """A PATH without repetitions: the command may be evaluated again in the same shell."""
    return os.pathsep.join(dict.fromkeys(path.split(os.pathsep)))


def test(what: str, extra: Sequence[str]) -> int:
    """Run ruff, mypy and the tests; the exit code is the first failing check's, or pytest's."""
    folders = {"unit": ["tests/unit"], "sandbox": ["tests/sandbox"], "all": ["tests/unit", "tests/sandbox"]}[
        what
    ]
    os.environ.setdefault("BENCHTOP_SANDBOX", str(TEST_SANDBOX))
    with setup.alone():
        venv.ensure()
        if what != "sandbox":
            _checks()
        if what != "unit":
            setup.tools()
            setup.images()
            browser.ensure()
    console.say(f"→ pytest {' '.join([*folders, *extra])}")
    command = [str(venv.PYTHON), "-m", "pytest", *folders, *extra]
    environ = {
        **os.environ,
        "PATH": os.pathsep.join([str(paths.VENV / "bin"), os.environ.get("PATH", os.defpath)]),
    }
    process = subprocess.Popen(command, cwd=paths.ROOT, env=environ)
    while True:
        try:
            return process.wait()
        except Terminated:
            process.send_signal(signal.SIGINT)
        except KeyboardInterrupt:
            continue  # pytest got it as well, and cleans up


def _checks() -> None:
    console.run(
        "ruff",
        [str(venv.PYTHON), "-m", "ruff", "check", "--output-format", "concise", "."],
        step="ruff",
        timeout_s=_CHECK_TIMEOUT_S,
    )
    with (paths.ROOT / "pyproject.toml").open("rb") as file:
        named = tomllib.load(file).get("tool", {}).get("mypy", {}).get("files")
    targets = [] if named else [name for name in (*_CODE, "__main__.py") if (paths.ROOT / name).exists()]
    console.run("mypy", [str(venv.PYTHON), "-m", "mypy", *targets], step="mypy", timeout_s=_CHECK_TIMEOUT_S)
