"""Services, revisions, tables and secrets of the light aws provider: waiting, failing, draining, keeping.

And all of them in one program with the official SDK, under the real engine.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import boto3
import pytest

from sandbox.images.ensure import ensure
from sandbox.providers.aws.errors import Refused
from sandbox.providers.aws.resources import _ecs_service
from sandbox.providers.server import PartialFailure, ProviderError
from tests.sandbox import sandbox_aws_support as support
from tests.sandbox.aws_provider_cases_compute import SECRET, TASK_DEFINITION, cluster, task_definition
from tests.sandbox.aws_provider_project import Project
from tests.sandbox.aws_provider_support import Cloud, Made, Values
from tests.sandbox.holdings import holdings

SERVICE = "aws:ecs/service:Service"
TABLE = "aws:dynamodb/table:Table"
VERSION = "aws:secretsmanager/secretVersion:SecretVersion"
SLEEPS = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); time.sleep(300)"
BREAKER = {"enable": True, "rollback": False}


@pytest.fixture(scope="module")
def image(sandbox_env: dict[str, str]) -> str:
    return ensure([support.BASE_IMAGE], print)[support.BASE_IMAGE]


@pytest.fixture
def cloud(sandbox_env: dict[str, str]) -> Iterator[Cloud]:
    made = Cloud(f"compute-{token_hex(3)}")
    yield made
    made.clean()


def revision(cloud: Cloud, image: str, program: str, **more: Any) -> Made:
    container = {"name": "main", "image": image, "command": ["python3", "-c", program], "stopTimeout": 5}
    inputs = {**task_definition(cloud), "containerDefinitions": json.dumps([{**container, **more}])}
    return cloud.create(TASK_DEFINITION, inputs, f"task-{token_hex(2)}")


def service(cloud: Cloud, definition: Made, **more: Any) -> Values:
    return {
        "cluster": cluster(cloud)["name"],
        "taskDefinition": definition["arn"],
        "desiredCount": 1,
        "launchType": "FARGATE",
        "networkConfiguration": {"subnets": ["subnet-0a"]},
        "waitForSteadyState": True,
        **more,
    }


def tasks(made: Made, status: str = "RUNNING") -> list[dict[str, Any]]:
    """The service's tasks, as ECS has them."""
    ecs, where = boto3.client("ecs"), made["cluster"]
    arns = ecs.list_tasks(cluster=where, serviceName=made["name"], desiredStatus=status)["taskArns"]
    found: list[dict[str, Any]] = ecs.describe_tasks(cluster=where, tasks=arns)["tasks"] if arns else []
    return found


def test_a_service_is_returned_when_it_runs_what_was_asked_for(cloud: Cloud, image: str) -> None:
    inputs = service(cloud, revision(cloud, image, SLEEPS))
    made = cloud.create(SERVICE, inputs)
    assert [task["lastStatus"] for task in tasks(made)] == ["RUNNING"]
    assert made.refresh_diff().changes == {}

    second = revision(cloud, image, SLEEPS, environment=[{"name": "A", "value": "1"}])
    assert second["revision"] == 2
    made.update({**inputs, "taskDefinition": second["arn"], "desiredCount": 2})
    assert [task["taskDefinitionArn"] for task in tasks(made)] == [second["arn"]] * 2

    imported = cloud.import_(SERVICE, f"{made['cluster']}/{made['name']}")
    assert imported is not None
    assert (imported[0], imported[1].values["desiredCount"]) == (made.id, 2)

    made.delete()
    assert tasks(made) == [], "no task outlives its service"
    assert made.read() is None


def test_a_service_that_cant_start_says_why_and_stays_in_the_state(cloud: Cloud, image: str) -> None:
    good = revision(cloud, image, SLEEPS)
    bad = revision(cloud, image, "raise SystemExit(3)")
    inputs = service(cloud, bad, deploymentCircuitBreaker=BREAKER)
    with pytest.raises(PartialFailure, match=r"created, but not finished.*failed:.*exit code 3") as failed:
        cloud.create(SERVICE, inputs)
    urn = cloud.urn(SERVICE, "one")
    made = Made(cloud, urn, failed.value.inputs, failed.value.resource_id, failed.value.state)
    cloud.made.append(made)
    made.update({**inputs, "taskDefinition": good["arn"]})
    assert [task["taskDefinitionArn"] for task in tasks(made)] == [good["arn"]]
    with pytest.raises(ProviderError, match=r"failed:.*exit code 3"):
        made.update(inputs)


