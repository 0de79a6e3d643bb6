"""FargateSpotRunner: what is registered with the engine, in previews (unknown values) and in updates."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.fargate_spot_runner import FargateSpotRunnerArgs
from components.parts.fargate_task import size_problem
from components.parts.network import NetworkArgs, subnets_of
from components.parts.sources import python_files
from sandbox.paths import ROOT
from tests.harness import Deployment
from tests.unit.runner_stack import arguments, containers, contexts, environment, runner, site

BOTH = pytest.mark.parametrize("preview", [True, False])
ACCOUNT = "123456789012"
CLUSTER = f"arn:aws:ecs:eu-west-3:{ACCOUNT}:cluster/projections-test"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return contexts(tmp_path)


@BOTH
def test_everything_is_inside_the_component_and_tagged(folder: Path, preview: bool) -> None:
    made = runner(folder, preview=preview, tags={"project": "p"})
    component = made.one("tiny")
    assert component.type == "benchtop:index:FargateSpotRunner"
    assert {item.urn for item in made.below(component.urn)} == {
        item.urn for item in made.resources if item is not component
    }
    assert all(item.name.startswith("tiny-") for item in made.resources if item is not component)
    untagged = {
        item.type.rsplit(":", 1)[1] for item in made.resources
        if not item.type.startswith("benchtop") and (item.inputs.get("tags") or {}).get("project") != "p"
    }  # fmt: skip
    # AWS has no tags on these (on rules it has, where they would only be noise).
    assert untagged == {
        "BucketOwnershipControls", "BucketPublicAccessBlock", "BucketServerSideEncryptionConfiguration",
        "BucketVersioning", "BucketPolicy", "BucketLifecycleConfiguration", "BucketNotification",
        "LifecyclePolicy", "Image", "RandomPassword", "SecretVersion", "RolePolicy", "QueuePolicy",
        "Permission", "FunctionEventInvokeConfig", "EventTarget", "LogMetricFilter",
        "ClusterCapacityProviders", "RouteTableAssociation", "SecurityGroupEgressRule",
        "SecurityGroupIngressRule",
    }  # fmt: skip


# --- the bucket and who is told of it ----------------------------------------------------------------


@BOTH
def test_only_request_objects_call_the_dispatcher(folder: Path, preview: bool) -> None:
    made = runner(folder, preview=preview)
    (notified,) = made.one("tiny-run-notification").inputs["lambdaFunctions"]
    assert (notified["filterPrefix"], notified["filterSuffix"]) == ("requests/", ".json")
    assert notified["events"] == ["s3:ObjectCreated:*"]
    assert made.one("tiny-run-dispatch-permission").urn in made.one("tiny-run-notification").depends_on


def test_s3_may_call_it_for_this_bucket_of_this_account_only(folder: Path) -> None:
    permission = runner(folder).one("tiny-run-dispatch-permission").inputs
    assert permission["principal"] == "s3.amazonaws.com"
    assert permission["sourceArn"] == "arn:aws:s3:::projections-test"
    assert permission["sourceAccount"] == ACCOUNT


def test_requests_and_results_expire_and_data_does_not(folder: Path) -> None:
    made = runner(folder, run_days=9)
    rules = {rule["id"]: rule for rule in made.one("tiny-data-lifecycle").inputs["rules"]}
    expiring = {key: rule for key, rule in rules.items() if "expiration" in rule}
    assert {rule["filter"]["prefix"]: rule["expiration"]["days"] for rule in expiring.values()} == {
        "requests/": 9, "runs/": 9,
    }  # fmt: skip


# --- the table, the queues, the clock -----------------------------------------------------------------


@BOTH
def test_the_run_table_is_found_by_status_and_can_be_restored(folder: Path, preview: bool) -> None:
    table = runner(folder, preview=preview).one("tiny-runs").inputs
    assert (table["name"], table["hashKey"], table["billingMode"]) == (
        "projections-test-runs", "run_id", "PAY_PER_REQUEST",
    )  # fmt: skip
    (index,) = table["globalSecondaryIndexes"]
    assert (index["name"], index["hashKey"], index["rangeKey"]) == ("by-status", "status", "updated_at")
    assert table["pointInTimeRecovery"] == {"enabled": True}
    assert table["ttl"] == {"attributeName": "expires_at", "enabled": True}


def test_each_way_in_has_dead_letters_of_its_own(folder: Path) -> None:
    made = runner(folder)
    arns = {key: f"arn:aws:sqs:eu-west-3:{ACCOUNT}:projections-test-{key}-dead"
            for key in ("dispatch", "events", "restarts")}  # fmt: skip
    for function, key in (("dispatch", "dispatch"), ("resume", "events")):
        failures = made.one(f"tiny-run-{function}-failures").inputs
        assert failures["destinationConfig"] == {"onFailure": {"destination": arns[key]}}
        assert failures["maximumRetryAttempts"] == 2
    redrive = json.loads(made.one("tiny-run-restarts").inputs["redrivePolicy"])
    assert redrive == {"deadLetterTargetArn": arns["restarts"], "maxReceiveCount": 5}
    target = made.one("tiny-run-stopped-target").inputs
    assert target["deadLetterConfig"] == {"arn": arns["events"]}
    (allowed,) = json.loads(made.one("tiny-run-events-dead-policy").inputs["policy"])["Statement"]
    assert allowed["Resource"] == arns["events"]
    assert allowed["Condition"]["ArnEquals"]["aws:SourceArn"].endswith(":rule/projections-test-stopped")
    assert all(queue.inputs["sqsManagedSseEnabled"] for queue in made.of_type("sqs/queue:Queue"))


def test_the_queue_gives_the_function_time_and_one_message_at_a_time(folder: Path) -> None:
    made = runner(folder)
    limit = made.one("tiny-run-resume-function").inputs["timeout"]
    assert made.one("tiny-run-restarts").inputs["visibilityTimeoutSeconds"] >= 6 * limit
    mapping = made.one("tiny-run-restarts-mapping").inputs
    assert (mapping["batchSize"], mapping["functionName"]) == (1, "projections-test-resume")


def test_the_rule_is_for_interrupted_tasks_of_this_cluster(folder: Path) -> None:
    made = runner(folder)
    pattern = json.loads(made.one("tiny-run-stopped").inputs["eventPattern"])
    assert pattern == {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "clusterArn": [CLUSTER],
            "lastStatus": ["STOPPED"],
            "stopCode": ["SpotInterruption", "TaskFailedToStart"],
        },
    }
    assert made.one("tiny-run-clock").inputs["scheduleExpression"] == "rate(1 minute)"
    for function, rule in (("resume", "stopped"), ("sweep", "sweep")):
        permission = made.one(f"tiny-run-{function}-permission").inputs
        assert permission["principal"] == "events.amazonaws.com"
        assert permission["sourceArn"].endswith(f":rule/projections-test-{rule}")


# --- functions and tasks --------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["dispatch", "resume", "sweep"])
def test_functions_carry_their_code_and_settings(folder: Path, role: str) -> None:
    made = runner(folder, max_interruptions=0, backoff_s=5)
    function = made.one(f"tiny-run-{role}-function").inputs
    assert function["handler"] == f"projections.{role}.handle"
    expected = {path.name for path in python_files(ROOT / "lambdas" / "projections")}
    assert set(function["code"].assets) == {f"projections/{name}" for name in expected}
    variables = function["environment"]["variables"]
    numbers = ("MAX_INTERRUPTIONS", "BACKOFF_S", "MAX_ATTEMPTS", "RUN_DAYS")
    assert {key: variables[key] for key in numbers} == {
        "MAX_INTERRUPTIONS": "0", "BACKOFF_S": "5", "MAX_ATTEMPTS": "20", "RUN_DAYS": "30",
    }  # fmt: skip
    assert variables["TASK_DEFINITION"].endswith(":task-definition/projections-test-model:1")
    assert len(variables["SUBNETS"].split(",")) == 2
    assert variables["ASSIGN_PUBLIC_IP"] == "true"


@BOTH
def test_a_runs_task_has_two_minutes_to_stop(folder: Path, preview: bool) -> None:
    made = runner(folder, preview=preview, cpu=2048, memory=4096)
    task = made.one("tiny-model-definition").inputs
    assert (task["cpu"], task["memory"], task["networkMode"]) == ("2048", "4096", "awsvpc")
    if preview:
        return
    (container,) = containers(made, "tiny-model-definition").values()
    assert (container["name"], container["stopTimeout"], container["essential"]) == ("model", 120, True)
    assert "@sha256:" in container["image"]
    assert {
        "BUCKET_NAME",
        "RUN_TABLE",
        "CHECKPOINT_INTERVAL_S",
        "HEARTBEAT_INTERVAL_S",
        "MODEL_VERSION",
    } <= set(environment(container))
    options = container["logConfiguration"]["options"]
    assert (options["awslogs-group"], options["awslogs-stream-prefix"]) == (
        "/ecs/projections-test/model",
        "model",
    )


def test_spot_is_there_before_anything_can_ask_for_it(folder: Path) -> None:
    made = runner(folder)
    capacity = made.one("tiny-capacity")
    assert set(capacity.inputs["capacityProviders"]) == {"FARGATE", "FARGATE_SPOT"}
    assert capacity.urn in made.one("tiny-run-dispatch-function").depends_on


def test_no_secret_is_anywhere_but_in_secrets_manager(folder: Path) -> None:
    made = runner(folder)
    generated = [item.name for item in made.of_type(":RandomPassword")]
    assert len(generated) == 5
    for item in made.resources:
        text = json.dumps(item.inputs, default=str)
        for name in generated:
            if f"random-{name}" in text:
                assert item.secrets & {"secretString", "password"}, item.name
    text = json.dumps(made.outputs, default=str)
    assert "random-" not in text
    for task in (
        "tiny-model-definition",
        "tiny-site-web-task-definition",
        "tiny-site-manage-task-definition",
    ):
        for container in containers(made, task).values():
            assert all(
                item["valueFrom"].startswith("arn:aws:secretsmanager:") for item in container["secrets"]
            )


# --- the network -----------------------------------------------------------------------------------------


@BOTH
def test_the_own_network_costs_nothing_while_idle(folder: Path, preview: bool) -> None:
    made = runner(folder, preview=preview)
    assert not [item for item in made.resources if "NatGateway" in item.type or ":Eip" in item.type]
    endpoints = made.of_type(":VpcEndpoint")
    assert {item.inputs["vpcEndpointType"] for item in endpoints} == {"Gateway"}
    assert {item.inputs["serviceName"] for item in endpoints} == {
        "com.amazonaws.eu-west-3.s3", "com.amazonaws.eu-west-3.dynamodb",
    }  # fmt: skip
    subnets = made.of_type(":Subnet")
    assert sorted(item.inputs["cidrBlock"] for item in subnets) == sorted(subnets_of("10.40.0.0/20"))
    assert len({item.inputs["availabilityZone"] for item in subnets}) == 2
    assert made.one("tiny-network-public-routes").inputs["routes"][0]["cidrBlock"] == "0.0.0.0/0"
    assert "routes" not in made.one("tiny-network-private-routes").inputs


@BOTH
def test_given_subnets_are_used_and_nothing_is_made(folder: Path, preview: bool) -> None:
    given = NetworkArgs(
        vpc_id="vpc-1",
        public_subnets=["subnet-1", "subnet-2"],
        private_subnets=["subnet-3", "subnet-4"],
        nat=True,
    )
    made = runner(folder, preview=preview, network=given)
    assert not [item for item in made.resources if item.type in ("aws:ec2/vpc:Vpc", "aws:ec2/subnet:Subnet")]
    assert {group.inputs["vpcId"] for group in made.of_type(":SecurityGroup")} == {"vpc-1"}
    service = made.one("tiny-site-web-service").inputs["networkConfiguration"]
    assert (service["subnets"], service["assignPublicIp"]) == (["subnet-3", "subnet-4"], False)
    assert made.one("tiny-site-public-balancer").inputs["subnets"] == ["subnet-1", "subnet-2"]
    if not preview:
        variables = made.one("tiny-run-dispatch-function").inputs["environment"]["variables"]
        assert (variables["SUBNETS"], variables["ASSIGN_PUBLIC_IP"]) == ("subnet-3,subnet-4", "false")


def doors(made: Deployment, direction: str) -> set[tuple[str, str, int]]:
    """Group, peer and port of every rule."""
    return {
        (
            rule.inputs["securityGroupId"].removesuffix("-0000000"),
            (rule.inputs.get("cidrIpv4") or rule.inputs["referencedSecurityGroupId"]).removesuffix(
                "-0000000"
            ),
            rule.inputs["fromPort"],
        )
        for rule in made.of_type(f":SecurityGroup{direction}Rule")
    }


def test_doors_are_open_where_somebody_must_go_through_and_nowhere_else(folder: Path) -> None:
    made = runner(folder)
    assert doors(made, "Ingress") == {
        ("tiny-site-public-access", "192.0.2.0/24", 80),
        ("tiny-site-tasks", "tiny-site-public-access", 8000),
        ("tiny-site-database-access", "tiny-site-tasks", 5432),
    }
    assert doors(made, "Egress") == {
        ("tiny-site-public-access", "tiny-site-tasks", 8000),
        ("tiny-site-tasks", "tiny-site-database-access", 5432),
        ("tiny-site-tasks", "0.0.0.0/0", 443),
        ("tiny-model-tasks", "0.0.0.0/0", 443),
        ("tiny-model-tasks", "0.0.0.0/0", 80),
    }


# --- alone, wrong, protected ------------------------------------------------------------------------------


@BOTH
def test_the_runner_works_without_a_site(folder: Path, preview: bool) -> None:
    made = runner(folder, preview=preview, site=None)
    assert not [item for item in made.resources if "site" in item.name]
    assert not made.of_type("rds/instance:Instance") + made.of_type("lb/loadBalancer:LoadBalancer")
    if not preview:
        assert {port for group, _, port in doors(made, "Egress") if group == "tiny-model-tasks"} == {443}


def test_data_is_protected_when_it_shall_be_kept(folder: Path) -> None:
    made = runner(folder, keep_data=True)
    assert {item.name for item in made.resources if item.protect} == {
        "tiny-data-bucket", "tiny-runs", "tiny-model-image-repository", "tiny-site-image-repository",
        "tiny-site-database-instance",
    }  # fmt: skip
    assert made.one("tiny-runs").inputs["deletionProtectionEnabled"] is True
    assert {item.inputs["recoveryWindowInDays"] for item in made.of_type(":Secret")} == {30}
    plain = runner(folder)
    assert not [item for item in plain.resources if item.protect or item.retain_on_delete]
    assert {item.inputs["recoveryWindowInDays"] for item in plain.of_type(":Secret")} == {0}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"runner_name": "Projections"}, "runner_name 'Projections' is not fit"),
        ({"runner_name": "p" * 29}, "runner_name must have at most 28 characters"),
        ({"cpu": 1000}, "cpu 1000 is no size of Fargate; allowed: 256, 512, 1024"),
        (
            {"cpu": 256, "memory": 4096},
            "memory 4096 is none that Fargate has with cpu 256; allowed: 512, 1024, 2048",
        ),
        ({"max_interruptions": 21}, "max_interruptions must be 0 to 20 interruptions, got 21"),
        ({"backoff_s": 0}, "backoff_s must be 1 to 900 s, got 0"),
        ({"backoff_s": 700}, r"max_backoff_s must be backoff_s \(700\) or more"),
        ({"stale_after_s": 30}, "stale_after_s must be 60 to 3600 s, got 30"),
        ({"log_days": 15}, "log_days must be one of 1, 3, 5.*got 15"),
    ],
)
def test_wrong_arguments_name_field_value_and_what_is_allowed(
    folder: Path, changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        FargateSpotRunnerArgs(**arguments(folder, **changed))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "give either cidr, or"),
        ({"cidr": "10.40.0.0/20", "vpc_id": "vpc-1"}, "give either cidr, or"),
        ({"cidr": "10.40.0.0/25"}, "cidr '10.40.0.0/25' is not fit; allowed: a private network"),
        ({"cidr": "8.8.0.0/16"}, "cidr '8.8.0.0/16' is not fit"),
        ({"cidr": "10.40.0.1/20"}, "has host bits set"),
        (
            {"vpc_id": "vpc-1", "public_subnets": ["a"], "private_subnets": ["b", "c"]},
            "must be 2 or more each",
        ),
    ],
)
def test_a_wrong_network_says_what_is_allowed(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        NetworkArgs(**changed)


def test_a_wrong_site_says_what_is_allowed(folder: Path) -> None:
    with pytest.raises(ValueError, match="certificate_arn needs domain"):
        site(folder, certificate_arn="arn")
    with pytest.raises(ValueError, match="allowed_cidrs is empty"):
        site(folder, allowed_cidrs=())
    with pytest.raises(ValueError, match="site: memory 512 is none"):
        site(folder, cpu=1024, memory=512)


def test_every_size_of_fargate_is_allowed() -> None:
    assert size_problem(1024, 3072) is None
    assert size_problem(16384, 122880) is None
    assert size_problem(8192, 17408) == (
        "memory 17408 is none that Fargate has with cpu 8192; allowed: 16384 to 61440 in steps of 4096"
    )


def test_importing_the_stack_loads_no_client_of_a_cloud() -> None:
    """Every engine command imports it: seconds there are seconds everywhere."""
    clients = "[m for m in ('boto3', 'docker', 'numpy') if m in sys.modules]"
    code = f"import sys, stacks.projections; print({clients})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
