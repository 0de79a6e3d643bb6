"""The provider's own configuration: taken as the official provider takes it, plus one refusal.

This provider is for emulators. It refuses to start without an explicit endpoint, or with one that isn't on
this machine, so that it can never reach a real account.
"""

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sandbox.providers.aws.checks import suggestion
from sandbox.providers.server import Failure
from sandbox.providers.wire import UNKNOWN, has_unknown

KNOWN = frozenset(
    [
        "accessKey",
        "allowedAccountIds",
        "assumeRoles",
        "assumeRoleWithWebIdentity",
        "customCaBundle",
        "defaultTags",
        "ec2MetadataServiceEndpoint",
        "ec2MetadataServiceEndpointMode",
        "endpoints",
        "forbiddenAccountIds",
        "httpProxy",
        "httpsProxy",
        "ignoreTags",
        "insecure",
        "maxRetries",
        "noProxy",
        "profile",
        "region",
        "retryMode",
        "s3UsEast1RegionalEndpoint",
        "s3UsePathStyle",
        "secretKey",
        "sharedConfigFiles",
        "sharedCredentialsFiles",
        "skipCredentialsValidation",
        "skipMetadataApiCheck",
        "skipRegionValidation",
        "skipRequestingAccountId",
        "stsRegion",
        "tagPolicyCompliance",
        "token",
        "tokenBucketRateLimiterCapacity",
        "useDualstackEndpoint",
        "useFipsEndpoint",
        "userAgents",
        "version",
        "pluginDownloadURL",
    ]
)
_NESTED = (
    "defaultTags",
    "endpoints",
    "ignoreTags",
    "allowedAccountIds",
    "forbiddenAccountIds",
    "assumeRoles",
)
_BRIDGE = ipaddress.ip_network("172.16.0.0/12")
"""Where Docker puts its bridges."""


@dataclass(frozen=True)
class Settings:
    """Everything a client needs; ``endpoints`` is by service, ``""`` for all others."""

    region: str
    endpoints: Mapping[str, str]
    access_key: str | None = None
    secret_key: str | None = None
    token: str | None = None
    default_tags: dict[str, str] = field(default_factory=dict)

    def endpoint(self, service: str) -> str:
        """URL for botocore's name of a service."""
        for name in (service, service.replace("-", ""), _ALIASES.get(service, service)):
            if name in self.endpoints:
                return self.endpoints[name]
        override = os.environ.get(f"AWS_ENDPOINT_URL_{service.replace('-', '_').upper()}")
        return override or self.endpoints[""]


_ALIASES = {
    "stepfunctions": "sfn",
    "logs": "cloudwatchlogs",
    "events": "cloudwatchevents",
    "cognito-idp": "cognitoidp",
    "cognito-identity": "cognitoidentity",
    "elasticbeanstalk": "beanstalk",
    "elbv2": "elasticloadbalancingv2",
}


def _nested(args: Mapping[str, Any], key: str) -> Any:
    """Nested configuration crosses the wire as JSON text."""
    value = args.get(key)
    if isinstance(value, str):
        return json.loads(value)
    return value


def _local(url: str) -> bool:
    host = (urlsplit(url).hostname or "").lower()
    if host in ("localhost", "host.docker.internal") or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address in _BRIDGE


def problems(args: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> list[Failure]:
    """What is wrong with the provider's configuration; one line each."""
    found = [
        Failure(key, f"the aws provider has no setting '{key}'.{suggestion(key, KNOWN)}")
        for key in args
        if key not in KNOWN and not key.startswith("__")
    ]
    for key in _NESTED:
        try:
            _nested(args, key)
        except ValueError as problem:
            found.append(Failure(key, f"must be JSON: {problem}"))
            return found
    if has_unknown(dict(args)):
        return found
    urls = _endpoints(args, environment)
    if not urls:
        found.append(
            Failure(
                "endpoints",
                "this is the sandbox's aws provider: it needs an explicit endpoint on this machine, in"
                " AWS_ENDPOINT_URL or in the provider's 'endpoints' (eval \"$(./dev env)\" sets it)",
            )
        )
    for service, url in sorted(urls.items()):
        if not _local(url):
            found.append(
                Failure(
                    "endpoints",
                    f"{url} ({service or 'AWS_ENDPOINT_URL'}) isn't on this machine: the sandbox's aws"
                    " provider only speaks to a loopback or Docker bridge (172.16.0.0/12) address, never to"
                    " an account",
                )
            )
    region = args.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if not region:
        found.append(
            Failure("region", "is required: set aws:region in the stack's configuration or AWS_REGION")
        )
    return found


def _endpoints(args: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    found = {
        key.removeprefix("AWS_ENDPOINT_URL").strip("_").lower().replace("_", "-"): value
        for key, value in environment.items()
        if key.startswith("AWS_ENDPOINT_URL") and value
    }
    for group in _nested(args, "endpoints") or []:
        found.update({service: url for service, url in group.items() if url and url is not UNKNOWN})
    return found


def settings(args: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of checked configuration."""
    tags = (_nested(args, "defaultTags") or {}).get("tags") or {}
    endpoints = _endpoints(args, environment)
    endpoints.setdefault("", next(iter(endpoints.values()), ""))
    return Settings(
        region=str(
            args.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or ""
        ),
        endpoints=endpoints,
        access_key=args.get("accessKey") or environment.get("AWS_ACCESS_KEY_ID"),
        secret_key=args.get("secretKey") or environment.get("AWS_SECRET_ACCESS_KEY"),
        token=args.get("token") or environment.get("AWS_SESSION_TOKEN"),
        default_tags={str(key): str(value) for key, value in tags.items()},
    )
