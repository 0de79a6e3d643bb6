"""``aws:ec2/routeTable``, ``route`` and ``routeTableAssociation``."""

import zlib
from typing import Any

from sandbox.providers.aws.errors import Refused
from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.resources._ec2_common import (
    NO_IPV6,
    arn,
    filters,
    network,
    one,
    only,
    tagged_alike,
    tags,
)
from sandbox.providers.aws.table import Call, Custom, Field, Resource, Values
from sandbox.providers.server import ProviderError

_TARGETS = {
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "transitGatewayId": "TransitGatewayId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
}
_NO_TARGET = f"the emulator's routes lead to {', '.join(_TARGETS)}"
_NO_DESTINATION = "the emulator's routes are for IPv4 networks (destinationCidrBlock)"


def _routes_problem(routes: list[Any]) -> str | None:
    for i, route in enumerate(routes):
        if not isinstance(route, dict):
            return f"[{i}] must be an object with cidrBlock and a target"
        given = {name: value for name, value in route.items() if value not in (None, "")}
        unknown = sorted(set(given) - {"cidrBlock", *_TARGETS})
        if unknown:
            return f"[{i}].{unknown[0]}: no such property here; allowed: cidrBlock, {', '.join(_TARGETS)}"
        if "cidrBlock" not in given:
            return f"[{i}].cidrBlock is required"
        wrong = network(str(given["cidrBlock"]))
        if wrong:
            return f"[{i}].cidrBlock {wrong}"
        if len(given) != 2:
            return f"[{i}] must have one target: {', '.join(_TARGETS)}"
    blocks = [route["cidrBlock"] for route in routes]
    return "must not have two routes for the same cidrBlock" if len(set(blocks)) < len(blocks) else None


def _inline_routes(table: Values) -> list[Values]:
    """Routes as the program gives them: without those that AWS makes."""
    found = []
    for route in table["Routes"]:
        made = route.get("Origin") in ("CreateRouteTable", "EnableVgwRoutePropagation")
        if made or str(route.get("GatewayId", "")).startswith("vpce-"):
            continue
        item = {name: route[member] for name, member in _TARGETS.items() if route.get(member)}
        found.append({"cidrBlock": route.get("DestinationCidrBlock"), **item})
    return found


def _members(route: Values, destination: str) -> Values:
    targets = {member: route[name] for name, member in _TARGETS.items() if route.get(name)}
    return {"DestinationCidrBlock": route[destination], **targets}


def _read_table(run: Run) -> Values | None:
    return one(run, "DescribeRouteTables", "RouteTables", RouteTableIds=[run.id])


def _set_routes(run: Run) -> None:
    wanted = run.inputs.get("routes")
    if wanted is None:
        return
    before = {route["cidrBlock"]: route for route in _inline_routes(_read_table(run) or {"Routes": []})}
    after = {
        route["cidrBlock"]: {name: value for name, value in route.items() if value not in (None, "")}
        for route in wanted
    }
    for block in before.keys() - after.keys():
        run.call("DeleteRoute", RouteTableId=run.id, DestinationCidrBlock=block)
    for block, route in after.items():
        if before.get(block) != route:
            op = "ReplaceRoute" if block in before else "CreateRoute"
            run.call(op, RouteTableId=run.id, **_members(route, "cidrBlock"))


def _delete_table(run: Run) -> None:
    """A table in use can't be deleted: it is taken from its subnets, as the official provider does."""
    for item in (_read_table(run) or {}).get("Associations") or []:
        if not item.get("Main"):
            run.optional("DisassociateRouteTable", AssociationId=item["RouteTableAssociationId"])
    run.call("DeleteRouteTable", RouteTableId=run.id)


def _find_table(run: Run) -> str | None:
    """A table of our VPC with our tags that no subnet uses yet."""
    tables = run.call("DescribeRouteTables", Filters=filters(vpc_id=run.inputs["vpcId"]))["RouteTables"]
    return only(
        [item["RouteTableId"] for item in tables if tagged_alike(run, item) and not item["Associations"]]
    )


ROUTE_TABLE = Resource(
    token="aws:ec2/routeTable:RouteTable",
    service="ec2",
    fields={
        "vpcId": Field("VpcId", required=True, replace=True),
        "routes": Field(
            local=True, type="list", read=_inline_routes, computed=True, unordered=True, rule=_routes_problem
        ),
    },
    id="@RouteTableId",
    import_id="{id}",
    create=Call(op="CreateRouteTable", result="RouteTable"),
    read=_read_table,
    update=(Custom(run=_set_routes, fields=("routes",), on_create=True),),
    delete=_delete_table,
    outputs={"arn": arn("route-table"), "ownerId": "OwnerId"},
    tags=tags("route-table"),
    unsupported={"propagatingVgws": "the emulator's tables take no routes from VPN gateways"},
    find=_find_table,
)


def _read_route(run: Run) -> Values | None:
    table, block = run.value("routeTableId"), run.value("destinationCidrBlock")
    found = one(run, "DescribeRouteTables", "RouteTables", RouteTableIds=[table])
    for route in (found or {}).get("Routes") or []:
        if route.get("DestinationCidrBlock") == block:
            return {**route, "RouteTableId": table, "Id": _route_id(table, block)}
    return None


def _route_id(table: str, destination: str) -> str:
    return f"r-{table}{zlib.crc32(destination.encode())}"


