"""``aws:ec2/securityGroup``: a group and, when given inside it, all its rules.

Inline rules are compared source by source: AWS and the program group the same sources differently.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.resources._ec2_common import NO_IPV6, arn, filters, network, one, only, tags
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Values
from sandbox.providers.aws.tags import creation_tags

_PROTOCOLS = {"all": "-1", "1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}
_KEYS = ("cidrBlocks", "description", "fromPort", "protocol", "securityGroups", "self", "toPort")
_NO = {
    "ipv6CidrBlocks": NO_IPV6,
    "prefixListIds": "the emulator's rules have no prefix lists",
}
_DIRECTIONS = {"ingress": "IpPermissions", "egress": "IpPermissionsEgress"}


def protocol(given: str) -> str:
    """AWS's word for a protocol: ``tcp`` for ``6`` and ``TCP``, ``-1`` for ``all``."""
    return _PROTOCOLS.get(given.lower(), given.lower())


class Source(NamedTuple):
    """One permission: a protocol, its ports, and one network or group."""

    protocol: str
    first: int
    last: int
    kind: str
    """``cidr`` or ``group``."""
    name: str
    description: str

    def permission(self) -> Values:
        """As EC2's operations take it."""
        described = {"Description": self.description} if self.description else {}
        ports = {} if self.protocol == "-1" else {"FromPort": self.first, "ToPort": self.last}
        if self.kind == "cidr":
            where: Values = {"IpRanges": [{"CidrIp": self.name, **described}]}
        else:
            where = {"UserIdGroupPairs": [{"GroupId": self.name, **described}]}
        return {"IpProtocol": self.protocol, **ports, **where}


EVERYWHERE = Source("-1", 0, 0, "cidr", "0.0.0.0/0", "")
"""What AWS lets out of a new group."""


def _wanted(given: Iterable[Values], own: str) -> set[Source]:
    found = set()
    for rule in given:
        first, last, text = int(rule["fromPort"]), int(rule["toPort"]), rule.get("description") or ""
        blocks = [("cidr", block) for block in rule.get("cidrBlocks") or []]
        groups = [("group", group) for group in rule.get("securityGroups") or []]
        for kind, name in [*blocks, *groups, *([("group", own)] if rule.get("self") else [])]:
            found.add(Source(protocol(str(rule["protocol"])), first, last, kind, name, text))
    return found


def _actual(permissions: Iterable[Values]) -> set[Source]:
    found = set()
    for item in permissions:
        word = protocol(item["IpProtocol"])
        every = word == "-1"
        first, last = (0 if every else item.get(name, -1) for name in ("FromPort", "ToPort"))
        for kind, member, key in (("cidr", "IpRanges", "CidrIp"), ("group", "UserIdGroupPairs", "GroupId")):
            for source in item.get(member) or []:
                found.add(Source(word, first, last, kind, source[key], source.get("Description", "")))
    return found


def _as_rules(sources: set[Source], own: str) -> list[Values]:
    """Sources with the same ports and description as one rule, in a fixed order."""
    grouped: dict[tuple[Any, ...], Values] = {}
    for source in sorted(sources):
        key = (source.protocol, source.first, source.last, source.description)
        rule = grouped.setdefault(
            key, {"protocol": source.protocol, "fromPort": source.first, "toPort": source.last}
        )
        if source.description:
            rule["description"] = source.description
        if source.kind == "cidr":
            rule.setdefault("cidrBlocks", []).append(source.name)
        elif source.name == own:
            rule["self"] = True
        else:
            rule.setdefault("securityGroups", []).append(source.name)
    return list(grouped.values())


def _rules_problem(given: list[Any]) -> str | None:
    for i, rule in enumerate(given):
        wrong = _rule_problem(rule)
        if wrong:
            return f"[{i}]{wrong}"
    return None


def _rule_problem(rule: Any) -> str | None:
    if not isinstance(rule, dict):
        return f" must be an object with {', '.join(_KEYS)}"
    given = {name: value for name, value in rule.items() if value not in (None, [], "")}
    for name in given:
        if name in _NO:
            return f".{name} isn't supported by the sandbox's aws provider: {_NO[name]}"
        if name not in _KEYS:
            return f".{name}: no such property; allowed: {', '.join(_KEYS)}"
    for name in ("protocol", "fromPort", "toPort"):
        if name not in given:
            return f".{name} is required"
    if protocol(str(given["protocol"])) == "-1" and (given["fromPort"], given["toPort"]) != (0, 0):
        return ".fromPort and toPort must be 0 with protocol -1 (all)"
    for block in given.get("cidrBlocks", []):
        wrong = network(str(block))
        if wrong:
            return f".cidrBlocks {wrong}"
    if not (given.get("cidrBlocks") or given.get("securityGroups") or given.get("self")):
        return " needs cidrBlocks, securityGroups or self"
    return None


