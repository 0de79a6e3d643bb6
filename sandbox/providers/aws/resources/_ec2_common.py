"""What the types of EC2 share."""

import ipaddress
from typing import Any

from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import Tags, Values

NO_IPV6 = "the emulator's networks have IPv4 only"
NO_IPAM = "the emulator has no IP address manager: give cidrBlock"
NO_OUTPOST = "the emulator has no Outposts"


def tags(kind: str) -> Tags:
    """Tags of an EC2 type; its read operation or hook leaves them in ``run.response`` as ``Tags``."""
    return Tags(
        member="TagSpecifications",
        kind=kind,
        add="CreateTags",
        remove="DeleteTags",
        target={"Resources": ["{id}"]},
        read="Tags",
    )


def arn(kind: str) -> str:
    return f"arn:{{partition}}:ec2:{{region}}:{{account}}:{kind}/{{id}}"


def one(run: Run, op: str, result: str, **params: Any) -> Values | None:
    """The only item of a list that EC2 describes, also as ``run.response``; None when the list is empty."""
    items: list[Values] = run.call(op, **params)[result]
    if not items:
        return None
    run.response = items[0]
    return items[0]


def tagged_alike(run: Run, item: Values) -> bool:
    """For recovery: the item's tags are those that ours was to have, and there are some."""
    found = {tag["Key"]: tag["Value"] for tag in item.get("Tags") or []}
    return bool(found) and found == run.tags


def only(found: list[str]) -> str | None:
    """For recovery: an id when there is no doubt which."""
    return found[0] if len(found) == 1 else None


def filters(**wanted: str) -> list[Values]:
    """EC2's filters; underscores stand for hyphens, two of them for a dot."""
    return [
        {"Name": name.replace("__", ".").replace("_", "-"), "Values": [value]}
        for name, value in wanted.items()
    ]


def network(value: str) -> str | None:
    """A rule: an IPv4 network in its normal form."""
    try:
        found = ipaddress.IPv4Network(value, strict=False)
    except ValueError:
        return f"must be an IPv4 network such as 10.0.0.0/16, not {value!r}"
    return (
        None if str(found) == value else f"must be {found}: {value!r} has host bits set or no prefix length"
    )


def block(least: int, most: int) -> Any:
    """A rule: a network with a prefix of ``least`` to ``most`` bits."""

    def rule(value: str) -> str | None:
        wrong = network(value)
        if wrong or least <= int(value.rpartition("/")[2]) <= most:
            return wrong
        return f"must be a network of /{least} to /{most}, not {value!r}"

    return rule
