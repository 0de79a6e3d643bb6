"""Rules of single parts of the operators' command line: files, deployments of a part, output, access."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ops.common import output
from ops.common.errors import ExitCode, OpsError
from ops.quetzal import access, image, local, results, sync, workflow

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


# --- files -----------------------------------------------------------------------------------------


def scenario(folder: Path, **files: str) -> Path:
    for name, text in ({"inputs/params.json": "{}"} | files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_scenario_is_what_its_author_made(tmp_path: Path) -> None:
    kept = {"inputs/pt/links.geojson": "l", "readme.md": "r"}
    left = {
        "outputs/x": "",
        "logs/y.txt": "",
        "info.json": "",
        ".lock": "",
        ".DS_Store": "",
        ".git/config": "",
    }
    assert set(sync.local_files(scenario(tmp_path, **kept, **left))) == {*kept, "inputs/params.json"}


@pytest.mark.parametrize(
    "name", [".env", "inputs/.env.local", "inputs/key.pem", "credentials", "inputs/.aws/config", "id_rsa"]
)
def test_a_file_that_looks_like_a_secret_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OpsError, match="look like secrets") as caught:
        sync.local_files(scenario(tmp_path, **{name: "x"}))
    assert caught.value.code is ExitCode.INVALID


def test_a_source_that_is_no_scenario_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, code in [("none", ExitCode.NOT_FOUND), ("empty", ExitCode.INVALID)]:
        with pytest.raises(OpsError) as caught:
            sync.local_files(tmp_path / source)
        assert caught.value.code is code
    folder = scenario(tmp_path / "linked")
    os.symlink("/etc/hostname", folder / "inputs" / "away")
    with pytest.raises(OpsError, match="leads out"):
        sync.local_files(folder)


def test_only_what_changed_is_sent_and_only_stale_inputs_are_deleted(tmp_path: Path) -> None:
    files = {"inputs/a": "same", "inputs/b": "new content", "inputs/c": "kms!", "inputs/d": "missing there"}
    there = sync.local_files(scenario(tmp_path, **files))
    remote = {
        path: sync.Stored(path, size, etag, NOW)
        for path, size, etag in [
            ("inputs/params.json", 2, sync.etag_of(there["inputs/params.json"])),
            ("inputs/a", 4, sync.etag_of(there["inputs/a"])),
            ("inputs/b", 11, "0" * 32),
            ("inputs/c", 4, "not-an-md5"),
            ("inputs/stale", 1, "x"),
            ("outputs/o", 1, "x"),
            ("logs/l.txt", 1, "x"),
            ("readme.md", 1, "x"),
        ]
    }
    sums = {"inputs/c": sync.sha256(there["inputs/c"])}
    plan = sync.plan_upload(there, remote, True, sums.get)
    assert set(plan.send) == {"inputs/b", "inputs/d"}
    assert set(plan.same) == {"inputs/a", "inputs/c", "inputs/params.json"}
    assert plan.delete == ("inputs/stale",)
    assert plan.octets == len("new content") + len("missing there")
    assert sync.plan_upload(there, remote, False, sums.get).delete == ()


def test_the_etag_of_a_file_in_parts(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"a" * 10)
    assert sync.etag_of(file) == "e09c80c42fda55f9d992e59ca6b3307d"
    assert sync.etag_of(file, part=4).endswith("-3")


# --- deployments of a part -------------------------------------------------------------------------

STATE: list[dict[str, Any]] = [
    {"urn": "urn:image", "type": image.IMAGE, "outputs": {}},
    {"urn": "urn:other", "type": image.IMAGE, "outputs": {}},
    {"urn": "urn:role", "type": "aws:iam/role:Role"},
    {
        "urn": "urn:api",
        "type": image.FUNCTION,
        "outputs": {"name": "m-api"},
        "propertyDependencies": {"role": ["urn:role"]},
    },
    {
        "urn": "urn:runner",
        "type": image.FUNCTION,
        "outputs": {"name": "m"},
        "propertyDependencies": {"imageUri": ["urn:image"], "role": ["urn:role"]},
    },
]


def test_a_push_targets_the_function_and_the_image_it_was_made_from() -> None:
    assert image.targets_of_push(STATE, "m") == ["urn:image", "urn:runner"]
    with pytest.raises(OpsError, match="no function named nope"):
        image.targets_of_push(STATE, "nope")
    with pytest.raises(OpsError, match="not made from an image"):
        image.targets_of_push(STATE, "m-api")


def test_steps_of_a_workflow_with_branches() -> None:
    def task(name: str, **more: Any) -> dict[str, Any]:
        payload = {"notebook_path": f"notebooks/{name}.ipynb"}
        return {"Type": "Task", "Parameters": {"FunctionName": "arn:f", "Payload": payload}, **more}

    retry = [{"ErrorEquals": ["A"], "MaxAttempts": 2}, {"ErrorEquals": ["B"], "MaxAttempts": 4}]
    definition = {
        "StartAt": "first",
        "States": {
            "first": task("import_gtfs", Retry=retry, Next="both"),
            "both": {
                "Type": "Parallel",
                "Branches": [{"StartAt": "in", "States": {"in": task("inner", End=True)}}],
                "End": True,
            },
        },
    }
    first, inner = workflow.steps(definition)
    assert (first.name, first.notebook, first.retries, first.next, first.log) == (
        "first",
        "notebooks/import_gtfs.ipynb",
        6,
        "both",
        "import_gtfs",
    )
    assert (inner.name, inner.next) == ("in", "end")


def test_a_model_source_that_is_not_in_this_clone() -> None:
    with pytest.raises(OpsError, match=r"no model source 'nope'.*there are: .*transit") as caught:
        workflow.source_folder("nope")
    assert caught.value.code is ExitCode.NOT_FOUND


def test_results_of_a_local_run_are_copied_out_of_the_scratch_folder(tmp_path: Path) -> None:
    scenario(tmp_path / "work", **{"outputs/a/b.json": "1", "logs/x.txt": "2", "info.json": "3"})
    assert local._keep_results(tmp_path / "work", tmp_path / "to") == [
        "info.json",
        "logs/x.txt",
        "outputs/a/b.json",
    ]
    assert (tmp_path / "to" / "outputs" / "a" / "b.json").read_text() == "1"


# --- output ----------------------------------------------------------------------------------------


def test_indicators_become_rows_whatever_their_shape() -> None:
    assert results.table_of({"n": 1, "am": {"speed": {"value": 21.456, "unit": "km/h"}}, "ok": True}) == [
        ("n", "1", "", ""),
        ("am.speed", "21.46", "km/h", ""),
        ("ok", "yes", "", ""),
    ]
    listed = [{"name": "stops", "value": 12345.0, "unit": "", "period": "am"}]
    assert results.table_of(listed) == [("stops", "12,345", "", "am")]
    assert results.table_of("text") == []
    numbers = (0.0, 100.0, 0.00123, 12345.678, float("nan"), None)
    assert [results.number(value) for value in numbers] == ["0", "100", "0.0012", "12,345.7", "-", ""]


def test_sizes_and_durations() -> None:
    assert [output.size(n) for n in (0, 999, 1000, 120_000_000)] == ["0 B", "999 B", "1.0 kB", "120 MB"]
    assert [output.duration(s) for s in (0.44, 42, 185, 7380)] == [
        "0.4 s",
        "42 s",
        "3 min 05 s",
        "2 h 03 min",
    ]


def test_with_json_standard_output_holds_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    out = output.Output(True)
    out.say("no")
    out.note("no")
    out.table(("A",), [("no",)])
    with out.transfer("no", 3) as done, out.status("no"):
        done(3)
    out.result({"when": NOW, "where": Path("/x")})
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"when": "2026-11-21T09:00:00Z", "where": "/x"}
    assert shown.err == ""


def test_text_is_never_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    out = output.Output(False)
    out.say("[red]x[/red] " + "y" * 200)
    out.table(("NAME", "N"), [("[b]bold[/b]", 5), ("z" * 200, 12)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[red]x[/red] " + "y" * 200
    assert lines[2].startswith("[b]bold[/b]")
    assert lines[3] == "z" * 200 + "  12"


# --- access ----------------------------------------------------------------------------------------


def test_groups_are_named_or_unambiguous() -> None:
    assert access.groups_for(["a"], None, "m", need_one=True) == ["a"]
    assert access.groups_for(["a", "b"], None, "m", need_one=False) == ["a", "b"]
    assert access.groups_for(["a", "m"], None, "m", need_one=True) == ["m"], (
        "a model's own group is named like it"
    )
    for groups, wanted in ((["a", "b"], None), (["a"], "c"), ([], None)):
        with pytest.raises(OpsError):
            access.groups_for(groups, wanted, "m", need_one=True)


def test_addresses() -> None:
    assert access.checked_email(" Anna@Example.org ") == "anna@example.org"
    for wrong in ("anna", "a@b", "a b@c.de", "@c.de", "a@b@c.de", "x" * 65 + "@c.de"):
        with pytest.raises(OpsError, match="not an e-mail address"):
            access.checked_email(wrong)
