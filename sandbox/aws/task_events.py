"""Events of ECS tasks on the default bus of EventBridge, in the order in which the tasks change."""

import json
import logging
import queue
import threading
from typing import Any

from ministack.core import responses
from ministack.services import ecs, eventbridge

logger = logging.getLogger("benchtop.aws")

DETAIL_TYPE = "ECS Task State Change"

_NOT_IN_EVENTS = ("healthStatus", "tags")
"""Members of a task that AWS leaves out of its events."""

_waiting: queue.SimpleQueue[tuple[str, str, dict[str, Any]]] = queue.SimpleQueue()
_sender: list[threading.Thread] = []
_starting = threading.Lock()


def detail(task: dict[str, Any]) -> dict[str, Any]:
    """The task as ``DescribeTasks`` gives it, with times in ISO 8601, less what AWS leaves out."""
    found = {key: value for key, value in ecs._sanitize(task).items() if key not in _NOT_IN_EVENTS}
    found["containers"] = [
        {key: value for key, value in container.items() if key not in _NOT_IN_EVENTS}
        for container in found.get("containers", [])
    ]
    found["updatedAt"] = responses.now_iso()
    return found


def publish(task: dict[str, Any]) -> None:
    """Send the task's present state; its rules' targets are called by a thread of the events' own."""
    region, account = task["taskArn"].split(":")[3:5]
    entry = {
        "Source": "aws.ecs", "DetailType": DETAIL_TYPE, "Resources": [task["taskArn"]],
        "Detail": json.dumps(detail(task)),
    }  # fmt: skip
    _waiting.put((account, region, entry))
    with _starting:
        if not _sender:
            _sender.append(threading.Thread(target=_send, name="ecs-events", daemon=True))
            _sender[0].start()


def _send() -> None:
    while True:
        account, region, entry = _waiting.get()
        try:
            with responses.request_scope(account, region):
                eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
        except Exception:
            logger.exception("an event of %s could not be delivered", entry["Resources"])
