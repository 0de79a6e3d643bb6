"""The light aws provider under the real engine: drift, updates, replacements, secrets, import, refusals."""

import json
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from tests.sandbox.aws_provider_project import Project, client

PROGRAM = """
config = pulumi.Config()
trust = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
bucket = aws.s3.Bucket("data", force_destroy=True, tags={"team": "transit"})
aws.s3.BucketVersioning("data-versioning", bucket=bucket.id,
    versioning_configuration={"status": "Enabled"})
role = aws.iam.Role("runner", assume_role_policy=trust, path=config.get("path") or "/")
function = aws.lambda_.Function("runner", role=role.arn, runtime="python3.13", handler="main.handler",
    memory_size=config.get_int("memory") or 256,
    code=pulumi.FileArchive("./code"),
    environment={"variables": {"BUCKET": bucket.id, "PASSWORD": config.require_secret("password")}})
aws.lambda_.Permission("caller", action="lambda:InvokeFunction", function=function.name,
    principal="apigateway.amazonaws.com")
log = aws.cloudwatch.LogGroup("runner", retention_in_days=30,
    name=function.name.apply(lambda name: f"/aws/lambda/{name}"))
queue = aws.sqs.Queue("late", name="late-LABEL", message_retention_seconds=1209600)
pool = aws.cognito.UserPool("people")
app = aws.cognito.UserPoolClient("app", user_pool_id=pool.id, generate_secret=True)
pulumi.export("bucket", bucket.bucket)
pulumi.export("domain", bucket.bucket_regional_domain_name)
pulumi.export("function", function.name)
pulumi.export("invoke_arn", function.invoke_arn)
pulumi.export("role", role.name)
pulumi.export("log", log.name)
pulumi.export("queue", queue.url)
pulumi.export("secret", app.client_secret)
pulumi.export("account", aws.get_caller_identity().account_id)
pulumi.export("region", aws.get_region().region)
pulumi.export("token", aws.ecr.get_authorization_token_output().password)
"""
COUNT = 9
PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def project(sandbox_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("engine") / f"engine-{token_hex(3)}", sandbox_env)
    (made.folder / "code").mkdir()
    (made.folder / "code" / "main.py").write_text("def handler(event, context):\n    return event\n")
    made.program(PROGRAM.replace("LABEL", made.folder.name))
    made.run("config", "set", "--secret", "password", PASSWORD)
    assert made.changes("up") == {"create": COUNT}
    yield made
    if "URN" in made.run("stack", "--show-urns"):
        made.run("destroy", "--yes", "--skip-preview")


def test_second_up_and_refresh_change_nothing(project: Project) -> None:
    (project.folder / "code" / "main.py").touch()
    assert project.changes("up") == {"same": COUNT}
    assert project.changes("refresh") == {"same": COUNT}
    assert project.preview() == []


def test_outputs_are_those_of_the_official_provider(project: Project) -> None:
    found = project.outputs()
    assert found["domain"] == f"{found['bucket']}.s3.ca-central-1.amazonaws.com"
    assert found["invoke_arn"].endswith(f":function:{found['function']}/invocations")
    path = "lambda:path/2015-03-31/functions/arn:"
    assert found["invoke_arn"].startswith(f"arn:aws:apigateway:ca-central-1:{path}")
    assert found["account"] == "000000000000"
    assert found["region"] == "ca-central-1"
    assert found["secret"]
    assert found["token"]


def test_secrets_are_never_in_plain_state(project: Project) -> None:
    state, found = project.state(), project.outputs()
    for secret in (PASSWORD, found["secret"], found["token"]):
        assert secret not in state
    variables = client("lambda").get_function_configuration(FunctionName=found["function"])["Environment"]
    assert variables["Variables"]["PASSWORD"] == PASSWORD, "but the function has it"
    project.run("refresh", "--yes", "--skip-preview")
    assert PASSWORD not in project.state(), "also not after a refresh"


def test_drift_is_found_and_repaired(project: Project) -> None:
    found = project.outputs()
    client("logs").put_retention_policy(logGroupName=found["log"], retentionInDays=3)
    client("s3").put_bucket_tagging(
        Bucket=found["bucket"], Tagging={"TagSet": [{"Key": "team", "Value": "somebody else"}]}
    )
    client("sqs").delete_queue(QueueUrl=found["queue"])
    client("iam").update_role(RoleName=found["role"], MaxSessionDuration=7200)
    assert project.changes("refresh") == {"update": 3, "delete": 1, "same": COUNT - 4}
    assert project.changes("up") == {"create": 1, "update": 3, "same": COUNT - 4}
    groups = client("logs").describe_log_groups(logGroupNamePrefix=found["log"])["logGroups"]
    assert groups[0]["retentionInDays"] == 30
    assert client("iam").get_role(RoleName=found["role"])["Role"]["MaxSessionDuration"] == 3600
    assert project.changes("up") == {"same": COUNT}


