"""Events in the emulator: who may deliver them, when they come, and where failures end."""

import io
import json
import secrets
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.sandbox import sandbox_aws_support as support

HANDLER = '''
import json, os, time

def handler(event, context):
    """Note the event in a file of the test's; fail, or report items as failed, when a body says so."""
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(json.dumps({"at": time.time(), "event": event}) + "\\n")
    if "fail" in json.dumps(event):
        raise ValueError("told to fail")
    bad = [record["messageId"] for record in event.get("Records", []) if record.get("body") == "poison"]
    return {"batchItemFailures": [{"itemIdentifier": item} for item in bad]}
'''


def packed(text: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", text)
    return archive.getvalue()


@dataclass
class Listener:
    """A function that notes what it was called with."""

    name: str
    arn: str
    notes: Path

    def heard(self) -> list[dict[str, Any]]:
        """The calls so far: ``at`` and ``event``."""
        return [json.loads(line) for line in self.notes.read_text().splitlines() if line.endswith("}")]

    def permit(self, service: str, source: str) -> None:
        boto3.client("lambda").add_permission(
            FunctionName=self.name, StatementId=secrets.token_hex(4), Action="lambda:InvokeFunction",
            Principal=f"{service}.amazonaws.com", SourceArn=source,
        )  # fmt: skip


def make_listener(folder: Path) -> Listener:
    name = f"events-{secrets.token_hex(4)}"
    notes = folder / "notes"
    notes.write_text("")
    role = support.role(name, "lambda.amazonaws.com")
    arn = support.function(
        name, role, Runtime="python3.13", Handler="index.handler", Code={"ZipFile": packed(HANDLER)},
        Timeout=20, Environment={"Variables": {"NOTES": str(notes)}},
    )  # fmt: skip
    return Listener(name, arn, notes)


@pytest.fixture
def listener(sandbox_env: dict[str, str], tmp_path: Path) -> Iterator[Listener]:
    made = make_listener(tmp_path)
    yield made
    boto3.client("lambda").delete_function(FunctionName=made.name)


@dataclass
class Schedules:
    listener: Listener
    made_at: float


@pytest.fixture(scope="module", autouse=True)
def schedules(sandbox_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Schedules]:
    """A rate and a cron of a minute, made before the other tests, which fill the minute."""
    events, listener = boto3.client("events"), make_listener(tmp_path_factory.mktemp("schedules"))
    names = {"rate(1 minute)": f"rate-{listener.name}", "cron(* * * * ? *)": f"cron-{listener.name}"}
    made_at = time.time()
    for expression, name in names.items():
        listener.permit("events", events.put_rule(Name=name, ScheduleExpression=expression)["RuleArn"])
        target = {"Id": "function", "Arn": listener.arn, "Input": json.dumps(expression)}
        events.put_targets(Rule=name, Targets=[target])
    yield Schedules(listener, made_at)
    for name in names.values():
        events.remove_targets(Rule=name, Ids=["function"])
        events.delete_rule(Name=name)
    boto3.client("lambda").delete_function(FunctionName=listener.name)


@pytest.fixture
def bucket(sandbox_env: dict[str, str]) -> Iterator[str]:
    name = support.bucket(f"events-{secrets.token_hex(4)}")
    yield name
    found = boto3.resource("s3").Bucket(name)
    found.objects.delete()
    found.delete()


def queue(name: str, **attributes: Any) -> tuple[str, str]:
    """A new queue: its URL and ARN."""
    client = boto3.client("sqs")
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}
    url = client.create_queue(QueueName=f"{name}-{secrets.token_hex(3)}", Attributes=texts)["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn


def letters(url: str) -> list[dict[str, Any]]:
    answer = boto3.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
    )
    found: list[dict[str, Any]] = answer.get("Messages", [])
    return found


def notify(bucket: str, function_arn: str) -> None:
    rules = [{"Name": "prefix", "Value": "requests/"}, {"Name": "suffix", "Value": ".json"}]
    notification = {"LambdaFunctionArn": function_arn, "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": rules}}}  # fmt: skip
    boto3.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [notification]}
    )


def service_policy(arn: str, source: str) -> str:
    statement = {
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": source}},
    }  # fmt: skip
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_a_bucket_needs_the_functions_permission(listener: Listener, bucket: str) -> None:
    with pytest.raises(ClientError, match="Unable to validate the following destination") as error:
        notify(bucket, listener.arn)
    assert error.value.response["Error"]["Code"] == "InvalidArgument"
    listener.permit("s3", "arn:aws:s3:::another-bucket")
    with pytest.raises(ClientError, match="Unable to validate"):
        notify(bucket, listener.arn)
    with pytest.raises(ClientError, match="Unable to validate"):
        notify(bucket, f"{listener.arn}-absent")
    listener.permit("s3", f"arn:aws:s3:::{bucket}")
    notify(bucket, listener.arn)