@creates("CreateRoute")
def _create_route(run: Run) -> Values:
    table, block = run.inputs["routeTableId"], run.inputs["destinationCidrBlock"]
    if _read_route(run) is not None:
        reason = f"{table} has a route for {block} already: import it or take it away"
        raise Refused("ec2", "CreateRoute", "RouteAlreadyExists", reason, 400)
    run.call("CreateRoute", RouteTableId=table, **_members(run.inputs, "destinationCidrBlock"))
    return _read_route(run) or {}


def _replace_route(run: Run) -> None:
    members = _members(run.inputs, "destinationCidrBlock")
    run.call("ReplaceRoute", RouteTableId=run.inputs["routeTableId"], **members)


def _parse_route(run: Run) -> None:
    table, _, block = run.id.partition("_")
    if not table.startswith("rtb-") or not block:
        raise ProviderError(f"a route's id to import must be <route table>_<network>, not {run.id!r}")
    run.state = {"routeTableId": table, "destinationCidrBlock": block}
    run.id = _route_id(table, block)


def _find_route(run: Run) -> str | None:
    found = _read_route(run)
    return None if found is None else str(found["Id"])


def _route_rules(values: Values) -> dict[str, str]:
    if sum(values.get(name) is not None for name in _TARGETS) != 1:
        return {"gatewayId": f"a route has one target: {', '.join(_TARGETS)}"}
    return {}


ROUTE = Resource(
    token="aws:ec2/route:Route",
    service="ec2",
    fields={
        "routeTableId": Field("RouteTableId", required=True, replace=True),
        "destinationCidrBlock": Field("DestinationCidrBlock", required=True, replace=True, rule=network),
        **{name: Field(member) for name, member in _TARGETS.items()},
    },
    identity=("routeTableId", "destinationCidrBlock"),
    validate=_route_rules,
    id="@Id",
    import_id=_parse_route,
    create=_create_route,
    read=_read_route,
    update=(Custom(run=_replace_route, fields=tuple(_TARGETS)),),
    delete=Call(
        op="DeleteRoute",
        params={"RouteTableId": "{routeTableId}", "DestinationCidrBlock": "{destinationCidrBlock}"},
    ),
    outputs={"origin": "Origin", "state": "State"},
    volatile=("state",),
    unsupported={
        "destinationIpv6CidrBlock": NO_IPV6,
        "destinationPrefixListId": _NO_DESTINATION,
        **dict.fromkeys(
            (
                "carrierGatewayId",
                "coreNetworkArn",
                "egressOnlyGatewayId",
                "localGatewayId",
                "networkInterfaceId",
                "odbNetworkArn",
                "vpcEndpointId",
            ),
            _NO_TARGET,
        ),
    },
    find=_find_route,
)


def _read_association(run: Run) -> Values | None:
    """By its subnet, as a new route table gives the association a new id."""
    wanted = filters(association__subnet_id=run.value("subnetId"))
    for table in run.call("DescribeRouteTables", Filters=wanted)["RouteTables"]:
        for item in table["Associations"]:
            if item.get("SubnetId") == run.value("subnetId"):
                found: Values = item
                return found
    return None


@creates("AssociateRouteTable")
def _associate(run: Run) -> Values:
    subnet, table = run.inputs["subnetId"], run.inputs["routeTableId"]
    there = _read_association(run)
    if there is not None:
        reason = f"{subnet} has a route table already ({there['RouteTableId']})"
        raise Refused("ec2", "AssociateRouteTable", "Resource.AlreadyAssociated", reason, 400)
    answer = run.call("AssociateRouteTable", SubnetId=subnet, RouteTableId=table)
    return {
        "RouteTableAssociationId": answer["AssociationId"],
        "SubnetId": subnet,
        "RouteTableId": table,
    }


def _reassociate(run: Run) -> None:
    there = _read_association(run)
    if there is None:
        raise ProviderError(f"{run.value('subnetId')} has lost its route table: run 'pulumi refresh'")
    run.call(
        "ReplaceRouteTableAssociation",
        AssociationId=there["RouteTableAssociationId"],
        RouteTableId=run.inputs["routeTableId"],
    )


def _disassociate(run: Run) -> None:
    there = _read_association(run)
    if there is not None:
        run.call("DisassociateRouteTable", AssociationId=there["RouteTableAssociationId"])


def _parse_association(run: Run) -> None:
    subnet, _, table = run.id.partition("/")
    if not subnet or not table:
        raise ProviderError(f"an association's id to import must be <subnet>/<route table>, not {run.id!r}")
    run.state = {"subnetId": subnet, "routeTableId": table}
    run.id = _find_association(run) or run.id


def _find_association(run: Run) -> str | None:
    found = _read_association(run)
    return None if found is None else str(found["RouteTableAssociationId"])


ROUTE_TABLE_ASSOCIATION = Resource(
    token="aws:ec2/routeTableAssociation:RouteTableAssociation",
    service="ec2",
    fields={
        "routeTableId": Field("RouteTableId", required=True),
        "subnetId": Field("SubnetId", required=True, replace=True),
    },
    identity=("subnetId",),
    id="@RouteTableAssociationId",
    import_id=_parse_association,
    create=_associate,
    read=_read_association,
    update=(Custom(run=_reassociate, fields=("routeTableId",)),),
    delete=_disassociate,
    unsupported={"gatewayId": "the emulator associates route tables with subnets only"},
    find=_find_association,
    read_after_create=False,
)
