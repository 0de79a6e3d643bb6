"""What is changed in ministack's networks."""

import re
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from sandbox.aws.patching import module, replace, replace_operation

Handler = Callable[[dict[str, Any]], Any]


def first(params: dict[str, Any], name: str) -> str:
    value = params.get(name, "")
    return str(value[0] if isinstance(value, list) else value)


def endpoints_keep_their_settings() -> None:
    """A VPC endpoint has its security groups, its policy and whether its service's own name leads to it.

    Ministack drops them, and describes nothing where AWS says that there is no such endpoint.
    """
    ec2 = module("services.ec2")

    def change(endpoint: dict[str, Any], params: dict[str, Any]) -> None:
        groups = [*endpoint.get("SecurityGroupIds", []), *ec2._parse_member_list(params, "SecurityGroupId")]
        groups += ec2._parse_member_list(params, "AddSecurityGroupId")
        gone = ec2._parse_member_list(params, "RemoveSecurityGroupId")
        endpoint["SecurityGroupIds"] = [group for group in dict.fromkeys(groups) if group not in gone]
        if first(params, "PrivateDnsEnabled"):
            endpoint["PrivateDnsEnabled"] = first(params, "PrivateDnsEnabled").lower() == "true"
        if first(params, "PolicyDocument"):
            endpoint["PolicyDocument"] = first(params, "PolicyDocument")
        if first(params, "ResetPolicy").lower() == "true":
            endpoint.pop("PolicyDocument", None)

    def create(original: Handler) -> Handler:
        def with_settings(params: dict[str, Any]) -> Any:
            status, headers, body = original(params)
            made = re.search(rb"<vpcEndpointId>([^<]+)<", body)
            if status != 200 or made is None:
                return status, headers, body
            endpoint = ec2._vpc_endpoints[made[1].decode()]
            change(endpoint, params)
            inner = ec2._vpce_fields_xml(endpoint, tag="vpcEndpoint")
            return ec2._xml(200, "CreateVpcEndpointResponse", inner)

        return with_settings

    def modify(original: Handler) -> Handler:
        def with_settings(params: dict[str, Any]) -> Any:
            answer = original(params)
            if answer[0] == 200:
                change(ec2._vpc_endpoints[first(params, "VpcEndpointId")], params)
            return answer

        return with_settings

    def describe(original: Handler) -> Handler:
        def known(params: dict[str, Any]) -> Any:
            for name in ec2._parse_member_list(params, "VpcEndpointId"):
                if name not in ec2._vpc_endpoints:
                    reason = f"The Vpc Endpoint Id '{name}' does not exist"
                    return ec2._error("InvalidVpcEndpointId.NotFound", reason, 400)
            return original(params)

        return known

    def shape(original: Callable[..., str]) -> Callable[..., str]:
        def with_settings(endpoint: dict[str, Any], tag: str = "item") -> str:
            groups = "".join(
                f"<item><groupId>{group}</groupId></item>" for group in endpoint.get("SecurityGroupIds", [])
            )
            own = str(endpoint.get("PrivateDnsEnabled", False)).lower()
            policy = escape(endpoint.get("PolicyDocument") or _OPEN)
            more = (
                f"<groupSet>{groups}</groupSet><privateDnsEnabled>{own}</privateDnsEnabled>"
                f"<requesterManaged>false</requesterManaged><policyDocument>{policy}</policyDocument>"
            )
            return original(endpoint, tag).removesuffix(f"</{tag}>") + f"{more}</{tag}>"

        return with_settings

    replace("services.ec2", "_vpce_fields_xml", shape)
    replace_operation("services.ec2", "CreateVpcEndpoint", create)
    replace_operation("services.ec2", "ModifyVpcEndpoint", modify)
    replace_operation("services.ec2", "DescribeVpcEndpoints", describe)


_OPEN = (
    '{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}'
)
"""AWS's own policy of an endpoint."""


def apply() -> None:
    """Make all adjustments, before the first request."""
    endpoints_keep_their_settings()
