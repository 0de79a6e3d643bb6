"""What must not happen: forged webhooks, visible secrets, data that a broken source has changed."""

import json
import re
import subprocess
import time
from typing import Any

import boto3
import jwt
import pytest
import requests

from tests.sandbox.projections_cloud import COUNTY, STATE, Deployed, until

SIMULATIONS = "/covid/api/simulations/"


def secret_texts(projections: Deployed) -> dict[str, str]:
    """Every secret value of the stack, by where it is kept."""
    client, found = projections.client("secretsmanager"), {}
    for secret in client.list_secrets()["SecretList"]:
        if not secret["Name"].startswith(f"{projections.stack.name}/"):
            continue
        text = client.get_secret_value(SecretId=secret["ARN"])["SecretString"]
        try:
            values = json.loads(text)
        except ValueError:
            values = text
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            if key != "username":
                found[f"{secret['Name']} {key}".strip()] = str(value)
    return found


# --- webhooks --------------------------------------------------------------------------------------


def signed(key: str, run_id: str, **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": "projections-model", "aud": "projections-webhook", "sub": run_id, "iat": now, "exp": now + 300,
    }  # fmt: skip
    return jwt.encode({**claims, **changes}, key, algorithm=changes.pop("algorithm", "HS256"))


def put(projections: Deployed, run_id: str, token: str | None, **body: Any) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    url = f"{projections.url}{SIMULATIONS}{run_id}/webhook/"
    content = {"status": "running", "progress": 0.5, "attempt": 1, **body}
    return requests.put(url, json=content, headers=headers, timeout=30).status_code


@pytest.fixture(scope="module")
def webhook_key(projections: Deployed) -> str:
    return secret_texts(projections)[f"{projections.stack.name}/webhook-key"]


@pytest.fixture(scope="module")
def going(projections: Deployed) -> Any:
    """A run that goes on for long, cancelled afterwards."""
    run = projections.submit(compute="fargate-spot", nDraws=200_000, sim_length=200)
    projections.wait(run["id"], "running")
    yield run
    projections.ops("cancel", run["id"])


def test_a_webhook_needs_a_fresh_token_of_its_own_run(
    projections: Deployed, webhook_key: str, going: dict[str, Any]
) -> None:
    run_id, old = going["id"], int(time.time()) - 1000
    assert put(projections, run_id, signed(webhook_key, run_id)) == 200
    refused = {
        "none": (None, 401),
        "rubbish": ("rubbish", 401),
        "another key": (signed("k" * 40, run_id), 401),
        "old": (signed(webhook_key, run_id, iat=old, exp=old + 300), 401),
        "of another issuer": (signed(webhook_key, run_id, iss="projections-web"), 401),
        "for another audience": (signed(webhook_key, run_id, aud="projections-api"), 401),
        "without signature": (jwt.encode({"sub": run_id}, "", algorithm="none"), 401),
        "without end": (signed(webhook_key, run_id, exp=int(time.time()) + 10**9), 401),
        "of another run": (signed(webhook_key, "0a6f3c1e-0000-5000-8000-000000000001"), 403),
    }
    answers = {why: put(projections, run_id, token) for why, (token, _code) in refused.items()}
    assert answers == {why: code for why, (_token, code) in refused.items()}
    unknown = "0a6f3c1e-0000-5000-8000-000000000001"
    assert put(projections, unknown, signed(webhook_key, unknown)) == 404


def test_a_webhook_cannot_change_a_run_that_is_complete(projections: Deployed, webhook_key: str) -> None:
    run = projections.submit(compute="fargate")
    finished = projections.wait(run["id"], "succeeded")
    code = put(projections, run["id"], signed(webhook_key, run["id"]), status="complete", output={"ICU": {}})
    assert code == 409
    assert projections.site.run(run["id"])["output"] == finished["output"]


