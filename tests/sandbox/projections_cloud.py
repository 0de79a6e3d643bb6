"""One projections stack for the tests, deployed once: its commands, run table, tasks and users."""

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import requests
from botocore.exceptions import ClientError

from ops.projections.site import Site
from tests.sandbox import workspace
from tests.sandbox.workspace import Ran

Found = TypeVar("Found")

STACK = "projections-probe"
STATE, COUNTY = "Massachusetts", "Suffolk"
DEADLINE_S = 240.0
"""For what a run does; a laptop under load takes its time."""

SETTINGS = {
    "projections:data_source": "examples/projections-new-england/source",
    "projections:allowed_cidrs": ["0.0.0.0/0"],
    "projections:backoff_s": 1,
    "projections:max_backoff_s": 10,
    "projections:max_interruptions": 3,
}


@dataclass
class Deployed:
    """The stack, and short ways to what it holds."""

    stack: workspace.Stack
    outputs: dict[str, Any]
    site: Site
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return str(self.outputs["site_url"]).rstrip("/")

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(service)
        return self._clients[service]

    # --- operators' commands ---

    def command(self, *argv: str) -> list[str]:
        return [sys.executable, "-m", "ops", "projections", *argv, "--stack", self.stack.name]

    def ops(self, *argv: str) -> Ran:
        """Run ``python -m ops projections ...``."""
        done = subprocess.run(
            self.command(*argv), cwd=self.stack.project, env=self.stack.env, text=True, capture_output=True,
            stdin=subprocess.DEVNULL, timeout=600,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stdout + done.stderr)

    def good(self, *argv: str) -> Any:
        """The JSON document of a command that succeeds."""
        ran = self.ops(*argv, "--json")
        assert ran.code == 0, ran.output
        return json.loads(ran.stdout)

    # --- runs ---

    def submit(self, **fields: Any) -> dict[str, Any]:
        """A run by the API; new inputs by default."""
        return self.submitted(**fields)[0]

    def submitted(self, **fields: Any) -> tuple[dict[str, Any], bool]:
        replicate = secrets.randbelow(900_000) + 100
        request = {
            "state": STATE, "county": [COUNTY], "nDraws": 2000, "sim_length": 14, "compute": "fargate",
            "replicate": replicate, **fields,
        }  # fmt: skip
        return self.site.submit(request)

    def wait(self, run_id: str, *statuses: str, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """The run as soon as it has one of the statuses; a run that has failed instead is shown."""

        def there() -> dict[str, Any] | None:
            run = self.site.run(run_id)
            if run["status"] in statuses:
                return run
            assert run["status"] not in ("failed", "succeeded"), (run, self.history(run_id))
            return None

        return until(there, f"run {run_id} to be {' or '.join(statuses)}", deadline_s)

    def wait_again(self, run_id: str, *statuses: str) -> dict[str, Any]:
        """As ``wait``, for a run that has failed before."""

        def there() -> dict[str, Any] | None:
            run = self.site.run(run_id)
            return run if run["status"] in statuses else None

        return until(there, f"run {run_id} to be {' or '.join(statuses)} again")

    def item(self, run_id: str) -> dict[str, Any]:
        """The run's item in the run table, empty when there is none."""
        table = boto3.resource("dynamodb").Table(self.outputs["run_table"])
        return dict(table.get_item(Key={"run_id": run_id}, ConsistentRead=True).get("Item") or {})

    def history(self, run_id: str) -> list[dict[str, Any]]:
        return list(self.item(run_id).get("history") or [])

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Objects of the stack's bucket, by key."""
        s3, bucket = self.client("s3"), self.outputs["bucket"]
        keys = [
            found["Key"]
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            for found in page.get("Contents", ())
        ]
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    # --- tasks ---

    def tasks(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """Tasks of the model, of one run or of all, as ECS describes them."""
        ecs, cluster = self.client("ecs"), self.outputs["cluster_arn"]
        listed = [
            arn
            for status in ("RUNNING", "STOPPED")
            for page in ecs.get_paginator("list_tasks").paginate(
                cluster=cluster, desiredStatus=status, family=self.outputs["model_task_family"]
            )
            for arn in page["taskArns"]
        ]
        arns = list(dict.fromkeys(listed))  # one that stops between the two lists is in both
        found: list[dict[str, Any]] = []
        for start in range(0, len(arns), 100):
            found += ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + 100])["tasks"]
        return [task for task in found if run_id in (None, task.get("startedBy"))]

    def running_task(self, run_id: str) -> dict[str, Any]:
        """The run's task, as soon as its container runs."""

        def there() -> dict[str, Any] | None:
            return next((task for task in self.tasks(run_id) if task["lastStatus"] == "RUNNING"), None)

        return until(there, f"a task of run {run_id} to run")

    def sandbox(self, *argv: str) -> Ran:
        """Run ``python -m sandbox ...`` on the tests' sandbox."""
        done = subprocess.run(
            [sys.executable, "-m", "sandbox", *argv], cwd=self.stack.project, env=self.stack.env, text=True,
            capture_output=True, timeout=120,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stdout + done.stderr)

    # --- people ---

    def member(self, group: str) -> "Person":
        """A new user of a group, made by the operator's command, who has set a password by the link."""
        name, password = f"user-{secrets.token_hex(4)}", "Aa1!" + secrets.token_hex(12)
        made = self.good("user", "add", name, *(["--group", group] if group else []))
        session = requests.Session()
        page = session.get(made["link"], timeout=30)
        assert page.status_code == 200, page.text[:500]
        form = {
            "new_password1": password,
            "new_password2": password,
            "csrfmiddlewaretoken": token_in(page.text),
        }
        answer = session.post(page.url, data=form, headers={"Referer": page.url}, timeout=30)
        assert answer.status_code == 200, answer.text[:500]
        return Person(self.url, name, password)


