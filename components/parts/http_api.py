"""An HTTP API in front of one Lambda function, every route behind a Cognito user pool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import apigatewayv2, cloudwatch, lambda_

ACCESS_LOG = {
    "time": "$context.requestTime",
    "request": "$context.requestId",
    "route": "$context.routeKey",
    "status": "$context.status",
    "latency_ms": "$context.responseLatency",
    "error": "$context.error.message",
    "caller": "$context.authorizer.claims.sub",
}
"""Fields of the access log: who and what, no header and no token."""


@dataclass(frozen=True, kw_only=True)
class JwtHttpApiArgs:
    api_name: str
    function_name: pulumi.Input[str]
    function_invoke_arn: pulumi.Input[str]
    routes: Sequence[str]
    """Like ``GET /runs/{id}``; each is made, each is authorised."""
    user_pool_id: pulumi.Input[str]
    user_pool_client_id: pulumi.Input[str]
    """The audience that tokens must be made for."""
    log_days: int
    origins: Sequence[str] | None = None
    rate_per_s: int | None = None
    """Requests a second, all callers together; 20 when None, with bursts of twice as many."""
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for route in self.routes:
            method, _, path = route.partition(" ")
            if method not in ("GET", "POST", "PUT", "PATCH", "DELETE") or not path.startswith("/"):
                raise ValueError(f"routes must look like 'GET /runs', got {route!r}")
        if "*" in (self.origins or ()):
            raise ValueError("origins must be named, got '*'")


class JwtHttpApi(pulumi.ComponentResource):
    """API, authoriser, integration, routes, stage with access log, permission to call the function."""

    url: pulumi.Output[str]
    api_id: pulumi.Output[str]

    def __init__(self, name: str, args: JwtHttpApiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = JwtHttpApiArgs(**args) if isinstance(args, dict) else args
        super().__init__("benchtop:index:JwtHttpApi", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        methods = sorted({route.partition(" ")[0] for route in args.routes})
        api = apigatewayv2.Api(
            f"{name}-api",
            name=args.api_name,
            protocol_type="HTTP",
            cors_configuration={
                "allow_origins": list(args.origins),
                "allow_methods": [*methods, "OPTIONS"],
                "allow_headers": ["authorization", "content-type"],
                "max_age": 3000,
            }
            if args.origins
            else None,
            tags=args.tags,
            opts=child,
        )
        authorizer = apigatewayv2.Authorizer(
            f"{name}-authorizer",
            api_id=api.id,
            name="cognito",
            authorizer_type="JWT",
            identity_sources=["$request.header.Authorization"],
            jwt_configuration={
                "issuer": pulumi.Output.from_input(args.user_pool_id).apply(issuer),
                "audiences": [args.user_pool_client_id],
            },
            opts=child,
        )
        integration = apigatewayv2.Integration(
            f"{name}-integration",
            api_id=api.id,
            integration_type="AWS_PROXY",
            integration_method="POST",
            integration_uri=args.function_invoke_arn,
            payload_format_version="2.0",
            opts=child,
        )
        routes = [
            apigatewayv2.Route(
                f"{name}-{route_slug(route)}",
                api_id=api.id,
                route_key=route,
                authorization_type="JWT",
                authorizer_id=authorizer.id,
                target=pulumi.Output.concat("integrations/", integration.id),
                opts=child,
            )
            for route in args.routes
        ]
        logs = cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/aws/vendedlogs/apigateway/{args.api_name}",
            retention_in_days=args.log_days,
            tags=args.tags,
            opts=child,
        )
        rate = args.rate_per_s or 20
        stage = apigatewayv2.Stage(
            f"{name}-stage",
            api_id=api.id,
            name="$default",
            auto_deploy=True,
            access_log_settings={
                "destination_arn": logs.arn,
                "format": pulumi.Output.json_dumps(ACCESS_LOG),
            },
            default_route_settings={
                "throttling_rate_limit": float(rate),
                "throttling_burst_limit": 2 * rate,
            },
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=routes),
        )
        lambda_.Permission(
            f"{name}-permission",
            action="lambda:InvokeFunction",
            function=args.function_name,
            principal="apigateway.amazonaws.com",
            source_arn=pulumi.Output.concat(api.execution_arn, "/*/*"),
            opts=child,
        )
        # The stage is where the API answers: without it the URL would be known too early.
        self.url = pulumi.Output.all(api.api_endpoint, stage.id).apply(lambda made: str(made[0]))
        self.api_id = api.id
        self.register_outputs({"url": self.url, "api_id": self.api_id})


def issuer(user_pool_id: str) -> str:
    """Issuer of a user pool's tokens; a pool's id begins with its region.

    >>> issuer("eu-west-3_AbCdEf")
    'https://cognito-idp.eu-west-3.amazonaws.com/eu-west-3_AbCdEf'
    """
    return f"https://cognito-idp.{user_pool_id.partition('_')[0]}.amazonaws.com/{user_pool_id}"


def route_slug(route: str) -> str:
    """Name of a route's resource.

    >>> route_slug("POST /runs/{id}/stop")
    'route-post-runs-id-stop'
    """
    letters = "".join(character if character.isalnum() else " " for character in route.lower())
    return "-".join(["route", *letters.split()])
