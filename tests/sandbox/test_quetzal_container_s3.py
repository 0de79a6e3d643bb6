"""The runner on the emulator's S3, with the rights of a user of its own, enforced."""

import importlib
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

from sandbox.paths import ROOT

sys.path.insert(0, str(ROOT / "containers" / "quetzal-model" / "runner"))
deadline = importlib.import_module("quetzal_runner.deadline")
errors = importlib.import_module("quetzal_runner.errors")
invocation = importlib.import_module("quetzal_runner.invocation")
storage = importlib.import_module("quetzal_runner.storage")

RIGHTS = ("s3:ListBucket", "s3:GetObject", "s3:PutObject")
SCRIPT = """
import json, sys
from pathlib import Path
folder = Path(json.loads(sys.argv[1])["training_folder"])
files = [path for path in folder.rglob("*") if path.is_file()]
print(len(files), "files")
(folder / "outputs").mkdir(exist_ok=True)
(folder / "outputs/links.geojson").write_text("{}")
print('RETURN:{"files": %d}' % len(files))
"""


@pytest.fixture(scope="module")
def bucket(sandbox_env: dict[str, str]) -> Iterator[str]:
    """A bucket with scenarios ``test`` (more objects than a page of a listing holds) and ``test2``."""
    client = boto3.client("s3")
    name = f"quetzal-runner-{secrets.token_hex(4)}"
    region = {"LocationConstraint": sandbox_env["AWS_REGION"]}
    client.create_bucket(Bucket=name, CreateBucketConfiguration=region)
    keys = [f"test/inputs/part-{number}.txt" for number in range(1050)] + ["test2/inputs/other.txt"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(Bucket=name, Key=key, Body=key.encode()), keys))
    yield name
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for item in page.get("Contents", []):
            client.delete_object(Bucket=name, Key=item["Key"])
    client.delete_bucket(Bucket=name)


@pytest.fixture
def run(bucket: str, tmp_path: Path, sandbox_env: dict[str, str]) -> Iterator[Callable[..., dict[str, Any]]]:
    iam = boto3.client("iam")
    user = f"runner-{secrets.token_hex(4)}"
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    (tmp_path / "code/notebooks").mkdir(parents=True)
    (tmp_path / "code/notebooks/x.py").write_text(SCRIPT)

    def run(scenario: str = "test/", rights: tuple[str, ...] = RIGHTS, of: str = bucket) -> dict[str, Any]:
        resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        statement = {"Effect": "Allow", "Action": list(rights), "Resource": resources}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=json.dumps(policy))
        client = boto3.client(
            "s3", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
        )
        event = {
            "notebook_path": "notebooks/x.ipynb",
            "scenario_path_S3": scenario,
            "launcher_arg": {"training_folder": str(tmp_path / "scratch"), "params": {}},
        }
        settings = invocation.Settings(code=tmp_path / "code", scratch=tmp_path / "scratch")
        result: dict[str, Any] = invocation.invoke(
            event, storage.S3Storage(of, client), deadline.Deadline.after(120), settings
        )
        return result

    yield run
    iam.delete_user_policy(UserName=user, PolicyName="own")
    iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=user)


def test_a_scenario_of_many_pages_comes_and_its_results_go(
    bucket: str, run: Callable[..., dict[str, Any]]
) -> None:
    result = run()
    assert result["files"] >= 1050
    client = boto3.client("s3")
    links = client.get_object(Bucket=bucket, Key="test/outputs/links.geojson")
    assert (links["Body"].read(), links["ContentType"]) == (b"{}", "application/geo+json")
    log = client.get_object(Bucket=bucket, Key="test/logs/x.txt")["Body"].read().decode()
    assert log.startswith(f"{result['files']} files\n")
    info = json.loads(client.get_object(Bucket=bucket, Key="test/info.json")["Body"].read())
    assert info["status"] == "SUCCESS"


def test_another_scenario_with_the_same_beginning_is_not_touched(run: Callable[..., dict[str, Any]]) -> None:
    assert run("test2/")["files"] == 1


@pytest.mark.parametrize(
    ("missing", "names"),
    [
        ("s3:ListBucket", "s3:ListBucket on s3://{bucket}/test2/"),
        ("s3:GetObject", "s3:GetObject on s3://{bucket}/test2/"),
        ("s3:PutObject", "s3:PutObject on s3://{bucket}/test2/logs/x.txt"),
    ],
)
def test_without_one_right_the_run_says_which(
    bucket: str, run: Callable[..., dict[str, Any]], missing: str, names: str
) -> None:
    with pytest.raises(errors.AccessDenied) as caught:
        run("test2/", rights=tuple(right for right in RIGHTS if right != missing))
    assert str(caught.value).startswith(names.format(bucket=bucket))
    assert "refused" in str(caught.value)


def test_a_missing_scenario_is_named_with_bucket_and_prefix(
    bucket: str, run: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(errors.ScenarioNotFound, match=f"'nope'.*s3://{bucket}/nope/"):
        run("nope/")


@pytest.mark.usefixtures("sandbox_env")
def test_a_missing_bucket_is_named() -> None:
    with pytest.raises(errors.ScenarioNotFound, match="'there-is-none-here' doesn't exist"):
        storage.S3Storage("there-is-none-here", boto3.client("s3")).list("test/")


def test_a_lock_object_stops_the_run(bucket: str, run: Callable[..., dict[str, Any]]) -> None:
    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key="test2/.lock", Body=b"")
    try:
        with pytest.raises(errors.ScenarioLocked):
            run("test2/")
    finally:
        client.delete_object(Bucket=bucket, Key="test2/.lock")