def test_a_hundred_objects_at_once_are_a_hundred_calls(listener: Listener, bucket: str) -> None:
    """Only those with the prefix and the suffix count, and a limit of two at a time loses none."""
    listener.permit("s3", f"arn:aws:s3:::{bucket}")
    notify(bucket, listener.arn)
    boto3.client("lambda").put_function_concurrency(
        FunctionName=listener.name, ReservedConcurrentExecutions=2
    )
    s3 = boto3.client("s3")
    keys = [f"requests/{number} ü.json" for number in range(100)]
    others = ["requests/a.txt", "other/b.json", "c.json"]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"{}"), [*others, *keys]))
    support.until(lambda: len(listener.heard()) >= 100, 30)
    time.sleep(0.5)
    heard = [call["event"]["Records"][0]["s3"] for call in listener.heard()]
    assert len(heard) == 100
    assert {record["object"]["key"] for record in heard} == {
        f"requests/{number}+%C3%BC.json" for number in range(100)
    }
    assert {record["bucket"]["name"] for record in heard} == {bucket}


def test_a_rule_needs_permission_and_its_failures_are_dead_letters(listener: Listener) -> None:
    events, sqs = boto3.client("events"), boto3.client("sqs")
    name = f"rule-{secrets.token_hex(4)}"
    arn = events.put_rule(Name=name, EventPattern=json.dumps({"source": ["probe"]}))["RuleArn"]
    dead_url, dead = queue("dead")
    sqs.set_queue_attributes(QueueUrl=dead_url, Attributes={"Policy": service_policy(dead, arn)})
    url, queue_arn = queue("target")
    events.put_targets(Rule=name, Targets=[
        {"Id": "function", "Arn": listener.arn, "DeadLetterConfig": {"Arn": dead}},
        {"Id": "queue", "Arn": queue_arn, "DeadLetterConfig": {"Arn": dead}},
    ])  # fmt: skip

    def put(number: int) -> None:
        entry = {"Source": "probe", "DetailType": "Probe", "Detail": json.dumps({"number": number})}
        assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0

    put(1)
    found = support.until(lambda: len(letters(dead_url)) == 2 and letters(dead_url))
    assert {letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] for letter in found} == {
        "NO_PERMISSIONS"
    }
    assert {letter["MessageAttributes"]["RULE_ARN"]["StringValue"] for letter in found} == {arn}
    assert json.loads(found[0]["Body"])["detail"] == {"number": 1}
    assert listener.heard() == []
    listener.permit("events", arn)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": service_policy(queue_arn, arn)})
    put(2)
    support.until(lambda: len(listener.heard()) == 1 and len(letters(url)) == 1)
    assert listener.heard()[0]["event"]["detail"] == {"number": 2}
    assert json.loads(letters(url)[0]["Body"])["detail"] == {"number": 2}
    assert len(letters(dead_url)) == 2
    events.remove_targets(Rule=name, Ids=["function", "queue"])
    events.delete_rule(Name=name)


