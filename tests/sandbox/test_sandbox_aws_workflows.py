"""State machines with their own role, and an HTTP API whose function starts them for signed-in users."""

import io
import json
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.sandbox import sandbox_aws_support as support

MACHINE = "arn:aws:states:ca-central-1:000000000000:stateMachine:flows-machine"
EXECUTIONS = "arn:aws:states:ca-central-1:000000000000:execution:flows-machine:*"
PASSWORD = "Correct-Horse-9"

STEP = """
import time
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    if event.get("raise"):
        raise RuntimeError(event["raise"])
    return {**event, "seen": event.get("seen", 0) + 1}
"""

STARTER = """
import json, os, sys
import boto3
def handler(event, context):
    states = boto3.client("stepfunctions")
    groups = event["requestContext"]["authorizer"]["jwt"]["claims"].get("cognito:groups", "")
    found = {"route": event["routeKey"], "groups": groups, "python": sys.version_info[:2], "answers": [],
             "key": os.environ["AWS_ACCESS_KEY_ID"][:4]}
    machine = os.environ["MACHINE"]
    for operation, arguments in json.loads(event["body"]):
        try:
            answer = getattr(states, operation)(**arguments)
            found["answers"].append(answer.get("status") or answer.get("executionArn") or "done")
        except Exception as error:
            found["answers"].append(type(error).__name__ + ": " + str(error))
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(found)}
"""


def packed(code: str) -> dict[str, Any]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", code)
    return {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Code": {"ZipFile": buffer.getvalue()},
        "Timeout": 20,
    }


def task(
    *, retry: list[dict[str, Any]] | None = None, catch: str | None = None, **last: Any
) -> dict[str, Any]:
    state: dict[str, Any] = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "OutputPath": "$.Payload",
        "Parameters": {
            "FunctionName": "arn:aws:lambda:ca-central-1:000000000000:function:flows-step",
            "Payload.$": "$",
        },
        **last,
    }
    if retry:
        state["Retry"] = retry
    if catch:
        state["Catch"] = [{"ErrorEquals": ["States.ALL"], "Next": catch, "ResultPath": "$.error"}]
    return state


def machine(name: str, role: str, states: dict[str, Any]) -> str:
    definition = json.dumps({"StartAt": next(iter(states)), "States": states})
    client = boto3.client("stepfunctions")
    left = f"arn:aws:states:ca-central-1:000000000000:stateMachine:{name}"
    with suppress(client.exceptions.StateMachineDoesNotExist):
        client.delete_state_machine(stateMachineArn=left)
    arn: str = boto3.client("stepfunctions").create_state_machine(
        name=name, roleArn=role, definition=definition
    )["stateMachineArn"]
    return arn


def run(arn: str, **content: Any) -> str:
    execution: str = boto3.client("stepfunctions").start_execution(
        stateMachineArn=arn, input=json.dumps(content)
    )["executionArn"]
    return execution


@pytest.fixture(scope="module")
def step(sandbox_env: dict[str, str]) -> Iterator[str]:
    arn = support.function("flows-step", support.role("flows-step", "lambda.amazonaws.com"), **packed(STEP))
    yield arn
    boto3.client("lambda").delete_function(FunctionName="flows-step")


@pytest.fixture(scope="module")
def flow_role(step: str) -> str:
    return support.role("flows-machine", "states.amazonaws.com", support.allow("lambda:InvokeFunction", step))


@pytest.fixture(scope="module")
def flow(flow_role: str) -> Iterator[str]:
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 2, "BackoffRate": 2}]
    states = {"first": task(Next="second"), "second": task(retry=retry, End=True)}
    arn = machine("flows-machine", flow_role, states)
    yield arn
    boto3.client("stepfunctions").delete_state_machine(stateMachineArn=arn)


def test_steps_run_in_turn_and_leave_a_history(flow: str) -> None:
    execution = run(flow, scenario="test")
    ended = support.finished(execution)
    assert ended["status"] == "SUCCEEDED"
    assert json.loads(ended["output"]) == {"scenario": "test", "seen": 2}
    history = boto3.client("stepfunctions").get_execution_history(executionArn=execution)["events"]
    entered = [
        event["stateEnteredEventDetails"]["name"] for event in history if event["type"] == "TaskStateEntered"
    ]
    left = [
        event["stateExitedEventDetails"]["name"] for event in history if event["type"] == "TaskStateExited"
    ]
    assert entered == left == ["first", "second"]


