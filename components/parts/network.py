"""A network for tasks, a load balancer and a database: one of its own, or given subnets."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, get_availability_zones_output, get_region_output, vpc

ZONES = 2
"""A load balancer and a database want two zones; more would cost nothing and bring nothing here."""
PREFIX_LENGTH = (16, 24)
"""AWS takes networks of /16 to /28; a quarter of a /24 still has room for 59 tasks."""
ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    cidr: str | None = None
    """Makes a network of these addresses, a /16 to a /24; give this, or the four below."""
    vpc_id: str | None = None
    public_subnets: Sequence[str] | None = None
    """Ids of subnets with a route to an internet gateway, in two zones or more: for the load balancer."""
    private_subnets: Sequence[str] | None = None
    """Ids of subnets without one, in two zones or more: for the database."""
    nat: bool | None = None
    """True: the private subnets reach the internet, and tasks run there, without public addresses."""
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        given = [self.vpc_id, self.public_subnets, self.private_subnets]
        if self.cidr is not None:
            if any(item is not None for item in given) or self.nat:
                raise ValueError("network: give either cidr, or vpc_id, public_subnets and private_subnets")
            problem = cidr_problem(self.cidr)
            if problem:
                raise ValueError(f"cidr {problem}")
        elif any(item is None for item in given):
            raise ValueError("network: give either cidr, or vpc_id, public_subnets and private_subnets")
        elif min(len(self.public_subnets or ()), len(self.private_subnets or ())) < ZONES:
            raise ValueError(f"public_subnets and private_subnets must be {ZONES} or more each")


class Network(pulumi.ComponentResource):
    """Two public and two private subnets, with free gateway endpoints for S3 and DynamoDB.

    Without a NAT gateway, which costs more a month than all the rest while idle: tasks have public addresses
    and no way in, since their security groups have no ingress but the load balancer's.
    """

    vpc_id: pulumi.Output[str]
    public_subnets: pulumi.Output[Sequence[str]]
    private_subnets: pulumi.Output[Sequence[str]]
    task_subnets: pulumi.Output[Sequence[str]]
    """Where tasks run."""
    public_ip: pulumi.Output[bool]
    """Whether tasks have public addresses."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = NetworkArgs(**args) if isinstance(args, dict) else args
        super().__init__("benchtop:index:Network", name, {}, opts)
        if args.cidr is not None:
            self._make(name, args.cidr, args.tags)
        else:
            self.vpc_id = pulumi.Output.from_input(args.vpc_id or "")
            self.public_subnets = pulumi.Output.from_input(list(args.public_subnets or ()))
            self.private_subnets = pulumi.Output.from_input(list(args.private_subnets or ()))
        self.task_subnets = self.private_subnets if args.nat else self.public_subnets
        self.public_ip = pulumi.Output.from_input(not args.nat)
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "public_subnets": self.public_subnets,
                "private_subnets": self.private_subnets,
                "task_subnets": self.task_subnets,
                "public_ip": self.public_ip,
            }
        )

    def _make(self, name: str, cidr: str, tags: Mapping[str, str] | None) -> None:
        child = pulumi.ResourceOptions(parent=self)
        invoke = pulumi.InvokeOutputOptions(parent=self)
        # Names in the console come from this tag alone.
        named = {**(tags or {}), "Name": name}
        network = ec2.Vpc(
            f"{name}-vpc",
            cidr_block=cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=named,
            opts=child,
        )
        gateway = ec2.InternetGateway(f"{name}-gateway", vpc_id=network.id, tags=named, opts=child)
        public = ec2.RouteTable(
            f"{name}-public-routes",
            vpc_id=network.id,
            routes=[{"cidr_block": ANYWHERE, "gateway_id": gateway.id}],
            tags={**named, "Name": f"{name}-public"},
            opts=child,
        )
        private = ec2.RouteTable(
            f"{name}-private-routes",
            vpc_id=network.id,
            tags={**named, "Name": f"{name}-private"},
            opts=child,
        )
        zones = get_availability_zones_output(state="available", opts=invoke).names
        blocks = subnets_of(cidr)
        made: dict[str, list[pulumi.Output[str]]] = {"public": [], "private": []}
        for kind, table, first in (("public", public, 0), ("private", private, ZONES)):
            for number in range(ZONES):
                subnet = ec2.Subnet(
                    f"{name}-{kind}-{number + 1}",
                    vpc_id=network.id,
                    cidr_block=blocks[first + number],
                    availability_zone=zones[number],
                    # Tasks ask for their address themselves.
                    map_public_ip_on_launch=False,
                    tags={**named, "Name": f"{name}-{kind}-{number + 1}"},
                    opts=child,
                )
                route = ec2.RouteTableAssociation(
                    f"{name}-{kind}-{number + 1}-routes",
                    subnet_id=subnet.id,
                    route_table_id=table.id,
                    opts=child,
                )
                # Known when it has its routes: a task that starts before can't fetch its image.
                made[kind].append(pulumi.Output.all(subnet.id, route.id).apply(lambda ids: str(ids[0])))
        region = get_region_output(opts=invoke).region
        for service in ("s3", "dynamodb"):
            ec2.VpcEndpoint(
                f"{name}-{service}",
                vpc_id=network.id,
                service_name=region.apply(
                    lambda region, service=service: f"com.amazonaws.{region}.{service}"
                ),
                vpc_endpoint_type="Gateway",
                route_table_ids=[public.id, private.id],
                tags={**named, "Name": f"{name}-{service}"},
                opts=child,
            )
        self.vpc_id = network.id
        self.public_subnets = pulumi.Output.all(*made["public"])
        self.private_subnets = pulumi.Output.all(*made["private"])


