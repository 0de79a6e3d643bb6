"""The rules of the AWS emulator that need no emulator: processes, layers, permissions, errors in a log."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from sandbox.aws import patching
from sandbox.aws.function_adjustments import exception_in
from sandbox.aws.process import Process, current, start_time
from sandbox.aws.registry import Registry, digests_in
from sandbox.aws.roles import task_permissions


def test_a_process_is_its_number_and_its_start() -> None:
    me = current()
    assert me.alive()
    assert not Process(me.pid, "1").alive()
    with subprocess.Popen(["sleep", "60"]) as child:
        started = start_time(child.pid)
        assert started
        assert not Process(child.pid, started + "0").signal(signal.SIGKILL)
        assert child.poll() is None
        assert Process(child.pid, started).signal(signal.SIGTERM)
        assert Process(child.pid, started).wait(5)
        assert start_time(child.pid) is None


def test_a_name_that_ministack_lost_is_said_in_one_line() -> None:
    with pytest.raises(
        patching.AdjustmentError, match=r"no function services\.ecr\._gone.*requirements\.txt"
    ) as error:
        patching.replace("services.ecr", "_gone", lambda original: original)
    assert "\n" not in str(error.value)


def test_digests_of_a_manifest_are_configuration_layers_and_members() -> None:
    manifest = (
        b'{"config": {"digest": "sha256:c"}, "layers": [{"digest": "sha256:1"}, {"digest": "sha256:2"}]}'
    )
    assert list(digests_in(manifest)) == ["sha256:c", "sha256:1", "sha256:2"]
    assert list(digests_in('{"manifests": [{"digest": "sha256:m"}]}')) == ["sha256:m"]
    assert list(digests_in("no json")) == []


def test_orphaned_layers_and_uploads_go_when_they_are_old(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    young, old, upload = (
        registry.layer("sha256:" + "a" * 64),
        registry.layer("sha256:" + "b" * 64),
        tmp_path / "uploads" / "u",
    )
    for path in (young, old, upload):
        path.write_bytes(b"x")
    for path in (old, upload):
        os.utime(path, (1, 1))
    registry.sweep()
    assert (young.exists(), old.exists(), upload.exists()) == (True, False, False)


FUNCTION = "arn:aws:lambda:ca-central-1:000000000000:function:step"


@pytest.mark.parametrize(
    ("resource", "content", "needed"),
    [
        ("arn:aws:states:::lambda:invoke", {"FunctionName": FUNCTION}, ("lambda:InvokeFunction", FUNCTION)),
        ("arn:aws:states:::lambda:invoke", {"FunctionName": "step"}, ("lambda:InvokeFunction", FUNCTION)),
        (
            "arn:aws:states:::lambda:invoke.waitForTaskToken",
            {"FunctionName": "step"},
            ("lambda:InvokeFunction", FUNCTION),
        ),
        (FUNCTION, {}, ("lambda:InvokeFunction", FUNCTION)),
        (
            "arn:aws:states:::sqs:sendMessage",
            {"QueueUrl": "http://127.0.0.1:4566/000000000000/q"},
            ("sqs:SendMessage", "arn:aws:sqs:ca-central-1:000000000000:q"),
        ),
        ("arn:aws:states:::sns:publish", {"TopicArn": "arn:aws:sns:x"}, ("sns:Publish", "arn:aws:sns:x")),
        (
            "arn:aws:states:::ecs:runTask.sync",
            {"TaskDefinition": "family:3"},
            ("ecs:RunTask", "arn:aws:ecs:ca-central-1:000000000000:task-definition/family:3"),
        ),
        (
            "arn:aws:states:::dynamodb:putItem",
            {"TableName": "t"},
            ("dynamodb:PutItem", "arn:aws:dynamodb:ca-central-1:000000000000:table/t"),
        ),
        (
            "arn:aws:states:::states:startExecution",
            {"StateMachineArn": "arn:m"},
            ("states:StartExecution", "arn:m"),
        ),
    ],
)
def test_what_a_task_needs(resource: str, content: dict[str, str], needed: tuple[str, str]) -> None:
    from ministack.core.responses import request_scope

    with request_scope("000000000000", "ca-central-1"):
        assert task_permissions(resource, content) == [needed]


def test_a_task_of_unknown_kind_needs_nothing_that_could_be_told() -> None:
    assert task_permissions("arn:aws:states:::aws-sdk:s3:listBuckets", {}) == []


def test_the_last_exception_of_a_log_counts() -> None:
    log = (
        'begin\nTraceback (most recent call last):\n  File "a.py", line 1, in x\n    f()\nKeyError: 1\n\n'
        "During handling of the above exception, another exception occurred:\n\n"
        'Traceback (most recent call last):\n  File "b.py", line 2, in y\n    g()\n'
        "botocore.errorfactory.NoSuchKey: An error\nsecond line of the message\n"
    )
    assert exception_in(log) == ("NoSuchKey", ['  File "b.py", line 2, in y', "    g()"])
    assert exception_in("all is well") is None
