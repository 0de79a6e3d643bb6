"""``aws:apigatewayv2/*``."""

from collections.abc import Callable
from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values

_API = {"ApiId": "{apiId}"}


def _find(op: str, **wanted: str) -> Callable[[Run], str | None]:
    """Recovery: the id of the only item in a list whose members equal our inputs; ``id`` names the id's
    member.
    """
    id_member = wanted.pop("id")

    def find(run: Run) -> str | None:
        params = {"ApiId": run.inputs["apiId"]} if "apiId" in run.entry.fields else {}
        items = run.call(op, **params).get("Items") or []
        found = [
            item[id_member]
            for item in items
            if all(item.get(member) == run.inputs.get(name) for member, name in wanted.items())
        ]
        return found[0] if len(found) == 1 else None

    return find


def _drop_cors(run: Run) -> None:
    if not run.inputs.get("corsConfiguration"):
        run.optional("DeleteCorsConfiguration", ApiId=run.id)


API = Resource(
    token="aws:apigatewayv2/api:Api",
    service="apigatewayv2",
    fields={
        "name": Field("Name", computed=True, minimum=1, maximum=128),
        "protocolType": Field("ProtocolType", required=True, replace=True),
        "description": Field("Description", clear="", maximum=1024),
        "version": Field("Version", clear="", maximum=64),
        "corsConfiguration": Field(
            "CorsConfiguration",
            sub={
                "allowCredentials": Field("AllowCredentials", default=False),
                "allowHeaders": Field("AllowHeaders", unordered=True),
                "allowMethods": Field("AllowMethods", unordered=True),
                "allowOrigins": Field("AllowOrigins", unordered=True),
                "exposeHeaders": Field("ExposeHeaders", unordered=True),
                "maxAge": Field("MaxAge", default=0, minimum=-1, maximum=86400),
            },
        ),
        "disableExecuteApiEndpoint": Field("DisableExecuteApiEndpoint", default=False),
        "apiKeySelectionExpression": Field("ApiKeySelectionExpression", default="$request.header.x-api-key"),
        "routeSelectionExpression": Field(
            "RouteSelectionExpression", default="$request.method $request.path"
        ),
        "ipAddressType": Field("IpAddressType", computed=True),
        "routeKey": Field("RouteKey", replace=True, unread=True),
        "target": Field("Target", unread=True),
        "credentialsArn": Field("CredentialsArn", unread=True),
    },
    autoname=AutoName(limit=128),
    id="@ApiId",
    import_id="{id}",
    create=Call(op="CreateApi"),
    read=Call(op="GetApi", params={"ApiId": "{id}"}),
    update=(
        Call(op="UpdateApi", params={"ApiId": "{id}"}),
        Custom(run=_drop_cors, fields=("corsConfiguration",)),
    ),
    delete=Call(op="DeleteApi", params={"ApiId": "{id}"}),
    outputs={
        "arn": "arn:{partition}:apigateway:{region}::/apis/{id}",
        "apiEndpoint": "ApiEndpoint",
        "executionArn": "arn:{partition}:execute-api:{region}:{account}:{id}",
    },
    tags=Tags(
        member="Tags", add="TagResource", remove="UntagResource", target={"ResourceArn": "{arn}"}, read="Tags"
    ),
    unsupported={
        "body": "make the routes with aws.apigatewayv2.Route",
        "failOnWarnings": "it only matters with body",
    },
    find=_find("GetApis", id="ApiId", Name="name"),
)


def _authorizer_rules(values: Values) -> dict[str, str]:
    kind = values.get("authorizerType")
    if kind == "JWT":
        jwt = values.get("jwtConfiguration")
        if jwt is None:
            return {"jwtConfiguration": "is required with authorizerType JWT"}
        if isinstance(jwt, dict):
            for key in ("issuer", "audiences"):
                if jwt.get(key) is None:
                    return {f"jwtConfiguration.{key}": "is required with authorizerType JWT"}
    if kind == "REQUEST" and values.get("authorizerUri") is None:
        return {"authorizerUri": "is required with authorizerType REQUEST"}
    return {}


