"""The benchmark's parts that need no cloud: timing, table, arguments, missing tools, the program."""

import json
import os
import runpy
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import deploy, inventory, timing, tools, unit
from benchmarks.timing import CommandError, Spread, Timing
from tests import harness

FOLDER = Path(unit.__file__).parent


def run(code: str, timeout_s: float = 20) -> Timing:
    command = [sys.executable, "-c", code]
    return timing.run(command, environment=os.environ, folder=FOLDER, timeout_s=timeout_s)


def test_a_command_is_timed_by_the_clock_and_by_the_processor() -> None:
    asleep = run("import time; time.sleep(0.5); print('done')")
    assert 0.5 <= asleep.seconds < 10
    assert asleep.output == "done\n"
    busy = run("import time\nwhile time.process_time() < 0.6: pass")
    assert busy.cpu_seconds >= 0.6
    assert asleep.cpu_seconds < 0.4


def test_a_failing_command_shows_its_exit_code_and_last_lines() -> None:
    with pytest.raises(CommandError, match=r"exit code 3(?s:.*)line 29$") as caught:
        run("import sys\nfor n in range(30): print('line', n)\nsys.exit(3)")
    assert "line 5" not in str(caught.value).splitlines()


def test_a_command_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    child = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    started = time.monotonic()
    with pytest.raises(CommandError, match="no end after 2 s"):
        run(parent, timeout_s=2)
    assert time.monotonic() - started < 15
    assert not _runs(int(note.read_text()))


def _runs(pid: int) -> bool:
    for _ in range(50):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


def test_a_missing_command_is_an_error_of_the_command() -> None:
    with pytest.raises(CommandError, match="no-such-tool"):
        timing.run(["no-such-tool"], environment=os.environ, folder=FOLDER, timeout_s=5)


def test_spread_is_median_and_range() -> None:
    assert str(Spread.of([4.0, 1.0, 2.0])) == "2.0 (1.0-4.0)"
    with pytest.raises(ValueError, match="no measurements"):
        Spread.of([])


def measured(title: str, seconds: dict[str, list[float]]) -> deploy.Measured:
    record = deploy.Measured(title, {"tool": "1.0"})
    for step in deploy.STEPS:
        record.timings[step] = [Timing(seconds=s, cpu_seconds=2 * s, output="") for s in seconds[step]]
    return record


def test_the_table_has_medians_and_the_ratio_of_the_second_to_the_first() -> None:
    ours = measured("A", {step: [2.0, 1.0, 3.0] for step in deploy.STEPS})
    theirs = measured("B", {step: [5.0, 9.0, 5.0] for step in deploy.STEPS})
    lines = deploy.table([ours, theirs]).splitlines()
    assert lines[0].split() == ["seconds", "A", "B", "ratio"]
    assert lines[2].split() == ["first", "deploy", "2.0", "(1.0-3.0)", "5.0", "(5.0-9.0)", "2.5x"]
    assert lines[6].split()[:5] == ["CPU", "of", "first", "deploy", "4.0"]
    assert "ratio" not in deploy.table([ours])


def test_the_json_has_every_measurement() -> None:
    record = measured("A", {step: [2.0, 1.0] for step in deploy.STEPS})
    found = json.loads(deploy.as_json([record], units=3))
    assert found["resources"] == 24
    assert found["tools"][0]["steps"]["preview"] == {"seconds": [2.0, 1.0], "cpu_seconds": [4.0, 2.0]}


@pytest.mark.parametrize("wrong", [["--units", "0"], ["--units", "61"], ["--runs", "x"], ["--only", "cfn"]])
def test_wrong_arguments_end_with_code_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        deploy.parse(wrong)
    assert caught.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_a_missing_node_skips_the_cdk_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin").mkdir()
    engine = tmp_path / "bin" / "pulumi"
    engine.write_text("#!/bin/sh\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    variables = {"PATH": str(tmp_path / "bin")}
    found = deploy.available(None, variables, tmp_path)
    assert [type(tool) for tool in found] == [tools.Pulumi]
    assert capsys.readouterr().out == "AWS CDK skipped: Node with npm is not installed\n"
    with pytest.raises(tools.Unavailable, match="Node"):
        deploy.available("cdk", variables, tmp_path)


def test_a_refusing_registry_makes_the_cdk_unavailable_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("node", "npm"):
        script = tmp_path / name
        script.write_text("#!/bin/sh\necho 'npm error 403 Forbidden'\nexit 1\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("BENCHTOP_CACHE", str(tmp_path / "cache"))
    with pytest.raises(tools.Unavailable, match="403 Forbidden") as caught:
        tools.installed_cdk()
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache" / "cdk").iterdir()) == []


def test_a_shortfall_names_the_kinds_that_are_wrong() -> None:
    held = dict.fromkeys(inventory.KINDS, 25)
    assert inventory.shortfall(held, 25) is None
    assert inventory.shortfall({**held, "queue": 24}, 25) == "expected 25 of each kind, found queue 24"
    assert len(inventory.KINDS) == unit.RESOURCES_PER_UNIT


def test_a_unit_calls_its_function_and_is_assumed_by_its_services(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = json.loads(unit.definition("arn:aws:lambda:ca-central-1:000000000000:function:f"))
    step = machine["States"][machine["StartAt"]]
    assert step["Parameters"]["FunctionName"].endswith(":function:f")
    services = json.loads(unit.ASSUME_ROLE_POLICY)["Statement"][0]["Principal"]["Service"]
    assert set(services) == {"lambda.amazonaws.com", "states.amazonaws.com"}
    monkeypatch.setenv(unit.UNITS_VARIABLE, "3")
    assert unit.names("x") == ["x-000", "x-001", "x-002"]
    monkeypatch.setenv(unit.UNITS_VARIABLE, "61")
    with pytest.raises(ValueError, match=r"1\.\.60, got 61"):
        unit.names("x")


@pytest.mark.parametrize("preview", [True, False])
def test_the_pulumi_program_declares_eight_resources_a_unit(
    preview: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(unit.UNITS_VARIABLE, "2")
    monkeypatch.setattr(sys, "path", list(sys.path))
    program = FOLDER / "pulumi_unit" / "__main__.py"
    made = harness.deploy(lambda: runpy.run_path(str(program)), preview=preview)
    kinds = Counter(item.type for item in made.resources if item.type.startswith("aws:"))
    assert len(kinds) == unit.RESOURCES_PER_UNIT
    assert set(kinds.values()) == {2}
    machine = made.one(f"{tools.Pulumi.prefix}-001-machine")
    assert machine.inputs["name"] == f"{tools.Pulumi.prefix}-001-machine"
    if not preview:
        assert f"{tools.Pulumi.prefix}-001-function" in machine.inputs["definition"]


def test_the_prefixes_of_the_tools_are_those_of_their_programs() -> None:
    for prefix, program in (
        (tools.Pulumi.prefix, "pulumi_unit/__main__.py"),
        (tools.Cdk.prefix, "cdk_unit/app.py"),
    ):
        assert f'PREFIX = "{prefix}"\n' in (FOLDER / program).read_text()
