"""What somebody does by hand with one stack: up, up again, refresh after drift, destroy, a killed engine."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import docker
import pytest

from tests.sandbox.holdings import holdings
from tests.sandbox.workspace import Stack

MODELS = {
    "quetzal:models": {
        "cycle": {"source": "probe", "base_scenario": "examples/quetzal-cairns/scenarios/base"}
    }
}


@pytest.fixture
def stack(project: Path, sandbox_env: dict[str, str]) -> Iterator[Stack]:
    stack = Stack(project, "quetzal-cycle", sandbox_env)
    stack.configure(MODELS)
    yield stack
    stack.pulumi("cancel", "--yes", check=False)
    stack.remove()


def built_images() -> set[str]:
    return {image.id for image in docker.from_env().images.list(all=True)}


def test_a_stack_lives_and_dies_by_hand(stack: Stack) -> None:
    before = holdings()
    preview = stack.pulumi("preview")
    assert "cycle" in preview.output
    assert holdings() == before, "a preview made something"

    created = stack.up().changes()
    assert created["created"] > 25
    image = stack.outputs()["models"]["cycle"]["image_digest_uri"]
    assert "@sha256:" in image
    assert (
        boto3.client("lambda").get_function(FunctionName=stack.outputs()["models"]["cycle"]["function_name"])[
            "Code"
        ]["ImageUri"]
        == image
    )

    images = built_images()
    for source in (stack.project / "containers").rglob("*"):
        os.utime(source)  # a fresh clone has other times: they must not matter
    again = stack.up()
    assert set(again.changes()) == {"unchanged"}, again.output
    assert built_images() == images, "an unchanged stack built an image"
    assert set(stack.pulumi("refresh", "--yes", "--skip-preview").changes()) <= {"unchanged"}

    deployed = stack.outputs()["models"]["cycle"]
    boto3.client("lambda").update_function_configuration(
        FunctionName=deployed["function_name"], MemorySize=512
    )
    boto3.client("logs").delete_log_group(logGroupName=deployed["log_group"])
    drift = stack.pulumi("refresh", "--yes", "--skip-preview").changes()
    assert drift["updated"] == 1
    assert drift["deleted"] == 1
    healed = stack.up().changes()
    assert (healed["created"], healed["updated"]) == (1, 1)
    assert (
        boto3.client("lambda").get_function_configuration(FunctionName=deployed["function_name"])[
            "MemorySize"
        ]
        == 4016
    )

    boto3.client("s3").put_object(Bucket=deployed["bucket"], Key="base/inputs/x.txt", Body=b"1")
    boto3.client("s3").put_object(
        Bucket=deployed["bucket"], Key="base/inputs/x.txt", Body=b"2"
    )  # an older version too
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert holdings() == before
    assert stack.up().changes()["created"] == created["created"]


def test_an_engine_killed_in_the_middle_is_recovered(stack: Stack) -> None:
    stack.pulumi("stack", "output")  # creates the stack, so that the kill hits the update
    for delay in (2.0, 4.0):
        running = subprocess.Popen(
            ["pulumi", "--non-interactive", "up", "--yes", "--skip-preview", "--stack", stack.name],
            cwd=stack.project, env=stack.env, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(delay)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    stack.pulumi("cancel", "--yes", check=False)
    stack.up()
    assert set(stack.up().changes()) == {"unchanged"}
