"""Who may do what with tasks of ECS: their callers, the roles they pass, the roles that tasks act with."""

import contextvars
import json
import secrets
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions, iam_evaluator, responses
from ministack.services import ecs, sts

from sandbox.aws import roles
from sandbox.aws.patching import replace

SERVICE = "ecs-tasks.amazonaws.com"
"""The service that a role of a task must trust, and to which its caller passes it."""

Check = Callable[[str, str, dict[str, str]], str | None]
"""Why somebody may not do an action on a resource in a context; None when they may."""

_RESOURCES = {
    "RunTask": ("task-definition", "taskDefinition"), "StopTask": ("task", "task"),
    "DescribeTasks": ("task", "tasks"), "ExecuteCommand": ("task", "task"),
    "CreateService": ("service", "serviceName"), "UpdateService": ("service", "service"),
    "DeleteService": ("service", "service"), "DescribeServices": ("service", "services"),
    "ListTasks": ("container-instance", ""), "DescribeClusters": ("cluster", "clusters"),
    "DeleteCluster": ("cluster", "cluster"), "UpdateCluster": ("cluster", "cluster"),
    "PutClusterCapacityProviders": ("cluster", "cluster"),
}  # fmt: skip
"""The kind of resource that a policy must name for an action, and the parameter that names it."""


def resource_arns(action: str, data: dict[str, Any], region: str, account: str) -> list[str]:
    """The resources that a policy must name for a call, by AWS's service authorisation reference."""
    kind, parameter = _RESOURCES.get(action, ("", ""))
    if not kind:
        named = str(data.get("resourceArn") or "")
        return [named] if named else ["*"]
    prefix, cluster = f"arn:aws:ecs:{region}:{account}", cluster_name(data)
    if kind == "container-instance":
        return [f"{prefix}:container-instance/{cluster}/*"]
    given = data.get(parameter) or ([] if parameter.endswith("s") else "")
    found = []
    for name in [str(item) for item in given] if isinstance(given, list) else [str(given)]:
        if kind == "task-definition":
            name = str(ecs._resolve_td_key(name) or name)
        elif kind == "cluster":
            name = name or "default"
        elif not name.startswith("arn:"):
            name = f"{cluster}/{name}"
        found.append(name if name.startswith("arn:") else f"{prefix}:{kind}/{name}")
    return found or ["*"]


def cluster_name(data: dict[str, Any]) -> str:
    return str(data.get("cluster") or "default").rsplit("/", 1)[-1]