def test_retry_then_failure_with_the_functions_error(flow: str) -> None:
    execution = run(flow, **{"raise": "broken"})
    ended = support.finished(execution)
    # Only the second state retries; the first fails at once.
    assert (ended["status"], ended["error"]) == ("FAILED", "RuntimeError")
    assert json.loads(ended["cause"])["errorMessage"] == "broken"


def test_retry_waits_at_normal_speed_and_catch_goes_on(flow_role: str) -> None:
    retry = [{"ErrorEquals": ["RuntimeError"], "IntervalSeconds": 1, "MaxAttempts": 2, "BackoffRate": 2}]
    states = {"only": task(retry=retry, catch="rescue", End=True), "rescue": {"Type": "Pass", "End": True}}
    arn = machine("flows-caught", flow_role, states)
    try:
        execution = run(arn, **{"raise": "broken"})
        ended = support.finished(execution)
        assert ended["status"] == "SUCCEEDED"
        assert json.loads(ended["output"])["error"]["Error"] == "RuntimeError"
        history = boto3.client("stepfunctions").get_execution_history(executionArn=execution)["events"]
        assert [event["type"] for event in history].count("TaskFailed") == 3
        assert 3 <= (ended["stopDate"] - ended["startDate"]).total_seconds() < 10
    finally:
        boto3.client("stepfunctions").delete_state_machine(stateMachineArn=arn)


def test_role_without_invoke_fails_the_execution(step: str) -> None:
    role = support.role(
        "flows-powerless", "states.amazonaws.com", support.allow("lambda:InvokeFunction", step + "-other")
    )
    arn = machine("flows-powerless", role, {"only": task(End=True)})
    try:
        ended = support.finished(run(arn, scenario="test"))
        assert ended["status"] == "FAILED"
        assert ended["error"] == "Lambda.AWSLambdaException"
        assert ended["cause"].startswith("AccessDeniedException")
        assert "lambda:InvokeFunction" in ended["cause"]
    finally:
        boto3.client("stepfunctions").delete_state_machine(stateMachineArn=arn)


def test_role_that_does_not_trust_step_functions_is_refused(sandbox_env: dict[str, str]) -> None:
    role = support.role("flows-distrustful", "lambda.amazonaws.com")
    with pytest.raises(ClientError, match="authorized to assume the provided role"):
        machine("flows-refused", role, {"only": {"Type": "Pass", "End": True}})


def test_a_running_execution_can_be_stopped(flow: str) -> None:
    execution = run(flow, sleep=5)
    states = boto3.client("stepfunctions")
    support.until(lambda: len(states.get_execution_history(executionArn=execution)["events"]) >= 2)
    states.stop_execution(executionArn=execution, error="Stopped", cause="by a test")
    ended = support.finished(execution)
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Stopped", "by a test")


