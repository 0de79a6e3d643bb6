"""Routes of the HTTP API: who gets in, and what requests and errors look like."""

import base64
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from lambdas.quetzal_api import handler
from lambdas.quetzal_api.errors import Conflict, Locked, NotFound
from lambdas.quetzal_api.handler import Api, groups_of, respond
from lambdas.quetzal_api.routes import ROUTES
from lambdas.quetzal_api.runs import Page, Run, Runs, Scenario

RUN = Run(
    id="test_20260102T030405Z_0a1b2c",
    scenario="test",
    status="RUNNING",
    started=datetime(2026, 1, 2, tzinfo=UTC),
)
TOKEN = "eyJhbGciOiJSUzI1NiJ9.secret.signature"


class Recorded:
    """Stands in for ``Runs``: remembers what it was asked, answers or raises."""

    bucket = "quetzal-tiny"
    steps = ("first",)

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def _answer(self, name: str, answer: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.asked.append((name, args, kwargs))
            if self.error:
                raise self.error
            return answer

        return call

    def __getattr__(self, name: str) -> Any:
        answers: dict[str, Any] = {
            "start": RUN,
            "get": RUN,
            "stop": RUN,
            "list": Page(runs=(RUN,), next="n"),
            "scenarios": (Scenario(name="base", locked=False, read_only=True),),
        }
        return self._answer(name, answers[name])


def api(error: Exception | None = None) -> tuple[Api, Recorded]:
    runs = Recorded(error)
    made = Api(model="tiny", tag="0123", groups=frozenset({"tiny", "planners"}), runs=cast(Runs, runs))
    return made, runs


def request(route: str, groups: Any = "[tiny]", **more: Any) -> dict[str, Any]:
    claims = {"sub": "id-of-user", "email": "a@example.org", "cognito:groups": groups}
    return {
        "version": "2.0",
        "routeKey": route,
        "headers": {"authorization": f"Bearer {TOKEN}"},
        "requestContext": {"authorizer": {"jwt": {"claims": claims, "scopes": None}}},
        **more,
    }


def answer(made: Api, event: dict[str, Any]) -> tuple[int, Any]:
    response = respond(made, event)
    assert response["headers"]["content-type"] == "application/json"
    return response["statusCode"], json.loads(response["body"])


def test_every_route_that_the_gateway_lets_through_is_served() -> None:
    assert set(handler.ACTIONS) == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "groups", ["[tiny-dca]", "[ti ny]", "tinyplanners", "", "[]", "[TINY]", "tiny,planners", None]
)
def test_every_route_is_closed_to_other_groups(route: str, groups: Any) -> None:
    """Whole names only: a group that merely contains a model's name opens nothing."""
    made, runs = api()
    status, body = answer(
        made, request(route, groups, pathParameters={"id": RUN.id}, body='{"scenario": "test"}')
    )
    assert (status, runs.asked) == (403, [])
    assert body["error"] == "model tiny is open to the groups planners, tiny: you are in none"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "context", [{}, {"authorizer": None}, {"authorizer": {"jwt": {}}}, {"authorizer": {"iam": {}}}]
)
def test_a_request_without_verified_claims_is_refused(route: str, context: dict[str, Any]) -> None:
    made, runs = api()
    status, _ = answer(made, {**request(route), "requestContext": context})
    assert (status, runs.asked) == (403, [])


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        ("[a b]", {"a", "b"}),
        ("[a]", {"a"}),
        ("a", {"a"}),
        (["a", "b"], {"a", "b"}),
        ("", set()),
        ("[]", set()),
    ],
)
def test_groups_as_the_gateway_writes_them(value: Any, groups: set[str]) -> None:
    assert groups_of({"cognito:groups": value}) == groups


def test_the_model_says_what_it_is() -> None:
    assert answer(api()[0], request("GET /model")) == (
        200,
        {
            "model": "tiny",
            "bucket": "quetzal-tiny",
            "tag": "0123",
            "groups": ["planners", "tiny"],
            "steps": ["first"],
        },
    )


def test_a_run_is_started_in_the_name_of_the_caller() -> None:
    made, runs = api()
    body = json.dumps({"scenario": "test", "params": {"a": 1}, "choice": "quick", "client_token": "c"})
    status, run = answer(made, request("POST /runs", body=body))
    assert (status, run["run_id"]) == (201, RUN.id)
    assert runs.asked == [
        ("start", ("test", {"a": 1}), {"choice": "quick", "user_email": "a@example.org", "client_token": "c"})
    ]