def test_waiting_has_an_end(cloud: Cloud, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ecs_service, "STEADY_S", 4.0)
    inputs = service(cloud, revision(cloud, image, "raise SystemExit(4)"), forceDelete=True)
    with pytest.raises(
        PartialFailure, match=r"steady state.*took longer than 4 s; its last task ended"
    ) as failed:
        cloud.create(SERVICE, inputs)
    monkeypatch.undo()
    made = Made(
        cloud, cloud.urn(SERVICE, "one"), failed.value.inputs, failed.value.resource_id, failed.value.state
    )
    made.delete()
    assert tasks(made) == []


def test_an_older_revision_isnt_taken_for_the_one_being_made(cloud: Cloud) -> None:
    inputs = task_definition(cloud)
    old = cloud.create(TASK_DEFINITION, inputs, "old")
    urn = cloud.urn(TASK_DEFINITION, "new")
    cloud.provider.journal.begin(urn, {})  # killed before the answer, or before the call
    new = cloud.create(TASK_DEFINITION, {**inputs, "cpu": "512", "memory": "1024"}, "new")
    assert (old["revision"], new["revision"]) == (1, 2)
    assert old.read() is not None
    new.delete()
    assert old.read() is not None
    kept = cloud.create(TASK_DEFINITION, {**inputs, "skipDestroy": True}, "kept")
    kept.delete()
    assert kept.read() is not None
    arns = boto3.client("ecs").list_task_definitions(familyPrefix=inputs["family"])["taskDefinitionArns"]
    assert arns == [old["arn"], kept["arn"]]
    assert kept["arn"] == f"{kept['arnWithoutRevision']}:3"
    boto3.client("ecs").deregister_task_definition(taskDefinition=kept["arn"])


def test_a_table_keeps_its_items_through_changes(cloud: Cloud) -> None:
    inputs: Values = {
        "attributes": [{"name": "id", "type": "S"}],
        "hashKey": "id",
        "billingMode": "PROVISIONED",
        "readCapacity": 5,
        "writeCapacity": 5,
        "deletionProtectionEnabled": True,
    }
    made = cloud.create(TABLE, inputs)
    items = boto3.resource("dynamodb").Table(made.id)
    items.put_item(Item={"id": "a", "state": "x"})
    with pytest.raises(Refused, match="deletion"):
        made.delete()
    attributes = [*inputs["attributes"], {"name": "state", "type": "S"}]
    index = {"name": "by-state", "hashKey": "state", "projectionType": "KEYS_ONLY"}
    for change in (
        {"readCapacity": 7},
        {"billingMode": "PAY_PER_REQUEST", "readCapacity": None, "writeCapacity": None},
        {"attributes": attributes, "globalSecondaryIndexes": [index]},
        {"globalSecondaryIndexes": [{**index, "projectionType": "ALL"}]},
        {"streamEnabled": True, "streamViewType": "NEW_IMAGE"},
        {"streamViewType": "OLD_IMAGE"},
        {"ttl": {"attributeName": "a", "enabled": True}},
        {"ttl": {"attributeName": "b", "enabled": True}},
        {"ttl": None, "streamEnabled": False, "streamViewType": None},
        {"deletionProtectionEnabled": False, "pointInTimeRecovery": {"enabled": True}},
    ):
        inputs = {**inputs, **change}
        assert not made.diff(inputs).replaces
        made.update(inputs)
        assert made.diff(inputs).changes == {}, change
        assert made.refresh_diff().changes == {}, change
    assert items.get_item(Key={"id": "a"})["Item"]["state"] == "x"
    found = items.query(
        IndexName="by-state", KeyConditionExpression="#s = :s", ExpressionAttributeNames={"#s": "state"},
        ExpressionAttributeValues={":s": "x"},
    )  # fmt: skip
    assert found["Count"] == 1
    numbers = [{"name": "id", "type": "S"}, {"name": "state", "type": "N"}]
    with pytest.raises(ProviderError, match="can't change the type of 'state' from S to N"):
        made.update({**inputs, "attributes": numbers})


