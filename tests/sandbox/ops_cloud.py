"""An emulator of the ops tests' own, with the resources of one model made by hand: no stack, no engine."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from sandbox import paths

REGION = "ca-central-1"

WORKFLOW = {
    "StartAt": "import_gtfs",
    "States": {
        "import_gtfs": {"Type": "Wait", "Seconds": 1, "Next": "which"},
        "which": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.choice", "StringEquals": "bad", "Next": "bad"},
                {"Variable": "$.choice", "StringEquals": "late", "Next": "late"},
                {"Variable": "$.choice", "StringEquals": "long", "Next": "long"},
            ],
            "Default": "good",
        },
        "bad": {
            "Type": "Fail",
            "Error": "NotebookError",
            "Cause": json.dumps(
                {
                    "errorType": "NotebookError",
                    "errorMessage": "x.ipynb failed\nTraceback\nValueError: no stops",
                }
            ),
        },
        "late": {"Type": "Fail", "Error": "DeadlineExceeded", "Cause": "stopped after 20 s"},
        "long": {"Type": "Wait", "Seconds": 60, "Next": "good"},
        "good": {"Type": "Succeed"},
    },
}


@dataclass
class Ran:
    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)


@dataclass
class Cloud:
    """An emulator of our own with one model made by hand, and its stack outputs in a file."""

    env: dict[str, str]
    outputs: Path
    bucket: str

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.env["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
        )

    def command(self, *argv: str) -> list[str]:
        return [sys.executable, "-m", "ops", "quetzal", *argv]

    def ops(self, *argv: str, stdin: str = "", **env: str) -> Ran:
        done = subprocess.run(
            self.command(*argv),
            cwd=paths.ROOT,
            env={**self.env, **env},
            input=stdin,
            text=True,
            capture_output=True,
            timeout=120,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def good(self, *argv: str, stdin: str = "") -> Any:
        ran = self.ops(*argv, "--json", stdin=stdin)
        assert ran.code == 0, ran.stdout + ran.stderr
        assert ran.stderr == ""
        return ran.document

    def keys(self, prefix: str) -> set[str]:
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", [])}

    def put(self, key: str, text: str) -> None:
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=text.encode())

    def text(self, key: str) -> str:
        return str(self.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read().decode())


@contextmanager
def running(folder: Path) -> Iterator[Cloud]:
    """The emulator on a free port, its state in ``folder``, ended afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_ENDPOINT", "BENCHTOP_"))
        },
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "rootkey",
        "AWS_SECRET_ACCESS_KEY": "rootsecret",
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PULUMI_BACKEND_URL": folder.as_uri(),
        "BENCHTOP_OUTPUTS_FILE": str(folder / "outputs.json"),
    }
    emulator = {
        "AUTH": "true",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "PERSIST_STATE": "0",
        "STATE_DIR": str(folder / "state"),
        "MINISTACK_REGION": REGION,
        "SFTP_ENABLED": "0",
    }
    with (folder / "emulator.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env={**env, **emulator}, stdout=log, stderr=log, cwd=folder
        )
    try:
        wait_until_up(f"http://127.0.0.1:{port}/_ministack/health", folder / "emulator.log")
        made = Cloud(env, folder / "outputs.json", "quetzal-transit")
        made.outputs.write_text(json.dumps(make(made)))
        yield made
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_up(url: str, log: Path) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (OSError, urllib.error.URLError):
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)


def make(cloud: Cloud) -> dict[str, Any]:
    """The resources of one model; returns the outputs that its stack would have."""
    s3, iam = cloud.client("s3"), cloud.client("iam")
    s3.create_bucket(Bucket=cloud.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=cloud.bucket, VersioningConfiguration={"Status": "Enabled"})
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName="workflow",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    machine = cloud.client("stepfunctions").create_state_machine(
        name="transit", definition=json.dumps(WORKFLOW), roleArn=role
    )["stateMachineArn"]
    cloud.client("logs").create_log_group(logGroupName="/aws/lambda/transit")
    repository = cloud.client("ecr").create_repository(repositoryName="transit")["repository"][
        "repositoryUri"
    ]
    idp = cloud.client("cognito-idp")
    pool = idp.create_user_pool(PoolName="quetzal", UsernameAttributes=["email"])["UserPool"]["Id"]
    client = idp.create_user_pool_client(
        UserPoolId=pool,
        ClientName="front",
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    )["UserPoolClient"]["ClientId"]
    for group in ("planners", "guests"):
        idp.create_group(UserPoolId=pool, GroupName=group)
    model = {
        "bucket": cloud.bucket,
        "function_name": "transit",
        "log_group": "/aws/lambda/transit",
        "state_machine_arn": machine,
        "groups": ["planners"],
        "repository_url": repository,
        "image_digest_uri": f"{repository}@sha256:0",
        "api_url": "http://api",
    }
    return {
        "region": REGION,
        "user_pool_id": pool,
        "user_pool_client_id": client,
        "models": {"transit": model},
    }


def write_scenario(folder: Path) -> Path:
    """A small scenario in ``folder``."""
    (folder / "inputs" / "pt").mkdir(parents=True)
    (folder / "inputs" / "params.json").write_text("{}")
    (folder / "inputs" / "pt" / "links.geojson").write_text('{"type": "FeatureCollection"}')
    return folder


def copy_of_base(cloud: Cloud, folder: Path) -> str:
    """``base`` from ``folder``, and a new scenario copied from it."""
    cloud.good("scenario", "upload", str(folder), "base")
    name = f"s{secrets.token_hex(4)}"
    cloud.good("scenario", "copy", "base", name)
    return name
