"""How long it takes from a request to its running task, and until a known request is answered.

    ./dev up projections
    .venv/bin/python benchmarks/projections_runs.py [--runs 10] [--json FILE]

Measured by the run table of ``projections-sandbox``, by turns with what ECS needs for a
task that no site was asked for: the difference is ours, the rest is the container's.
"""

import argparse
import json
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops.common.output import Output
from ops.projections.target import DEFAULT_STACK, Target, resolve

REQUEST = {"state": "Massachusetts", "county": ["Suffolk"], "nDraws": 1000, "compute": "fargate-spot"}
LIMIT_S = 300.0
POLL_S = 0.02


def moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def until(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(POLL_S)
    raise SystemExit(f"waited {LIMIT_S:.0f} s for {what}")


def submitted(target: Target) -> dict[str, float]:
    """Seconds from a new request until its answer, its item, its container and its end."""
    table = target.session.resource("dynamodb").Table(target.output("run_table"))
    began, clock = time.perf_counter(), time.time()
    run, new = target.site.submit({**REQUEST, "replicate": secrets.randbelow(900_000) + 1000})
    answered = time.perf_counter() - began
    if not new:
        raise SystemExit(f"run {run['id']} was there already")

    def ended() -> Any:
        item = table.get_item(Key={"run_id": run["id"]}, ConsistentRead=True).get("Item") or {}
        return item if item.get("status") in ("succeeded", "failed") else None

    item = until(ended, f"run {run['id']}")
    if item["status"] == "failed":
        raise SystemExit(f"run {run['id']} failed: {item.get('reason')}")
    at = {event["status"]: moment(event["at"]) - clock for event in item["history"]}
    return {
        "answered": answered,
        "in the table": at["queued"],
        "running": at["running"],
        "done": at["succeeded"],
    }


def bare_task(target: Target) -> float:
    """Seconds that ECS needs from RunTask to a running container of the same image."""
    ecs, cluster = target.client("ecs"), target.output("cluster_arn")
    began = time.perf_counter()
    task = ecs.run_task(
        cluster=cluster,
        taskDefinition=target.output("model_task_family"),
        capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
        overrides={"containerOverrides": [{"name": "model", "command": ["--help"]}]},
        networkConfiguration={
            "awsvpcConfiguration": {"subnets": target.outputs["manage_network"]["subnets"]}
        },
    )["tasks"][0]["taskArn"]

    def up() -> bool:
        found = ecs.describe_tasks(cluster=cluster, tasks=[task])["tasks"]
        return bool(found) and found[0]["lastStatus"] in ("RUNNING", "DEPROVISIONING", "STOPPED")

    until(up, f"task {task}")
    return time.perf_counter() - began


def known(target: Target, count: int) -> list[float]:
    """Milliseconds until a request that was made before is answered."""
    target.site.submit(REQUEST)
    times = []
    for _ in range(count):
        began = time.perf_counter()
        _run, new = target.site.submit(REQUEST)
        times.append(1000 * (time.perf_counter() - began))
        if new:
            raise SystemExit("the same request made another run")
    return times


def line(name: str, values: Sequence[float], unit: str, digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{name:<44} {middle:8.{digits}f} {unit}  ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10, help="requests that are new (10)")
    parser.add_argument("--stack", default=DEFAULT_STACK, help=f"stack ({DEFAULT_STACK})")
    parser.add_argument("--json", type=Path, help="every measurement, as JSON")
    options = parser.parse_args()
    target = resolve(options.stack, False, None)
    Output(False).note(f"{options.runs} new requests on {options.stack}, by turns with bare tasks")
    runs, bare = [], []
    for _ in range(options.runs):
        bare.append(bare_task(target))
        runs.append(submitted(target))
    again = known(target, 20 * options.runs)
    for key in runs[0]:
        print(line(f"from the request until it is {key}", [run[key] for run in runs], "s", 2))
    print(line("ECS alone, from RunTask to a running task", bare, "s", 2))
    ratio = statistics.median(run["running"] for run in runs) / statistics.median(bare)
    print(f"{'request to running / ECS alone':<44} {ratio:8.2f}")
    print(line("a known request, until it is answered", again, "ms", 1))
    if options.json:
        options.json.write_text(json.dumps({"runs": runs, "bare": bare, "known_ms": again}, indent=1) + "\n")


if __name__ == "__main__":
    main()
