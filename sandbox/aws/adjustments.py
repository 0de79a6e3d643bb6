"""What is changed in ministack's process: one function each, with the reason.

Everything that a setting can say is a setting (``supervisor.server_environment``). What remains replaces
one name of one module. ``apply`` fails with one line when a name that it replaces has gone, as it may with
another version of ministack. Each function here is one adjustment; its docstring is the reason.
"""

import json
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from sandbox.aws import roles, service_adjustments
from sandbox.aws.patching import module, replace
from sandbox.environment import AwsSettings

logger = logging.getLogger("benchtop.aws")


def registry_on_this_host(settings: AwsSettings) -> None:
    """Repositories are addressed as ``127.0.0.1:<port>/<name>``.

    Ministack names AWS's own registry host, which leads Docker to the real AWS. Docker takes 127.0.0.0/8 for
    a registry without TLS, so this address serves push, pull and the images of functions alike. It is worked
    out at each answer and not stored, so that it stays right when the sandbox moves to another port.
    """
    host = f"127.0.0.1:{settings.port}"

    def shape(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda repo: {**original(repo), "repositoryUri": f"{host}/{repo['repositoryName']}"}

    def token(original: Callable[..., Any]) -> Callable[..., Any]:
        def with_host(data: Any) -> Any:
            status, headers, body = original(data)
            content = json.loads(body)
            for part in content["authorizationData"]:
                part["proxyEndpoint"] = f"http://{host}"
            return status, headers, json.dumps(content).encode()

        return with_host

    replace("services.ecr", "_repo_shape", shape)
    replace("services.ecr", "_get_authorization_token", token)


def deleted_repositories_are_empty() -> None:
    """A deleted repository takes its manifests with it.

    Ministack forgets the images only: a repository of the same name made later would still hold the old
    manifests, and the layers that they name could never be freed.
    """

    def delete(original: Callable[..., Any]) -> Callable[..., Any]:
        def and_manifests(data: dict[str, Any]) -> Any:
            answer = original(data)
            if answer[0] == 200:
                for store in ("_manifest_blobs", "_layer_blobs", "_uploads"):
                    getattr(module("services.ecr"), store).pop(data["repositoryName"], None)
            return answer

        return and_manifests

    replace("services.ecr", "_delete_repository", delete)

    def batch_delete(original: Callable[..., Any]) -> Callable[..., Any]:
        def and_manifests(data: dict[str, Any]) -> Any:
            answer = original(data)
            ecr = module("services.ecr")
            name = data.get("repositoryName", "")
            kept = {image["imageDigest"] for image in ecr._images.get(name, [])}
            for digest in set(ecr._manifest_blobs.get(name, {})) - kept:
                ecr._manifest_blobs[name].pop(digest)
            return answer

        return and_manifests

    replace("services.ecr", "_batch_delete_image", batch_delete)


def images_are_described() -> None:
    """``DescribeImages`` refuses an image that isn't there, and an image's size is that of its layers.

    Ministack leaves out what it doesn't find, and gives the size of the manifest.
    """
    refuse = module("core.responses").error_response_json

    def describe(original: Callable[..., Any]) -> Callable[..., Any]:
        def truly(data: dict[str, Any]) -> Any:
            status, headers, body = original(data)
            if status != 200:
                return status, headers, body
            ecr, name = module("services.ecr"), data["repositoryName"]
            for wanted in data.get("imageIds") or []:
                if ecr._find_image(name, wanted) is None:
                    message = f"The image {json.dumps(wanted)} does not exist within the repository {name}"
                    return refuse("ImageNotFoundException", message, 400)
            content = json.loads(body)
            for image in content["imageDetails"]:
                manifest = json.loads(ecr._manifest_blobs.get(name, {}).get(image["imageDigest"]) or "{}")
                parts = [manifest.get("config", {}), *manifest.get("layers", [])]
                image["imageSizeInBytes"] = sum(part.get("size", 0) for part in parts)
            return status, headers, json.dumps(content).encode()

        return truly

    replace("services.ecr", "_describe_images", describe)


def images_of_functions_exist(settings: AwsSettings) -> None:
    """A function is refused when its image isn't in the registry; ministack finds out at the first call."""
    refuse = module("core.responses").error_response_json
    host = f"127.0.0.1:{settings.port}/"

    def check(original: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*arguments: Any) -> Any:
            data = arguments[-1]
            uri = str(data.get("ImageUri") or (data.get("Code") or {}).get("ImageUri") or "")
            name, _, digest = uri.removeprefix(host).partition("@")
            if not digest:
                name, _, digest = name.partition(":")
            found = module("services.ecr")._resolve_manifest(name, digest or "latest")
            if uri.startswith(host) and found[0] is None:
                message = f"Source image {uri} does not exist. Provide a valid source image."
                return refuse("InvalidParameterValueException", message, 400)
            return original(*arguments)

        return checked

    replace("services.lambda_svc", "_create_function", check)
    replace("services.lambda_svc", "_update_code", check)


def apis_by_path(settings: AwsSettings) -> None:
    """An HTTP API's endpoint is ``http://127.0.0.1:<port>/_aws/execute-api/<id>``.

    Ministack reports ``<id>.execute-api.localhost``, a name that the C library of most Linux systems doesn't
    resolve. The path is a form that it serves as well. A stage other than ``$default`` follows as on AWS.
    """

    def create(original: Callable[..., Any]) -> Callable[..., Any]:
        def by_path(data: Any) -> Any:
            status, headers, body = original(data)
            if status < 300:
                content = json.loads(body)
                apis = module("services.apigateway")._apis
                api = apis[content["apiId"]]
                scheme = "ws" if api.get("protocolType") == "WEBSOCKET" else "http"
                api["apiEndpoint"] = (
                    f"{scheme}://127.0.0.1:{settings.port}/_aws/execute-api/{content['apiId']}"
                )
                body = json.dumps({**content, "apiEndpoint": api["apiEndpoint"]}).encode()
            return status, headers, body

        return by_path

    replace("services.apigateway", "_create_api", create)


def loopback_is_secure() -> None:
    """``aws:SecureTransport`` is true for every request.

    The sandbox speaks plain HTTP over loopback and the Docker bridge, which no one else hears. A bucket
    policy that denies insecure transport, as every real one should, would otherwise deny everything here.
    """

    def pin(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda source_ip, _secure: original(source_ip, True)

    module("app")  # imports the name before it is replaced there
    replace("app", "pin_request_origin", pin)


def one_root_key(settings: AwsSettings) -> None:
    """Only the key of ``settings.json`` is the root user.

    Ministack also takes ``test`` and any twelve digits for the root of an account, unsigned: a workload that
    finds no role credentials and falls back to such a habit would pass here and fail on AWS.
    """

    def only_ours(_original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda access_key_id: not access_key_id or access_key_id == settings.access_key_id

    replace("core.iam_evaluator", "is_root_access_key", only_ours)
    replace("services.sts", "is_root_access_key", only_ours)


def own_containers_only(settings: AwsSettings) -> None:
    """Containers are told apart by the sandbox, not by host name and port.

    Two sandboxes on one machine share a Docker engine. Ministack removes at its start the containers of an
    earlier run, known by host name and port, and those without a label too: another ministack's, perhaps.
    """
    replace("core.container_reaper", "instance_id", lambda _original: lambda: settings.instance)

    def reap(original: Callable[..., Any]) -> Callable[..., Any]:
        def ours(client: Any, stop_timeout: int = 2, include_unlabelled: bool = False) -> Any:
            return original(client, stop_timeout=stop_timeout)

        return ours

    replace("core.container_reaper", "reap_all", reap)


def services_need_trust() -> None:
    """A function or state machine is refused when its role doesn't trust Lambda or Step Functions.

    Ministack only asks whether the role exists; the same deployment would fail on AWS.
    """
    refuse = module("core.responses").error_response_json
    exists = module("core.iam_evaluator").validate_role_arn  # None when it does

    def function(original: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*arguments: Any) -> Any:
            role = arguments[-1].get("Role")
            if role and not exists(role) and not roles.trusts(role, "lambda.amazonaws.com"):
                message = "The role defined for the function cannot be assumed by Lambda."
                return refuse("InvalidParameterValueException", message, 400)
            return original(*arguments)

        return checked

    replace("services.lambda_svc", "_create_function", function)
    replace("services.lambda_svc", "_update_config", function)

    def machine(original: Callable[..., Any]) -> Callable[..., Any]:
        def checked(data: dict[str, Any]) -> Any:
            role = data.get("roleArn")
            if role and not exists(role) and not roles.trusts(role, "states.amazonaws.com"):
                message = (
                    "Neither the global service principal states.amazonaws.com, nor the regional one is "
                    "authorized to assume the provided role."
                )
                return refuse("AccessDeniedException", message, 400)
            return original(data)

        return checked

    replace("services.stepfunctions", "_create_state_machine", machine)
    replace("services.stepfunctions", "_update_state_machine", machine)


def state_machines_use_their_role() -> None:
    """The tasks of an execution are allowed by the state machine's role.

    Ministack runs them with no check at all. A denied call to a function fails the task with
    ``Lambda.AWSLambdaException``, as on AWS, and the cause begins with ``AccessDeniedException``.
    """
    acting: ContextVar[tuple[str, str] | None] = ContextVar("execution_role", default=None)

    def task(original: Callable[..., Any]) -> Callable[..., Any]:
        def with_role(state_def: Any, raw_input: Any, execution: dict[str, Any], ctx: Any) -> Any:
            machines = module("services.stepfunctions")._state_machines
            machine = machines.get(execution.get("stateMachineArn")) or {}
            # TestState runs a single state of no machine, with the caller's own permissions.
            token = acting.set((machine["roleArn"], machine["name"]) if machine.get("roleArn") else None)
            try:
                return original(state_def, raw_input, execution, ctx)
            finally:
                acting.reset(token)

        return with_role

    def call(original: Callable[..., Any]) -> Callable[..., Any]:
        def checked(resource: str, content: Any, *more: Any) -> Any:
            if found := acting.get():
                refused = roles.task_denial(*found, resource, content)
                if refused:
                    raise module("services.stepfunctions")._ExecutionError(*refused)
            return original(resource, content, *more)

        return checked

    replace("services.stepfunctions", "_execute_task", task)
    replace("services.stepfunctions", "_invoke_resource", call)
    replace("services.stepfunctions", "_invoke_with_callback", call)


def identities_get_their_groups_role() -> None:
    """``GetCredentialsForIdentity`` gives the role of the user's group, if its trust policy allows it.

    Ministack always gives the pool's authenticated role (or one of no name), ignores role mappings and asks
    no trust policy. ID tokens here also carry ``cognito:roles`` and ``cognito:preferred_role``, as AWS's do.
    """

    def sign(original: Callable[..., Any]) -> Callable[..., Any]:
        def with_roles(claims: dict[str, Any], pool_id: str = "", use: str = "") -> Any:
            extra = roles.group_roles(claims, pool_id) if use == "id" else {}
            return original({**claims, **extra}, pool_id, use)

        return with_roles

    def credentials(original: Callable[..., Any]) -> Callable[..., Any]:
        def by_role(data: dict[str, Any]) -> Any:
            answer = original(data)
            if answer[0] != 200:
                return answer
            refuse = module("core.responses").error_response_json
            sessions = module("services.sts")._sessions
            key = json.loads(answer[2])["Credentials"]["AccessKeyId"]
            session = sessions[key]
            pool = module("services.cognito")._identity_pools.get(session["_identity_pool_id"]) or {}
            user = session["_identity_id"], session["_logins"], data.get("CustomRoleArn")
            try:
                role = roles.identity_role(pool, *user)
            except roles.NotConfigured:
                del sessions[key]
                message = "Invalid identity pool configuration. Check assigned IAM roles for this pool."
                return refuse("InvalidIdentityPoolConfigurationException", message, 400)
            except roles.Ambiguous:
                del sessions[key]
                message = "Ambiguous role resolution: the user has no preferred role."
                return refuse("NotAuthorizedException", message, 400)
            account, name = role.split(":")[4], role.rsplit("/", 1)[-1]
            session["Arn"] = f"arn:aws:sts::{account}:assumed-role/{name}/CognitoIdentityCredentials"
            return answer

        return by_role

    replace("services.cognito", "_signed_jwt", sign)
    replace("services.cognito", "_get_credentials_for_identity", credentials)


def groups_can_be_updated() -> None:
    """``UpdateGroup``, which ministack lacks: description, precedence and role of a group of users."""

    def dispatch(original: Callable[..., Any]) -> Callable[..., Any]:
        async def known(action: str, data: dict[str, Any]) -> Any:
            if action != "UpdateGroup":
                return await original(action, data)
            cognito = module("services.cognito")
            found = cognito._get_group(data)
            if found[0] != 200:
                return found
            check = module("core.iam_evaluator").validate_role_arn
            problem = check(data["RoleArn"]) if data.get("RoleArn") else None
            if problem:
                return module("core.responses").error_response_json("InvalidParameterException", problem, 400)
            group = cognito._resolve_pool(data["UserPoolId"])[0]["_groups"][data["GroupName"]]
            group |= {key: data[key] for key in ("Description", "Precedence", "RoleArn") if key in data}
            group["LastModifiedDate"] = cognito._now_epoch()
            return cognito._get_group(data)

        return known

    replace("services.cognito", "_dispatch_idp", dispatch)


def apis_need_permission() -> None:
    """An HTTP API calls a function only when its resource policy lets API Gateway do it for that route.

    Ministack calls it always; on AWS a forgotten permission is "Internal Server Error", status 500.
    """

    def call(original: Callable[..., Any]) -> Callable[..., Any]:
        async def permitted(integration: Any, api_id: str, stage: str, *more: Any, **named: Any) -> Any:
            apigateway = module("services.apigateway")
            ref = apigateway._extract_lambda_ref_from_integration_uri(integration.get("integrationUri", ""))
            route = (more[5] if len(more) > 5 else "$default").replace(" ", "", 1)
            scope = str(named.get("owner_account_id")), str(named.get("owner_region"))
            if not integration.get("credentialsArn") and not roles.function_permits(
                ref, api_id, stage, route, *scope
            ):
                logger.warning("API %s may not invoke %s: no permission for route %s", api_id, ref, route)
                return 500, {"Content-Type": "application/json"}, b'{"message":"Internal Server Error"}'
            return await original(integration, api_id, stage, *more, **named)

        return permitted

    replace("services.apigateway", "_invoke_lambda_proxy", call)


def apply(settings: AwsSettings) -> None:
    """Make all adjustments, before the first request."""
    registry_on_this_host(settings)
    deleted_repositories_are_empty()
    images_are_described()
    images_of_functions_exist(settings)
    apis_by_path(settings)
    loopback_is_secure()
    one_root_key(settings)
    own_containers_only(settings)
    services_need_trust()
    state_machines_use_their_role()
    identities_get_their_groups_role()
    service_adjustments.apply(settings)
    groups_can_be_updated()
    apis_need_permission()
