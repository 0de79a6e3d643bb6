"""``ops projections logs``: what tasks and functions wrote about a run, found by its id."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ops.common.output import iso
from ops.projections.runs import FINAL, RunId, find, moment
from ops.projections.target import Target

GROUPS = ("dispatch", "resume", "sweep", "model", "web")
"""Keys of the stack's output ``log_groups``, in the order of a run's way."""
POLL_S = 2.0
SLACK_MS = 60_000
"""Clocks differ: a line may be older than the run's row."""


@dataclass(frozen=True, order=True)
class Line:
    """One line of a log; ordered by time."""

    at_ms: int
    source: str
    text: str
    event_id: str


def lines(target: Target, run_id: str, since_ms: int, looks: bool = False) -> list[Line]:
    """All lines with the run's id, oldest first: whoever logs about a run writes its id into the line."""
    client = target.client("logs")
    groups: Mapping[str, str] = target.outputs.get("log_groups") or {}
    found = []
    for source in GROUPS:
        if source not in groups:
            continue
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=groups[source], filterPattern=f'"{run_id}"', startTime=max(0, since_ms)
        )
        found += [
            Line(event["timestamp"], source, event["message"].rstrip(), event.get("eventId", ""))
            for page in pages
            for event in page.get("events", ())
            if looks or not is_look(event["message"])
        ]
    return sorted(set(found))


def is_look(text: str) -> bool:
    """Whether a line only says that somebody looked at the run: whoever watches it makes one a second.

    >>> is_look('{"message": "request", "method": "GET", "path": "/covid/api/simulations/r/"}')
    True
    """
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("message") == "request" and found.get("method") == "GET"


def readable(text: str, run_id: str) -> str:
    """A JSON line as ``message key=value``; other text as it is.

    >>> readable('{"level": "info", "message": "resumed", "run_id": "r", "attempt": 2}', "r")
    'resumed attempt=2'
    """
    start = text.find("{")
    try:
        found = json.loads(text[start:]) if start >= 0 else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return text
    message = str(found.pop("message", found.pop("event", "")))
    hidden = ("level", "at", "time", "timestamp", "logger", "run_id")
    rest = {key: value for key, value in found.items() if key not in hidden and value != run_id}
    return " ".join([message, *(f"{key}={value}" for key, value in rest.items())]).strip()


def poll(target: Target, run_id: str, since_ms: int, looks: bool) -> Iterator[list[Line]]:
    """New lines, again and again, until the run has ended and its last lines had time to come."""
    seen: set[Line] = set()
    last_round = False
    while True:
        new = [line for line in lines(target, run_id, since_ms, looks) if line not in seen]
        seen.update(new)
        yield new
        if last_round:
            return
        last_round = target.site.run(run_id)["status"] in FINAL
        time.sleep(POLL_S)


def logs(
    target: Target,
    run_id: RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Lines as they were written, also those of looking at the run.")
    ] = False,
) -> None:
    """Show what functions, tasks and site logged about a run."""
    run = find(target, run_id)
    since_ms = int(moment(run["created_at"]).timestamp() * 1000) - SLACK_MS
    everything: list[Line] = []
    rounds = poll(target, run["id"], since_ms, raw) if follow else [lines(target, run["id"], since_ms, raw)]
    for new in rounds:
        for line in new:
            document = {"at": iso(datetime.fromtimestamp(line.at_ms / 1000, UTC)), "source": line.source}
            if follow:
                target.out.line_document({**document, "text": line.text})
            shown = line.text if raw else readable(line.text, run["id"])
            target.out.say(f"{document['at']}  {line.source:<8}  {shown}")
        everything += new
    if not follow:
        target.out.result({"run_id": run["id"], "lines": [documented(line) for line in everything]})
    if not everything:
        target.out.note("nothing was logged about this run (logs expire by the stack's log_days)")


def documented(line: Line) -> dict[str, Any]:
    return {
        "at": iso(datetime.fromtimestamp(line.at_ms / 1000, UTC)),
        "source": line.source,
        "text": line.text,
    }