AUTHORIZER = Resource(
    token="aws:apigatewayv2/authorizer:Authorizer",
    service="apigatewayv2",
    fields={
        "apiId": Field("ApiId", required=True, replace=True),
        "name": Field("Name", computed=True, minimum=1, maximum=128),
        "authorizerType": Field("AuthorizerType", required=True),
        "identitySources": Field("IdentitySource", unordered=True, clear=[]),
        "jwtConfiguration": Field(
            "JwtConfiguration",
            sub={"audiences": Field("Audience", unordered=True), "issuer": Field("Issuer")},
        ),
        "authorizerUri": Field("AuthorizerUri"),
        "authorizerCredentialsArn": Field("AuthorizerCredentialsArn", clear="", pattern=""),
        "authorizerPayloadFormatVersion": Field(
            "AuthorizerPayloadFormatVersion", computed=True, allowed=("1.0", "2.0")
        ),
        "authorizerResultTtlInSeconds": Field(
            "AuthorizerResultTtlInSeconds", computed=True, minimum=0, maximum=3600
        ),
        "enableSimpleResponses": Field("EnableSimpleResponses", default=False),
    },
    autoname=AutoName(limit=128),
    validate=_authorizer_rules,
    id="@AuthorizerId",
    import_id="{apiId}/{id}",
    create=Call(op="CreateAuthorizer"),
    read=Call(op="GetAuthorizer", params={**_API, "AuthorizerId": "{id}"}),
    update=(Call(op="UpdateAuthorizer", params={**_API, "AuthorizerId": "{id}"}),),
    delete=Call(op="DeleteAuthorizer", params={**_API, "AuthorizerId": "{id}"}),
    find=_find("GetAuthorizers", id="AuthorizerId", Name="name"),
    read_after_create=False,
)


def _by_status(given: list[Values]) -> Values:
    return {item["statusCode"]: item["mappings"] for item in given}


def _status_list(found: Values) -> list[Values]:
    return [{"statusCode": status, "mappings": mappings} for status, mappings in sorted(found.items())]


def _each_has(*names: str) -> Callable[[Any], str | None]:
    """A rule: every element is an object with these properties and no others but optional ones given with
    ``?``.
    """
    needed = [name for name in names if not name.endswith("?")]
    allowed = [name.rstrip("?") for name in names]

    def rule(items: Any) -> str | None:
        for i, item in enumerate(items):
            if not isinstance(item, dict):
                return f"[{i}] must be an object with {', '.join(allowed)}"
            for name in needed:
                if item.get(name) is None:
                    return f"[{i}].{name} is required"
            for name in item:
                if name not in allowed:
                    return f"[{i}].{name}: no such property; allowed: {', '.join(allowed)}"
        return None

    return rule


def _integration_rules(values: Values) -> dict[str, str]:
    target = values.get("integrationUri") or values.get("integrationSubtype")
    if target is None and values.get("integrationType") in ("AWS_PROXY", "AWS", "HTTP", "HTTP_PROXY"):
        return {"integrationUri": f"is required with integrationType {values['integrationType']}"}
    return {}


