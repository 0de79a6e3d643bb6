"""Each role of a run has what it needs and nothing less: without any one permission, its part fails."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from sandbox.aws.interruptions import interrupt
from tests.sandbox.permissions import Permission, Without, permissions, roles_of
from tests.sandbox.projections_cloud import Deployed, until

EVIDENCE_S = 90.0

UNSEEN = {
    "ecr:GetAuthorizationToken": "the emulator's registry asks for no login",
    "ecr:BatchCheckLayerAvailability": "the image is in the Docker engine already",
    "ecr:BatchGetImage": "the image is in the Docker engine already",
    "ecr:GetDownloadUrlForLayer": "the image is in the Docker engine already",
    "logs:CreateLogStream": "the emulator's log driver asks no role",
    "logs:PutLogEvents": "the emulator's log driver asks no role",
    "ecs:TagResource": "the emulator doesn't ask for it when a task is tagged at its start",
    "ecs:StopTask": "only for a task that has fallen silent, five minutes after its last sign of life",
}
"""Permissions that a run on AWS needs and that can't be seen to be needed here, each with the reason."""

RARE = {
    ("dispatch", "sqs:SendMessage"): "starts that are put off, and dead letters: see the test of the latter",
    ("model-task", "s3:DeleteObject"): "checkpoints of a run that has succeeded; a short one has none",
    ("model-task", "dynamodb:GetItem"): "an attempt that is over reads why",
    ("resume", "sqs:ReceiveMessage"): "the emulator asks when the mapping is made, not for each message",
    ("resume", "sqs:DeleteMessage"): "the same",
    ("resume", "sqs:GetQueueAttributes"): "the same",
}
"""Permissions of a role that an ordinary run doesn't need."""


def role_words(kind: str) -> tuple[str, ...]:
    return "projections", kind


def tried(kind: str) -> list[Permission]:
    """The permissions of a role that are taken away one by one."""
    found = [
        item
        for item in permissions(roles_of(*role_words(kind)))
        if item.action not in UNSEEN and (kind, item.action) not in RARE
    ]
    assert found, f"no role has the words {role_words(kind)}"
    return found


class Watch:
    """What was logged or reported since its beginning."""

    def __init__(self, projections: Deployed) -> None:
        self.projections, self.since = projections, int(time.time() * 1000) - 1000
        self.known = {task["taskArn"] for task in projections.tasks()}

    def texts(self) -> Iterator[str]:
        logs = self.projections.client("logs")
        for group in self.projections.outputs["log_groups"].values():
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=self.since)
            yield from (event["message"] for page in pages for event in page["events"])
        for task in self.projections.tasks():
            if task["taskArn"] not in self.known:
                yield str(task.get("stoppedReason"))

    def denial(self, action: str) -> Callable[[], str | None]:
        """Finds a line that says that ``action`` was refused."""

        def look() -> str | None:
            return next((text for text in self.texts() if denied(text, action)), None)

        return look


def denied(text: str, action: str) -> bool:
    refused = "not authorized" in text or "AccessDenied" in text or "Forbidden" in text or "(403)" in text
    # S3's HeadObject says nothing but 403; its permission is that of GetObject.
    name = action.split(":")[1]
    return refused and (action in text or name in text or (name == "GetObject" and "HeadObject" in text))


def submit(projections: Deployed, **fields: Any) -> dict[str, Any]:
    return projections.submit(**{"compute": "fargate-spot", **fields})


@pytest.mark.parametrize("kind", ["dispatch", "model-task", "model-execution"])
def test_a_run_needs_every_permission_of_the_role(projections: Deployed, kind: str) -> None:
    for permission in tried(kind):
        watch = Watch(projections)
        with Without(permission):
            run = submit(projections)
            until(watch.denial(permission.action), f"{permission} to be missed", EVIDENCE_S)
            assert projections.site.run(run["id"])["status"] != "succeeded"
        # Given back, the run is made good by retries, or is failed and says why.
        until(lambda run_id=run["id"]: ended(projections, run_id), f"run {run['id']} to end")  # type: ignore[misc]


def ended(projections: Deployed, run_id: str) -> bool:
    run = projections.site.run(run_id)
    if run["status"] == "failed":
        assert run["reason"], run
    return run["status"] in ("succeeded", "failed")