def test_changes_of_code_and_memory_update_in_place(project: Project) -> None:
    found = project.outputs()
    before = client("lambda").get_function_configuration(FunctionName=found["function"])
    (project.folder / "code" / "main.py").write_text("def handler(event, context):\n    return 'new'\n")
    project.run("config", "set", "memory", "512")
    steps = {step["urn"].split("::")[2]: step for step in project.preview()}
    assert list(steps) == ["aws:lambda/function:Function"]
    assert steps["aws:lambda/function:Function"]["op"] == "update"
    assert set(steps["aws:lambda/function:Function"]["detailedDiff"]) == {"code", "memorySize"}
    assert project.changes("up") == {"update": 1, "same": COUNT - 1}
    after = client("lambda").get_function_configuration(FunctionName=found["function"])
    assert (after["MemorySize"], after["CodeSha256"] != before["CodeSha256"]) == (512, True)
    assert project.changes("refresh") == {"same": COUNT}


def test_a_forced_replacement_makes_the_new_one_first(project: Project) -> None:
    old = project.outputs()["role"]
    project.run("config", "set", "path", "/runners/")
    counts = project.changes("up")
    assert counts["create-replacement"] == counts["delete-replaced"] == 1
    new = project.outputs()["role"]
    assert new != old
    assert client("iam").get_role(RoleName=new)["Role"]["Path"] == "/runners/"
    with pytest.raises(client("iam").exceptions.NoSuchEntityException):
        client("iam").get_role(RoleName=old)


def test_destroy_leaves_nothing_also_with_full_buckets(project: Project) -> None:
    found = project.outputs()
    for text in ("one", "two"):
        client("s3").put_object(Bucket=found["bucket"], Key="a/b.txt", Body=text.encode())
    client("s3").delete_object(Bucket=found["bucket"], Key="a/b.txt")
    assert project.changes("destroy") == {"delete": COUNT}
    names = [bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]]
    assert found["bucket"] not in names
    assert found["role"] not in json.dumps(client("iam").list_roles(), default=str)
    assert not list((project.folder / "home").rglob("*.jsonl")), "the journal has nothing to remember"


def test_import_in_the_program_and_by_command(sandbox_env: dict[str, str], tmp_path: Path) -> None:
    label = token_hex(3)
    importer = Project(tmp_path / f"import-{label}", sandbox_env)
    url = client("sqs").create_queue(QueueName=f"found-{label}", Attributes={"DelaySeconds": "5"})["QueueUrl"]
    client("logs").create_log_group(logGroupName=f"/found/{label}", tags={"team": "transit"})
    program = f"""
aws.sqs.Queue("queue", name="found-{label}", delay_seconds=5, opts=pulumi.ResourceOptions(import_="{url}"))
"""
    importer.program(program)
    assert importer.changes("up") == {"import": 1}
    importer.run(
        "import", "aws:cloudwatch/logGroup:LogGroup", "log", f"/found/{label}",
        "--yes", "--skip-preview", "--generate-code=false", "--protect=false",
    )  # fmt: skip
    importer.program(
        program.replace(f', opts=pulumi.ResourceOptions(import_="{url}")', "")
        + f'aws.cloudwatch.LogGroup("log", name="/found/{label}", tags={{"team": "transit"}})\n'
    )
    assert importer.changes("up") == {"same": 2}
    assert importer.changes("destroy") == {"delete": 2}


def test_a_half_made_resource_is_kept_and_finished(sandbox_env: dict[str, str], tmp_path: Path) -> None:
    """Who may create roles but not attach policies gets a role in the state; the next ``up`` finishes it."""
    half = Project(tmp_path / f"half-{token_hex(3)}", sandbox_env)
    half.program("""
trust = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
role = aws.iam.Role("half", assume_role_policy=trust,
    managed_policy_arns=["arn:aws:iam::aws:policy/ReadOnlyAccess"])
pulumi.export("role", role.name)
""")
    iam, user = client("iam"), half.folder.name
    iam.create_user(UserName=user)
    allowed = {"Effect": "Allow", "Action": ["iam:CreateRole", "iam:GetRole"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=user, PolicyName="roles", PolicyDocument=document)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    root = half.env
    half.env = {
        **root,
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    output = half.run("up", "--yes", "--skip-preview", fails=True)
    assert "was created, but not finished: iam AttachRolePolicy refused (AccessDenied" in output
    half.env = root
    assert half.changes("up") == {"update": 1}
    attached = iam.list_attached_role_policies(RoleName=half.outputs()["role"])["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["ReadOnlyAccess"]
    assert half.changes("up") == {"same": 1}
    assert half.changes("destroy") == {"delete": 1}
    iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=user, PolicyName="roles")
    iam.delete_user(UserName=user)


def test_refusals_at_preview_are_one_line_with_the_property(
    sandbox_env: dict[str, str], tmp_path: Path
) -> None:
    refused = Project(tmp_path / "refused", sandbox_env)
    refused.program('aws.cloudwatch.LogGroup("log", retention_in_days=31)\n')
    output = refused.run("preview", fails=True)
    assert "property retentionInDays value {31} has a problem: must be one of 0, 1, 3, 5, 7" in output
    refused.program('aws.kinesis.Stream("t", shard_count=1)\n')
    output = refused.run("preview", fails=True)
    assert "doesn't have aws:kinesis/stream:Stream yet: add an entry to" in output
    refused.program('aws.s3.Bucket("b")\n')
    refused.env["AWS_ENDPOINT_URL"] = ""
    assert "needs an explicit endpoint on this machine" in refused.run("preview", fails=True)
    refused.env["AWS_ENDPOINT_URL"] = "https://s3.ca-central-1.amazonaws.com"
    assert "isn't on this machine" in refused.run("preview", fails=True)
