"""The site of a FargateSpotRunner: tasks, database, load balancer, alarms; and every role's rights."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.parts import runner_iam
from tests.harness import UNKNOWN
from tests.unit.runner_stack import containers, contexts, environment, policies, runner, site, statements
from tests.unit.test_iam_documents import allowed

BOTH = pytest.mark.parametrize("preview", [True, False])
WEB, MANAGE = "tiny-site-web-task-definition", "tiny-site-manage-task-definition"
CERTIFICATE = "arn:aws:acm:eu-west-3:123456789012:certificate/1"

BUCKET = "arn:aws:s3:::projections-test"
TABLE = "arn:aws:dynamodb:eu-west-3:123456789012:table/projections-test-runs"
CLUSTER = "arn:aws:ecs:eu-west-3:123456789012:cluster/projections-test"
TASK = "arn:aws:ecs:eu-west-3:123456789012:task/projections-test/1"
MODEL = "arn:aws:ecs:eu-west-3:123456789012:task-definition/projections-test-model:4"
SECRET = "arn:aws:secretsmanager:eu-west-3:123456789012:secret:projections-test"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return contexts(tmp_path)


# --- the task ---------------------------------------------------------------------------------------


def test_the_site_and_the_onboard_model_share_a_task(folder: Path) -> None:
    made = runner(folder)
    both = containers(made, WEB)
    assert set(both) == {"web", "onboard"}
    assert (both["web"]["command"], both["onboard"]["command"]) == (["web"], ["onboard"])
    assert [port["containerPort"] for port in both["web"]["portMappings"]] == [8000]
    assert "portMappings" not in both["onboard"], "only the site speaks to it"
    assert both["onboard"]["secrets"] == []
    web = environment(both["web"])
    host = "projections-test-1.eu-west-3.elb.amazonaws.com"
    assert (web["SITE_URL"], web["ALLOWED_HOSTS"]) == (f"http://{host}", host)
    assert (web["DATABASE_SSLMODE"], web["DATABASE_PORT"]) == ("require", "5432")
    assert web["ONBOARD_URL"] == "http://localhost:5000"
    assert web["RESTART_QUEUE_URL"].endswith("/projections-test-restarts")


def test_one_off_commands_have_the_sites_environment_and_secrets(folder: Path) -> None:
    made = runner(folder, site=site(folder, data_source_token_arn=f"{SECRET}-token"))
    web, (manage,) = containers(made, WEB)["web"], containers(made, MANAGE).values()
    assert (manage["name"], manage["command"]) == ("web", ["manage", "addhashes"])
    assert (manage["environment"], manage["secrets"]) == (web["environment"], web["secrets"])
    assert {item["name"]: item["valueFrom"].removeprefix(SECRET) for item in web["secrets"]} == {
        "ADMIN_PASSWORD": "/site-AbCdEf:admin_password::",
        "API_SIGNING_KEY": "/api-key-AbCdEf",
        "DATABASE_PASSWORD": "/database-AbCdEf:password::",
        "DATA_SOURCE_TOKEN": "-token",
        "DJANGO_SECRET_KEY": "/site-AbCdEf:django_secret_key::",
        "WEBHOOK_SIGNING_KEY": "/webhook-key-AbCdEf",
    }


def test_the_image_is_built_from_the_folder_above(folder: Path) -> None:
    build = runner(folder).one("tiny-site-image-image").inputs["build"]
    assert (build["context"], build["dockerfile"]) == (str(folder), str(folder / "web" / "Dockerfile"))


@BOTH
def test_an_up_waits_for_the_site_and_takes_a_broken_one_back(folder: Path, preview: bool) -> None:
    service = runner(folder, preview=preview).one("tiny-site-web-service").inputs
    assert service["waitForSteadyState"] is True
    assert service["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    (target,) = service["loadBalancers"]
    assert (target["containerName"], target["containerPort"]) == ("web", 8000)
    assert service["desiredCount"] == 1


# --- load balancer and database ---------------------------------------------------------------------


@BOTH
def test_with_a_certificate_plain_http_only_leads_to_tls(folder: Path, preview: bool) -> None:
    secure = site(folder, certificate_arn=CERTIFICATE, domain="projections.example.org")
    made = runner(folder, preview=preview, site=secure)
    (redirect,) = made.one("tiny-site-web-http").inputs["defaultActions"]
    assert redirect["redirect"] == {"port": "443", "protocol": "HTTPS", "statusCode": "HTTP_301"}
    https = made.one("tiny-site-web-https").inputs
    assert (https["certificateArn"], https["defaultActions"][0]["type"]) == (CERTIFICATE, "forward")
    assert "TLS13" in https["sslPolicy"]
    ports = {
        rule.inputs["fromPort"] for rule in made.resources if rule.name.startswith("tiny-site-public-in-")
    }
    assert ports == {80, 443}
    assert not [rule for rule in made.resources if rule.name == "tiny-model-tasks-out-80"]
    if not preview:
        web = environment(containers(made, WEB)["web"])
        assert web["SITE_URL"] == "https://projections.example.org"
        assert "projections.example.org" in web["ALLOWED_HOSTS"].split(",")


def test_without_one_the_site_answers_over_plain_http(folder: Path) -> None:
    made = runner(folder)
    (listener,) = made.of_type("lb/listener:Listener")
    assert (listener.inputs["port"], listener.inputs["defaultActions"][0]["type"]) == (80, "forward")


def test_a_host_with_a_port_is_allowed_without_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the sandbox's load balancers have it; Django compares names alone."""
    from tests import harness

    outputs = harness._outputs

    def with_port(args: Any, name: str) -> dict[str, Any]:
        made = outputs(args, name)
        return made | {"dnsName": "172.17.0.1:18000"} if "loadBalancer" in args.typ else made

    monkeypatch.setattr(harness, "_outputs", with_port)
    web = environment(containers(runner(folder), WEB)["web"])
    assert (web["SITE_URL"], web["ALLOWED_HOSTS"]) == ("http://172.17.0.1:18000", "172.17.0.1")


