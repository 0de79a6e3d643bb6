"""What ECS refuses, what it repeats, and for how long it remembers."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox.images.ensure import ensure
from tests.sandbox import sandbox_aws_support as support
from tests.sandbox.task_support import (
    SPOT,
    SUBNET,
    TASKS,
    Cluster,
    make_cluster,
    refused,
    remove_cluster,
    session,
)


@pytest.fixture(scope="module")
def cluster(sandbox_env: dict[str, str]) -> Iterator[Cluster]:
    image = ensure([support.BASE_IMAGE], print)[support.BASE_IMAGE]
    made = make_cluster("request-tests", image)
    yield made
    remove_cluster(made)


def test_a_client_token_runs_one_task(cluster: Cluster) -> None:
    definition = cluster.define("once", cluster.container("main", "print(1)"))
    token = secrets.token_hex(8)
    first = cluster.run(definition, clientToken=token, startedBy="a")
    assert cluster.run(definition, clientToken=token, startedBy="a") == first
    cluster.until(first, "STOPPED")
    assert cluster.run(definition, clientToken=token, startedBy="a") == first
    assert cluster.run(definition, clientToken=f"{token}-2", startedBy="a") != first
    with pytest.raises(ClientError) as error:
        cluster.run(definition, clientToken=token, startedBy="b")
    assert error.value.response["Error"]["Code"] == "ConflictException"
    assert error.value.response["resourceIds"] == [first]


def test_what_can_not_run_is_refused(cluster: Cluster) -> None:
    ecs = boto3.client("ecs")
    definition = cluster.define("refused", cluster.container("main", "print(1)"))
    ecs.create_cluster(clusterName="task-tests-bare", capacityProviders=["FARGATE"])
    bare = {"cluster": "task-tests-bare", "taskDefinition": definition, "networkConfiguration": SUBNET}
    bare_spot = {**bare, "capacityProviderStrategy": SPOT}
    message = refused(lambda: ecs.run_task(**bare_spot), "InvalidParameterException")
    assert "not associated with the cluster" in message
    ecs.delete_cluster(cluster="task-tests-bare")
    refused(lambda: ecs.run_task(**bare, launchType="FARGATE"), "ClusterNotFoundException")
    without = {"cluster": cluster.name, "taskDefinition": definition, "launchType": "FARGATE"}
    refused(lambda: ecs.run_task(**without), "InvalidParameterException")
    override = {"containerOverrides": [{"name": "other"}]}
    refused(lambda: cluster.run(definition, overrides=override), "InvalidParameterException")
    odd = {"cpu": "256", "memory": "4096"}
    refused(lambda: cluster.define("odd", cluster.container("main", ""), **odd), "ClientException")
    stranger = support.role("task-tests-stranger", "lambda.amazonaws.com")
    foreign = cluster.define("foreign", cluster.container("main", "print(1)"), taskRoleArn=stranger)
    assert "unable to assume the role" in refused(lambda: cluster.run(foreign), "ClientException")

    unknown = f"arn:aws:ecs:ca-central-1:000000000000:task/{cluster.name}/{'0' * 32}"
    answer = ecs.describe_tasks(cluster=cluster.name, tasks=[unknown])
    assert answer["failures"] == [{"arn": unknown, "reason": "MISSING"}]


def test_who_runs_a_task_must_be_allowed_to_pass_its_roles(cluster: Cluster) -> None:
    role = support.role("task-tests-passed", TASKS)
    tags = [{"key": "kind", "value": "test"}]
    definition = cluster.define("passed", cluster.container("main", "print(1)"), taskRoleArn=role, tags=tags)
    family = definition.rsplit(":", 1)[0]
    own = {"ArnEquals": {"ecs:cluster": f"arn:aws:ecs:ca-central-1:000000000000:cluster/{cluster.name}"}}
    to_tasks = {"StringEquals": {"iam:PassedToService": TASKS}}
    run = {**support.allow("ecs:RunTask", f"{family}:*"), "Condition": own}
    pass_task = {**support.allow("iam:PassRole", role), "Condition": to_tasks}
    pass_both = {**support.allow("iam:PassRole", [role, cluster.execution_role]), "Condition": to_tasks}

    def acting(*statements: dict[str, Any]) -> Any:
        caller = support.role("task-tests-caller", trust, *statements)
        got = boto3.client("sts").assume_role(RoleArn=caller, RoleSessionName="test")["Credentials"]
        return session({
            "AWS_ACCESS_KEY_ID": got["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": got["SecretAccessKey"],
            "AWS_SESSION_TOKEN": got["SessionToken"],
        }, "ecs")  # fmt: skip

    root = {"AWS": "arn:aws:iam::000000000000:root"}
    allow = {"Effect": "Allow", "Principal": root, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [allow]}
    asked = {"cluster": cluster.name, "taskDefinition": "passed", "launchType": "FARGATE",
             "networkConfiguration": SUBNET}  # fmt: skip
    refused(lambda: acting(pass_both).run_task(**asked), "AccessDeniedException")
    message = refused(lambda: acting(run, pass_task).run_task(**asked), "AccessDeniedException")
    assert f"iam:PassRole on resource: {cluster.execution_role}" in message
    tagging = {**asked, "propagateTags": "TASK_DEFINITION"}
    refused(lambda: acting(run, pass_both).run_task(**tagging), "AccessDeniedException")
    tasks = f"arn:aws:ecs:ca-central-1:000000000000:task/{cluster.name}/*"
    on_run = {"StringEquals": {"ecs:CreateAction": "RunTask"}}
    tag = {**support.allow("ecs:TagResource", tasks), "Condition": on_run}
    arn = acting(run, pass_both, tag).run_task(**tagging)["tasks"][0]["taskArn"]
    shown = boto3.client("ecs").describe_tasks(cluster=cluster.name, tasks=[arn], include=["TAGS"])
    assert shown["tasks"][0]["tags"] == [{"key": "kind", "value": "test"}]
    cluster.until(arn, "STOPPED")
    refused(lambda: acting(run).describe_tasks(cluster=cluster.name, tasks=[arn]), "AccessDeniedException")
    see = support.allow("ecs:DescribeTasks", tasks)
    seen = acting(see)
    assert seen.describe_tasks(cluster=cluster.name, tasks=[arn])["tasks"]
    other = arn.replace(cluster.name, "other-cluster")
    refused(lambda: seen.describe_tasks(cluster=cluster.name, tasks=[arn, other]), "AccessDeniedException")


def test_a_stopped_task_is_shown_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator's own function, on two tasks of this process: nobody waits an hour here."""
    monkeypatch.setenv("GATEWAY_PORT", "1")
    from ministack.services import ecs

    from sandbox.aws import task_requests

    def stopped(name: str, minutes: int) -> None:
        at = datetime.now(UTC) - timedelta(minutes=minutes)
        ecs._tasks[name] = {"taskArn": name, "lastStatus": "STOPPED", "stoppedAt": at.isoformat()}

    stopped("recent", 59)
    stopped("old", 61)
    ecs._tasks["running"] = {"taskArn": "running", "lastStatus": "RUNNING", "stoppedAt": None}
    task_requests.forget_old()
    assert set(ecs._tasks.keys()) == {"recent", "running"}
    ecs._tasks.clear()
