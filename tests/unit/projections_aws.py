"""A few operations of S3, DynamoDB, SQS and ECS behind real boto3 clients: botocore checks each request.

What is answered instead of AWS is only what the site relies on; the sandbox's tests use an emulator.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse


class _Body:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self.content

    def read(self, amount: int | None = None) -> bytes:
        taken, self.content = (
            (self.content, b"") if amount is None else (self.content[:amount], self.content[amount:])
        )
        return taken

    def close(self) -> None:
        return None


@dataclass
class Aws:
    """``down`` names services that answer 503."""

    objects: dict[str, bytes] = field(default_factory=dict)
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    before_update: Any = None
    """Called once before the next UpdateItem: what somebody else does at that moment."""

    def clients(self) -> dict[str, Any]:
        session = boto3.Session("key", "secret", region_name="eu-west-3")
        made = {}
        for name in ("s3", "dynamodb", "sqs", "ecs"):
            made[name] = session.client(name, endpoint_url="http://127.0.0.1:9", config=_config())
            made[name].meta.events.register("before-send", self._answer, unique_id=name)
        return made

    def _answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        service, operation = event_name.split(".")[1:]
        self.calls.append(operation)
        if service in self.down:
            return _response(503, b"{}")
        body = request.body.read() if hasattr(request.body, "read") else request.body or b""
        if service == "s3":
            return self._s3(operation, request, body)
        return _response(*getattr(self, f"_{operation}")(json.loads(body)))

    def _s3(self, operation: str, request: Any, body: bytes) -> AWSResponse:
        key = request.url.split("?")[0].split("/", 4)[4]
        if operation == "PutObject":
            if key in self.objects and "If-None-Match" in request.headers:
                return _response(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            self.objects[key] = _unchunked(request, body)
            return _response(200, b"")
        if key not in self.objects:
            return _response(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return _response(200, self.objects[key])

    def _GetItem(self, body: dict[str, Any]) -> tuple[int, bytes]:
        assert body["ConsistentRead"] is True
        item = self.items.get(body["Key"]["run_id"]["S"])
        return 200, json.dumps({"Item": item} if item else {}).encode()

    def _UpdateItem(self, body: dict[str, Any]) -> tuple[int, bytes]:
        if self.before_update:
            self.before_update = self.before_update()
        names, values = body["ExpressionAttributeNames"], body["ExpressionAttributeValues"]
        run_id = body["Key"]["run_id"]["S"]
        item = self.items.get(run_id)
        for part in body["ConditionExpression"].split(" AND "):
            if part == "attribute_not_exists(run_id)":
                holds = item is None
            else:
                name, value = re.fullmatch(r"(#\w+) = (:\w+)", part).groups()  # type: ignore[union-attr]
                holds = item is not None and item.get(names[name]) == values[value]
            if not holds:
                refusal = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}
                return 400, json.dumps(refusal).encode()
        changed = dict(item or body["Key"])
        for part in re.split(r", (?=#)", body["UpdateExpression"].removeprefix("SET ")):
            name, value = part.split(" = ", 1)
            if value.startswith("list_append"):
                old = changed.get(names[name], {"L": []})["L"]
                changed[names[name]] = {"L": [*old, *values[":entry"]["L"]]}
            else:
                changed[names[name]] = values[value]
        self.items[run_id] = changed
        return 200, b"{}"

    def _SendMessage(self, body: dict[str, Any]) -> tuple[int, bytes]:
        import hashlib

        self.messages.append(json.loads(body["MessageBody"]))
        digest = hashlib.md5(body["MessageBody"].encode(), usedforsecurity=False).hexdigest()
        return 200, json.dumps({"MessageId": "1", "MD5OfMessageBody": digest}).encode()

    def _StopTask(self, body: dict[str, Any]) -> tuple[int, bytes]:
        self.stopped.append((body["task"], body["reason"]))
        return 200, b'{"task": {}}'


def _config() -> Any:
    from botocore.config import Config

    return Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


def _response(status: int, body: bytes) -> AWSResponse:
    headers = {"Content-Length": str(len(body))}
    return AWSResponse("http://127.0.0.1:9", status, headers, _Body(body))


def _unchunked(request: Any, body: bytes) -> bytes:
    """The object in a body that may carry a trailing checksum (aws-chunked)."""
    if "aws-chunked" not in str(request.headers.get("Content-Encoding", "")):
        return body
    size, rest = body.split(b"\r\n", 1)
    return rest[: int(size.split(b";")[0], 16)]


def item_of(run: Any, status: str, **changes: Any) -> dict[str, Any]:
    """An item of the run table as the Lambda functions and the task write it."""
    return {
        "run_id": {"S": str(run.pk)},
        "status": {"S": status},
        "attempt": {"N": "1"},
        "interruptions": {"N": "0"},
        "capacity": {"S": "FARGATE"},
        "output_key": {"S": f"runs/{run.pk}/output.json"},
        "history": {"L": [{"M": {"at": {"S": "t"}, "status": {"S": "queued"}, "attempt": {"N": "1"}}}]},
        **changes,
    }