@BOTH
def test_the_database_is_private_and_encrypted(folder: Path, preview: bool) -> None:
    made = runner(folder, preview=preview)
    database = made.one("tiny-site-database-instance")
    assert database.inputs["publiclyAccessible"] is False
    assert database.inputs["storageEncrypted"] is True
    if not preview:  # an unknown password carries no mark
        assert "password" in database.secrets
    assert database.inputs["skipFinalSnapshot"] is True
    subnets = made.one("tiny-site-database-subnets").inputs["subnetIds"]
    private = ["tiny-network-private-1-0000000", "tiny-network-private-2-0000000"]
    assert subnets == (UNKNOWN if preview else private)


def test_a_kept_database_has_backups_and_a_standby(folder: Path) -> None:
    database = runner(folder, keep_data=True).one("tiny-site-database-instance").inputs
    assert (database["multiAz"], database["deletionProtection"]) == (True, True)
    assert database["backupRetentionPeriod"] == 14
    assert database["finalSnapshotIdentifier"] == "projections-test-final"
    assert database["applyImmediately"] is database["skipFinalSnapshot"] is False


# --- alarms and the clock ---------------------------------------------------------------------------


@BOTH
def test_people_are_told_of_what_they_must_see_to(folder: Path, preview: bool) -> None:
    made = runner(folder, preview=preview)
    alarms = {item.name.removeprefix("tiny-"): item.inputs for item in made.of_type(":MetricAlarm")}
    assert set(alarms) == {
        "runs-failed", "dispatch-errors", "resume-errors", "sweep-errors", "dispatch-dead-letters",
        "events-dead-letters", "restarts-dead-letters", "site-5xx", "balancer-5xx", "site-unhealthy",
        "database-storage", "database-cpu",
    }  # fmt: skip
    assert {len(alarm["alarmActions"]) for alarm in alarms.values()} == {1}
    assert alarms["database-storage"]["comparisonOperator"] == "LessThanThreshold"
    assert alarms["database-storage"]["threshold"] == 2 * 1024**3
    assert (alarms["database-cpu"]["threshold"], alarms["database-cpu"]["evaluationPeriods"]) == (90, 3)
    assert alarms["events-dead-letters"]["statistic"] == "Maximum"
    assert alarms["runs-failed"]["statistic"] == "Sum"


