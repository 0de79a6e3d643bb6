"""A small world for the functions: run table, queue and ECS with their rules, and a clock that we turn.

The table has the conditions that ``runs`` writes, so that races end as they do in DynamoDB;
``test_projections_lambdas_calls`` holds the calls themselves against botocore's models.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lambdas.projections import dispatch
from lambdas.projections.runner import Runner
from lambdas.projections.runs import Table, item_of, run_of
from lambdas.projections.start import Starter
from lambdas.projections.states import Change, Run, Settings

RUN = "7d3f1f6e-1c7b-5b0e-9a52-0d1f4d4a9c11"
KEY = f"requests/{RUN}.json"
OUTPUT = f"runs/{RUN}/output.json"
CLUSTER = "arn:aws:ecs:eu-west-3:123456789012:cluster/projections-test"
TASK = "arn:aws:ecs:eu-west-3:123456789012:task/projections-test/"
START = datetime(2026, 11, 21, 13, tzinfo=UTC)
SPOT, ON_DEMAND = "FARGATE_SPOT", "FARGATE"


def run(**changed: Any) -> Run:
    """A run that was queued at ``START``."""
    return Run(
        **{
            "run_id": RUN,
            "status": "queued",
            "attempt": 1,
            "capacity": SPOT,
            "requested_capacity": SPOT,
            "request_key": KEY,
            "output_key": OUTPUT,
            "updated_at": START,
            "since": START,
            **changed,
        }
    )


class FakeTable(Table):
    """Items in memory; ``meanwhile`` is what somebody else does between our reading and our writing."""

    items: dict[str, dict[str, Any]]
    others: list[Callable[[], None]]

    def __init__(self) -> None:
        super().__init__(client=None, name="runs", run_days=30)
        self.__dict__ |= {"items": {}, "others": []}  # the dataclass is frozen

    def meanwhile(self, action: Callable[[], None]) -> None:
        self.others.append(action)

    def _others_first(self) -> None:
        while self.others:
            self.others.pop()()

    def get(self, run_id: str) -> Run | None:
        item = self.items.get(run_id)
        return Run(**item["run"]) if item else None

    def with_status(self, status: str) -> Any:
        return iter([Run(**item["run"]) for item in self.items.values() if item["run"]["status"] == status])

    def put(self, made: Run) -> Run:
        assert run_of(item_of(made, 30)).run_id == made.run_id
        self.items[made.run_id] = {"run": {**vars(made)}, "history": [made.status]}
        return made

    def create(self, run: Run) -> bool:
        self._others_first()
        if run.run_id in self.items:
            return False
        self.put(run)
        return True

    def change(self, seen: Run, change: Change) -> bool:
        self._others_first()
        item = self.items.get(seen.run_id)
        if item is None or (item["run"]["status"], item["run"]["attempt"]) != (seen.status, seen.attempt):
            return False
        item["run"] |= change.values
        if change.entry:
            item["run"]["since"] = change.values["updated_at"]
            item["history"].append(change.entry["status"])
        return True

    def set_task(self, run: Run, task_arn: str) -> bool:
        item = self.items.get(run.run_id)
        if item is None or item["run"]["attempt"] != run.attempt:
            return False
        item["run"]["task_arn"] = task_arn
        return True


@dataclass
class FakeEcs:
    """RunTask with client tokens as ECS has them, DescribeTasks, StopTask."""

    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    refuse: list[Any] = field(default_factory=list)
    """Answers, or errors, of the next calls of RunTask."""
    stopped: list[str] = field(default_factory=list)

    def run_task(self, **arguments: Any) -> dict[str, Any]:
        if self.refuse:
            answer = self.refuse.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return {"tasks": [], "failures": [{"reason": answer}]}
        token = arguments["clientToken"]
        if token not in self.tokens:
            arn = f"{TASK}{len(self.tasks) + 1:032x}"
            self.tokens[token] = arn
            self.tasks[arn] = {
                "taskArn": arn,
                "lastStatus": "RUNNING",
                "clusterArn": arguments["cluster"],
                "overrides": arguments["overrides"],
                "capacityProviderName": arguments["capacityProviderStrategy"][0]["capacityProvider"],
                "containers": [{"name": "model"}],
            }
        return {"tasks": [self.tasks[self.tokens[token]]], "failures": []}

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> dict[str, Any]:
        known = [self.tasks[arn] for arn in tasks if arn in self.tasks]
        gone = [{"arn": arn, "reason": "MISSING"} for arn in tasks if arn not in self.tasks]
        return {"tasks": known, "failures": gone}

    def stop_task(self, *, cluster: str, task: str, reason: str) -> None:
        self.stopped.append(task)
        self.end(task, "UserInitiated", 75)

    def end(self, arn: str, stop_code: str, exit_code: int | None, reason: str = "why") -> dict[str, Any]:
        """The task stops; the event that EventBridge gets of it."""
        self.tasks[arn] |= {
            "lastStatus": "STOPPED",
            "stopCode": stop_code,
            "stoppedReason": reason,
            "containers": [{"name": "model", "exitCode": exit_code}],
        }
        return {"source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": dict(self.tasks[arn])}


@dataclass
class FakeQueue:
    """Messages with the seconds they wait."""

    sent: list[tuple[dict[str, Any], int]] = field(default_factory=list)

    def send_message(self, *, QueueUrl: str, MessageBody: str, DelaySeconds: int) -> None:
        self.sent.append((json.loads(MessageBody), DelaySeconds))


class Body:
    def __init__(self, text: bytes) -> None:
        self.text = text

    def read(self) -> bytes:
        return self.text


@dataclass
class FakeBucket:
    objects: dict[str, bytes] = field(default_factory=dict)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        text = self.objects[Key]
        return {"ContentLength": len(text), "Body": Body(text)}


class World:
    """A runner on the fakes, and short ways to what happens in it."""

    def __init__(self, **settings: Any) -> None:
        self.time = START
        self.table, self.ecs, self.queue, self.bucket = FakeTable(), FakeEcs(), FakeQueue(), FakeBucket()
        self.runner = Runner(
            table=self.table,
            starter=Starter(
                ecs=self.ecs,
                cluster_arn=CLUSTER,
                task_definition="projections-test-model:1",
                subnets=["subnet-1"],
                security_groups=["sg-1"],
                public_ip=True,
            ),
            s3=self.bucket,
            sqs=self.queue,
            bucket="projections-test",
            queue_url="https://queue",
            settings=Settings(**settings),
            now=lambda: self.time,
            jitter=lambda: 0.5,
        )

    def wait(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def request(self, capacity: str = SPOT, **changed: Any) -> dict[str, Any]:
        """Put a request object; its notification."""
        document = {
            "id": RUN,
            "timestamp": "2026-11-21T13:00:00.000Z",
            "model_input": {"state": "Vermont"},
            "model_output": OUTPUT,
            "capacity_provider": capacity,
            **changed,
        }
        self.bucket.objects[KEY] = json.dumps(document).encode()
        return notification(KEY)

    @property
    def item(self) -> Run:
        found = self.table.get(RUN)
        assert found is not None
        return found

    def history(self) -> list[str]:
        statuses: list[str] = self.table.items[RUN]["history"]
        return statuses

    def reports(self, status: str) -> None:
        """The task reports, as long as its attempt is the run's."""
        self.table.items[RUN]["run"] |= {"status": status, "since": self.time, "heartbeat_at": self.time}
        self.table.items[RUN]["history"].append(status)

    def restart_event(self, number: int = -1) -> dict[str, Any]:
        """A message that was sent, as Lambda gets it."""
        return message(**self.queue.sent[number][0])


def notification(*keys: str) -> dict[str, Any]:
    return {"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": key}}} for key in keys]}


def message(**body: Any) -> dict[str, Any]:
    return {"Records": [{"eventSource": "aws:sqs", "body": json.dumps(body)}]}


def started(world: World, capacity: str = SPOT) -> World:
    """A run whose first task is at work."""
    dispatch.dispatch(world.runner, world.request(capacity))
    world.reports("running")
    return world


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines that were printed since the last look."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]
