"""Functions from images: the registry, the role's credentials, and Lambda's bounds."""

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import docker
import pytest
from botocore.exceptions import ClientError

from sandbox import paths
from tests.sandbox import sandbox_aws_support as support

BUCKET = "functions-probe-bucket"
RUNNER = "functions-probe-runner"


@pytest.fixture(scope="module")
def uri(sandbox_env: dict[str, str]) -> Iterator[str]:
    pushed = support.push(support.probe_image(), "functions/probe")
    yield pushed
    support.forget(pushed)
    boto3.client("ecr").delete_repository(repositoryName="functions/probe", force=True)


@pytest.fixture(scope="module")
def probe(uri: str) -> Iterator[str]:
    """Name of a function whose role may write in the bucket, but never under ``base/``."""
    support.bucket(BUCKET)
    role = support.role(
        RUNNER,
        "lambda.amazonaws.com",
        support.allow(["s3:PutObject"], f"arn:aws:s3:::{BUCKET}/*"),
        {"Effect": "Deny", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/base/*"},
    )
    variables = {"Variables": {"BUCKET_NAME": BUCKET}}
    settings: dict[str, Any] = {"Timeout": 10, "MemorySize": 256, "Environment": variables}
    support.function("functions-probe", role, PackageType="Image", Code={"ImageUri": uri}, **settings)
    yield "functions-probe"
    boto3.client("lambda").delete_function(FunctionName="functions-probe")
    boto3.client("logs").delete_log_group(logGroupName="/aws/lambda/functions-probe")
    s3 = boto3.resource("s3").Bucket(BUCKET)
    s3.objects.delete()
    s3.delete()


def put(key: str) -> list[Any]:
    return ["s3", "put_object", {"Bucket": BUCKET, "Key": key, "Body": "hello"}]


def test_registry_address_is_one_that_docker_takes(uri: str, sandbox_env: dict[str, str]) -> None:
    host = sandbox_env["AWS_ENDPOINT_URL"].removeprefix("http://")
    assert uri.startswith(f"{host}/functions/probe@sha256:")
    token = boto3.client("ecr").get_authorization_token()["authorizationData"][0]
    assert token["proxyEndpoint"] == f"http://{host}"


def test_pull_gives_back_what_was_pushed(uri: str) -> None:
    client = docker.from_env()
    try:
        before = client.images.get(uri).id
        repository = uri.partition("@")[0]
        client.images.remove(f"{repository}:v1", force=True)
        client.images.pull(uri)
        assert client.images.get(uri).id == before
    finally:
        client.close()


def test_layers_are_files_and_go_with_their_repository(sandbox_env: dict[str, str]) -> None:
    layers = paths.aws_state() / "registry" / "sha256"

    def stored() -> set[str]:
        return {path.name for path in layers.iterdir()}

    # Layers of what other tests deleted may go meanwhile: only those of this image are watched.
    before = stored()
    client = docker.from_env()
    try:
        image, _log = client.images.build(fileobj=_unique_dockerfile(), rm=True)
        uri = support.push(str(image.id), "functions/short-lived")
        support.until(lambda: stored() - before, 20)
        _wait_for_sweep()
        own = stored() - before
        boto3.client("ecr").delete_repository(repositoryName="functions/short-lived", force=True)
        support.until(lambda: not own & stored(), 40)
        boto3.client("ecr").create_repository(repositoryName="functions/short-lived")
        support.forget(uri)
        with pytest.raises(docker.errors.NotFound):
            client.images.pull(uri)
    finally:
        boto3.client("ecr").delete_repository(repositoryName="functions/short-lived", force=True)
        client.close()


def _unique_dockerfile() -> Any:
    import io

    return io.BytesIO(f"FROM scratch\nLABEL made={time.time_ns()}\nENV made={time.time_ns()}\n".encode())


def _wait_for_sweep() -> None:
    """Let the saver see the manifest: what it never saw named is only deleted as an orphan, after an hour."""
    from sandbox.aws.control import status

    seen = status()["saved"]["last"]
    support.until(lambda: status()["saved"]["last"] != seen, 40)


def test_push_to_missing_repository_is_refused(uri: str, sandbox_env: dict[str, str]) -> None:
    client = docker.from_env()
    try:
        missing = f"{uri.partition('/')[0]}/functions/nowhere"
        client.images.get(uri).tag(missing, "v1")
        lines = list(client.images.push(missing, "v1", stream=True, decode=True))
        assert any("does not exist" in line.get("error", "") for line in lines), lines
        client.images.remove(f"{missing}:v1")
    finally:
        client.close()


def test_role_decides_what_a_function_may_do(probe: str) -> None:
    others = [["s3", "list_objects_v2", {"Bucket": BUCKET}], ["sts", "get_caller_identity", {}]]
    error, answer = support.invoke(probe, {"calls": [put("a/b.txt"), put("base/x.txt"), *others]})
    assert error is None
    written, denied, listing, identity = answer["answers"]
    assert written.startswith("done")
    assert "AccessDenied" in denied
    assert "explicit deny" in denied
    assert "AccessDenied" in listing
    assert "s3:ListBucket" in listing
    assert identity == f"done: arn:aws:sts::000000000000:assumed-role/{RUNNER}/{probe}"
    assert boto3.client("s3").get_object(Bucket=BUCKET, Key="a/b.txt")["Body"].read() == b"hello"


def test_a_permission_taken_away_is_missed_at_once(probe: str) -> None:
    iam = boto3.client("iam")
    policy = iam.get_role_policy(RoleName=RUNNER, PolicyName="test")["PolicyDocument"]
    iam.put_role_policy(
        RoleName=RUNNER,
        PolicyName="test",
        PolicyDocument=json.dumps({**policy, "Statement": policy["Statement"][1:]}),
    )
    try:
        _error, answer = support.invoke(probe, {"calls": [put("a/c.txt")]})
        assert "AccessDenied" in answer["answers"][0]
    finally:
        iam.put_role_policy(RoleName=RUNNER, PolicyName="test", PolicyDocument=json.dumps(policy))


def test_root_is_the_sandboxes_key_only(probe: str) -> None:
    for key in ("test", "000000000000", "AKIAIOSFODNN7EXAMPLE"):
        client = boto3.client("s3", aws_access_key_id=key, aws_secret_access_key="test")
        with pytest.raises(ClientError, match=r"InvalidAccessKeyId|InvalidClientTokenId|Unrecognized"):
            client.list_buckets()


def test_environment_and_warm_reuse(probe: str) -> None:
    _error, first = support.invoke(probe, {})
    times = []
    for _ in range(5):
        began = time.monotonic()
        _error, second = support.invoke(probe, {})
        times.append(time.monotonic() - began)
        assert first["process"] == second["process"]
    assert min(times) < 0.9, "ministack's own way takes a second more each time"
    environment = first["environment"]
    assert environment["BUCKET_NAME"] == BUCKET
    assert environment["AWS_LAMBDA_FUNCTION_TIMEOUT"] == "10"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["AWS_REGION"] == "ca-central-1"
    assert environment["AWS_ENDPOINT_URL"].startswith("http://host.docker.internal:")


def test_functions_are_bounded_as_on_lambda(probe: str) -> None:
    error, answer = support.invoke(probe, {"write": ["/tmp/x", "/var/task/x", "/site/x"]})
    assert error is None
    assert answer["user"] != 0
    assert answer["answers"][0] == "written"
    assert all("Read-only file system" in refused for refused in answer["answers"][1:])
    error, answer = support.invoke(probe, {"memory_mb": 400})
    assert error is not None


def test_errors_and_time_limit_are_reported_as_lambda_does(probe: str) -> None:
    error, answer = support.invoke(probe, {"raise": "broken"})
    assert (error, answer["errorType"], answer["errorMessage"]) == ("Unhandled", "ValueError", "broken")
    error, answer = support.invoke(probe, {"sleep": 15})
    assert error == "Unhandled"
    assert answer == {"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out after 10.00 seconds"}


def test_output_of_five_megabytes_is_in_the_log(probe: str) -> None:
    error, _answer = support.invoke(probe, {"print": 5_000_000})
    assert error is None
    logs = boto3.client("logs")
    group = f"/aws/lambda/{probe}"
    streams = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True)[
        "logStreams"
    ]
    assert max(_size(group, stream["logStreamName"]) for stream in streams[:3]) > 4_900_000
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, filterPattern="yyyy")
    counts = [len(page["events"]) for page in pages]
    assert counts == [10_000] * 4 + [9_999 + 1]


def _size(group: str, stream: str) -> int:
    """Characters of a log stream, page by page."""
    logs = boto3.client("logs")
    size, token = 0, ""
    while True:
        more = {"nextToken": token} if token else {}
        page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **more)
        size += sum(len(event["message"]) for event in page["events"])
        if page["nextForwardToken"] == token:
            return size
        token = page["nextForwardToken"]


def test_a_function_without_its_image_is_refused(uri: str) -> None:
    role = support.role("functions-imageless", "lambda.amazonaws.com")
    missing = f"{uri.partition('@')[0]}@sha256:{'0' * 64}"
    with pytest.raises(ClientError, match="does not exist"):
        support.function("functions-refused", role, PackageType="Image", Code={"ImageUri": missing})


def test_images_are_described_as_on_ecr(uri: str) -> None:
    ecr, digest = boto3.client("ecr"), uri.partition("@")[2]
    found = ecr.describe_images(repositoryName="functions/probe", imageIds=[{"imageDigest": digest}])
    assert found["imageDetails"][0]["imageTags"] == ["v1"]
    assert found["imageDetails"][0]["imageSizeInBytes"] > 20_000_000
    with pytest.raises(ecr.exceptions.ImageNotFoundException):
        ecr.describe_images(repositoryName="functions/probe", imageIds=[{"imageTag": "v2"}])


def test_a_role_that_does_not_trust_lambda_is_refused(uri: str) -> None:
    role = support.role("functions-distrustful", "states.amazonaws.com", support.allow("s3:GetObject", "*"))
    with pytest.raises(ClientError, match="cannot be assumed by Lambda"):
        support.function("functions-refused", role, PackageType="Image", Code={"ImageUri": uri})