def test_failed_runs_are_counted_where_they_are_logged(folder: Path) -> None:
    made = runner(folder)
    filters = [item.inputs for item in made.of_type(":LogMetricFilter")]
    assert {item["logGroupName"] for item in filters} == {
        "/ecs/projections-test/model",
        "/ecs/projections-test/web",
        "/aws/lambda/projections-test-resume",
        "/aws/lambda/projections-test-sweep",
    }  # fmt: skip
    assert {item["pattern"] for item in filters} == {'{ $.event = "run failed" }'}
    metric = made.one("tiny-runs-failed").inputs
    for item in filters:
        counted = item["metricTransformation"]
        assert (counted["name"], counted["namespace"]) == (metric["metricName"], metric["namespace"])


def test_data_is_fetched_by_a_clock_only_when_it_is_set(folder: Path) -> None:
    assert not [item for item in runner(folder).resources if item.name.startswith("tiny-site-fetch")]
    made = runner(folder, site=site(folder, addhashes_schedule="rate(1 day)"))
    assert made.one("tiny-site-fetch-rule").inputs["scheduleExpression"] == "rate(1 day)"
    target = made.one("tiny-site-fetch-target").inputs
    assert target["ecsTarget"]["taskDefinitionArn"].endswith(":task-definition/projections-test-manage:1")
    assert target["roleArn"].endswith("role/tiny-site-fetch-role-0000000")
    rights = statements(made, "tiny-site-fetch-policy")
    assert allowed(rights, "ecs:RunTask", MODEL.replace("-model", "-manage"))
    assert not allowed(rights, "ecs:RunTask", MODEL)


# --- rights -----------------------------------------------------------------------------------------


def test_no_action_has_a_wildcard_and_only_the_registrys_login_all_resources(folder: Path) -> None:
    made = runner(folder, site=site(folder, addhashes_schedule="rate(1 day)"))
    names = set()
    for name, statement in policies(made):
        names.add(name)
        assert not [action for action in statement["Action"] if "*" in action or "?" in action], name
        if "*" in statement["Resource"]:
            assert statement["Action"] == ["ecr:GetAuthorizationToken"], (name, statement)
    assert len(names) == 10, "a role each for three functions, three tasks twice, and the clock"


def test_roles_are_passed_to_ecs_only_and_only_those_of_the_task(folder: Path) -> None:
    made = runner(folder)
    for function in ("dispatch", "resume"):
        (passing,) = [
            item
            for item in statements(made, f"tiny-run-{function}-policy")
            if "iam:PassRole" in item["Action"]
        ]
        assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
        assert [arn.rpartition("/")[2] for arn in passing["Resource"]] == [
            "tiny-model-execution-role-0000000", "tiny-model-task-role-0000000",
        ]  # fmt: skip
    assert "iam:PassRole" not in json.dumps(statements(made, "tiny-run-sweep-policy"))