@dataclass
class Api:
    """An HTTP API that asks for a token of the user pool, and what to sign in with."""

    url: str
    api_id: str
    client_id: str

    def token(self, kind: str = "AccessToken") -> str:
        answer = boto3.client("cognito-idp").initiate_auth(
            ClientId=self.client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": "ann@example.org", "PASSWORD": PASSWORD},
        )
        token: str = answer["AuthenticationResult"][kind]
        return token

    def call(self, token: str | None, *operations: Any, path: str = "/runs") -> tuple[int, Any]:
        """Status and answer, asked as any HTTP client would."""
        request = urllib.request.Request(self.url + path, data=json.dumps(operations).encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")


@pytest.fixture(scope="module")
def api(flow: str) -> Iterator[Api]:
    region, account = "ca-central-1", "000000000000"
    idp, gateway, functions = (
        boto3.client("cognito-idp"),
        boto3.client("apigatewayv2"),
        boto3.client("lambda"),
    )
    pool = idp.create_user_pool(PoolName="flows")["UserPool"]["Id"]
    client = idp.create_user_pool_client(
        UserPoolId=pool,
        ClientName="flows",
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    )["UserPoolClient"]["ClientId"]
    idp.create_group(UserPoolId=pool, GroupName="planners")
    idp.admin_create_user(UserPoolId=pool, Username="ann@example.org", MessageAction="SUPPRESS")
    idp.admin_set_user_password(
        UserPoolId=pool, Username="ann@example.org", Password=PASSWORD, Permanent=True
    )
    idp.admin_add_user_to_group(UserPoolId=pool, Username="ann@example.org", GroupName="planners")
    role = support.role(
        "flows-starter",
        "lambda.amazonaws.com",
        support.allow(["states:StartExecution", "states:ListExecutions"], MACHINE),
        support.allow(
            ["states:DescribeExecution", "states:StopExecution", "states:GetExecutionHistory"], EXECUTIONS
        ),
    )
    arn = support.function(
        "flows-starter", role, **packed(STARTER), Environment={"Variables": {"MACHINE": flow}}
    )
    made = gateway.create_api(
        Name="flows",
        ProtocolType="HTTP",
        CorsConfiguration={
            "AllowOrigins": ["http://localhost:8081"],
            "AllowMethods": ["POST"],
            "AllowHeaders": ["authorization"],
        },
    )
    api_id = made["ApiId"]
    authorizer = gateway.create_authorizer(
        ApiId=api_id,
        AuthorizerType="JWT",
        Name="pool",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={
            "Audience": [client],
            "Issuer": f"https://cognito-idp.{region}.amazonaws.com/{pool}",
        },
    )["AuthorizerId"]
    integration = gateway.create_integration(
        ApiId=api_id, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    gateway.create_route(
        ApiId=api_id,
        RouteKey="POST /runs",
        Target=f"integrations/{integration}",
        AuthorizationType="JWT",
        AuthorizerId=authorizer,
    )
    gateway.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True)
    functions.add_permission(
        FunctionName="flows-starter",
        StatementId="api",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=f"arn:aws:execute-api:{region}:{account}:{api_id}/*/*",
    )
    yield Api(gateway.get_api(ApiId=api_id)["ApiEndpoint"], api_id, client)
    gateway.delete_api(ApiId=api_id)
    functions.delete_function(FunctionName="flows-starter")
    idp.delete_user_pool(UserPoolId=pool)


def test_endpoint_is_one_that_every_client_resolves(api: Api, sandbox_env: dict[str, str]) -> None:
    assert api.url == f"{sandbox_env['AWS_ENDPOINT_URL']}/_aws/execute-api/{api.api_id}"
    listed = boto3.client("apigatewayv2").get_apis()["Items"]
    assert [item["ApiEndpoint"] for item in listed if item["ApiId"] == api.api_id] == [api.url]


def test_only_a_valid_token_reaches_the_function(api: Api) -> None:
    assert api.call(None)[0] == 401
    assert api.call("no.such.token")[0] == 401
    head, payload, signature = api.token().split(".")
    assert api.call(".".join([head, payload, signature[::-1]]))[0] == 401
    assert api.call(api.token(), path="/elsewhere")[0] == 404
    status, answer = api.call(api.token("IdToken"))
    assert (status, answer["groups"]) == (200, "[planners]")


def test_function_acts_with_its_own_role(api: Api, flow: str) -> None:
    token = api.token()
    status, answer = api.call(
        token,
        ["start_execution", {"stateMachineArn": flow, "input": "{}"}],
        ["list_executions", {"stateMachineArn": flow}],
        ["list_state_machines", {}],
        ["start_execution", {"stateMachineArn": flow + "-other"}],
    )
    assert status == 200
    assert answer["key"] == "ASIA"
    started, listed, machines, other = answer["answers"]
    assert started.startswith("arn:aws:states:")
    assert listed == "done"
    assert "AccessDenied" in machines
    assert "AccessDenied" in other
    _status, answer = api.call(
        token,
        ["describe_execution", {"executionArn": started}],
        ["stop_execution", {"executionArn": started.replace("flows-machine", "flows-other")}],
        ["get_execution_history", {"executionArn": started}],
    )
    assert answer["answers"][0] in ("RUNNING", "SUCCEEDED")
    assert "AccessDenied" in answer["answers"][1]
    assert answer["answers"][2] == "done"


def test_function_runs_only_with_the_permission_for_the_api(api: Api) -> None:
    functions = boto3.client("lambda")
    policy = json.loads(functions.get_policy(FunctionName="flows-starter")["Policy"])["Statement"][0]
    functions.remove_permission(FunctionName="flows-starter", StatementId="api")
    try:
        assert api.call(api.token())[0] == 500
    finally:
        functions.add_permission(
            FunctionName="flows-starter",
            StatementId="api",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=policy["Condition"]["ArnLike"]["AWS:SourceArn"],
        )
    assert api.call(api.token())[0] == 200


def test_front_ends_of_the_configured_origin_are_let_in(api: Api) -> None:
    def preflight(origin: str) -> str | None:
        request = urllib.request.Request(api.url + "/runs", method="OPTIONS")
        request.add_header("Origin", origin)
        request.add_header("Access-Control-Request-Method", "POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                headers = answer.headers
        except urllib.error.HTTPError as error:
            headers = error.headers
        header: str | None = headers.get("Access-Control-Allow-Origin")
        return header

    assert preflight("http://localhost:8081") == "http://localhost:8081"
    assert preflight("http://evil.example") is None