def cidr_problem(cidr: str) -> str | None:
    """Why addresses can't make a network, None when they can.

    >>> cidr_problem("10.40.0.0/20"), cidr_problem("10.40.0.1/20") is None
    (None, False)
    """
    low, high = PREFIX_LENGTH
    rule = f"a private network like 10.40.0.0/20, from /{low} to /{high}"
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        return f"{cidr!r} is no network ({error}); allowed: {rule}"
    if not network.is_private or not low <= network.prefixlen <= high:
        return f"{cidr!r} is not fit; allowed: {rule}"
    return None


def subnets_of(cidr: str) -> list[str]:
    """Four equal parts.

    >>> subnets_of("10.40.0.0/20")[:2]
    ['10.40.0.0/22', '10.40.4.0/22']
    """
    return [str(part) for part in ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=2)]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """TCP to or from one peer: addresses, or another security group. ``role`` names the rule's resource."""

    role: str
    port: int
    why: str
    cidr: str | None = None
    group: pulumi.Input[str] | None = None


def security_group(
    name: str,
    *,
    parent: pulumi.Resource,
    vpc_id: pulumi.Input[str],
    description: str,
    tags: Mapping[str, str] | None = None,
) -> ec2.SecurityGroup:
    """A group that lets nothing through, in or out: rules are added apart, since groups name each other."""
    return ec2.SecurityGroup(
        name,
        vpc_id=vpc_id,
        description=description,
        tags={**(tags or {}), "Name": name},
        opts=pulumi.ResourceOptions(parent=parent),
    )


def let_in(name: str, rule: Rule, *, parent: pulumi.Resource, to: pulumi.Input[str]) -> pulumi.Resource:
    """An ingress rule of the group ``to``."""
    made: pulumi.Resource = vpc.SecurityGroupIngressRule(
        f"{name}-in-{rule.role}",
        security_group_id=to,
        opts=pulumi.ResourceOptions(parent=parent),
        **_peer(rule),
    )
    return made


def let_out(name: str, rule: Rule, *, parent: pulumi.Resource, of: pulumi.Input[str]) -> pulumi.Resource:
    """An egress rule of the group ``of``."""
    made: pulumi.Resource = vpc.SecurityGroupEgressRule(
        f"{name}-out-{rule.role}",
        security_group_id=of,
        opts=pulumi.ResourceOptions(parent=parent),
        **_peer(rule),
    )
    return made


def _peer(rule: Rule) -> dict[str, pulumi.Input[str] | int | None]:
    return {
        "ip_protocol": "tcp",
        "from_port": rule.port,
        "to_port": rule.port,
        "cidr_ipv4": rule.cidr,
        "referenced_security_group_id": rule.group,
        "description": rule.why,
    }