@pytest.mark.parametrize(
    ("role", "action", "resource", "may"),
    [
        ("run-dispatch", "s3:GetObject", f"{BUCKET}/requests/x.json", True),
        ("run-dispatch", "s3:GetObject", f"{BUCKET}/runs/x/output.json", False),
        ("run-dispatch", "dynamodb:PutItem", TABLE, True),
        ("run-dispatch", "ecs:RunTask", MODEL, True),
        ("run-dispatch", "ecs:RunTask", MODEL.replace("-model", "-manage"), False),
        ("run-dispatch", "ecs:StopTask", TASK, False),
        ("run-resume", "dynamodb:UpdateItem", TABLE, True),
        ("run-resume", "dynamodb:PutItem", TABLE, False),
        ("run-resume", "s3:GetObject", f"{BUCKET}/requests/x.json", False),
        ("run-sweep", "dynamodb:Query", f"{TABLE}/index/by-status", True),
        ("run-sweep", "ecs:StopTask", TASK, True),
        ("run-sweep", "ecs:StopTask", TASK.replace("projections-test", "other"), False),
        ("run-sweep", "ecs:RunTask", MODEL, False),
        ("model-task", "s3:PutObject", f"{BUCKET}/runs/x/output.json", True),
        ("model-task", "s3:PutObject", f"{BUCKET}/requests/x.json", False),
        ("model-task", "s3:PutObject", f"{BUCKET}/hashes/x/deaths.csv", False),
        ("model-task", "s3:DeleteObject", f"{BUCKET}/runs/x/checkpoints/3.npz", True),
        ("model-task", "s3:DeleteObject", f"{BUCKET}/runs/x/output.json", False),
        ("model-task", "dynamodb:PutItem", TABLE, False),
        ("model-execution", "secretsmanager:GetSecretValue", f"{SECRET}/webhook-key-AbCdEf", True),
        ("model-execution", "secretsmanager:GetSecretValue", f"{SECRET}/site-AbCdEf", False),
        ("model-task", "secretsmanager:GetSecretValue", f"{SECRET}/webhook-key-AbCdEf", False),
        ("site-web-task-task", "s3:PutObject", f"{BUCKET}/requests/x.json", True),
        ("site-web-task-task", "s3:DeleteObject", f"{BUCKET}/requests/x.json", False),
        ("site-web-task-task", "ecs:StopTask", TASK, True),
        ("site-web-task-task", "ecs:RunTask", MODEL, False),
        ("site-web-task-task", "dynamodb:DeleteItem", TABLE, False),
        ("site-web-task-task", "secretsmanager:GetSecretValue", f"{SECRET}/site-AbCdEf", False),
        ("site-manage-task-task", "s3:PutObject", f"{BUCKET}/hashes/x/deaths.csv", True),
        ("site-manage-task-task", "s3:GetObject", f"{BUCKET}/source/commits.json", True),
        ("site-manage-task-task", "s3:PutObject", f"{BUCKET}/source/commits.json", False),
        ("site-manage-task-task", "s3:PutObject", f"{BUCKET}/requests/x.json", False),
        ("site-manage-task-task", "dynamodb:UpdateItem", TABLE, False),
    ],
)  # fmt: skip
def test_each_role_has_what_it_needs_and_no_more(
    folder: Path, role: str, action: str, resource: str, may: bool
) -> None:
    assert allowed(statements(runner(folder), f"tiny-{role}-policy"), action, resource) is may


def test_tasks_are_started_and_stopped_in_this_cluster_only() -> None:
    starting = {item["Sid"]: item for item in runner_iam.start_tasks(CLUSTER, MODEL, ["r"])}
    assert starting["StartTasks"]["Condition"] == {"ArnEquals": {"ecs:cluster": CLUSTER}}
    assert starting["TagStartedTasks"]["Condition"] == {"StringEquals": {"ecs:CreateAction": "RunTask"}}
    for rights in (
        runner_iam.sweep(table_arn=TABLE, index_arn=f"{TABLE}/index/x", queue_arn="q", cluster_arn=CLUSTER),
        runner_iam.web(BUCKET, TABLE, "q", CLUSTER),
    ):
        (stopping,) = [item for item in rights if "ecs:StopTask" in item["Action"]]
        assert stopping["Condition"] == {"ArnEquals": {"ecs:cluster": CLUSTER}}