INTEGRATION = Resource(
    token="aws:apigatewayv2/integration:Integration",
    service="apigatewayv2",
    fields={
        "apiId": Field("ApiId", required=True, replace=True),
        "integrationType": Field("IntegrationType", required=True, replace=True),
        "integrationSubtype": Field("IntegrationSubtype", replace=True),
        "integrationUri": Field("IntegrationUri", pattern=""),
        "integrationMethod": Field("IntegrationMethod", computed=True),
        "connectionType": Field("ConnectionType", default="INTERNET"),
        "connectionId": Field("ConnectionId"),
        "contentHandlingStrategy": Field("ContentHandlingStrategy"),
        "credentialsArn": Field("CredentialsArn", clear="", pattern=""),
        "description": Field("Description", clear=""),
        "passthroughBehavior": Field("PassthroughBehavior", computed=True),
        "payloadFormatVersion": Field("PayloadFormatVersion", default="1.0", allowed=("1.0", "2.0")),
        "requestParameters": Field("RequestParameters", clear={}),
        "requestTemplates": Field("RequestTemplates", clear={}),
        "responseParameters": Field(
            "ResponseParameters",
            type="list",
            out=_by_status,
            back=_status_list,
            rule=_each_has("statusCode", "mappings"),
            unordered=True,
        ),
        "templateSelectionExpression": Field("TemplateSelectionExpression", clear=""),
        "timeoutMilliseconds": Field("TimeoutInMillis", computed=True, minimum=50, maximum=30000),
        "tlsConfig": Field("TlsConfig"),
    },
    validate=_integration_rules,
    id="@IntegrationId",
    import_id="{apiId}/{id}",
    create=Call(op="CreateIntegration"),
    read=Call(op="GetIntegration", params={**_API, "IntegrationId": "{id}"}),
    update=(Call(op="UpdateIntegration", params={**_API, "IntegrationId": "{id}"}),),
    delete=Call(op="DeleteIntegration", params={**_API, "IntegrationId": "{id}"}),
    outputs={"integrationResponseSelectionExpression": "IntegrationResponseSelectionExpression"},
    find=_find(
        "GetIntegrations",
        id="IntegrationId",
        IntegrationUri="integrationUri",
        IntegrationType="integrationType",
    ),
    read_after_create=False,
)


