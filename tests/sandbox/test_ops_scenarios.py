"""Scenarios and access through the operators' command line, against a real emulator."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from ops.common.errors import ExitCode
from tests.sandbox import ops_cloud
from tests.sandbox.ops_cloud import Cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with ops_cloud.running(tmp_path_factory.mktemp("ops")) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return ops_cloud.write_scenario(tmp_path / "scenario")


@pytest.fixture
def scenario(cloud: Cloud, folder: Path) -> str:
    return ops_cloud.copy_of_base(cloud, folder)


def test_base_comes_first(cloud: Cloud, folder: Path) -> None:
    for key in cloud.keys("base/"):
        cloud.client("s3").delete_object(Bucket=cloud.bucket, Key=f"base/{key}")
    refused = cloud.ops("scenario", "upload", str(folder), "other")
    assert refused.code == ExitCode.REFUSED
    assert "base comes first" in refused.stderr
    assert cloud.keys("other/") == set()
    cloud.put("base2/inputs/x", "a prefix of the same letters is no base")
    assert cloud.ops("scenario", "upload", str(folder), "other").code == ExitCode.REFUSED
    assert cloud.good("scenario", "upload", str(folder), "other", "--without-base")["scenario"] == "other"


def test_upload_sends_what_changed_and_leaves_what_runs_made(
    cloud: Cloud, folder: Path, scenario: str
) -> None:
    for made in ("outputs/links.geojson", "logs/import_gtfs.txt", "info.json"):
        cloud.put(f"{scenario}/{made}", "by a run")
    cloud.put(f"{scenario}/inputs/stale.json", "old")
    (folder / "inputs" / "params.json").write_text('{"a": 1}')
    (folder / "outputs").mkdir()
    (folder / "outputs" / "links.geojson").write_text("local")
    assert cloud.good("scenario", "upload", str(folder), scenario, "--dry-run")["uploaded"] == [
        "inputs/params.json"
    ]
    assert cloud.text(f"{scenario}/inputs/params.json") == "{}"
    done = cloud.good("scenario", "upload", str(folder), scenario)
    assert (done["uploaded"], done["unchanged"]) == (["inputs/params.json"], ["inputs/pt/links.geojson"])
    assert cloud.text(f"{scenario}/inputs/params.json") == '{"a": 1}'
    assert "inputs/stale.json" in cloud.keys(f"{scenario}/")
    assert cloud.good("scenario", "upload", str(folder), scenario, "--delete")["deleted"] == [
        "inputs/stale.json"
    ]
    assert cloud.keys(f"{scenario}/") == {
        "inputs/params.json",
        "inputs/pt/links.geojson",
        "outputs/links.geojson",
        "logs/import_gtfs.txt",
        "info.json",
    }
    assert cloud.text(f"{scenario}/outputs/links.geojson") == "by a run"


def test_a_file_in_several_parts_arrives_and_is_not_sent_again(
    cloud: Cloud, folder: Path, scenario: str
) -> None:
    content = os.urandom(17 * 1024 * 1024)
    (folder / "inputs" / "big.bin").write_bytes(content)
    assert cloud.good("scenario", "upload", str(folder), scenario)["uploaded"] == ["inputs/big.bin"]
    assert (
        cloud.client("s3").get_object(Bucket=cloud.bucket, Key=f"{scenario}/inputs/big.bin")["Body"].read()
        == content
    )
    assert cloud.good("scenario", "upload", str(folder), scenario)["uploaded"] == []


def test_a_locked_scenario_is_neither_written_nor_run(cloud: Cloud, folder: Path, scenario: str) -> None:
    assert cloud.good("scenario", "lock", scenario, "--reason", "calibration")["locked"] is True
    for argv in (
        ["scenario", "lock", scenario],
        ["scenario", "upload", str(folder), scenario],
        ["scenario", "delete", scenario, "--yes"],
        ["run", scenario],
    ):
        ran = cloud.ops(*argv)
        assert ran.code == ExitCode.REFUSED, argv
        assert "locked" in ran.stderr
        assert len(ran.stderr.strip().splitlines()) == 1
    [row] = [row for row in cloud.good("scenario", "list")["scenarios"] if row["scenario"] == scenario]
    assert row["locked"]
    assert row["files"] == 2
    assert cloud.good("scenario", "unlock", scenario)["was_locked_by"].startswith("arn:aws:")
    assert cloud.good("scenario", "unlock", scenario)["was_locked_by"] is None
    assert cloud.ops("scenario", "upload", str(folder), scenario).code == 0


def test_copy_download_delete(cloud: Cloud, scenario: str, tmp_path: Path) -> None:
    cloud.put(f"{scenario}/outputs/o.json", "o")
    assert cloud.ops("scenario", "copy", scenario, "base").code == ExitCode.REFUSED
    assert cloud.ops("scenario", "copy", "base", scenario).code == ExitCode.REFUSED
    missing = cloud.ops("scenario", "copy", "nowhere", "x")
    assert missing.code == ExitCode.NOT_FOUND
    assert "base" in missing.stderr, "it says which scenarios there are"
    copied = f"{scenario}-copy"
    cloud.good("scenario", "copy", scenario, copied)
    assert cloud.keys(f"{copied}/") == {"inputs/params.json", "inputs/pt/links.geojson"}
    cloud.good("scenario", "download", scenario, "--to", str(tmp_path / "d"), "--all")
    assert (tmp_path / "d" / "outputs" / "o.json").read_text() == "o"
    assert cloud.ops("scenario", "delete", copied, stdin="n\n").code == ExitCode.REFUSED
    assert cloud.ops("scenario", "delete", copied, "--json").code == ExitCode.USAGE
    assert cloud.keys(f"{copied}/")
    assert cloud.ops("scenario", "delete", copied, stdin="y\n").code == 0
    assert cloud.keys(f"{copied}/") == set()
    assert cloud.ops("scenario", "delete", "base", "--yes").code == ExitCode.REFUSED


@pytest.mark.parametrize("name", ["../up", "a/b", "-x", "x" * 42, "_common", ""])
def test_a_name_that_no_part_takes_is_refused(cloud: Cloud, folder: Path, name: str) -> None:
    ran = cloud.ops("scenario", "upload", str(folder), "--", name)
    assert ran.code == ExitCode.USAGE
    assert "letters, digits" in ran.stderr


# --- access ----------------------------------------------------------------------------------------


def test_access_is_granted_used_and_revoked(cloud: Cloud) -> None:
    password = "Aa1!correct-horse"
    assert (
        cloud.good("access", "grant", "Anna@Example.org", "--password-stdin", stdin=f"{password}\n")[
            "created"
        ]
        is True
    )
    assert cloud.good("access", "grant", "anna@example.org")["created"] is False
    assert cloud.good("access", "grant", "bo@example.org")["invited"] is True
    users = {user["email"]: user for user in cloud.good("access", "list")["users"]}
    assert users["anna@example.org"]["groups"] == ["planners"]
    assert users["bo@example.org"]["status"] == "FORCE_CHANGE_PASSWORD"
    token = cloud.good("token", "anna@example.org", stdin=password)["id_token"]
    assert token.count(".") == 2
    assert cloud.ops("token", "anna@example.org", stdin="wrong").code == ExitCode.REFUSED
    invited = cloud.ops("token", "bo@example.org", stdin="whatever")
    assert invited.code == ExitCode.REFUSED
    assert cloud.ops("access", "grant", "anna@example.org", "--group", "guests").code == ExitCode.NOT_FOUND
    assert cloud.good("access", "revoke", "anna@example.org")["removed_from"] == ["planners"]
    assert cloud.ops("access", "revoke", "anna@example.org").code == ExitCode.NOT_FOUND
    assert cloud.good("access", "revoke", "bo@example.org", "--delete-user")["user_deleted"] is True
    assert cloud.good("access", "list")["users"] == []
    assert cloud.ops("token", "nobody@example.org", stdin="x").code == ExitCode.REFUSED


def test_a_password_that_the_pool_refuses_leaves_no_user_behind(cloud: Cloud) -> None:
    ran = cloud.ops("access", "grant", "carl@example.org", "--password-stdin", stdin="\n")
    assert ran.code == ExitCode.USAGE
    with pytest.raises(ClientError, match="UserNotFound"):
        cloud.client("cognito-idp").admin_get_user(
            UserPoolId=json.loads(cloud.outputs.read_text())["user_pool_id"], Username="carl@example.org"
        )


# --- what may go wrong around it -------------------------------------------------------------------


def test_an_operator_without_permission_is_told_which(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="guest")
    keys = iam.create_access_key(UserName="guest")["AccessKey"]
    ran = cloud.ops(
        "scenario",
        "list",
        AWS_ACCESS_KEY_ID=keys["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=keys["SecretAccessKey"],
    )
    assert ran.code == ExitCode.REFUSED
    assert "permission denied for states:ListExecutions" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_a_service_that_is_not_there(cloud: Cloud) -> None:
    ran = cloud.ops("runs", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert ran.code == ExitCode.UNREACHABLE
    assert "./dev up" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_a_sandbox_stack_is_refused_a_real_endpoint(cloud: Cloud) -> None:
    ran = cloud.ops("runs", AWS_ENDPOINT_URL="https://states.ca-central-1.amazonaws.com")
    assert ran.code == ExitCode.REFUSED
    assert "never touches a real account" in ran.stderr


def test_images_are_listed_and_an_empty_repository_is_fine(cloud: Cloud) -> None:
    assert cloud.good("images")["images"] == []
