"""``aws:vpc/*``: single rules of security groups."""

from collections.abc import Callable
from typing import Any

from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.resources._ec2_common import NO_IPV6, network, one, only, tags
from sandbox.providers.aws.resources._ec2_groups import protocol
from sandbox.providers.aws.table import Call, Custom, Field, Resource, Values
from sandbox.providers.aws.tags import creation_tags

_SOURCES = ("cidrIpv4", "referencedSecurityGroupId")


def _source(values: Values) -> list[str]:
    return [name for name in _SOURCES if values.get(name) is not None]


def _other_kind(state: Values, news: Values) -> bool:
    """A rule can't turn from a network to a group or back."""
    return _source(state) != _source(news)


def _rule_rules(values: Values) -> dict[str, str]:
    if len(_source(values)) != 1:
        return {"cidrIpv4": f"a rule has one source: {' or '.join(_SOURCES)}"}
    word, ports = values["ipProtocol"], [values.get("fromPort"), values.get("toPort")]
    if not isinstance(word, str):
        return {}
    if protocol(word) == "-1" and ports != [None, None]:
        return {"fromPort": "a rule for all protocols (-1) has no ports"}
    if protocol(word) in ("tcp", "udp", "icmp") and None in ports:
        return {"fromPort": f"fromPort and toPort are required with ipProtocol {word}"}
    return {}


def _permission(values: Values) -> Values:
    described = {"Description": values["description"]} if values.get("description") else {}
    ports = {
        member: values[name]
        for name, member in (("fromPort", "FromPort"), ("toPort", "ToPort"))
        if values.get(name) is not None
    }
    if values.get("cidrIpv4"):
        where: Values = {"IpRanges": [{"CidrIp": values["cidrIpv4"], **described}]}
    else:
        where = {"UserIdGroupPairs": [{"GroupId": values["referencedSecurityGroupId"], **described}]}
    return {"IpProtocol": protocol(values["ipProtocol"]), **ports, **where}


def _plain(rule: Values) -> Values:
    """A rule as AWS describes it, without the ports that stand for "all"."""
    if rule["IpProtocol"] == "-1":
        rule = {name: value for name, value in rule.items() if name not in ("FromPort", "ToPort")}
    return rule


def _read(run: Run) -> Values | None:
    found = one(run, "DescribeSecurityGroupRules", "SecurityGroupRules", SecurityGroupRuleIds=[run.id])
    return None if found is None else _plain(found)


def _modify(run: Run) -> None:
    values = run.inputs
    rule = {"IpProtocol": protocol(values["ipProtocol"]), "Description": values.get("description") or ""}
    for name, member in (("fromPort", "FromPort"), ("toPort", "ToPort"), ("cidrIpv4", "CidrIpv4")):
        if values.get(name) is not None:
            rule[member] = values[name]
    if values.get("referencedSecurityGroupId"):
        rule["ReferencedGroupId"] = values["referencedSecurityGroupId"]
    change = {"SecurityGroupRuleId": run.id, "SecurityGroupRule": rule}
    run.call("ModifySecurityGroupRules", GroupId=values["securityGroupId"], SecurityGroupRules=[change])


def _find(egress: bool) -> Callable[[Run], str | None]:
    def find(run: Run) -> str | None:
        group = {"Name": "group-id", "Values": [run.inputs["securityGroupId"]]}
        wanted = {name: run.inputs.get(name) for name in ("fromPort", "toPort", *_SOURCES)}
        found = []
        for item in run.call("DescribeSecurityGroupRules", Filters=[group])["SecurityGroupRules"]:
            rule = _plain(item)
            there = {
                "fromPort": rule.get("FromPort"),
                "toPort": rule.get("ToPort"),
                "cidrIpv4": rule.get("CidrIpv4"),
                "referencedSecurityGroupId": (rule.get("ReferencedGroupInfo") or {}).get("GroupId"),
            }
            same = rule["IpProtocol"] == protocol(run.inputs["ipProtocol"]) and rule["IsEgress"] is egress
            if same and there == wanted:
                found.append(rule["SecurityGroupRuleId"])
        return only(found)

    return find


def _protocol_problem(word: str) -> str | None:
    if protocol(word) in ("-1", "tcp", "udp", "icmp", "icmpv6") or (word.isdigit() and int(word) <= 255):
        return None
    return f"must be tcp, udp, icmp, icmpv6, -1 (all) or a protocol's number, not {word!r}"


def _rule(name: str, verb: str) -> Resource:
    op = f"AuthorizeSecurityGroup{verb}"

    @creates(op)
    def create(run: Run) -> Any:
        permission = _permission(run.inputs)
        answer = run.call(
            op,
            GroupId=run.inputs["securityGroupId"],
            IpPermissions=[permission],
            **creation_tags(run, op),
        )
        return answer["SecurityGroupRules"][0]

    port: Values = {"local": True, "type": "integer", "minimum": -1, "maximum": 65535}
    return Resource(
        token=f"aws:vpc/{name[0].lower()}{name[1:]}:{name}",
        service="ec2",
        fields={
            "securityGroupId": Field("GroupId", required=True, replace=True),
            "ipProtocol": Field(
                local=True,
                type="string",
                read=lambda rule: rule["IpProtocol"],
                required=True,
                rule=_protocol_problem,
            ),
            "fromPort": Field(read="FromPort", **port),
            "toPort": Field(read="ToPort", **port),
            "cidrIpv4": Field(local=True, type="string", read="CidrIpv4", replace=_other_kind, rule=network),
            "referencedSecurityGroupId": Field(
                local=True, type="string", read="ReferencedGroupInfo.GroupId", replace=_other_kind
            ),
            "description": Field(local=True, type="string", read="Description", maximum=255),
        },
        validate=_rule_rules,
        id="@SecurityGroupRuleId",
        import_id="{id}",
        create=create,
        read=_read,
        update=(
            Custom(
                run=_modify,
                fields=("ipProtocol", "fromPort", "toPort", *_SOURCES, "description"),
            ),
        ),
        delete=Call(
            op=f"RevokeSecurityGroup{verb}",
            params={"GroupId": "{securityGroupId}", "SecurityGroupRuleIds": ["{id}"]},
        ),
        outputs={"arn": "SecurityGroupRuleArn", "securityGroupRuleId": "{id}"},
        tags=tags("security-group-rule"),
        unsupported={
            "cidrIpv6": NO_IPV6,
            "prefixListId": "the emulator's rules have no prefix lists",
        },
        find=_find(verb == "Egress"),
    )


RESOURCES = (
    _rule("SecurityGroupIngressRule", "Ingress"),
    _rule("SecurityGroupEgressRule", "Egress"),
)