def _route_key(value: str) -> str | None:
    method, _, path = value.partition(" ")
    methods = ("ANY", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    if (
        value.startswith("$")
        or (not path and "/" not in value)
        or (method in methods and path.startswith("/"))
    ):
        return None
    return f"must be '<METHOD> /<path>' ({', '.join(methods)}) or $default, not {value!r}"


def _route_rules(values: Values) -> dict[str, str]:
    if values.get("authorizationType") in ("JWT", "CUSTOM") and values.get("authorizerId") is None:
        return {"authorizerId": f"is required with authorizationType {values['authorizationType']}"}
    return {}


ROUTE = Resource(
    token="aws:apigatewayv2/route:Route",
    service="apigatewayv2",
    fields={
        "apiId": Field("ApiId", required=True, replace=True),
        "routeKey": Field("RouteKey", required=True, rule=_route_key),
        "apiKeyRequired": Field("ApiKeyRequired", default=False),
        "authorizationScopes": Field("AuthorizationScopes", unordered=True, clear=[]),
        "authorizationType": Field("AuthorizationType", default="NONE"),
        "authorizerId": Field("AuthorizerId", clear=""),
        "modelSelectionExpression": Field("ModelSelectionExpression", clear=""),
        "operationName": Field("OperationName", clear=""),
        "requestModels": Field("RequestModels", clear={}),
        "requestParameters": Field(
            "RequestParameters",
            type="list",
            unordered=True,
            rule=_each_has("requestParameterKey", "required"),
            out=lambda given: {item["requestParameterKey"]: {"Required": item["required"]} for item in given},
            back=lambda found: [
                {"requestParameterKey": key, "required": item.get("Required", False)}
                for key, item in sorted(found.items())
            ],
        ),
        "routeResponseSelectionExpression": Field("RouteResponseSelectionExpression", clear=""),
        "target": Field("Target", clear=""),
    },
    validate=_route_rules,
    id="@RouteId",
    import_id="{apiId}/{id}",
    create=Call(op="CreateRoute"),
    read=Call(op="GetRoute", params={**_API, "RouteId": "{id}"}),
    update=(Call(op="UpdateRoute", params={**_API, "RouteId": "{id}"}),),
    delete=Call(op="DeleteRoute", params={**_API, "RouteId": "{id}"}),
    find=_find("GetRoutes", id="RouteId", RouteKey="routeKey"),
    read_after_create=False,
)


def _invoke_url(run: Run, result: Any) -> str:
    if run.state.get("invokeUrl"):
        return str(run.state["invokeUrl"])
    endpoint = run.call("GetApi", ApiId=run.value("apiId"))["ApiEndpoint"].rstrip("/")
    name = run.value("name")
    return f"{endpoint}/" if name == "$default" else f"{endpoint}/{name}"


def _route_settings(given: list[Values]) -> Values:
    names = {
        "dataTraceEnabled": "DataTraceEnabled",
        "detailedMetricsEnabled": "DetailedMetricsEnabled",
        "loggingLevel": "LoggingLevel",
        "throttlingBurstLimit": "ThrottlingBurstLimit",
        "throttlingRateLimit": "ThrottlingRateLimit",
    }
    return {
        item["routeKey"]: {names[key]: value for key, value in item.items() if key in names} for item in given
    }


def _route_settings_list(found: Values) -> list[Values]:
    return [
        {"routeKey": key, **{name[0].lower() + name[1:]: value for name, value in item.items()}}
        for key, item in sorted(found.items())
    ]


_THROTTLING = {
    "dataTraceEnabled": Field(default=False),
    "detailedMetricsEnabled": Field(default=False),
    "loggingLevel": Field(computed=True),
    "throttlingBurstLimit": Field(computed=True),
    "throttlingRateLimit": Field(computed=True),
}

STAGE = Resource(
    token="aws:apigatewayv2/stage:Stage",
    service="apigatewayv2",
    fields={
        "apiId": Field("ApiId", required=True, replace=True),
        "name": Field(
            "StageName",
            replace=True,
            computed=True,
            minimum=1,
            maximum=128,
            rule=rules.matches(
                r"\$default|[A-Za-z0-9_-]+", "letters, digits, hyphens and underscores, or be $default"
            ),
        ),
        "autoDeploy": Field("AutoDeploy", default=False),
        "accessLogSettings": Field(
            "AccessLogSettings",
            clear={},
            sub={"destinationArn": Field(required=True, pattern=""), "format": Field(required=True)},
        ),
        "clientCertificateId": Field("ClientCertificateId"),
        "defaultRouteSettings": Field("DefaultRouteSettings", computed=True, sub=_THROTTLING),
        "deploymentId": Field("DeploymentId", computed=True),
        "description": Field("Description", clear="", maximum=1024),
        "routeSettings": Field(
            "RouteSettings",
            type="list",
            unordered=True,
            out=_route_settings,
            back=_route_settings_list,
            clear={},
            rule=_each_has("routeKey", *(f"{name}?" for name in _THROTTLING)),
        ),
        "stageVariables": Field("StageVariables", clear={}),
    },
    autoname=AutoName(limit=128),
    identity=("apiId", "name"),
    id="{name}",
    import_id="{apiId}/{name}",
    create=Call(op="CreateStage"),
    read=Call(op="GetStage", params={**_API, "StageName": "{name}"}),
    update=(Call(op="UpdateStage", params={**_API, "StageName": "{name}"}),),
    delete=Call(op="DeleteStage", params={**_API, "StageName": "{name}"}),
    outputs={
        "arn": "arn:{partition}:apigateway:{region}::/apis/{apiId}/stages/{name}",
        "executionArn": "arn:{partition}:execute-api:{region}:{account}:{apiId}/{name}",
        "invokeUrl": _invoke_url,
    },
    tags=Tags(
        member="Tags", add="TagResource", remove="UntagResource", target={"ResourceArn": "{arn}"}, read="Tags"
    ),
    read_after_create=False,
)

RESOURCES = (API, AUTHORIZER, INTEGRATION, ROUTE, STAGE)