def test_tokens_of_webhooks_open_nothing_else(projections: Deployed, webhook_key: str) -> None:
    token = signed(webhook_key, "operator", role="operator")
    for path in (SIMULATIONS, "/covid/api/hash_resources/", "/covid/api/meta/"):
        answer = requests.get(
            projections.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        assert answer.status_code in (401, 403), path


# --- secrets ---------------------------------------------------------------------------------------


def test_no_secret_is_in_tasks_logs_objects_or_state(projections: Deployed) -> None:
    for compute in ("fargate", "fargate-spot"):
        projections.wait(projections.submit(compute=compute)["id"], "succeeded")
    texts = secret_texts(projections)
    assert {"webhook-key", "api-key", "site", "database"} <= {name.split("/")[1].split()[0] for name in texts}
    ecs = projections.client("ecs")
    definitions = [
        ecs.describe_task_definition(taskDefinition=arn)
        for arn in ecs.list_task_definitions()["taskDefinitionArns"]
        if projections.stack.name in arn
    ]
    assert len(definitions) >= 3
    services = ecs.describe_services(
        cluster=projections.outputs["cluster_arn"], services=[projections.outputs["web_service"]]
    )
    logs = [
        event["message"]
        for group in projections.outputs["log_groups"].values()
        for page in projections.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        for event in page["events"]
    ]
    assert len(logs) > 20
    places = {
        "DescribeTasks": json.dumps(projections.tasks(), default=str),
        "DescribeTaskDefinition": json.dumps(definitions, default=str),
        "DescribeServices": json.dumps(services, default=str),
        "DescribeDBInstances": json.dumps(projections.client("rds").describe_db_instances(), default=str),
        "logs": "\n".join(logs),
        "objects": "\n".join(
            content.decode(errors="replace") for content in projections.objects("").values()
        ),
        "table": json.dumps(boto3.client("dynamodb").scan(TableName=projections.outputs["run_table"])),
        "state": projections.stack.pulumi("stack", "export").output,
        "outputs": json.dumps(projections.outputs),
    }
    assert all(len(text) > 100 for text in places.values()), {name: len(t) for name, t in places.items()}
    found = [
        (where, name) for where, text in places.items() for name, value in texts.items() if value in text
    ]
    assert found == []
    # Nor a token: three parts of base64 that begin as every JWT does.
    assert [
        where for where, text in places.items() if re.search(r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.", text)
    ] == []


# --- data ------------------------------------------------------------------------------------------


def hashes(projections: Deployed) -> Any:
    return projections.site.document("GET", "/covid/api/hash_resources/")


def test_the_same_data_again_adds_nothing(projections: Deployed) -> None:
    before = hashes(projections)
    assert len(before["results"]) == 2
    for option in ((), ("--all",)):
        again = projections.good("addhashes", *option)
        assert any("nothing new" in line for line in again["lines"]), again
    assert hashes(projections) == before


def test_without_data_a_request_says_what_to_run(projections: Deployed) -> None:
    projections.good("addhashes", "--delete")
    try:
        assert projections.site.document("GET", "/health")["status"] == "no data"
        refused = projections.ops("submit", "--state", STATE, "--county", COUNTY, "--draws", "777")
        assert refused.code == 4, refused.output
        assert "addhashes --all" in refused.output
        assert len(refused.output.strip().splitlines()) == 1
        person = projections.member("Fargate")
        answer = person.call("POST", SIMULATIONS, json={"state": STATE, "county": [COUNTY], "nDraws": 777})
        assert answer.status_code == 409
        assert "addhashes --all" in answer.json()["detail"]
        # Without --all only the newest is looked for until a known one: here all are new.
    finally:
        projections.good("addhashes", "--all")
    assert len(hashes(projections)["results"]) == 2


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("http://127.0.0.1:9/repos/nobody/nothing", "127.0.0.1:9"),
        ("s3://{bucket}/nowhere", "commits.json"),
        ("s3://{bucket}/rubbish", ""),
        ("ftp://example.org/data", "ftp"),
    ],
)
def test_a_bad_source_changes_nothing(projections: Deployed, source: str, says: str) -> None:
    s3, bucket = projections.client("s3"), projections.outputs["bucket"]
    if "rubbish" in source:
        sha = "f" * 40
        index = json.dumps([{"sha": sha, "date": "2022-02-01T00:00:00Z"}])
        s3.put_object(Bucket=bucket, Key="source/rubbish/commits.json", Body=index.encode())
        for kind in ("confirmed", "deaths"):
            key = f"source/rubbish/{sha}/time_series_covid19_{kind}_US.csv"
            s3.put_object(Bucket=bucket, Key=key, Body=b"<html>rate limit</html>")
        source = "s3://{bucket}/source/rubbish"
    before = hashes(projections)
    ran = projections.ops("addhashes", "--all", "--source", source.format(bucket=bucket))
    assert ran.code == 5, ran.output
    last = ran.output.strip().splitlines()[-1]
    assert last.startswith("error: "), ran.output
    assert says in last, ran.output
    assert hashes(projections) == before


# --- health ----------------------------------------------------------------------------------------


def test_the_site_is_closed_to_strangers_but_tells_its_health(projections: Deployed) -> None:
    health = requests.get(f"{projections.url}/health", timeout=30)
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    for path in ("simulations/", "county_resources/", "hash_files/", "get_states_counties/", "model/health"):
        assert requests.get(f"{projections.url}/covid/api/{path}", timeout=30).status_code in (401, 403), path
    answer = requests.post(f"{projections.url}/covid/api/hash_resources/", json={}, timeout=30)
    assert answer.status_code in (401, 403, 405)
    page = requests.get(f"{projections.url}/", timeout=30, allow_redirects=False)
    assert page.status_code == 302
    assert "/accounts/login/" in page.headers["Location"]


def test_containers_of_the_site_come_back(projections: Deployed) -> None:
    """The web service's task is killed: the service starts another, and the site has its runs."""
    before = [run["id"] for run in projections.good("list", "--limit", "5")["runs"]]
    ecs, cluster = projections.client("ecs"), projections.outputs["cluster_arn"]
    service = projections.outputs["web_service"]
    old = ecs.list_tasks(cluster=cluster, serviceName=service)["taskArns"]
    ids = subprocess.run(
        ["docker", "ps", "-q", "--filter", f"label=com.amazonaws.ecs.task-arn={old[0]}"],
        capture_output=True, text=True, timeout=30, env=projections.stack.env,
    ).stdout.split()  # fmt: skip
    assert len(ids) == 2
    subprocess.run(
        ["docker", "kill", *ids], capture_output=True, timeout=30, env=projections.stack.env, check=True
    )

    def back() -> bool:
        new = ecs.list_tasks(cluster=cluster, serviceName=service)["taskArns"]
        if not new or new == old:
            return False
        try:
            return requests.get(f"{projections.url}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    until(back, "the site to be back")
    assert [run["id"] for run in projections.good("list", "--limit", "5")["runs"]] == before
