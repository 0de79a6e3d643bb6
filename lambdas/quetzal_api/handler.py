"""Lambda handler of a model's HTTP API (API Gateway HTTP API, payload format 2.0).

API Gateway has verified the token's signature, issuer, audience and time before we are called; here the
caller's Cognito groups are compared, whole names, with the groups that may use this model.

Environment: ``MODEL``, ``BUCKET_NAME``, ``STATE_MACHINE_ARN``, ``MODEL_TAG``, ``GROUPS`` (JSON list) and
``STEPS`` (JSON list). Neither the environment, nor a token, nor a claim other than the e-mail address of
whoever starts or stops a run is logged.
"""

import base64
import functools
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from .errors import ApiError, Forbidden, InvalidRequest, NotFound
from .runs import Runs

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)

Event = Mapping[str, Any]

MAX_TOKEN = 128
_START_KEYS = frozenset({"scenario", "params", "choice", "client_token"})


@dataclass(frozen=True, kw_only=True)
class Api:
    """The model this function serves."""

    model: str
    tag: str
    groups: frozenset[str]
    runs: Runs


@functools.cache
def from_environment() -> Api:
    """Made once a container; boto3 is imported here so that importing this module has no effects."""
    import boto3

    return Api(
        model=os.environ["MODEL"],
        tag=os.environ["MODEL_TAG"],
        groups=frozenset(json.loads(os.environ["GROUPS"])),
        runs=Runs(
            sfn=boto3.client("stepfunctions"),
            s3=boto3.client("s3"),
            bucket=os.environ["BUCKET_NAME"],
            state_machine_arn=os.environ["STATE_MACHINE_ARN"],
            steps=tuple(json.loads(os.environ["STEPS"])),
        ),
    )


def handle(event: Event, context: object) -> dict[str, Any]:
    """Entry point of the Lambda function."""
    return respond(from_environment(), event)


def respond(api: Api, event: Event) -> dict[str, Any]:
    """Answer one request; every error is ``{"error": one line}`` with its status."""
    try:
        status, body = _route(api, event)
    except ApiError as error:
        status, body = error.status, {"error": error.message}
    except ClientError as error:
        # The service's own words may name resources of ours: they go to the log, not to the browser.
        log.exception("AWS refused %s", error.operation_name)
        status, body = 502, {"error": f"{error.operation_name} failed: {error.response['Error']['Code']}"}
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "cache-control": "no-store"},
        "body": json.dumps(body),
    }


def _route(api: Api, event: Event) -> tuple[int, Any]:
    key = str(event.get("routeKey", ""))
    action = ACTIONS.get(key)
    if action is None:
        raise NotFound(f"no route {key!r}; there are: {', '.join(ACTIONS)}")
    allowed = groups_of(claims_of(event))
    if not allowed & api.groups:
        raise Forbidden(
            f"model {api.model} is open to the groups {', '.join(sorted(api.groups))}: you are in none"
        )
    return action(api, event)


def claims_of(event: Event) -> Mapping[str, Any]:
    """The verified claims. A request without them never passed the authoriser, and is refused."""
    context = event.get("requestContext") or {}
    claims = ((context.get("authorizer") or {}).get("jwt") or {}).get("claims")
    if not isinstance(claims, Mapping):
        raise Forbidden("this request carries no verified token")
    return claims


def groups_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """The caller's groups. API Gateway writes a list claim as text, ``[one two]``; names hold no blanks.

    >>> sorted(groups_of({"cognito:groups": "[quetzal-transit-dca planners]"}))
    ['planners', 'quetzal-transit-dca']
    """
    value = claims.get("cognito:groups") or ""
    if isinstance(value, list):
        return frozenset(str(name) for name in value)
    text = str(value).strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return frozenset(text.split())


def _email(event: Event) -> str | None:
    value = claims_of(event).get("email")
    return str(value) if value else None


def _run_id(event: Event) -> str:
    return str((event.get("pathParameters") or {}).get("id", ""))


def _body(event: Event) -> dict[str, Any]:
    text = event.get("body") or "{}"
    try:
        if event.get("isBase64Encoded"):
            text = base64.b64decode(text, validate=True).decode()
        body = json.loads(text)
    except ValueError as error:
        raise InvalidRequest("the body is not JSON") from error
    if not isinstance(body, dict):
        raise InvalidRequest('the body must be a JSON object like {"scenario": "test"}')
    return body


# --- routes ----------------------------------------------------------------------------------------


def model(api: Api, event: Event) -> tuple[int, Any]:
    return 200, {
        "model": api.model,
        "bucket": api.runs.bucket,
        "tag": api.tag,
        "groups": sorted(api.groups),
        "steps": list(api.runs.steps),
    }


def scenarios(api: Api, event: Event) -> tuple[int, Any]:
    return 200, {
        "scenarios": [
            {"name": item.name, "locked": item.locked, "read_only": item.read_only}
            for item in api.runs.scenarios()
        ]
    }


def start(api: Api, event: Event) -> tuple[int, Any]:
    body = _body(event)
    unknown = sorted(set(body) - _START_KEYS)
    if unknown:
        raise InvalidRequest(f"unknown {', '.join(unknown)}; allowed: {', '.join(sorted(_START_KEYS))}")
    choice, token = body.get("choice"), body.get("client_token")
    if choice is not None and not isinstance(choice, str):
        raise InvalidRequest("choice must be text")
    if token is not None and not (isinstance(token, str) and 1 <= len(token) <= MAX_TOKEN):
        raise InvalidRequest(f"client_token must be text of 1 to {MAX_TOKEN} characters")
    run = api.runs.start(
        body.get("scenario", ""),
        body.get("params"),
        choice=choice,
        user_email=_email(event),
        client_token=token,
    )
    log.info("run %s started by %s", run.id, _email(event))
    return 201, run.as_dict()


def list_runs(api: Api, event: Event) -> tuple[int, Any]:
    query = event.get("queryStringParameters") or {}
    text = str(query.get("limit", "20"))
    if not text.isdecimal():
        raise InvalidRequest(f"limit is {text!r}; allowed: 1 to 100")
    page = api.runs.list(limit=int(text), after=query.get("next"), scenario=query.get("scenario"))
    return 200, {"runs": [run.as_dict() for run in page.runs], "next": page.next}


def get(api: Api, event: Event) -> tuple[int, Any]:
    return 200, api.runs.get(_run_id(event)).as_dict()


def stop(api: Api, event: Event) -> tuple[int, Any]:
    run = api.runs.stop(_run_id(event), user_email=_email(event))
    log.info("run %s stopped by %s", run.id, _email(event))
    return 202, run.as_dict()


ACTIONS: dict[str, Callable[[Api, Event], tuple[int, Any]]] = {
    "GET /model": model,
    "GET /scenarios": scenarios,
    "POST /runs": start,
    "GET /runs": list_runs,
    "GET /runs/{id}": get,
    "POST /runs/{id}/stop": stop,
}
"""One action for each of ``routes.ROUTES``, which API Gateway has too."""
