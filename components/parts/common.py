"""What the parts have in common: options that keep data, and limits that AWS sets."""

import re

import pulumi

LOG_DAYS = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)
"""The retentions that CloudWatch Logs knows (PutRetentionPolicy)."""

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
NAME_LENGTH = (3, 60)
NAME_RULE = (
    "3 to 60 lower-case letters, digits and single hyphens, beginning and ending with a letter or digit, "
    "not beginning with xn-- or sthree-, not ending with -s3alias"
)
"""S3's rules for buckets, without dots (they break TLS) and short enough for a function ``<name>-api``."""


def name_problem(name: str) -> str | None:
    """Why ``name`` can't name a bucket and what belongs to it, None when it can.

    >>> name_problem("quetzal-paris"), name_problem("Paris") is None
    (None, False)
    """
    low, high = NAME_LENGTH
    reserved = name.startswith(("xn--", "sthree-", "amzn-s3-demo-")) or name.endswith(("-s3alias", "--ol-s3"))
    if not low <= len(name) <= high or not NAME.fullmatch(name) or reserved:
        return f"{name!r} is not fit for a bucket; allowed: {NAME_RULE}"
    return None


def kept(parent: pulumi.Resource, keep: bool | None, *, protect: bool = True) -> pulumi.ResourceOptions:
    """Options of a child that holds data.

    ``keep`` true: the engine refuses to delete it (``protect``), and when somebody lifts that, it forgets
    the resource without deleting it in the cloud.
    """
    return pulumi.ResourceOptions(
        parent=parent, protect=True if keep and protect else None, retain_on_delete=True if keep else None
    )
