"""``aws:ec2/vpcEndpoint``: gateway and interface endpoints of AWS's services."""

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.resources._ec2_common import arn, filters, one, only, tagged_alike, tags
from sandbox.providers.aws.table import Call, Custom, Field, Resource, Values

_LISTS = {
    "routeTableIds": "RouteTableIds",
    "subnetIds": "SubnetIds",
    "securityGroupIds": "SecurityGroupIds",
}
_CHANGEABLE = (*_LISTS, "policy", "privateDnsEnabled")
_NO_LATTICE = "the emulator has endpoints of AWS's own services only (serviceName)"


def _read_endpoint(run: Run) -> Values | None:
    found = one(run, "DescribeVpcEndpoints", "VpcEndpoints", VpcEndpointIds=[run.id])
    if found is None or found["State"].lower() in ("deleted", "rejected", "failed"):
        return None
    found["SecurityGroupIds"] = [group["GroupId"] for group in found.get("Groups") or []]
    if found["VpcEndpointType"] == "Gateway":
        wanted = filters(prefix_list_name=found["ServiceName"])
        for item in run.call("DescribePrefixLists", Filters=wanted)["PrefixLists"]:
            found["PrefixListId"], found["CidrBlocks"] = item["PrefixListId"], item["Cidrs"]
    return found


def _modify_endpoint(run: Run) -> None:
    there = _read_endpoint(run) or {}
    params: Values = {}
    for name, member in _LISTS.items():
        if name in run.changed:
            before, after = set(there.get(member) or []), set(run.inputs.get(name) or [])
            params[f"Add{member}"] = sorted(after - before)
            params[f"Remove{member}"] = sorted(before - after)
    if "policy" in run.changed:
        policy = run.inputs.get("policy")
        params |= {"PolicyDocument": policy} if policy else {"ResetPolicy": True}
    if "privateDnsEnabled" in run.changed:
        params["PrivateDnsEnabled"] = bool(run.inputs.get("privateDnsEnabled"))
    given = {member: value for member, value in params.items() if value != []}
    if given:
        run.call("ModifyVpcEndpoint", VpcEndpointId=run.id, **given)


def _find_endpoint(run: Run) -> str | None:
    """The endpoint of the same service in our VPC, when there is one and it has our tags."""
    found = []
    for item in run.call("DescribeVpcEndpoints")["VpcEndpoints"]:
        same = (item["VpcId"], item["ServiceName"]) == (run.inputs["vpcId"], run.inputs["serviceName"])
        if same and (not run.tags or tagged_alike(run, item)):
            found.append(item["VpcEndpointId"])
    return only(found)


def _endpoint_rules(values: Values) -> dict[str, str]:
    kind = values.get("vpcEndpointType", "Gateway")
    if kind == "Gateway":
        for name in ("subnetIds", "securityGroupIds", "privateDnsEnabled"):
            if values.get(name):
                return {name: "is only for endpoints with vpcEndpointType Interface"}
    if kind == "Interface" and values.get("routeTableIds"):
        return {"routeTableIds": "is only for endpoints with vpcEndpointType Gateway"}
    return {}


VPC_ENDPOINT = Resource(
    token="aws:ec2/vpcEndpoint:VpcEndpoint",
    service="ec2",
    fields={
        "vpcId": Field("VpcId", required=True, replace=True),
        "serviceName": Field("ServiceName", required=True, replace=True),
        "vpcEndpointType": Field(
            "VpcEndpointType", default="Gateway", replace=True, allowed=("Gateway", "Interface")
        ),
        "routeTableIds": Field("RouteTableIds", computed=True, unordered=True),
        "subnetIds": Field("SubnetIds", computed=True, unordered=True),
        "securityGroupIds": Field("SecurityGroupIds", computed=True, unordered=True),
        "policy": Field("PolicyDocument", computed=True, json="policy", rule=rules.resource_policy),
        "privateDnsEnabled": Field("PrivateDnsEnabled", computed=True),
    },
    validate=_endpoint_rules,
    id="@VpcEndpointId",
    import_id="{id}",
    create=Call(op="CreateVpcEndpoint", result="VpcEndpoint"),
    read=_read_endpoint,
    update=(Custom(run=_modify_endpoint, fields=_CHANGEABLE),),
    delete=Call(op="DeleteVpcEndpoints", params={"VpcEndpointIds": ["{id}"]}),
    outputs={
        "arn": arn("vpc-endpoint"),
        "state": "State",
        "ownerId": "OwnerId",
        "requesterManaged": "RequesterManaged",
        "prefixListId": "PrefixListId",
        "cidrBlocks": "CidrBlocks",
    },
    tags=tags("vpc-endpoint"),
    unsupported={
        "autoAccept": "endpoints of AWS's services need no acceptance",
        "dnsOptions": "the emulator's endpoints have no names of their own",
        "ipAddressType": "the emulator's networks have IPv4 only",
        "resourceConfigurationArn": _NO_LATTICE,
        "serviceNetworkArn": _NO_LATTICE,
        "serviceRegion": _NO_LATTICE,
        "subnetConfigurations": "the emulator's endpoints have no addresses: give subnetIds",
    },
    find=_find_endpoint,
)
