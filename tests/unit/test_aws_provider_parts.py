"""The small parts of the light providers: wire form, configuration, packages, journal, launchers."""

import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import struct_pb2
from pulumi.runtime import rpc

from sandbox.paths import ROOT
from sandbox.providers import install, wire
from sandbox.providers.aws import archives, config
from sandbox.providers.aws.journal import Journal, Note
from sandbox.providers.wire import UNKNOWN, Archive, Asset, Properties

URN = "urn:pulumi:dev::unit::aws:s3/bucket:Bucket::thing"


def test_values_come_back_from_the_wire_as_they_went() -> None:
    values = {
        "text": "x",
        "whole": 3,
        "part": 0.5,
        "yes": True,
        "nothing": None,
        "unknown": UNKNOWN,
        "list": [1, {"a": "b"}],
        "asset": Asset("h", text=""),
        "archive": Archive("h", {"a": Asset("", path="p")}),
    }
    found = wire.decode(wire.encode(Properties(values, {("text",), ("list", 1, "a")})))
    assert found.values == values
    assert type(found.values["whole"]) is int
    assert found.secrets == {("text",), ("list",)}, "a secret in a list makes the list secret: elements move"


def test_a_secret_whose_path_is_gone_marks_what_is_above() -> None:
    found = wire.decode(wire.encode(Properties({"policy": "text"}, {("policy", "Statement", 0)})))
    assert found.secrets == {("policy",)}


def test_an_archive_of_which_only_the_hash_is_sent() -> None:
    """The engine leaves contents out in Diff."""
    fields = {
        rpc._special_sig_key: struct_pb2.Value(string_value=rpc._special_archive_sig),
        "hash": struct_pb2.Value(string_value="abc"),
    }
    struct = struct_pb2.Struct(
        fields={"code": struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))}
    )
    assert wire.decode(struct).values["code"] == Archive("abc")


@pytest.mark.parametrize(
    ("args", "environment", "words"),
    [
        ({"region": "x"}, {}, "needs an explicit endpoint on this machine"),
        ({}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "set aws:region"),
        ({"region": "x"}, {"AWS_ENDPOINT_URL": "https://s3.amazonaws.com"}, "isn't on this machine"),
        ({"region": "x"}, {"AWS_ENDPOINT_URL": "http://127.0.0.1.evil.example"}, "isn't on this machine"),
        ({"region": "x"}, {"AWS_ENDPOINT_URL": "http://10.0.0.1"}, "isn't on this machine"),
        (
            {"region": "x", "endpoints": '[{"s3": "http://192.0.2.1"}]'},
            {"AWS_ENDPOINT_URL": "http://[::1]:1"},
            r"192.0.2.1 \(s3\) isn't",
        ),
        ({"region": "x", "endpoints": "{oops"}, {}, "must be JSON"),
        (
            {"regoin": "x"},
            {"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_REGION": "x"},
            "Did you mean 'region'",
        ),
    ],
)
def test_provider_configuration_refused(
    args: dict[str, Any], environment: dict[str, str], words: str
) -> None:
    found = config.problems(args, environment)
    assert len(found) == 1
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found[0].reason)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4566", "http://localhost:1", "http://x.localhost", "http://172.17.0.1:4566"]
)
def test_provider_configuration_taken(url: str) -> None:
    args = {
        "endpoints": f'[{{"sfn": "{url}/sfn"}}]',
        "defaultTags": '{"tags": {"owner": "me"}}',
        "skipRegionValidation": "true",
    }
    environment = {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "ca-central-1", "AWS_ACCESS_KEY_ID": "key"}
    assert config.problems(args, environment) == []
    found = config.settings(args, environment)
    assert (found.region, found.access_key, found.default_tags) == ("ca-central-1", "key", {"owner": "me"})
    assert found.endpoint("stepfunctions") == f"{url}/sfn"
    assert found.endpoint("s3") == url


def test_a_package_depends_on_content_only(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.py").write_text("2")
    (tmp_path / "one.py").write_text("1")
    folder = archives.zip_bytes(Archive(path=str(tmp_path)))
    parts = Archive(assets={"one.py": Asset(text="1"), "b": Archive(path=str(tmp_path / "b"))})
    assert archives.zip_bytes(parts) == folder
    with zipfile.ZipFile(BytesIO(folder)) as opened:
        assert opened.namelist() == ["b/two.py", "one.py"]
        assert opened.getinfo("one.py").external_attr >> 16 & 0o777 == 0o644
    (tmp_path / "made.zip").write_bytes(folder)
    assert archives.zip_bytes(Archive(path=str(tmp_path / "made.zip"))) == folder


def test_the_journal_remembers_until_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path))
    first = Journal()
    assert first.find(URN) is None
    first.begin(URN, {"bucket": "thing-1234567"})
    assert Journal().find(URN) == Note({"bucket": "thing-1234567"}, "")
    first.made(URN, "thing-1234567")
    second = Journal()
    assert second.find(URN) == Note({"bucket": "thing-1234567"}, "thing-1234567")
    second.settled(URN)
    assert Journal().find(URN) is None
    assert not list(tmp_path.rglob("*.jsonl")), "nothing to remember, no file"


def test_the_journal_survives_a_cut_line_and_keeps_stacks_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path))
    Journal().made(URN, "one")
    file = next(tmp_path.rglob("*.jsonl"))
    file.write_text(file.read_text() + '{"urn": "urn:pul')
    assert Journal().find(URN) == Note({}, "one")
    assert Journal().find(URN.replace("::unit::", "::other::")) is None
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///elsewhere")
    assert Journal().find(URN) is None


def test_launchers_are_where_the_engine_looks(tmp_path: Path) -> None:
    python = Path(sys.executable)
    made = install.install(tmp_path, python)
    version = install.versions(python)["aws"]
    assert f"resource-aws-v{version}" in made
    launcher = tmp_path / "plugins" / f"resource-aws-v{version}" / "pulumi-resource-aws"
    before = launcher.stat().st_mtime_ns
    assert install.install(tmp_path, python) == made
    assert launcher.stat().st_mtime_ns == before
    process = subprocess.Popen([launcher, "127.0.0.1:1"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert 0 < int(process.stdout.readline()) < 65536, "the first line is the port"
    finally:
        process.terminate()
        process.wait(10)


def test_the_provider_starts_without_the_sdk_of_aws() -> None:
    """Importing pulumi_aws or boto3 would cost each command its time."""
    code = (
        "import sys, sandbox.providers.aws.provider as p; p._import_botocore();"
        "print([m for m in ('pulumi_aws', 'boto3', 'docker') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"