def _read_group(run: Run) -> Values | None:
    found = one(run, "DescribeSecurityGroups", "SecurityGroups", GroupIds=[run.id])
    if found is None:
        return None
    for name, member in _DIRECTIONS.items():
        sources = _actual(found[member])
        forms = [run.inputs.get(name), run.state.get(name)]
        same = [form for form in forms if form is not None and _wanted(form, run.id) == sources]
        found[name] = same[0] if same else _as_rules(sources, run.id)
    return found


def _close(run: Run, group: str) -> None:
    """The official provider takes away the rule that lets everything out of a new group."""
    run.call("RevokeSecurityGroupEgress", GroupId=group, IpPermissions=[EVERYWHERE.permission()])


@creates("CreateSecurityGroup")
def _create_group(run: Run) -> Values:
    call = Call(op="CreateSecurityGroup")
    made: Values = run.perform(call, run.names_for(call), creation_tags(run, call.op))
    _close(run, made["GroupId"])
    return made


def _find_group(run: Run) -> str | None:
    """By its name; an interrupted creation may have left AWS's own rule in it."""
    wanted = {"group_name": run.inputs["name"]}
    if run.inputs.get("vpcId"):
        wanted["vpc_id"] = run.inputs["vpcId"]
    items = run.call("DescribeSecurityGroups", Filters=filters(**wanted))["SecurityGroups"]
    found = only([item["GroupId"] for item in items])
    if found and run.inputs.get("egress") is None and EVERYWHERE in _actual(items[0]["IpPermissionsEgress"]):
        _close(run, found)
    return found


def _set_rules(run: Run) -> None:
    found = one(run, "DescribeSecurityGroups", "SecurityGroups", GroupIds=[run.id]) or {}
    for name, member in _DIRECTIONS.items():
        if run.inputs.get(name) is None:
            continue
        before, after = _actual(found.get(member) or []), _wanted(run.inputs[name], run.id)
        for verb, sources in (("Revoke", before - after), ("Authorize", after - before)):
            if sources:
                permissions = [source.permission() for source in sorted(sources)]
                op = f"{verb}SecurityGroup{name.capitalize()}"
                run.call(op, GroupId=run.id, IpPermissions=permissions)


def _delete_group(run: Run) -> None:
    if run.value("revokeRulesOnDelete"):
        found = one(run, "DescribeSecurityGroups", "SecurityGroups", GroupIds=[run.id]) or {}
        for name, member in _DIRECTIONS.items():
            if found.get(member):
                permissions = [source.permission() for source in sorted(_actual(found[member]))]
                op = f"RevokeSecurityGroup{name.capitalize()}"
                run.call(op, GroupId=run.id, IpPermissions=permissions)
    run.call("DeleteSecurityGroup", GroupId=run.id)


_TEXT = rules.matches(
    r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]*", "letters, digits, spaces and ._-:/()#,@[]+=&;{}!$*"
)


def _name_problem(name: str) -> str | None:
    return f"must not begin with 'sg-', as {name!r} does" if name.startswith("sg-") else _TEXT(name)


_SET = Field(unordered=True)
_RULES: Values = {
    "type": "list",
    "computed": True,
    "unordered": True,
    "rule": _rules_problem,
    "sub": {"cidrBlocks": _SET, "securityGroups": _SET},
}

SECURITY_GROUP = Resource(
    token="aws:ec2/securityGroup:SecurityGroup",
    service="ec2",
    fields={
        "name": Field("GroupName", computed=True, replace=True, minimum=1, maximum=255, rule=_name_problem),
        "namePrefix": Field(local=True, type="string", replace=True, maximum=100, rule=_name_problem),
        "description": Field(
            "Description",
            default="Managed by Pulumi",
            replace=True,
            minimum=1,
            maximum=255,
            rule=_TEXT,
        ),
        "vpcId": Field("VpcId", computed=True, replace=True),
        "ingress": Field(local=True, read="ingress", **_RULES),
        "egress": Field(local=True, read="egress", **_RULES),
        "revokeRulesOnDelete": Field(local=True, type="boolean", default=False),
    },
    autoname=AutoName(limit=255, prefix_property="namePrefix"),
    identity=("name", "vpcId"),
    id="@GroupId",
    import_id="{id}",
    create=_create_group,
    read=_read_group,
    update=(Custom(run=_set_rules, fields=("ingress", "egress"), on_create=True),),
    delete=_delete_group,
    outputs={"arn": arn("security-group"), "ownerId": "OwnerId"},
    tags=tags("security-group"),
    find=_find_group,
)
