"""``aws:ec2/vpc``, ``subnet`` and ``internetGateway``."""

from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.resources._ec2_common import (
    NO_IPAM,
    NO_IPV6,
    NO_OUTPOST,
    arn,
    block,
    filters,
    one,
    only,
    tagged_alike,
    tags,
)
from sandbox.providers.aws.table import Call, Custom, Field, Resource, Values


def _read_vpc(run: Run) -> Values | None:
    found = one(run, "DescribeVpcs", "Vpcs", VpcIds=[run.id])
    if found is None:
        return None
    for name in ("enableDnsSupport", "enableDnsHostnames"):
        answer = run.call("DescribeVpcAttribute", VpcId=run.id, Attribute=name)
        found[name] = answer[name[0].upper() + name[1:]]["Value"]
    tables = run.call("DescribeRouteTables", Filters=filters(vpc_id=run.id, association__main="true"))
    groups = run.call("DescribeSecurityGroups", Filters=filters(vpc_id=run.id, group_name="default"))
    lists = run.call("DescribeNetworkAcls", Filters=filters(vpc_id=run.id, default="true"))
    for name, items, member in (
        ("Main", tables["RouteTables"], "RouteTableId"),
        ("Group", groups["SecurityGroups"], "GroupId"),
        ("Acl", lists["NetworkAcls"], "NetworkAclId"),
    ):
        found[name] = items[0][member] if items else None
    return found


def _find_vpc(run: Run) -> str | None:
    """An empty VPC with our network and our tags: one in use is somebody else's."""
    found = []
    for vpc in run.call("DescribeVpcs", Filters=filters(cidr=run.inputs["cidrBlock"]))["Vpcs"]:
        inside = run.call("DescribeSubnets", Filters=filters(vpc_id=vpc["VpcId"]))["Subnets"]
        if tagged_alike(run, vpc) and not inside:
            found.append(vpc["VpcId"])
    return only(found)


def _vpc_attributes(run: Run) -> None:
    """One attribute a call. Names of hosts need the resolver: it is switched on first and off last."""
    support = run.inputs.get("enableDnsSupport", True)
    order = ("enableDnsSupport", "enableDnsHostnames")
    for name in order if support else reversed(order):
        value = run.inputs.get(name, support if name == order[0] else None)
        if value is not None:
            member = name[0].upper() + name[1:]
            run.call("ModifyVpcAttribute", VpcId=run.id, **{member: {"Value": value}})


VPC = Resource(
    token="aws:ec2/vpc:Vpc",
    service="ec2",
    fields={
        "cidrBlock": Field("CidrBlock", required=True, replace=True, rule=block(16, 28)),
        "instanceTenancy": Field(
            "InstanceTenancy", default="default", replace=True, allowed=("default", "dedicated")
        ),
        "enableDnsSupport": Field(local=True, type="boolean", read="enableDnsSupport", default=True),
        "enableDnsHostnames": Field(local=True, type="boolean", read="enableDnsHostnames", computed=True),
    },
    id="@VpcId",
    import_id="{id}",
    create=Call(op="CreateVpc", result="Vpc"),
    read=_read_vpc,
    update=(Custom(run=_vpc_attributes, fields=("enableDnsSupport", "enableDnsHostnames"), on_create=True),),
    delete=Call(op="DeleteVpc", params={"VpcId": "{id}"}),
    outputs={
        "arn": arn("vpc"),
        "ownerId": "OwnerId",
        "dhcpOptionsId": "DhcpOptionsId",
        "mainRouteTableId": "Main",
        "defaultRouteTableId": "Main",
        "defaultSecurityGroupId": "Group",
        "defaultNetworkAclId": "Acl",
    },
    tags=tags("vpc"),
    unsupported={
        "assignGeneratedIpv6CidrBlock": NO_IPV6,
        "ipv6CidrBlock": NO_IPV6,
        "ipv6CidrBlockNetworkBorderGroup": NO_IPV6,
        "ipv6IpamPoolId": NO_IPV6,
        "ipv6NetmaskLength": NO_IPV6,
        "ipv4IpamPoolId": NO_IPAM,
        "ipv4NetmaskLength": NO_IPAM,
        "enableNetworkAddressUsageMetrics": "the emulator has no such metrics",
    },
    find=_find_vpc,
)

_SUBNET_ATTRIBUTES = {
    "mapPublicIpOnLaunch": "MapPublicIpOnLaunch",
    "privateDnsHostnameTypeOnLaunch": "PrivateDnsHostnameTypeOnLaunch",
    "enableResourceNameDnsARecordOnLaunch": "EnableResourceNameDnsARecordOnLaunch",
    "enableResourceNameDnsAaaaRecordOnLaunch": "EnableResourceNameDnsAAAARecordOnLaunch",
}


def _subnet_attributes(run: Run) -> None:
    """EC2 takes one attribute a call."""
    for name, member in _SUBNET_ATTRIBUTES.items():
        value = run.inputs.get(name, run.entry.fields[name].default)
        if value is not None and (name in run.changed or value != run.entry.fields[name].default):
            given = {"Value": value} if isinstance(value, bool) else value
            run.call("ModifySubnetAttribute", SubnetId=run.id, **{member: given})