def test_a_rule_runs_a_task_only_as_its_role(sandbox_env: dict[str, str]) -> None:
    events, sqs, ecs = boto3.client("events"), boto3.client("sqs"), boto3.client("ecs")
    name = f"task-rule-{secrets.token_hex(4)}"
    cluster = ecs.create_cluster(clusterName=name)["cluster"]["clusterArn"]
    definition = ecs.register_task_definition(
        family=name, requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512",
        containerDefinitions=[{"name": "probe", "image": "absent.invalid/probe:1"}],
    )["taskDefinition"]["taskDefinitionArn"]  # fmt: skip
    arn = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    url, dead = queue("dead")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": service_policy(dead, arn)})
    other = support.allow("ecs:RunTask", "arn:aws:ecs:*:*:task-definition/other:*")
    role = support.role(name, "events.amazonaws.com", other)
    parameters = {"TaskDefinitionArn": definition, "LaunchType": "FARGATE", "TaskCount": 1,
                  "NetworkConfiguration": {"awsvpcConfiguration": {"Subnets": ["subnet-1"]}}}  # fmt: skip
    target = {"Id": "task", "Arn": cluster, "RoleArn": role, "EcsParameters": parameters,
              "DeadLetterConfig": {"Arn": dead}}  # fmt: skip
    events.put_targets(Rule=name, Targets=[target])
    entry = {"Source": name, "DetailType": "Probe", "Detail": "{}"}
    events.put_events(Entries=[entry])
    letter = support.until(lambda: letters(url))[0]
    assert "ecs:RunTask" in letter["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
    support.role(name, "events.amazonaws.com", support.allow("ecs:RunTask", definition))
    events.put_events(Entries=[entry])

    def tasks() -> list[str]:
        return [
            task for status in ("RUNNING", "STOPPED")
            for task in ecs.list_tasks(cluster=cluster, desiredStatus=status)["taskArns"]
        ]  # fmt: skip

    task = ecs.describe_tasks(cluster=cluster, tasks=support.until(tasks))["tasks"][0]
    assert task["startedBy"] == f"events-rule/{name}"
    assert task["taskDefinitionArn"] == definition
    assert len(letters(url)) == 1
    events.remove_targets(Rule=name, Ids=["task"])
    events.delete_rule(Name=name)


def test_failed_calls_are_retried_and_end_as_dead_letters(listener: Listener) -> None:
    client = boto3.client("lambda")
    url, dead = queue("dead")
    with pytest.raises(ClientError, match="permissions to call SendMessage"):
        client.update_function_configuration(FunctionName=listener.name, DeadLetterConfig={"TargetArn": dead})
    with pytest.raises(ClientError, match="permission to call SendMessage"):
        client.put_function_event_invoke_config(
            FunctionName=listener.name, DestinationConfig={"OnFailure": {"Destination": dead}}
        )
    support.role(listener.name, "lambda.amazonaws.com", support.allow("sqs:SendMessage", dead))
    client.update_function_configuration(FunctionName=listener.name, DeadLetterConfig={"TargetArn": dead})
    client.get_waiter("function_updated_v2").wait(FunctionName=listener.name, WaiterConfig={"Delay": 1})
    client.invoke(FunctionName=listener.name, InvocationType="Event", Payload=json.dumps({"fail": 1}))
    letter = support.until(lambda: letters(url))[0]
    assert len(listener.heard()) == 3
    assert json.loads(letter["Body"]) == {"fail": 1}
    assert letter["MessageAttributes"]["ErrorMessage"]["StringValue"] == "told to fail"


def test_a_mapping_reads_a_queue_as_the_functions_role(listener: Listener) -> None:
    client, sqs = boto3.client("lambda"), boto3.client("sqs")
    dead_url, dead = queue("dead")
    redrive = {"deadLetterTargetArn": dead, "maxReceiveCount": 2}
    url, arn = queue("work", VisibilityTimeout="20", RedrivePolicy=redrive)
    settings = {"EventSourceArn": arn, "FunctionName": listener.name, "BatchSize": 10,
                "FunctionResponseTypes": ["ReportBatchItemFailures"]}  # fmt: skip
    with pytest.raises(ClientError, match="permissions to call ReceiveMessage on SQS"):
        client.create_event_source_mapping(**settings)
    actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    support.role(listener.name, "lambda.amazonaws.com", support.allow(actions, arn))
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "5"})
    with pytest.raises(ClientError, match="visibility timeout: 5 seconds is less than Function timeout: 20"):
        client.create_event_source_mapping(**settings)
    client.update_function_configuration(FunctionName=listener.name, Timeout=4)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "4"})
    mapping = client.create_event_source_mapping(**settings)["UUID"]
    sent = {"now": time.time()}
    sqs.send_message(QueueUrl=url, MessageBody="now")
    sent["later"] = time.time() + 3
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=3)
    sqs.send_message(QueueUrl=url, MessageBody="poison")

    def bodies() -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for call in listener.heard():
            for record in call["event"]["Records"]:
                found.setdefault(record["body"], []).append(call["at"])
        return found

    letter = support.until(lambda: letters(dead_url))[0]
    support.until(lambda: "later" in bodies())
    client.delete_event_source_mapping(UUID=mapping)
    assert letter["Body"] == "poison"
    assert {body: len(times) for body, times in bodies().items()} == {"now": 1, "later": 1, "poison": 2}
    waited = {body: bodies()[body][0] - at for body, at in sent.items()}
    print(f"from visible to invoked: {waited['now']:.2f} s cold, {waited['later']:.2f} s warm")
    assert 0 <= waited["later"] < 4
    assert waited["now"] < 10


def test_schedules_fire_on_time(schedules: Schedules) -> None:
    """A rate's first firing is one period after it was made, a cron's at the full minute."""

    def fired(expression: str) -> list[float]:
        return [call["at"] for call in schedules.listener.heard() if call["event"] == expression]

    rate, cron = "rate(1 minute)", "cron(* * * * ? *)"
    support.until(lambda: fired(rate) and fired(cron), 70)
    print(f"rate after {fired(rate)[0] - schedules.made_at:.1f} s, cron at {fired(cron)[0] % 60:.1f} s")
    assert 59.5 <= fired(rate)[0] - schedules.made_at < 68
    assert fired(cron)[0] % 60 < 8
