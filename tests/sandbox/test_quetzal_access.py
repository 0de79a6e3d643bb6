"""Who may do what: two models side by side, ``base/``, and every role's every permission."""

import json
import secrets
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Probes
from tests.sandbox.permissions import Without, permissions, roles_of


@dataclass
class User:
    """Somebody who logged in: the token for the API and the credentials that the identity pool gives."""

    token: str
    s3: Any

    def call(self, method: str, url: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            url, method=method, data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read() or b"{}")


def log_in(probes: Probes, model: str) -> User:
    """Grant access by the operator's command, then log in as a front end does: pool, then role."""
    email, password = f"{secrets.token_hex(4)}@example.org", "Aa1!" + secrets.token_hex(12)
    granted = probes.ops(model, "access", "grant", email, "--password-stdin", stdin=password + "\n")
    assert granted.code == 0, granted.output
    outputs = probes.outputs
    region = outputs["region"]
    token = boto3.client("cognito-idp").initiate_auth(
        ClientId=outputs["user_pool_client_id"], AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": password},
    )["AuthenticationResult"]["IdToken"]  # fmt: skip
    logins = {f"cognito-idp.{region}.amazonaws.com/{outputs['user_pool_id']}": token}
    pool = boto3.client("cognito-identity")
    identity = pool.get_id(IdentityPoolId=outputs["identity_pool_id"], Logins=logins)["IdentityId"]
    keys = pool.get_credentials_for_identity(IdentityId=identity, Logins=logins)["Credentials"]
    s3 = boto3.client(
        "s3", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretKey"],
        aws_session_token=keys["SessionToken"],
    )  # fmt: skip
    return User(token, s3)


@pytest.fixture(scope="module")
def users(probes: Probes) -> dict[str, User]:
    return {model: log_in(probes, model) for model in ("alpha", "beta")}


def refused(call: Any, **arguments: Any) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "403"):
            raise
        return True
    return False


def test_a_user_starts_watches_and_stops_runs_of_the_own_model(
    probes: Probes, users: dict[str, User]
) -> None:
    api, user = probes.models["alpha"]["api_url"], users["alpha"]
    scenario = probes.scenario("alpha")
    code, run = user.call("POST", f"{api}/runs", {"scenario": scenario, "params": {"wait_s": 60}})
    assert code in (201, 202), run
    code, seen = user.call("GET", f"{api}/runs/{run['run_id']}")
    assert (code, seen["status"], seen["scenario"]) == (200, "RUNNING", scenario)
    code, stopped = user.call("POST", f"{api}/runs/{run['run_id']}/stop")
    assert code in (200, 202), stopped
    code, listed = user.call("GET", f"{api}/runs")
    assert code == 200
    assert run["run_id"] in json.dumps(listed)


def test_a_user_of_one_model_can_neither_start_nor_read_the_other(
    probes: Probes, users: dict[str, User]
) -> None:
    api, bucket = probes.models["beta"]["api_url"], probes.models["beta"]["bucket"]
    stranger = users["alpha"]
    for method, path in [("GET", "/model"), ("GET", "/scenarios"), ("GET", "/runs"), ("POST", "/runs")]:
        code, answer = stranger.call(method, api + path, {"scenario": "demo"} if method == "POST" else None)
        assert code == 403, (method, path, code, answer)
    assert refused(stranger.s3.list_objects_v2, Bucket=bucket)
    assert refused(stranger.s3.get_object, Bucket=bucket, Key="base/inputs/params.json")
    assert refused(stranger.s3.put_object, Bucket=bucket, Key="mine/inputs/params.json", Body=b"{}")


@pytest.mark.parametrize(
    "token", ["", "rubbish", "eyJhbGciOiJub25lIn0.eyJjb2duaXRvOmdyb3VwcyI6WyJhbHBoYSJdfQ."]
)
def test_without_a_token_of_the_pool_every_route_is_closed(probes: Probes, token: str) -> None:
    api = probes.models["alpha"]["api_url"]
    for method, path in [
        ("GET", "/model"),
        ("GET", "/runs"),
        ("POST", "/runs"),
        ("GET", "/runs/x"),
        ("GET", "/scenarios"),
    ]:
        code, _ = User(token, None).call(method, api + path, {} if method == "POST" else None)
        assert code == 401, (method, path)


def test_nobody_writes_under_base_but_base2_is_a_scenario_like_others(
    probes: Probes, users: dict[str, User]
) -> None:
    s3, bucket = users["alpha"].s3, probes.models["alpha"]["bucket"]
    assert refused(s3.put_object, Bucket=bucket, Key="base/inputs/params.json", Body=b"{}")
    assert refused(s3.delete_object, Bucket=bucket, Key="base/inputs/params.json")
    assert not refused(s3.get_object, Bucket=bucket, Key="base/inputs/params.json")
    assert not refused(s3.put_object, Bucket=bucket, Key="base2/inputs/params.json", Body=b"{}")
    scenario = probes.scenario("alpha")
    # A notebook that climbs out of its scenario gets nowhere either: the function's role is denied base/ too.
    climb = json.dumps({"../base/inputs/params.json": "gone"})
    run = probes.ops("alpha", "run", scenario, "--param", f"write={climb}", "--follow")
    assert run.code in (0, 5), run.output
    assert s3.get_object(Bucket=bucket, Key="base/inputs/params.json")["Body"].read() != b"gone", run.output


def test_front_ends_find_which_group_sees_which_model(probes: Probes) -> None:
    table = probes.outputs["access_table"]
    content = json.load(boto3.client("s3").get_object(Bucket=table["bucket"], Key=table["key"])["Body"])
    assert content["alpha"] == ["alpha"]
    assert content["beta"] == ["beta"]


NEEDED_BY_A_RUN = {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "lambda:InvokeFunction"}


def test_each_role_of_a_run_stripped_of_one_permission_fails_with_access_denied(probes: Probes) -> None:
    tried = 0
    for kind in ("runner", "workflow"):
        for permission in permissions(roles_of("alpha", kind)):
            if permission.action not in NEEDED_BY_A_RUN:
                continue
            scenario = probes.scenario("alpha")
            with Without(permission):
                run = probes.ops("alpha", "run", scenario, "--follow")
            assert run.code == 5, f"{permission} was not needed:\n{run.output}"
            assert "AccessDenied" in run.output or "not authorized" in run.output, run.output
            tried += 1
    assert tried == len(NEEDED_BY_A_RUN)
    assert probes.ops("alpha", "run", probes.scenario("alpha"), "--follow").code == 0


def test_the_api_stripped_of_one_permission_cannot_start_or_stop(
    probes: Probes, users: dict[str, User]
) -> None:
    api, user = probes.models["alpha"]["api_url"], users["alpha"]
    tried = 0
    for permission in permissions(roles_of("alpha", "api")):
        if permission.action == "states:StartExecution":
            scenario = probes.scenario("alpha")
            with Without(permission):
                code, answer = user.call("POST", f"{api}/runs", {"scenario": scenario})
            assert code >= 400, answer
            assert "AccessDenied" in json.dumps(answer) or code in (403, 500, 502), answer
            tried += 1
    assert tried == 1
