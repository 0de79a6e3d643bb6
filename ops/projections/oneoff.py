"""``ops projections addhashes``: commands of the site's image, run as tasks of their own in the cluster."""

import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from ops.common.errors import ExitCode, OpsError, usage
from ops.projections.target import Target

POLL_S = 1.0
LIMIT_S = 3600
"""Longest that a command may take; `addhashes --all` on years of data is the longest one there is."""
LOG_WAIT_S = 20.0
"""CloudWatch may have the last lines some seconds after the task has ended."""


def run(target: Target, arguments: Sequence[str]) -> list[str]:
    """Run ``manage.py <arguments>`` and return what it printed, showing it as it comes.

    Raises ``OpsError``: UNREACHABLE when the task can't be started, RUN_FAILED with its last line.
    """
    ecs, cluster = target.client("ecs"), target.output("cluster_arn")
    network = target.outputs.get("manage_network") or {}
    answer = ecs.run_task(
        cluster=cluster,
        taskDefinition=target.output("manage_task_family"),
        capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": list(network.get("subnets") or ()),
                "securityGroups": list(network.get("security_groups") or ()),
                "assignPublicIp": "ENABLED" if network.get("assign_public_ip") else "DISABLED",
            }
        },
        overrides={"containerOverrides": [{"name": "web", "command": ["manage", *arguments]}]},
        startedBy="ops",
    )
    if answer.get("failures") or not answer.get("tasks"):
        why = "; ".join(str(failure.get("reason")) for failure in answer.get("failures", ())) or "no reason"
        raise OpsError(ExitCode.UNREACHABLE, f"the task of `manage {arguments[0]}` can't be started: {why}")
    arn = answer["tasks"][0]["taskArn"]
    log = Log(target, arn)
    printed: list[str] = []
    with target.out.status(f"manage {' '.join(arguments)} runs as task {arn.rsplit('/', 1)[-1]}"):
        task = finished(target, cluster, arn, log, printed)
        printed += shown(target, log.rest())
    container: dict[str, Any] = next(
        (item for item in task.get("containers", ()) if item.get("name") == "web"), {}
    )
    code = container.get("exitCode")
    if code != 0:
        last = next((line for line in reversed(printed) if line.strip()), "")
        why = container.get("reason") or task.get("stoppedReason") or "no reason given"
        raise OpsError(
            ExitCode.RUN_FAILED, f"`manage {' '.join(arguments)}` failed (exit code {code}): {last or why}"
        )
    return printed


def finished(target: Target, cluster: str, arn: str, log: "Log", printed: list[str]) -> dict[str, Any]:
    """Wait until the task has stopped, showing its lines."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        found = target.client("ecs").describe_tasks(cluster=cluster, tasks=[arn])
        if not found.get("tasks"):
            raise OpsError(ExitCode.NOT_FOUND, f"task {arn} has gone before it said how it ended")
        task: dict[str, Any] = found["tasks"][0]
        if task["lastStatus"] == "STOPPED":
            return task
        printed += shown(target, log.new())
        time.sleep(POLL_S)
    raise OpsError(ExitCode.RUN_STOPPED, f"task {arn} still runs after {LIMIT_S} s; it goes on")


def shown(target: Target, lines: Iterator[str]) -> list[str]:
    found = list(lines)
    for line in found:
        target.out.say(line)
    return found


class Log:
    """The log stream of a task's container ``web``, read as it grows."""

    def __init__(self, target: Target, task_arn: str) -> None:
        groups = target.outputs.get("log_groups") or {}
        self._logs = target.client("logs")
        self._group = groups.get("web", "")
        self._stream = f"manage/web/{task_arn.rsplit('/', 1)[-1]}"
        self._token: str | None = None

    def new(self) -> Iterator[str]:
        """Lines since the last call; none while the stream isn't there yet."""
        while True:
            options = {"nextToken": self._token} if self._token else {}
            try:
                page = self._logs.get_log_events(
                    logGroupName=self._group, logStreamName=self._stream, startFromHead=True, **options
                )
            except self._logs.exceptions.ResourceNotFoundException:
                return
            yield from (event["message"].rstrip() for event in page["events"])
            if page["nextForwardToken"] == self._token:
                return
            self._token = page["nextForwardToken"]

    def rest(self) -> Iterator[str]:
        """The last lines, waiting a little for a stream that hasn't come."""
        deadline = time.monotonic() + LOG_WAIT_S
        while self._token is None and time.monotonic() < deadline:
            yield from self.new()
            if self._token is None:
                time.sleep(POLL_S)
        yield from self.new()


def addhashes(
    target: Target,
    everything: Annotated[
        bool, typer.Option("--all", help="All that the data source has; needed the first time.")
    ] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Remove all hashes of the data.")] = False,
    source: Annotated[
        str | None, typer.Option("--source", help="Another data source than the stack's.", metavar="URL")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many, the newest.")] = None,
) -> None:
    """Add the newest days of data; --all adds every day, --delete removes them."""
    if everything and delete:
        raise usage("--all adds and --delete removes: give one of them")
    arguments = ["addhashes"]
    arguments += ["--all"] if everything else []
    arguments += ["--delete"] if delete else []
    arguments += ["--source", source] if source else []
    arguments += ["--limit", str(limit)] if limit else []
    printed = run(target, arguments)
    target.out.result({"command": " ".join(arguments), "lines": printed})
