"""Starting the task of an attempt: RunTask with a client token, so that repeating it starts nothing twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from .events import CONTAINER
from .states import Run

THROTTLED = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException"})
NO_ROOM = ("capacity", "limit on the number of")
"""Words of ECS's reasons when it would start the task but has no room: Spot is short, or the account's limit
of tasks or vCPUs is reached (ECS developer guide, "API failures messages")."""


@dataclass(frozen=True, kw_only=True)
class Started:
    task_arn: str


@dataclass(frozen=True, kw_only=True)
class Refused:
    """ECS starts nothing now. ``counted``: for want of room; else it was only asked too often."""

    reason: str
    counted: bool


@dataclass(frozen=True, kw_only=True)
class Starter:
    """How tasks of the model are started: on a boto3 client of ECS."""

    ecs: Any
    cluster_arn: str
    task_definition: str
    subnets: Sequence[str]
    security_groups: Sequence[str]
    public_ip: bool

    def start(self, run: Run) -> Started | Refused:
        """Start the task of the run's attempt, or find the one that was started before.

        What will not be better in a minute (a missing permission, a wrong task definition) is raised.
        """
        try:
            answer = self.ecs.run_task(**self.arguments(run))
        except ClientError as error:
            return _answer_to(error)
        if answer.get("tasks"):
            return Started(task_arn=answer["tasks"][0]["taskArn"])
        failures = answer.get("failures") or [{}]
        reason = "; ".join(
            str(item.get("reason") or item.get("detail") or "no reason given") for item in failures
        )
        return Refused(reason=reason, counted=True)

    def stop(self, task_arn: str, reason: str) -> None:
        """Stop a task; it gets SIGTERM, and the time of its stopTimeout to write its checkpoint."""
        try:
            self.ecs.stop_task(cluster=self.cluster_arn, task=task_arn, reason=reason[:255])
        except ClientError as error:
            # It ended in the meantime and ECS has forgotten it.
            if error.response["Error"]["Code"] != "InvalidParameterException":
                raise

    def arguments(self, run: Run) -> dict[str, Any]:
        environment = {
            "RUN_ID": run.run_id,
            "ATTEMPT": str(run.attempt),
            "REQUEST_KEY": run.request_key,
            "CAPACITY": run.capacity,
        }
        return {
            "cluster": self.cluster_arn,
            "taskDefinition": self.task_definition,
            "capacityProviderStrategy": [{"capacityProvider": run.capacity, "weight": 1}],
            "clientToken": f"{run.run_id}-{run.attempt}",
            "startedBy": run.run_id,
            "count": 1,
            "enableECSManagedTags": True,
            "propagateTags": "TASK_DEFINITION",
            "networkConfiguration": {
                "awsvpcConfiguration": {
                    "subnets": list(self.subnets),
                    "securityGroups": list(self.security_groups),
                    "assignPublicIp": "ENABLED" if self.public_ip else "DISABLED",
                }
            },
            "overrides": {
                "containerOverrides": [
                    {
                        "name": CONTAINER,
                        "environment": [{"name": key, "value": value} for key, value in environment.items()],
                    }
                ]
            },
        }


def _answer_to(error: ClientError) -> Started | Refused:
    code = error.response["Error"]["Code"]
    message = str(error.response["Error"].get("Message", ""))
    known: Sequence[str] = error.response.get("resourceIds") or ()
    if code == "ConflictException" and known:
        # Started before, by a task definition or capacity that has changed since: that task is the attempt's.
        return Started(task_arn=str(known[0]))
    if code in THROTTLED:
        return Refused(reason=message or code, counted=False)
    if any(words in message.lower() for words in NO_ROOM):
        return Refused(reason=message, counted=True)
    raise error
