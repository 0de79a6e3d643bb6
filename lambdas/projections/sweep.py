"""Lambda handler of the clock: finds runs whose task is gone without a word, and starts that were lost."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import events, log
from .runner import Runner, from_environment
from .states import INTERRUPTED, UNFINISHED, Run, Task
from .transitions import on_sweep

DESCRIBED_AT_ONCE = 100
"""ECS's own limit of DescribeTasks."""


def handle(event: Mapping[str, Any], context: object) -> dict[str, int]:
    """Entry point of the Lambda function; answers how many runs it saw and moved."""
    return sweep(from_environment())


def sweep(runner: Runner) -> dict[str, int]:
    """Look at every unfinished run; one that makes trouble doesn't keep the others from being looked at."""
    runs = [run for status in UNFINISHED for run in runner.table.with_status(status)]
    tasks = _tasks(runner, [run.task_arn for run in runs if run.task_arn and run.status != INTERRUPTED])
    moved, problems = 0, []
    for run in runs:
        try:
            moved += _sweep_one(runner, run, tasks.get(run.task_arn or ""))
        except Exception as error:
            log.write("run can't be swept", level="error", run_id=run.run_id, error=str(error))
            problems.append(error)
    log.write("sweep", runs=len(runs), tasks=len(tasks), moved=moved, problems=len(problems))
    if problems:
        raise problems[0]
    return {"runs": len(runs), "moved": moved}


def _sweep_one(runner: Runner, run: Run, task: Task | None) -> bool:
    decision = on_sweep(run, task, runner.now(), runner.settings, runner.jitter())
    if decision.change is None and decision.restart_in_s is None:
        return False
    runner.carry_out(run, decision)
    return True


def _tasks(runner: Runner, arns: Sequence[str]) -> dict[str, Task]:
    """From each task's ARN to what ECS says of it; one that it doesn't know is missing."""
    found: dict[str, Task] = {}
    for some in _batches(arns, DESCRIBED_AT_ONCE):
        answer = runner.starter.ecs.describe_tasks(cluster=runner.starter.cluster_arn, tasks=list(some))
        found |= {task.arn: task for task in map(events.task, answer["tasks"])}
        # Another failure than MISSING (access, throttling) says nothing about the task: then we don't know.
        gone = [item["arn"] for item in answer["failures"] if item.get("reason") == "MISSING"]
        found |= {arn: events.missing_task(arn) for arn in gone}
    return found


def _batches(items: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