def test_a_request_that_nobody_can_read_is_a_dead_letter(projections: Deployed) -> None:
    queue = projections.outputs["dead_letter_queue_urls"]["dispatch"]
    sqs, key = projections.client("sqs"), "requests/not-a-run.json"
    projections.client("s3").put_object(Bucket=projections.outputs["bucket"], Key=key, Body=b"{}")

    def letter() -> Any:
        got = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", [])
        return next((message for message in got if key in message["Body"]), None)

    found = until(letter, "the dead letter", EVIDENCE_S)
    assert projections.outputs["dispatch_function"] in found["Body"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=found["ReceiptHandle"])


def test_a_replacement_needs_every_permission_of_the_role(projections: Deployed) -> None:
    missed = []
    for permission in tried("resume"):
        run = submit(projections, nDraws=120_000, sim_length=56)
        task = projections.running_task(run["id"])
        projections.wait(run["id"], "running")
        watch = Watch(projections)
        with Without(permission):
            interrupt(task["taskArn"], notice_s=2)
            missed.append(until(watch.denial(permission.action), f"{permission} to be missed", EVIDENCE_S))
        # Retries, the queue or the sweeper would make it good, some within minutes.
        projections.ops("cancel", run["id"])
    assert len(missed) >= 5, missed


def test_the_sweeper_needs_every_permission_of_the_role(projections: Deployed) -> None:
    run = submit(projections, nDraws=200_000, sim_length=200)
    task = projections.running_task(run["id"])
    projections.wait(run["id"], "running")
    wanted = {permission.action: permission for permission in tried("sweep")}
    # A look at a run that goes on, then what is done for one whose task is gone.
    for action in ("dynamodb:Query", "ecs:DescribeTasks"):
        with Without(wanted.pop(action)):
            assert denied(swept(projections), action), action
    interrupt(task["taskArn"], silent=True)
    until(lambda: stopped(projections, task["taskArn"]), "the task to be lost")
    for action in ("dynamodb:UpdateItem", "sqs:SendMessage"):
        with Without(wanted.pop(action)):
            started_long_ago(projections, run["id"])
            assert denied(swept(projections), action), action
    assert not wanted, "permissions that nobody has tried"
    # Marked as interrupted, its message lost: the next sweep but one sends it again.
    projections.good("cancel", run["id"])


def swept(projections: Deployed) -> str:
    """What the sweeper says of its failure, called as its clock calls it."""
    answer = projections.client("lambda").invoke(FunctionName=projections.outputs["sweep_function"])
    said = answer["Payload"].read().decode()
    assert answer.get("FunctionError"), said
    return str(said)


def started_long_ago(projections: Deployed, run_id: str) -> None:
    """As if the run's last change were an hour old: a task that has just started may be invisible."""
    table = boto3.resource("dynamodb").Table(projections.outputs["run_table"])
    item = projections.item(run_id)
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    item["history"][-1]["at"] = hour_ago.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    table.put_item(Item=item)


def stopped(projections: Deployed, task_arn: str) -> bool:
    answer = projections.client("ecs").describe_tasks(
        cluster=projections.outputs["cluster_arn"], tasks=[task_arn]
    )
    return all(task["lastStatus"] == "STOPPED" for task in answer["tasks"])


def test_the_site_needs_what_starts_and_cancels_runs(projections: Deployed) -> None:
    wanted = {"s3:PutObject": "requests", "dynamodb:GetItem": "", "ecs:StopTask": "", "sqs:SendMessage": ""}
    found = {
        permission.action: permission
        for permission in permissions(roles_of("projections", "web-task"))
        if permission.action in wanted
    }
    assert set(found) == set(wanted)
    run = submit(projections, nDraws=200_000, sim_length=200)
    projections.wait(run["id"], "running")
    watch = Watch(projections)
    with Without(found["ecs:StopTask"]):
        projections.ops("cancel", run["id"])
        until(watch.denial("ecs:StopTask"), "the refusal to be logged", EVIDENCE_S)
    projections.ops("cancel", run["id"])
    until(lambda: projections.item(run["id"])["status"] == "failed", "the run to be cancelled")
    with Without(found["sqs:SendMessage"]):
        assert projections.ops("retry", run["id"]).code != 0
    assert projections.item(run["id"])["status"] == "failed"


def test_roles_name_their_resources(projections: Deployed) -> None:
    """No wildcard in an action, and none as a resource but where AWS has no resource type."""
    iam = projections.client("iam")
    checked = 0
    for role in roles_of("projections"):
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            for statement in document["Statement"]:
                checked += 1
                actions = statement["Action"]
                assert not [action for action in actions if "*" in action], statement
                if "*" in statement["Resource"]:
                    assert actions == ["ecr:GetAuthorizationToken"], statement
    assert checked >= 25