def token_in(page: str) -> str:
    """The form's token against forged requests."""
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found, page[:500]
    return found.group(1)


@dataclass
class Person:
    """A user with a token of the API."""

    url: str
    name: str
    password: str
    _token: str = ""

    def token(self) -> str:
        if not self._token:
            answer = requests.post(
                f"{self.url}/users/api/token/",
                json={"username": self.name, "password": self.password},
                timeout=30,
            )
            assert answer.status_code == 200, answer.text
            self._token = answer.json()["access_token"]
        return self._token

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token()}"}
        return requests.request(method, self.url + path, headers=headers, timeout=60, **options)


def until(look: Callable[[], Found | None], what: str, deadline_s: float = DEADLINE_S) -> Found:
    """What ``look`` finds, asked again and again; an assertion when it never finds anything."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited {deadline_s:.0f} s for {what}")


def interruptions(history: Sequence[dict[str, Any]]) -> int:
    return sum(event["status"] == "interrupted" for event in history)


@dataclass
class Planners:
    """What the tests in a browser need to know."""

    deployed: Deployed
    state: str = STATE
    county: str = COUNTY

    @property
    def url(self) -> str:
        return self.deployed.url

    def password_link(self, username: str, group: str) -> str:
        made = self.deployed.good("user", "add", username, *(["--group", group] if group else []))
        return str(made["link"])


def outputs_alive(stack: workspace.Stack) -> set[str]:
    """Which of a stack's bucket, table, database and site are there."""
    outputs = stack.outputs()
    runner = str(outputs["bucket"])
    looks: dict[str, Callable[[], Any]] = {
        "bucket": lambda: boto3.client("s3").head_bucket(Bucket=runner),
        "table": lambda: boto3.client("dynamodb").describe_table(TableName=outputs["run_table"]),
        "database": lambda: boto3.client("rds").describe_db_instances(DBInstanceIdentifier=runner),
        "site": lambda: requests.get(f"{outputs['site_url']}/health", timeout=30).raise_for_status(),
    }
    found = set()
    for name, look in looks.items():
        try:
            look()
            found.add(name)
        except (ClientError, requests.RequestException):
            continue
    return found


@contextmanager
def deployed(project: Path, env: dict[str, str]) -> Iterator[Deployed]:
    """The stack, deployed from a copy of the project, with the example's data loaded."""
    workspace.copy_project(project)
    stack = workspace.Stack(project, STACK, env)
    stack.configure(SETTINGS)
    try:
        stack.up()
        outputs = stack.outputs()
        key = boto3.client("secretsmanager").get_secret_value(SecretId=outputs["api_key_secret_arn"])
        made = Deployed(stack, outputs, Site(outputs["site_url"], lambda: str(key["SecretString"])))
        made.good("addhashes", "--all")
        yield made
    finally:
        stack.remove()