def calls_name_their_resource() -> None:
    """A call of ECS is allowed by the ARN of its task, task definition or service, under ``ecs:cluster``.

    Ministack checks all of them against the cluster's ARN, so that a policy that is right for AWS is refused
    here, and one that allows everything in a cluster passes.
    """

    def action(headers: dict[str, str]) -> str:
        return headers.get("x-amz-target", "").rsplit(".", 1)[-1]

    def content(body: bytes) -> dict[str, Any]:
        try:
            found = json.loads(body or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def extract(original: Callable[..., Any]) -> Callable[..., Any]:
        def by_action(service: str, method: str, path: str, headers: Any, body: bytes, params: Any,
                      region: str, account: str) -> Any:  # fmt: skip
            if service == "ecs" and action(headers):
                return resource_arns(action(headers), content(body), region, account)[0]
            return original(service, method, path, headers, body, params, region, account)

        return by_action

    def context(original: Callable[..., Any]) -> Callable[..., Any]:
        def with_cluster(service: str, iam_action: str, body: bytes, params: Any) -> Any:
            found = original(service, iam_action, body, params)
            if service == "ecs" and iam_action != "ecs:CreateCluster":
                prefix = f"arn:aws:ecs:{responses.get_region()}:{responses.get_account_id()}"
                found = {**found, "ecs:cluster": f"{prefix}:cluster/{cluster_name(content(body))}"}
            return found

        return with_cluster

    replace("core.iam_actions", "extract_resource_arn", extract)
    replace("core.iam_actions", "request_tag_context", context)


def caller_denial(action: str, arn: str, context: dict[str, str]) -> str | None:
    """Why the caller of the request at hand may not do this as well, in AWS's words; None when it may."""
    key = iam_evaluator._verified_key.get()
    # Without one it is the root user, whose signature isn't checked, or the emulator itself.
    return _denial(key, action, arn, context) if key else None


def _denial(key: str, action: str, arn: str, context: dict[str, str]) -> str | None:
    denied = iam_evaluator.enforce(key, action, action.split(":")[0], responses.get_region(), arn, context)
    if denied is None:
        return None
    if isinstance(denied, iam_evaluator.AuthError):
        return str(denied.message)
    explicit = denied.decision == "Deny"
    return str(iam_actions.identity_denial_message(action, denied.principal_arn, arn, explicit))


def passing_denial(role_arn: str, may: Check = caller_denial) -> str | None:
    """Why the caller may not give this role to a task; None when it may."""
    return may("iam:PassRole", role_arn, {"iam:PassedToService": SERVICE})


def start_denial(data: dict[str, Any], may: Check = caller_denial) -> str | None:
    """Why the caller may not do what ``RunTask`` needs beside ``ecs:RunTask``: pass roles, tag tasks."""
    definition = ecs._task_defs.get(ecs._resolve_td_key(data.get("taskDefinition", ""))) or {}
    for role in roles_of(definition, data.get("overrides") or {}):
        if role and (denied := passing_denial(role, may)):
            return denied
    if not (data.get("tags") or data.get("propagateTags") or data.get("enableECSManagedTags")):
        return None
    prefix, cluster = f"arn:aws:ecs:{responses.get_region()}:{responses.get_account_id()}", cluster_name(data)
    context = {"ecs:CreateAction": "RunTask", "ecs:cluster": f"{prefix}:cluster/{cluster}"}
    return may("ecs:TagResource", f"{prefix}:task/{cluster}/*", context)


def role_start_denial(role_arn: str, session: str, data: dict[str, Any]) -> str | None:
    """Why a service that acts as a role (EventBridge, say) may not run a task; None when it may."""
    key = roles._session(role_arn, session)

    def may(action: str, arn: str, context: dict[str, str]) -> str | None:
        def decide() -> str | None:
            # The thread carries what was pinned for the request that started it: not this role's.
            iam_evaluator._anonymous.set(False)
            iam_evaluator._signed_request.set(None)
            return _denial(key, action, arn, context)

        return contextvars.copy_context().run(decide)

    region, account = responses.get_region(), responses.get_account_id()
    arn = resource_arns("RunTask", data, region, account)[0]
    context = {"ecs:cluster": f"arn:aws:ecs:{region}:{account}:cluster/{cluster_name(data)}"}
    return may("ecs:RunTask", arn, context) or start_denial(data, may)


def assumable(role_arn: str) -> bool:
    """Whether ECS can assume a role for a task of this account and region."""
    role = roles._role(role_arn)
    if role is None:
        return False
    account, region = responses.get_account_id(), responses.get_region()
    context = iam_evaluator.EvalContext(
        principal_arn=SERVICE, principal_type="Service", principal_account=account, action="sts:AssumeRole",
        resource_arn=role_arn, region=region,
        service_context={"aws:sourceaccount": account, "aws:sourcearn": f"arn:aws:ecs:{region}:{account}:*"},
    )  # fmt: skip
    document = role.get("AssumeRolePolicyDocument") or "{}"
    policy = json.loads(document) if isinstance(document, str) else document
    statements = policy.get("Statement", [])
    effects = set()
    for statement in [statements] if isinstance(statements, dict) else statements:
        actions = statement.get("Action", [])
        listed = [actions] if isinstance(actions, str) else actions
        if (
            iam_evaluator._action_matches("sts:AssumeRole", listed, [])
            and iam_evaluator._service_principal_matches(statement.get("Principal"), SERVICE)
            and iam_evaluator._conditions_met(statement.get("Condition", {}), context)
        ):
            effects.add(statement.get("Effect"))
    return effects == {"Allow"}


def not_assumable(role_arn: str) -> str:
    """What ECS says of a role that it can't assume."""
    return (
        f"ECS was unable to assume the role '{role_arn}' that was provided for this task. Please verify that"
        " the role being passed has the proper trust relationship and permissions and that your IAM user has"
        " permissions to pass this role."
    )


def roles_of(definition: dict[str, Any], overrides: dict[str, Any]) -> tuple[str, str]:
    """ARNs of the task role and of the execution role, each empty when there is none."""
    task = overrides.get("taskRoleArn") or definition.get("taskRoleArn") or ""
    execution = overrides.get("executionRoleArn") or definition.get("executionRoleArn") or ""
    return str(task), str(execution)


def credentials(role_arn: str, task_id: str) -> dict[str, str]:
    """Credentials with which a task acts as its role, as the environment that an SDK reads.

    They live as long as the task: AWS renews them behind an address that botocore refuses outside AWS.
    """
    key, secret, token = f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(48)
    account, name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
    sts.register_session(key, {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{task_id}", "UserId": f"{name}:{task_id}",
        "SecretAccessKey": secret, "SessionToken": token,
    })  # fmt: skip
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


def forget(environment: dict[str, str]) -> None:
    """Make the credentials of an ended task invalid."""
    sts._sessions.pop(environment.get("AWS_ACCESS_KEY_ID", ""), None)


def execution_denial(role_arn: str, actions: dict[str, str]) -> str | None:
    """Why an execution role may not do one of these actions on its resource; None when it may do all."""
    for action, arn in actions.items():
        if denied := roles.denial(role_arn, "ecs-task-execution", action, arn):
            return denied
    return None
