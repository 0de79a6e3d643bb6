"""What the tests of the AWS emulator share: roles, waiting, and a function's image that does as it is told.

Things are made anew when an interrupted run has left them.
"""

import io
import json
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import botocore
import docker
import docker.errors

from sandbox.images.ensure import ensure

BASE_IMAGE = "python:3.13-slim-trixie"

PROBE = '''
import json, os, sys, time, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import boto3

PROCESS = uuid.uuid4().hex

def act(event):
    """Sleep, write a file, raise, print, or call AWS with whatever credentials the environment gives."""
    found = {"process": PROCESS, "user": os.getuid(), "environment": dict(os.environ), "answers": []}
    print("probe was called", flush=True)
    time.sleep(event.get("sleep", 0))
    for path in event.get("write", []):
        try:
            open(path, "w").write("x")
            found["answers"].append("written")
        except OSError as error:
            found["answers"].append(type(error).__name__ + ": " + str(error))
    block = bytearray(event.get("memory_mb", 0) << 20)
    for service, operation, arguments in event.get("calls", []):
        try:
            answer = getattr(boto3.client(service), operation)(**arguments)
            found["answers"].append("done: " + answer.get("Arn", ""))
        except Exception as error:
            found["answers"].append(str(error))
    if event.get("raise"):
        raise ValueError(event["raise"])
    sys.stdout.write(("y" * 99 + "\\n") * (event.get("print", 0) // 100))
    sys.stdout.flush()
    return {**event, **found}

class Interface(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            answer = act(event)
        except ValueError as error:
            answer = {"errorType": "ValueError", "errorMessage": str(error), "stackTrace": []}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

ThreadingHTTPServer(("0.0.0.0", 8080), Interface).serve_forever()
'''

_DOCKERFILE = """FROM {base}
COPY site /site
COPY probe.py /var/task/probe.py
ENV PYTHONPATH=/site
CMD ["python3", "/var/task/probe.py"]
"""


def probe_image() -> str:
    """Build the image of ``PROBE`` and return its id. Boto3, pure Python, is copied from this environment."""
    base = ensure([BASE_IMAGE], print)[BASE_IMAGE]
    site = Path(botocore.__file__).parent.parent
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in {"Dockerfile": _DOCKERFILE.format(base=base), "probe.py": PROBE}.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text.encode()), 0o644
            archive.addfile(info, io.BytesIO(text.encode()))

        def wanted(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
            data = info.name.partition("/botocore/data/")[2]
            keep = not data or ("/" not in data and "." in data) or data.split("/")[0] in ("s3", "sts", "sqs")
            return info if keep and "__pycache__" not in info.name else None

        for package in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py"):
            archive.add(site / package, f"site/{package}", filter=wanted)
    packed.seek(0)
    client = docker.from_env()
    try:
        image, _log = client.images.build(fileobj=packed, custom_context=True, rm=True)
        return str(image.id)
    finally:
        client.close()


def push(image: str, repository: str, tag: str = "v1") -> str:
    """Push an image to a repository of the emulator, made when missing; its URI by digest."""
    ecr = boto3.client("ecr")
    try:
        uri = ecr.create_repository(repositoryName=repository)["repository"]["repositoryUri"]
    except ecr.exceptions.RepositoryAlreadyExistsException:
        uri = ecr.describe_repositories(repositoryNames=[repository])["repositories"][0]["repositoryUri"]
    client = docker.from_env()
    try:
        client.images.get(image).tag(uri, tag)
        for line in client.images.push(uri, tag, stream=True, decode=True):
            assert "error" not in line, line
            if "aux" in line:
                return f"{uri}@{line['aux']['Digest']}"
    finally:
        client.close()
    raise AssertionError("the push told no digest")


def forget(uri: str) -> None:
    """Take the names of a pushed image from the Docker engine; what no other name holds goes with them."""
    repository = uri.partition("@")[0]
    client = docker.from_env()
    try:
        for name in (f"{repository}:v1", uri):
            with suppress(docker.errors.ImageNotFound):
                client.images.remove(name, force=True)
    finally:
        client.close()


def trust(service: str) -> dict[str, Any]:
    allow = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [allow]}


def role(name: str, trusted: str | dict[str, Any], *statements: dict[str, Any]) -> str:
    """Make a role, or give it other permissions; its ARN. A service's name stands for the trust in it."""
    iam = boto3.client("iam")
    document = json.dumps(trust(trusted) if isinstance(trusted, str) else trusted)
    try:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    except iam.exceptions.EntityAlreadyExistsException:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=document)
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="test", PolicyDocument=json.dumps(policy))
    arn: str = iam.get_role(RoleName=name)["Role"]["Arn"]
    return arn


def allow(actions: str | list[str], resources: str | list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def bucket(name: str) -> str:
    """Make a bucket in the region of the environment."""
    s3 = boto3.client("s3")
    if name in [found["Name"] for found in s3.list_buckets()["Buckets"]]:
        boto3.resource("s3").Bucket(name).object_versions.delete()
        s3.delete_bucket(Bucket=name)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    return name


def function(name: str, role_arn: str, **settings: Any) -> str:
    """Make a function and wait until it's active; its ARN."""
    client = boto3.client("lambda")
    with suppress(client.exceptions.ResourceNotFoundException):
        client.delete_function(FunctionName=name)
    arn: str = client.create_function(FunctionName=name, Role=role_arn, **settings)["FunctionArn"]
    client.get_waiter("function_active_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    return arn


def invoke(name: str, event: dict[str, Any]) -> tuple[str | None, Any]:
    """Invoke a function: the kind of its error (None when it succeeded), and what it returned."""
    answer = boto3.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    return answer.get("FunctionError"), json.load(answer["Payload"])


def until(found: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true answer within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def finished(execution: str, seconds: float = 60.0) -> dict[str, Any]:
    """Description of a Step Functions execution that has ended."""
    states = boto3.client("stepfunctions")

    def ended() -> Any:
        description = states.describe_execution(executionArn=execution)
        return description if description["status"] != "RUNNING" else None

    description: dict[str, Any] = until(ended, seconds)
    return description
