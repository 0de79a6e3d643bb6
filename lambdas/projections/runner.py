"""What the three functions share: the clients from the environment, and carrying out a decision.

Environment: ``RUN_TABLE``, ``BUCKET_NAME``, ``CLUSTER_ARN``, ``TASK_DEFINITION``, ``SUBNETS``,
``SECURITY_GROUPS`` (commas between), ``ASSIGN_PUBLIC_IP`` (true or false), ``RESTART_QUEUE_URL``, and the
numbers of ``states.Settings`` in capitals.
"""

import functools
import json
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from . import log, times
from .runs import Table, changed
from .start import Refused, Starter
from .states import Decision, Run, Settings
from .transitions import on_refusal


@dataclass(frozen=True, kw_only=True)
class Runner:
    """The cloud that runs live in. ``jitter`` draws 0..1."""

    table: Table
    starter: Starter
    s3: Any
    sqs: Any
    bucket: str
    queue_url: str
    settings: Settings
    now: Callable[[], datetime] = field(default=times.now, repr=False)
    jitter: Callable[[], float] = field(default=random.random, repr=False)

    def carry_out(self, run: Run | None, decision: Decision) -> None:
        """Do what was decided about ``run``, in an order in which every step may be the last.

        The table first: what it says is made true by repeating the event, the message, or by the sweeper.
        """
        if decision.create is not None:
            if not self.table.create(decision.create):
                log.write("somebody queued the run before", run_id=decision.create.run_id)
                return
            run = decision.create
        if run is None:
            log.write(decision.why, **decision.facts)
            return
        if decision.change is not None:
            if not self.table.change(run, decision.change):
                log.write("somebody changed the run before", run_id=run.run_id, attempt=run.attempt)
                return
            run = changed(run, decision.change)
        level = "error" if decision.why == "run failed" else "info"
        log.write(decision.why, level=level, run_id=run.run_id, attempt=run.attempt, **decision.facts)
        if decision.stop_task:
            self.starter.stop(decision.stop_task, decision.why)
        if decision.restart_in_s is not None:
            self.send_restart(run, decision.restart_in_s)
        if decision.start:
            self.start(run)

    def start(self, run: Run) -> None:
        answer = self.starter.start(run)
        if isinstance(answer, Refused):
            self.carry_out(
                run,
                on_refusal(
                    run, answer.reason, self.now(), self.settings, self.jitter(), counted=answer.counted
                ),
            )
            return
        noted = self.table.set_task(run, answer.task_arn)
        log.write(
            "task started" if noted else "task started for an attempt that is over",
            run_id=run.run_id,
            attempt=run.attempt,
            capacity=run.capacity,
            task_arn=answer.task_arn,
        )

    def send_restart(self, run: Run, delay_s: int) -> None:
        self.sqs.send_message(
            QueueUrl=self.queue_url,
            MessageBody=json.dumps({"run_id": run.run_id, "attempt": run.attempt}),
            DelaySeconds=delay_s,
        )
        log.write("restart asked for", run_id=run.run_id, attempt=run.attempt, delay_s=delay_s)


def settings_from(environment: Mapping[str, str]) -> Settings:
    """
    >>> settings_from({"MAX_ATTEMPTS": "5"}).max_attempts
    5
    """
    given = {item.name: environment.get(item.name.upper()) for item in fields(Settings)}
    return Settings(**{name: int(value) for name, value in given.items() if value is not None})


@functools.cache
def from_environment() -> Runner:
    """Made once a container; boto3 is imported here so that importing this module has no effects."""
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    settings = settings_from(os.environ)
    return Runner(
        table=Table(
            client=boto3.client("dynamodb", config=config),
            name=os.environ["RUN_TABLE"],
            run_days=settings.run_days,
        ),
        starter=Starter(
            ecs=boto3.client("ecs", config=config),
            cluster_arn=os.environ["CLUSTER_ARN"],
            task_definition=os.environ["TASK_DEFINITION"],
            subnets=os.environ["SUBNETS"].split(","),
            security_groups=os.environ["SECURITY_GROUPS"].split(","),
            public_ip=os.environ["ASSIGN_PUBLIC_IP"] == "true",
        ),
        s3=boto3.client("s3", config=config),
        sqs=boto3.client("sqs", config=config),
        bucket=os.environ["BUCKET_NAME"],
        queue_url=os.environ["RESTART_QUEUE_URL"],
        settings=settings,
    )