def _find_subnet(run: Run) -> str | None:
    wanted = filters(vpc_id=run.inputs["vpcId"], cidr_block=run.inputs["cidrBlock"])
    return only([item["SubnetId"] for item in run.call("DescribeSubnets", Filters=wanted)["Subnets"]])


def _subnet_rules(values: Values) -> dict[str, str]:
    if values.get("availabilityZone") and values.get("availabilityZoneId"):
        return {"availabilityZoneId": "conflicts with availabilityZone"}
    return {}


def _read_subnet(run: Run) -> Values | None:
    found = one(run, "DescribeSubnets", "Subnets", SubnetIds=[run.id])
    if found is not None and not run.inputs:
        found.pop("AvailabilityZoneId")  # an import takes the zone's name: both together are refused
    return found


SUBNET = Resource(
    token="aws:ec2/subnet:Subnet",
    service="ec2",
    fields={
        "vpcId": Field("VpcId", required=True, replace=True),
        "cidrBlock": Field("CidrBlock", required=True, replace=True, rule=block(16, 28)),
        "availabilityZone": Field("AvailabilityZone", computed=True, replace=True),
        "availabilityZoneId": Field("AvailabilityZoneId", computed=True, replace=True),
        "mapPublicIpOnLaunch": Field(local=True, type="boolean", read="MapPublicIpOnLaunch", default=False),
        "privateDnsHostnameTypeOnLaunch": Field(
            local=True,
            type="string",
            read="PrivateDnsNameOptionsOnLaunch.HostnameType",
            computed=True,
            allowed=("ip-name", "resource-name"),
        ),
        "enableResourceNameDnsARecordOnLaunch": Field(
            local=True,
            type="boolean",
            read="PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsARecord",
            default=False,
        ),
        "enableResourceNameDnsAaaaRecordOnLaunch": Field(
            local=True,
            type="boolean",
            read="PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsAAAARecord",
            default=False,
        ),
    },
    identity=("vpcId", "cidrBlock"),
    validate=_subnet_rules,
    id="@SubnetId",
    import_id="{id}",
    create=Call(op="CreateSubnet", result="Subnet"),
    read=_read_subnet,
    update=(Custom(run=_subnet_attributes, fields=tuple(_SUBNET_ATTRIBUTES), on_create=True),),
    delete=Call(op="DeleteSubnet", params={"SubnetId": "{id}"}),
    outputs={"arn": arn("subnet"), "ownerId": "OwnerId"},
    tags=tags("subnet"),
    unsupported={
        "assignIpv6AddressOnCreation": NO_IPV6,
        "enableDns64": NO_IPV6,
        "ipv6CidrBlock": NO_IPV6,
        "ipv6IpamPoolId": NO_IPV6,
        "ipv6Native": NO_IPV6,
        "ipv6NetmaskLength": NO_IPV6,
        "ipv4IpamPoolId": NO_IPAM,
        "ipv4NetmaskLength": NO_IPAM,
        "customerOwnedIpv4Pool": NO_OUTPOST,
        "enableLniAtDeviceIndex": NO_OUTPOST,
        "mapCustomerOwnedIpOnLaunch": NO_OUTPOST,
        "outpostArn": NO_OUTPOST,
    },
    find=_find_subnet,
)


def _read_gateway(run: Run) -> Values | None:
    return one(run, "DescribeInternetGateways", "InternetGateways", InternetGatewayIds=[run.id])


def _attach(run: Run) -> None:
    found = _read_gateway(run) or {}
    there = [item["VpcId"] for item in found.get("Attachments") or []]
    wanted = run.inputs["vpcId"]
    for vpc in there:
        if vpc != wanted:
            run.call("DetachInternetGateway", InternetGatewayId=run.id, VpcId=vpc)
    if wanted not in there:
        run.call("AttachInternetGateway", InternetGatewayId=run.id, VpcId=wanted)


def _delete_gateway(run: Run) -> None:
    for item in (_read_gateway(run) or {}).get("Attachments") or []:
        run.call("DetachInternetGateway", InternetGatewayId=run.id, VpcId=item["VpcId"])
    run.call("DeleteInternetGateway", InternetGatewayId=run.id)


def _find_gateway(run: Run) -> str | None:
    """The gateway of our VPC, which has at most one, or one of nobody with our tags."""
    items = run.call("DescribeInternetGateways")["InternetGateways"]
    vpc = run.inputs.get("vpcId")
    ours = [
        item["InternetGatewayId"]
        for item in items
        if any(there["VpcId"] == vpc for there in item["Attachments"])
    ]
    free = [
        item["InternetGatewayId"] for item in items if not item["Attachments"] and tagged_alike(run, item)
    ]
    return only(ours or free)


INTERNET_GATEWAY = Resource(
    token="aws:ec2/internetGateway:InternetGateway",
    service="ec2",
    fields={"vpcId": Field(local=True, type="string", read="Attachments.0.VpcId", computed=True)},
    id="@InternetGatewayId",
    import_id="{id}",
    create=Call(op="CreateInternetGateway", result="InternetGateway"),
    read=_read_gateway,
    update=(Custom(run=_attach, fields=("vpcId",), on_create=True),),
    delete=_delete_gateway,
    outputs={"arn": arn("internet-gateway"), "ownerId": "OwnerId"},
    tags=tags("internet-gateway"),
    find=_find_gateway,
)