def test_a_secrets_name_is_free_at_once_or_after_its_window(cloud: Cloud) -> None:
    name = f"key-{cloud.label}"
    made = cloud.create(SECRET, {"name": name, "recoveryWindowInDays": 0})
    made.delete()
    again = cloud.create(SECRET, {"name": name})
    again.delete()
    found = boto3.client("secretsmanager").describe_secret(SecretId=name)
    assert (found["DeletedDate"] - found["CreatedDate"]).days >= 29
    assert again.read() is None
    with pytest.raises(ProviderError, match=r"CreateSecret refused"):
        cloud.create(SECRET, {"name": name}, "other")
    boto3.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def test_a_secrets_value_is_a_secret_of_the_state_however_it_comes_there(cloud: Cloud) -> None:
    holder = cloud.create(SECRET, {"recoveryWindowInDays": 0})
    first = cloud.create(VERSION, {"secretId": holder.id, "secretString": "first"}, "first")
    second = cloud.create(VERSION, {"secretId": holder.id, "secretString": "second"}, "second")
    for made in (first, second):
        assert ("secretString",) in made.state.secrets
    found = cloud.import_(VERSION, second.id)
    assert found is not None
    for properties in found[1:]:
        assert properties.values["secretString"] == "second"
        assert ("secretString",) in properties.secrets
    first.delete()
    values = boto3.client("secretsmanager").get_secret_value(SecretId=holder.id)
    assert (values["SecretString"], values["VersionId"]) == ("second", second["versionId"])


