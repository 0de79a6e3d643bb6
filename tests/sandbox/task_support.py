"""What the tests of ECS's tasks share: a cluster, roles, definitions, tasks, and the tasks' events."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.sandbox import sandbox_aws_support as support

TASKS = "ecs-tasks.amazonaws.com"
SUBNET = {"awsvpcConfiguration": {"subnets": ["subnet-0123456789abcdef0"], "assignPublicIp": "ENABLED"}}
SPOT = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
ENVIRONMENT = """
import json, os
print(json.dumps(dict(os.environ)), flush=True)
"""
"""A program that tells its environment."""
PATIENT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print('told', flush=True), time.sleep(PAUSE), sys.exit(75)))
print('ready', flush=True)
time.sleep(300)
"""
"""A program that is told to end, and does so after a pause, with exit code 75."""


@dataclass
class Cluster:
    """A cluster with the log group and the queue of its tasks."""

    name: str
    image: str
    execution_role: str
    queue: str
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def group(self) -> str:
        return f"/ecs/{self.name}"

    def container(self, name: str, program: str, **more: Any) -> dict[str, Any]:
        """A container definition that runs a Python program, its log in the cluster's group."""
        options = {
            "awslogs-group": self.group,
            "awslogs-region": "ca-central-1",
            "awslogs-stream-prefix": "test",
        }
        return {
            "name": name, "image": self.image, "essential": True, "command": ["python3", "-c", program],
            "logConfiguration": {"logDriver": "awslogs", "options": options}, **more,
        }  # fmt: skip

    def define(self, family: str, *containers: dict[str, Any], **more: Any) -> str:
        """Register a task definition; its ARN."""
        settings = {
            "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
            "executionRoleArn": self.execution_role, **more,
        }  # fmt: skip
        found = boto3.client("ecs").register_task_definition(
            family=family, containerDefinitions=list(containers), **settings
        )
        arn: str = found["taskDefinition"]["taskDefinitionArn"]
        return arn

    def run(self, definition: str, **more: Any) -> str:
        """Run a task; its ARN."""
        if "capacityProviderStrategy" not in more:
            more["launchType"] = "FARGATE"
        answer = boto3.client("ecs").run_task(
            cluster=self.name, taskDefinition=definition, networkConfiguration=SUBNET, **more
        )
        assert not answer["failures"], answer
        arn: str = answer["tasks"][0]["taskArn"]
        return arn

    def task(self, arn: str) -> dict[str, Any]:
        found: dict[str, Any] = boto3.client("ecs").describe_tasks(cluster=self.name, tasks=[arn])["tasks"][0]
        return found

    def until(self, arn: str, status: str, seconds: float = 30.0) -> dict[str, Any]:
        """The task as soon as it is in a state."""

        def reached() -> Any:
            found = self.task(arn)
            assert status == "STOPPED" or found["lastStatus"] != "STOPPED", found
            return found if found["lastStatus"] == status else None

        found: dict[str, Any] = support.until(reached, seconds)
        return found

    def lines(self, arn: str, container: str = "main") -> list[str]:
        """What a container has printed."""
        stream = f"test/{container}/{arn.rsplit('/', 1)[-1]}"
        logs, lines = boto3.client("logs"), []
        found: dict[str, Any] = {"nextToken": None}
        while "nextToken" in found:
            token = {"nextToken": found["nextToken"]} if found["nextToken"] else {}
            found = logs.filter_log_events(logGroupName=self.group, logStreamNames=[stream], **token)
            lines += [event["message"] for event in found["events"]]
        return lines

    def said(self, arn: str, line: str, seconds: float = 20.0) -> None:
        """Return when a container has printed a line."""
        support.until(lambda: line in self.lines(arn), seconds)

    def finished(self, definition: str, **more: Any) -> tuple[dict[str, Any], list[str]]:
        """Run a task to its end: the task, and what its container ``main`` has printed."""
        arn = self.run(definition, **more)
        return self.until(arn, "STOPPED"), self.lines(arn)

    def events(self, arn: str, last: str = "STOPPED", seconds: float = 10.0) -> list[dict[str, Any]]:
        """The events of a task, in order, when one of the given last status has come."""
        sqs, deadline = boto3.client("sqs"), time.monotonic() + seconds
        while True:
            own = [event for event in self.seen if event["resources"] == [arn]]
            if any(event["detail"]["lastStatus"] == last for event in own):
                return sorted(own, key=lambda event: int(event["detail"]["version"]))
            assert time.monotonic() < deadline, [event["detail"]["lastStatus"] for event in own]
            found = sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in found.get("Messages", []):
                self.seen.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])


def make_cluster(name: str, image: str) -> Cluster:
    """A cluster with both Fargate providers, whose tasks' events go to a queue."""
    ecs, logs, sqs, events = (boto3.client(service) for service in ("ecs", "logs", "sqs", "events"))
    ecs.create_cluster(clusterName=name, capacityProviders=["FARGATE", "FARGATE_SPOT"])
    if not logs.describe_log_groups(logGroupNamePrefix=f"/ecs/{name}")["logGroups"]:
        logs.create_log_group(logGroupName=f"/ecs/{name}")
    group = f"arn:aws:logs:ca-central-1:000000000000:log-group:/ecs/{name}:log-stream:*"
    role = support.role(f"{name}-execution", TASKS, support.allow(
        ["logs:CreateLogStream", "logs:PutLogEvents"], group
    ))  # fmt: skip
    queue = sqs.create_queue(QueueName=f"{name}-events")["QueueUrl"]
    sqs.purge_queue(QueueUrl=queue)
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
             "Resource": arn}  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    pattern = {"source": ["aws.ecs"], "detail-type": ["ECS Task State Change"],
               "detail": {"clusterArn": [{"suffix": f"cluster/{name}"}]}}  # fmt: skip
    events.put_rule(Name=f"{name}-changes", EventPattern=json.dumps(pattern))
    events.put_targets(Rule=f"{name}-changes", Targets=[{"Id": "queue", "Arn": arn}])
    return Cluster(name, image, role, queue)


def remove_cluster(cluster: Cluster) -> None:
    """Remove what makes containers or events; wait until no container is left."""
    ecs, events = boto3.client("ecs"), boto3.client("events")
    for arn in ecs.list_services(cluster=cluster.name)["serviceArns"]:
        ecs.delete_service(cluster=cluster.name, service=arn, force=True)
    for arn in ecs.list_tasks(cluster=cluster.name)["taskArns"]:
        ecs.stop_task(cluster=cluster.name, task=arn)
    events.remove_targets(Rule=f"{cluster.name}-changes", Ids=["queue"])
    events.delete_rule(Name=f"{cluster.name}-changes")
    ecs.delete_cluster(cluster=cluster.name)


def session(environment: dict[str, str], service: str) -> Any:
    """A client that acts with the credentials of a task's environment."""
    return boto3.client(
        service,
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=environment["AWS_SESSION_TOKEN"],
    )


def refused(call: Any, code: str) -> str:
    """The message with which a call is refused, with this code."""
    with pytest.raises(ClientError) as error:
        call()
    assert error.value.response["Error"]["Code"] == code, error.value
    message: str = error.value.response["Error"]["Message"]
    return message
