"""Lambda handler of stopped tasks (EventBridge) and of due restarts (SQS).

Two sources, one function, so that it has one role that starts tasks. An event that can't be read raises:
the queue delivers it again and in the end moves it to the dead-letter queue; EventBridge's goes there after
Lambda's retries.
"""

from collections.abc import Mapping
from typing import Any

from . import events, log
from .runner import Runner, from_environment
from .transitions import on_restart, on_stopped


def handle(event: Mapping[str, Any], context: object) -> None:
    """Entry point of the Lambda function."""
    resume(from_environment(), event)


def resume(runner: Runner, event: Mapping[str, Any]) -> None:
    """A state change event of ECS, or messages of the restart queue (the event source mapping sends one)."""
    try:
        if event.get("detail-type") == events.STATE_CHANGE:
            _stopped(runner, event)
        elif isinstance(event.get("Records"), list):
            for message in events.restarts(event):
                run = runner.table.get(message.run_id)
                runner.carry_out(run, on_restart(run, message, runner.now(), runner.settings))
        else:
            raise events.Malformed(f"neither a stopped task nor a message: {str(event)[:200]}")
    except events.Malformed as error:
        log.write("event can't be read", level="error", error=str(error))
        raise


def _stopped(runner: Runner, event: Mapping[str, Any]) -> None:
    stopped = events.stopped_task(event)
    if stopped is None:
        log.write("a task without a run stopped", task_arn=event["detail"].get("taskArn"))
        return
    log.write(
        "task stopped",
        run_id=stopped.run_id,
        attempt=stopped.attempt,
        task_arn=stopped.task.arn,
        stop_code=stopped.task.stop_code,
        exit_code=stopped.task.exit_code,
        capacity=stopped.task.capacity,
    )
    run = runner.table.get(stopped.run_id)
    runner.carry_out(run, on_stopped(run, stopped, runner.now(), runner.settings, runner.jitter()))
