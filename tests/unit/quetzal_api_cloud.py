"""Step Functions and S3 stubbed by botocore, which checks every request and answer against its AWS models."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.stub import ANY, Stubber

from lambdas.quetzal_api.runs import Runs, execution_arn

MACHINE = "arn:aws:states:eu-west-3:123456789012:stateMachine:quetzal-tiny"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = "test_20260102T030405Z_0a1b2c"


class Cloud:
    """Two stubbed clients and the runs on them; ``expect`` lists the calls that must come, in order."""

    def __init__(self) -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-3"}
        config = Config(retries={"max_attempts": 0})
        self.sfn = boto3.client("stepfunctions", config=config, **keys)
        self.s3 = boto3.client("s3", config=config, **keys)
        self.stubs = {"sfn": Stubber(self.sfn), "s3": Stubber(self.s3)}
        self.runs = Runs(
            sfn=self.sfn,
            s3=self.s3,
            bucket="quetzal-tiny",
            state_machine_arn=MACHINE,
            steps=("first", "second"),
            now=lambda: NOW,
        )

    def expect(self, service: str, operation: str, answer: dict[str, Any], **asked: Any) -> None:
        self.stubs[service].add_response(operation, answer, asked or None)

    def fail(self, service: str, operation: str, code: str, status: int = 400) -> None:
        self.stubs[service].add_client_error(operation, code, http_status_code=status)

    # --- usual answers -----------------------------------------------------------------------------

    def scenario(self, *, exists: bool = True, locked: bool = False) -> None:
        self.expect(
            "s3",
            "list_objects_v2",
            {"KeyCount": int(exists)},
            Bucket="quetzal-tiny",
            Prefix="test/",
            MaxKeys=1,
        )
        if exists and locked:
            self.expect("s3", "head_object", {}, Bucket="quetzal-tiny", Key="test/.lock")
        elif exists:
            self.fail("s3", "head_object", "404", 404)

    def running(self, *names: str, start: datetime = NOW, **page: Any) -> None:
        self.expect(
            "sfn",
            "list_executions",
            {"executions": [execution(name, start) for name in names], **page},
            stateMachineArn=MACHINE,
            statusFilter="RUNNING",
            **({"nextToken": ANY} if page.get("second") else {}),
        )


def execution(name: str, start: datetime = NOW, status: str = "RUNNING") -> dict[str, Any]:
    return {
        "executionArn": execution_arn(MACHINE, name),
        "stateMachineArn": MACHINE,
        "name": name,
        "status": status,
        "startDate": start,
    }


def entered(number: int, name: str, minute: int, before: int | None = None) -> dict[str, Any]:
    return event(number, "TaskStateEntered", minute, before, stateEnteredEventDetails={"name": name})


def exited(number: int, name: str, minute: int) -> dict[str, Any]:
    return event(number, "TaskStateExited", minute, stateExitedEventDetails={"name": name})


def event(number: int, kind: str, minute: int, before: int | None = None, **details: Any) -> dict[str, Any]:
    return {
        "id": number,
        "type": kind,
        "timestamp": NOW + timedelta(minutes=minute),
        "previousEventId": number - 1 if before is None else before,
        **details,
    }


def history(cloud: Cloud, *pages: list[dict[str, Any]]) -> None:
    for index, events in enumerate(pages):
        asked: dict[str, Any] = {"executionArn": execution_arn(MACHINE, RUN), "includeExecutionData": False}
        if index:
            asked["nextToken"] = "more"
        answer: dict[str, Any] = {"events": events}
        if index + 1 < len(pages):
            answer["nextToken"] = "more"
        cloud.expect("sfn", "get_execution_history", answer, **asked)


def described(cloud: Cloud, status: str, **more: Any) -> None:
    text = json.dumps(
        {
            "scenario_path_S3": "test/",
            "launcher_arg": {"params": {"a": 1}},
            "metadata": {"user_email": "a@example.org"},
        }
    )
    answer = {**execution(RUN, status=status), "input": text, **more}
    cloud.expect("sfn", "describe_execution", answer, executionArn=execution_arn(MACHINE, RUN))
