"""Which role acts, and what it may do, where ministack doesn't ask: services acting with a role, and sign-in.

The decisions of IAM itself (policies, conditions, boundaries) stay ministack's; this only asks it at the
places where AWS asks.
"""

import contextvars
import json
import secrets
from typing import Any

from ministack.core import iam_evaluator, responses
from ministack.services import cognito, iam, sts

WEB_IDENTITY = "cognito-identity.amazonaws.com"
"""The identity provider that trust policies name for identity pools, and the prefix of its condition keys."""


class NotConfigured(Exception):
    """An identity pool has no role for this user that its trust policy lets it take."""


class Ambiguous(Exception):
    """A user has several roles, none preferred, and the pool says to refuse then."""


def _role(role_arn: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = iam._roles.get_scoped(
        _account(role_arn), None, role_arn.rsplit("/", 1)[-1]
    )
    return found


def _account(arn: str) -> str:
    parts = arn.split(":")
    return parts[4] if len(parts) > 5 else str(responses.get_account_id())


def trusts(role_arn: str, service: str) -> bool:
    """Whether a role's trust policy lets an AWS service (``lambda.amazonaws.com``) assume it."""
    role = _role(role_arn)
    if role is None:
        return False
    document = role.get("AssumeRolePolicyDocument") or "{}"
    policy = json.loads(document) if isinstance(document, str) else document
    statements = policy.get("Statement", [])
    account = _account(role_arn)
    context = iam_evaluator.EvalContext(
        principal_arn=service, principal_type="Service", principal_account=account, action="sts:AssumeRole",
        resource_arn=role_arn, region=responses.get_region(),
        service_context={"aws:sourceaccount": account},
    )  # fmt: skip
    allowed = False
    for statement in [statements] if isinstance(statements, dict) else statements:
        actions = statement.get("Action", [])
        listed = [actions] if isinstance(actions, str) else actions
        if not iam_evaluator._action_matches("sts:AssumeRole", listed, []):
            continue
        if not iam_evaluator._service_principal_matches(statement.get("Principal"), service):
            continue
        if not iam_evaluator._conditions_met(statement.get("Condition", {}), context):
            continue
        if statement.get("Effect") == "Deny":
            return False
        allowed = True
    return allowed


def function_permits(ref: str, api_id: str, stage: str, route: str, account: str, region: str) -> bool:
    """Whether a function's resource policy lets an HTTP API invoke it for a route (``POST/runs``)."""
    from ministack.services import lambda_svc

    path = route if "/" in route else f"*/{route}"
    source = f"arn:aws:execute-api:{region}:{account}:{api_id}/{stage}/{path}"
    with responses.request_scope(account, region):
        found = lambda_svc.function_policy_for_arn(ref if ":function:" in ref else f":function:{ref}")
    if found is None:
        return True  # no such function: ministack's own answer says so
    context = iam_evaluator.EvalContext(
        principal_arn="apigateway.amazonaws.com", principal_type="Service", principal_account=account,
        action="lambda:InvokeFunction", resource_arn=ref, region=region,
        service_context={"aws:sourceaccount": account, "aws:sourcearn": source},
    )  # fmt: skip
    for statement in found[0]["Statement"]:
        principal = statement.get("Principal")
        service = principal == "*" or iam_evaluator._service_principal_matches(
            principal, "apigateway.amazonaws.com"
        )
        action = iam_evaluator._action_matches(context.action, [statement.get("Action", "")], [])
        if service and action and iam_evaluator._conditions_met(statement.get("Condition", {}), context):
            return True
    return False


_sessions: dict[tuple[str, str], str] = {}


def _session(role_arn: str, name: str) -> str:
    """An access key with which ``name`` acts as the role, as if the service had assumed it."""
    key = _sessions.get((role_arn, name))
    if key is None or key not in sts._sessions:
        key = f"ASIA{secrets.token_hex(8).upper()}"
        account, role_name = _account(role_arn), role_arn.rsplit("/", 1)[-1]
        sts.register_session(key, {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{role_name}/{name}", "UserId": f"{role_name}:{name}",
            "SecretAccessKey": secrets.token_hex(32), "SessionToken": secrets.token_hex(32),
        })  # fmt: skip
        _sessions[role_arn, name] = key
    return key


def denial(role_arn: str, session: str, action: str, resource_arn: str) -> str | None:
    """Why a role may not do this, in AWS's words; None when it may."""
    key = _session(role_arn, session)

    def decide() -> Any:
        # The thread carries what was pinned for the request that started it: not this caller's signature.
        iam_evaluator._anonymous.set(False)
        iam_evaluator._signed_request.set(None)
        return iam_evaluator.enforce(key, action, action.split(":")[0], responses.get_region(), resource_arn)

    denied = contextvars.copy_context().run(decide)
    if denied is None:
        return None
    if isinstance(denied, iam_evaluator.AuthError):
        return f"{denied.code}: {denied.message}"
    from ministack.core.iam_actions import identity_denial_message

    message = identity_denial_message(action, denied.principal_arn, resource_arn, denied.decision == "Deny")
    return f"AccessDeniedException: {message}"


def task_denial(role_arn: str, machine: str, resource: str, content: Any) -> tuple[str, str] | None:
    """Error and cause with which a task fails that its state machine's role may not do; None when it may."""
    for action, arn in task_permissions(resource, content):
        why = denial(role_arn, machine, action, arn)
        if not trusts(role_arn, "states.amazonaws.com"):
            why = f"AccessDeniedException: states.amazonaws.com may not assume {role_arn}"
        if why:
            service = action.split(":")[0]
            return (_DENIED.get(service, f"{service.capitalize()}.AccessDeniedException"), why)
    return None


_DENIED = {"lambda": "Lambda.AWSLambdaException"}
"""Names of the errors of denied tasks that differ from ``<Service>.AccessDeniedException``."""


def task_permissions(resource: str, content: Any) -> list[tuple[str, str]]:
    """What a state machine's role needs for a task: pairs of action and resource ARN.

    Empty for the ``aws-sdk`` integrations, whose resources can't be told from their parameters in general.
    """
    region, account = responses.get_region(), responses.get_account_id()
    given: dict[str, Any] = content if isinstance(content, dict) else {}

    def arn(service: str, name: str) -> str:
        return name if name.startswith("arn:") else f"arn:aws:{service}:{region}:{account}:{name}"

    if resource.startswith("arn:aws:lambda:"):
        return [("lambda:InvokeFunction", resource)]
    service, _, operation = resource.removeprefix("arn:aws:states:::").partition(":")
    operation = operation.split(".")[0]
    if (service, operation) == ("lambda", "invoke"):
        name = str(given.get("FunctionName", ""))
        return [
            ("lambda:InvokeFunction", arn("lambda", name if name.startswith("arn:") else f"function:{name}"))
        ]
    if (service, operation) == ("states", "startExecution"):
        return [("states:StartExecution", str(given.get("StateMachineArn", "")))]
    if (service, operation) == ("sqs", "sendMessage"):
        return [("sqs:SendMessage", arn("sqs", str(given.get("QueueUrl", "")).rsplit("/", 1)[-1]))]
    if (service, operation) == ("sns", "publish"):
        return [("sns:Publish", str(given.get("TopicArn", "")))]
    if (service, operation) == ("ecs", "runTask"):
        definition = str(given.get("TaskDefinition", ""))
        named = definition if definition.startswith("arn:") else f"task-definition/{definition}"
        return [("ecs:RunTask", arn("ecs", named))]
    if service == "dynamodb":
        action = f"dynamodb:{operation[:1].upper()}{operation[1:]}"
        return [(action, arn("dynamodb", f"table/{given.get('TableName', '')}"))]
    return []


def group_roles(claims: dict[str, Any], pool_id: str) -> dict[str, Any]:
    """The claims about roles that an ID token carries for its groups.

    ``cognito:roles`` has them all, ``cognito:preferred_role`` one: that of the group with the lowest
    precedence; it is absent when two groups share that.
    """
    pool = cognito._get_pool_unscoped(pool_id) or {}
    groups = [pool.get("_groups", {}).get(name) for name in claims.get("cognito:groups") or []]
    with_role = [group for group in groups if group and group.get("RoleArn")]
    if not with_role:
        return {}
    first = min(group.get("Precedence") or 0 for group in with_role)
    preferred = {group["RoleArn"] for group in with_role if (group.get("Precedence") or 0) == first}
    found: dict[str, Any] = {"cognito:roles": list(dict.fromkeys(group["RoleArn"] for group in with_role))}
    if len(preferred) == 1:
        found["cognito:preferred_role"] = preferred.pop()
    return found


def _rule_matches(rule: dict[str, str], claims: dict[str, Any]) -> bool:
    found = claims.get(rule.get("Claim", ""))
    if found is None:
        return False
    wanted, text = rule.get("Value", ""), found if isinstance(found, str) else json.dumps(found)
    kind = rule.get("MatchType")
    return {"Equals": text == wanted, "NotEqual": text != wanted, "StartsWith": text.startswith(wanted),
            "Contains": wanted in text}.get(kind or "", False)  # fmt: skip


def _mapped_role(mapping: dict[str, Any], claims: dict[str, Any], asked: str | None) -> str | None:
    """The role that a role mapping gives a token; None for the pool's own role.

    Raises:
        Ambiguous: it gives none, and says to refuse then.
    """
    if mapping.get("Type") == "Rules":
        for rule in (mapping.get("RulesConfiguration") or {}).get("Rules") or []:
            if _rule_matches(rule, claims):
                return str(rule["RoleARN"])
    else:
        roles = claims.get("cognito:roles") or []
        if asked is not None and asked in roles:
            return asked
        preferred = claims.get("cognito:preferred_role") or (roles[0] if len(roles) == 1 else None)
        if preferred:
            return str(preferred)
    if mapping.get("AmbiguousRoleResolution") == "Deny":
        raise Ambiguous
    return None


def identity_role(pool: dict[str, Any], identity: str, logins: dict[str, str], asked: str | None) -> str:
    """The role that an identity gets credentials of, as AWS chooses it: by the pool's role mapping of the
    provider that signed the user in, else the pool's role for authenticated or unauthenticated users.

    Raises:
        NotConfigured: there is none, or its trust policy doesn't let this identity take it.
        Ambiguous: see ``_mapped_role``.
    """
    chosen: str | None = None
    for provider, token in logins.items():
        claims = cognito._token_claims(token)
        mapping = (pool.get("_role_mappings") or {}).get(f"{provider}:{claims.get('aud', '')}")
        if mapping:
            chosen = _mapped_role(mapping, claims, asked)
    role_arn = chosen or (pool.get("_roles") or {}).get("authenticated" if logins else "unauthenticated")
    role = _role(role_arn) if role_arn else None
    if not role_arn or role is None:
        raise NotConfigured
    keys = {
        "aud": pool.get("IdentityPoolId", ""),
        "sub": identity,
        "amr": cognito._identity_login_fields(logins)[0],
    }
    context = iam_evaluator.EvalContext(
        principal_arn=WEB_IDENTITY, principal_type="WebIdentityUser", principal_account=_account(role_arn),
        action="sts:AssumeRoleWithWebIdentity", resource_arn=role_arn, region=responses.get_region(),
        service_context={f"{WEB_IDENTITY}:{key}": value for key, value in keys.items()},
    )  # fmt: skip
    document = role.get("AssumeRolePolicyDocument") or "{}"
    if not iam_evaluator.evaluate_trust_policy(document, WEB_IDENTITY, context):
        raise NotConfigured
    return str(role_arn)