def test_the_body_may_come_in_base64() -> None:
    made, runs = api()
    body = base64.b64encode(b'{"scenario": "test"}').decode()
    assert answer(made, request("POST /runs", body=body, isBase64Encoded=True))[0] == 201
    assert runs.asked[0][1] == ("test", None)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("{", "the body is not JSON"),
        ("[]", "the body must be a JSON object"),
        (
            '{"scenario": "t", "scenaro": 1, "bucket": 2}',
            "unknown bucket, scenaro; allowed: choice, client_token, params",
        ),
        ('{"scenario": "t", "choice": 1}', "choice must be text"),
        ('{"scenario": "t", "client_token": ""}', "client_token must be text of 1 to 128"),
    ],
)
def test_bodies_that_cannot_be_used(body: str, told: str) -> None:
    made, runs = api()
    status, found = answer(made, request("POST /runs", body=body))
    assert (status, runs.asked) == (400, [])
    assert told in found["error"]
    assert answer(made, request("POST /runs", body="%%%", isBase64Encoded=True))[0] == 400


def test_the_list_takes_limit_next_and_scenario() -> None:
    made, runs = api()
    query = {"limit": "5", "next": "n", "scenario": "test"}
    status, body = answer(made, request("GET /runs", queryStringParameters=query))
    assert (status, body["next"], body["runs"][0]["status"]) == (200, "n", "RUNNING")
    assert runs.asked == [("list", (), {"limit": 5, "after": "n", "scenario": "test"})]
    assert answer(made, request("GET /runs", queryStringParameters={"limit": "all"}))[0] == 400


def test_one_run_and_its_stop() -> None:
    made, runs = api()
    assert answer(made, request("GET /runs/{id}", pathParameters={"id": RUN.id}))[0] == 200
    assert answer(made, request("POST /runs/{id}/stop", pathParameters={"id": RUN.id}))[0] == 202
    assert runs.asked == [("get", (RUN.id,), {}), ("stop", (RUN.id,), {"user_email": "a@example.org"})]


def test_scenarios() -> None:
    assert answer(api()[0], request("GET /scenarios")) == (
        200,
        {"scenarios": [{"name": "base", "locked": False, "read_only": True}]},
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotFound("no run"), 404), (Conflict("is running"), 409), (Locked("is locked"), 423)],
)
def test_errors_are_one_line_with_their_status(error: Exception, status: int) -> None:
    found = answer(api(error)[0], request("GET /runs/{id}", pathParameters={"id": RUN.id}))
    assert found == (status, {"error": str(error)})


def test_a_route_that_does_not_exist() -> None:
    status, body = answer(api()[0], request("DELETE /runs"))
    assert status == 404
    assert "GET /runs" in body["error"]


def test_a_refusal_by_aws_is_502_without_names_of_resources() -> None:
    refusal = {"Error": {"Code": "AccessDeniedException", "Message": "role arn:aws:iam::1:role/x may not"}}
    error = ClientError(cast(Any, refusal), "StartExecution")
    assert answer(api(error)[0], request("POST /runs", body='{"scenario": "t"}')) == (
        502,
        {"error": "StartExecution failed: AccessDeniedException"},
    )


def test_neither_token_nor_environment_is_logged(caplog: pytest.LogCaptureFixture, capsys: Any) -> None:
    caplog.set_level(logging.DEBUG)
    refusal = ClientError(cast(Any, {"Error": {"Code": "X", "Message": "m"}}), "StartExecution")
    for error in (None, NotFound("x"), refusal):
        for route in ROUTES:
            respond(api(error)[0], request(route, pathParameters={"id": RUN.id}, body='{"scenario": "t"}'))
    output = caplog.text + "".join(capsys.readouterr())
    assert "started by a@example.org" in output
    assert TOKEN not in output
    assert "id-of-user" not in output


def test_the_api_is_made_from_the_environment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "MODEL": "tiny",
        "MODEL_TAG": "0123",
        "GROUPS": '["tiny"]',
        "STEPS": '["first"]',
        "BUCKET_NAME": "b",
        "STATE_MACHINE_ARN": "arn",
        "AWS_REGION": "eu-west-3",
        "AWS_DEFAULT_REGION": "eu-west-3",
    }
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    handler.from_environment.cache_clear()
    made = handler.from_environment()
    assert (made.model, made.tag, made.groups) == ("tiny", "0123", frozenset({"tiny"}))
    assert (made.runs.bucket, made.runs.steps) == ("b", ("first",))
    assert handler.handle(request("GET /model"), None)["statusCode"] == 200
    assert handler.from_environment() is made
    handler.from_environment.cache_clear()


def test_nothing_but_boto3_and_the_standard_library_is_imported() -> None:
    """Lambda's Python runtime brings no more."""
    import ast
    import sys

    folder = Path(handler.__file__).parent
    names: set[str] = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(str(node.module).partition(".")[0])
    assert names - set(sys.stdlib_module_names) == {"boto3", "botocore"}