PROGRAM = """
config = pulumi.Config()
mode = config.get("mode") or "first"
key = config.require_secret("key")


def trust(*services):
    statement = {"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


bucket = aws.s3.Bucket("data", force_destroy=True)
dead = aws.sqs.Queue("dead")
restarts = aws.sqs.Queue("restarts")
role = aws.iam.Role("runner", assume_role_policy=trust("lambda.amazonaws.com", "ecs-tasks.amazonaws.com"))
allowed = aws.iam.RolePolicy("queues", role=role.name, policy=pulumi.Output.json_dumps({
    "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Resource": [dead.arn, restarts.arn],
        "Action": [f"sqs:{what}" for what in (
            "SendMessage", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes")]}]}))
later = pulumi.ResourceOptions(depends_on=[allowed])
function = aws.lambda_.Function("dispatch", role=role.arn, runtime="python3.13", handler="main.handler",
    code=pulumi.AssetArchive({"main.py": pulumi.StringAsset("def handler(event, context): return event")}),
    dead_letter_config={"target_arn": dead.arn}, opts=later)
caller = aws.lambda_.Permission("bucket", action="lambda:InvokeFunction", function=function.name,
    principal="s3.amazonaws.com", source_arn=bucket.arn)
aws.s3.BucketNotification("requests", bucket=bucket.id, lambda_functions=[{
    "lambda_function_arn": function.arn, "events": ["s3:ObjectCreated:*"],
    "filter_prefix": "requests/", "filter_suffix": ".json"}],
    opts=pulumi.ResourceOptions(depends_on=[caller]))
aws.lambda_.EventSourceMapping("restarts", event_source_arn=restarts.arn, function_name=function.name,
    batch_size=1, function_response_types=["ReportBatchItemFailures"], opts=later)
aws.lambda_.FunctionEventInvokeConfig("dispatch", function_name=function.name, maximum_retry_attempts=1,
    destination_config={"on_failure": {"destination": dead.arn}}, opts=later)
cluster = aws.ecs.Cluster("runner", settings=[{"name": "containerInsights", "value": "enabled"}])
capacity = aws.ecs.ClusterCapacityProviders("runner", cluster_name=cluster.name,
    capacity_providers=["FARGATE", "FARGATE_SPOT"],
    default_capacity_provider_strategies=[{"capacity_provider": "FARGATE", "weight": 1}])
secret = aws.secretsmanager.Secret("key", recovery_window_in_days=0)
version = aws.secretsmanager.SecretVersion("key", secret_id=secret.id, secret_string=key)
task = aws.ecs.TaskDefinition("model", family="model-LABEL", requires_compatibilities=["FARGATE"],
    network_mode="awsvpc", cpu="256", memory="512", execution_role_arn=role.arn, task_role_arn=role.arn,
    runtime_platform={"cpu_architecture": "X86_64", "operating_system_family": "LINUX"},
    ephemeral_storage={"size_in_gib": 21},
    container_definitions=pulumi.Output.json_dumps([{
        "name": "model", "image": "model:" + mode, "portMappings": [{"containerPort": 8000}],
        "environment": [{"name": "MODE", "value": mode}, {"name": "BUCKET_NAME", "value": bucket.bucket}],
        "secrets": [{"name": "KEY", "valueFrom": secret.arn}]}]))
aws.ecs.Service("web", cluster=cluster.arn, task_definition=task.arn, desired_count=0, launch_type="FARGATE",
    network_configuration={"subnets": ["subnet-0a"], "security_groups": ["sg-0a"], "assign_public_ip": True},
    deployment_circuit_breaker={"enable": True, "rollback": True}, deployment_minimum_healthy_percent=0,
    enable_ecs_managed_tags=True, propagate_tags="SERVICE", wait_for_steady_state=True,
    opts=pulumi.ResourceOptions(depends_on=[capacity]))
table = aws.dynamodb.Table("runs", hash_key="run_id", billing_mode="PAY_PER_REQUEST",
    attributes=[{"name": name, "type": "S"} for name in ("run_id", "status", "updated_at")],
    global_secondary_indexes=[{"name": "by-status", "hash_key": "status", "range_key": "updated_at",
                               "projection_type": "ALL"}],
    point_in_time_recovery={"enabled": True}, ttl={"attribute_name": "expires_at", "enabled": True})
rule = aws.cloudwatch.EventRule("stopped", event_pattern=pulumi.Output.json_dumps({
    "source": ["aws.ecs"], "detail": {"clusterArn": [cluster.arn], "lastStatus": ["STOPPED"]}}))
aws.cloudwatch.EventTarget("stopped", rule=rule.name, arn=function.arn, dead_letter_config={"arn": dead.arn},
    retry_policy={"maximum_event_age_in_seconds": 3600, "maximum_retry_attempts": 5})
group = aws.cloudwatch.LogGroup("model")
aws.cloudwatch.LogMetricFilter("failed", log_group_name=group.name, pattern='{ $.event = "run failed" }',
    metric_transformation={"name": "Failed", "namespace": "LABEL", "value": "1", "default_value": "0"})
aws.sqs.QueuePolicy("dead", queue_url=dead.id, policy=pulumi.Output.json_dumps({
    "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": dead.arn, "Condition": {"ArnEquals": {"aws:SourceArn": rule.arn}}}]}))
pulumi.export("revision", task.revision)
pulumi.export("secret", secret.arn)
pulumi.export("version", version.version_id)
pulumi.export("task", task.arn_without_revision)
"""
COUNT = 22
KEY = "correct-horse-battery"


def test_a_program_of_the_official_sdk(sandbox_env: dict[str, str], tmp_path: Path) -> None:
    before = holdings()
    project = Project(tmp_path / f"compute-{token_hex(3)}", sandbox_env)
    project.program(PROGRAM.replace("LABEL", project.folder.name))
    project.run("config", "set", "--secret", "key", KEY)
    assert project.changes("up") == {"create": COUNT}
    first = project.outputs()
    assert project.changes("up") == {"same": COUNT}
    assert project.changes("refresh") == {"same": COUNT}
    assert KEY not in project.state()

    project.run("config", "set", "--secret", "key", KEY + "2")
    project.run("config", "set", "mode", "second")
    changes = project.changes("up")
    assert changes == {
        "create-replacement": 2, "replace": 2, "delete-replaced": 2, "update": 1, "same": COUNT - 3,
    }  # fmt: skip
    second = project.outputs()
    assert (first["revision"], second["revision"]) == (1, 2)
    assert first["task"] == second["task"]
    value = boto3.client("secretsmanager").get_secret_value(SecretId=second["secret"])
    assert (value["VersionId"], value["SecretString"]) == (second["version"], KEY + "2")
    assert project.preview() == []
    assert KEY not in project.state()
    assert project.changes("destroy") == {"delete": COUNT}
    assert holdings() == before
