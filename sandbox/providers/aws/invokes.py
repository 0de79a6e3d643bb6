"""Functions (``aws:...:get...``) of the provider."""

import base64
from collections.abc import Callable
from typing import Any

from sandbox.providers.aws.clients import Clients
from sandbox.providers.server import ProviderError
from sandbox.providers.wire import Properties

Values = dict[str, Any]


def _caller_identity(clients: Clients, args: Values) -> Properties:
    found = clients.call("sts", clients.settings.region, "GetCallerIdentity", {})
    return Properties(
        {
            "accountId": found["Account"],
            "arn": found["Arn"],
            "userId": found["UserId"],
            "id": found["Account"],
        }
    )


_REGIONS = {
    "ca-central-1": "Canada (Central)",
    "ca-west-1": "Canada West (Calgary)",
    "eu-central-1": "Europe (Frankfurt)",
    "eu-west-1": "Europe (Ireland)",
    "eu-west-2": "Europe (London)",
    "eu-west-3": "Europe (Paris)",
    "us-east-1": "US East (N. Virginia)",
    "us-east-2": "US East (Ohio)",
    "us-west-2": "US West (Oregon)",
}


def _region(clients: Clients, args: Values) -> Properties:
    region = str(args.get("region") or args.get("name") or clients.settings.region)
    return Properties(
        {
            "region": region,
            "name": region,
            "id": region,
            "description": _REGIONS.get(region, region),
            "endpoint": f"ec2.{region}.amazonaws.com",
        }
    )


def _partition(clients: Clients, args: Values) -> Properties:
    return Properties(
        {
            "partition": "aws",
            "id": "aws",
            "dnsSuffix": "amazonaws.com",
            "reverseDnsPrefix": "com.amazonaws",
        }
    )


def _authorization_token(clients: Clients, args: Values) -> Properties:
    region = str(args.get("region") or clients.settings.region)
    params = {"registryIds": [args["registryId"]]} if args.get("registryId") else {}
    found = clients.call("ecr", region, "GetAuthorizationToken", params)["authorizationData"][0]
    user, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
    values = {
        "authorizationToken": found["authorizationToken"],
        "userName": user,
        "password": password,
        "proxyEndpoint": found["proxyEndpoint"],
        "expiresAt": found["expiresAt"].isoformat(),
        "region": region,
        "id": region,
    }
    if args.get("registryId"):
        values["registryId"] = args["registryId"]
    return Properties(values, {("authorizationToken",), ("password",)})


_ZONE_FILTERS = {
    "group-name": "GroupName",
    "opt-in-status": "OptInStatus",
    "region-name": "RegionName",
    "state": "State",
    "zone-id": "ZoneId",
    "zone-name": "ZoneName",
    "zone-type": "ZoneType",
}


def _availability_zones(clients: Clients, args: Values) -> Properties:
    region = str(args.get("region") or clients.settings.region)
    zones = clients.call("ec2", region, "DescribeAvailabilityZones", {})["AvailabilityZones"]
    # Filtered here: the emulator would ignore it.
    wanted = {item["name"]: item["values"] for item in args.get("filters") or []}
    if args.get("state"):
        wanted["state"] = [args["state"]]
    for name, values in wanted.items():
        if name not in _ZONE_FILTERS:
            known = ", ".join(_ZONE_FILTERS)
            raise ProviderError(f"getAvailabilityZones: no filter {name!r} here; there are: {known}")
        zones = [zone for zone in zones if zone.get(_ZONE_FILTERS[name]) in values]
    left = sorted(
        (zone["ZoneName"], zone["ZoneId"], zone["GroupName"])
        for zone in zones
        if zone["ZoneName"] not in (args.get("excludeNames") or [])
        and zone["ZoneId"] not in (args.get("excludeZoneIds") or [])
    )
    return Properties(
        {
            **{name: value for name, value in args.items() if value is not None},
            "id": region,
            "region": region,
            "names": [name for name, _, _ in left],
            "zoneIds": [zone for _, zone, _ in left],
            "groupNames": sorted({group for _, _, group in left}),
        }
    )


INVOKES: dict[str, Callable[[Clients, Values], Properties]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _caller_identity,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getAvailabilityZones:getAvailabilityZones": _availability_zones,
    "aws:index/getPartition:getPartition": _partition,
    "aws:ecr/getAuthorizationToken:getAuthorizationToken": _authorization_token,
}


def invoke(clients: Clients, token: str, args: Values) -> Properties:
    """Calls a function. Raises :class:`ProviderError` for one that isn't in the table."""
    function = INVOKES.get(token)
    if function is None:
        raise ProviderError(
            f"the sandbox's aws provider doesn't have the function {token} yet: add it to INVOKES in"
            " sandbox/providers/aws/invokes.py"
        )
    return function(clients, args)
