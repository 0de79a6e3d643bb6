"""``aws:lb/targetGroup``: where an application load balancer's requests go."""

from typing import Any

from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.resources._lb_attributes import Attribute, attributes, fields, only_keys, step
from sandbox.providers.aws.resources._lb_balancer import NAME, PREFIX, TAGS, arn_suffix, tagged
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Values
from sandbox.providers.aws.tags import creation_tags

_ALGORITHMS = ("round_robin", "least_outstanding_requests", "weighted_random")
_ATTRIBUTES = {
    "deregistrationDelay": Attribute("deregistration_delay.timeout_seconds", "integer", 300, None, 0, 3600),
    "loadBalancingAlgorithmType": Attribute("load_balancing.algorithm.type", "string", None, _ALGORITHMS),
    "loadBalancingAnomalyMitigation": Attribute(
        "load_balancing.algorithm.anomaly_mitigation", "string", None, ("on", "off")
    ),
    "loadBalancingCrossZoneEnabled": Attribute(
        "load_balancing.cross_zone.enabled",
        "string",
        None,
        ("true", "false", "use_load_balancer_configuration"),
    ),
    "lambdaMultiValueHeadersEnabled": Attribute("lambda.multi_value_headers.enabled", "boolean", False),
    "slowStart": Attribute("slow_start.duration_seconds", "integer", 0, None, 0, 900),
}

_CHECK: dict[str, tuple[str, type, Any]] = {
    # property: (member, type, the official provider's default or None when AWS chooses)
    "enabled": ("HealthCheckEnabled", bool, True),
    "healthyThreshold": ("HealthyThresholdCount", int, 3),
    "interval": ("HealthCheckIntervalSeconds", int, 30),
    "matcher": ("Matcher.HttpCode", str, None),
    "path": ("HealthCheckPath", str, None),
    "port": ("HealthCheckPort", str, "traffic-port"),
    "protocol": ("HealthCheckProtocol", str, "HTTP"),
    "timeout": ("HealthCheckTimeoutSeconds", int, None),
    "unhealthyThreshold": ("UnhealthyThresholdCount", int, 3),
}
_RANGES = {
    "healthyThreshold": (2, 10),
    "interval": (5, 300),
    "timeout": (2, 120),
    "unhealthyThreshold": (2, 10),
}
_known_check = only_keys(**{name: kind for name, (_, kind, _) in _CHECK.items()})


def _check_problem(value: Any) -> str | None:
    wrong = _known_check(value)
    if wrong:
        return wrong
    for name, (low, high) in _RANGES.items():
        if value.get(name) is not None and not low <= value[name] <= high:
            return f"has {name} {value[name]}: allowed are {low} to {high}"
    if value.get("timeout") and value["timeout"] >= value.get("interval", 30):
        return f"has a timeout of {value['timeout']} s, which must be shorter than the interval"
    return None


def _check_members(given: Values) -> Values:
    """The members of CreateTargetGroup and ModifyTargetGroup for a health check."""
    found: Values = {}
    for name, (member, _, default) in _CHECK.items():
        value = given.get(name, default)
        if value is not None:
            found |= {"Matcher": {"HttpCode": value}} if name == "matcher" else {member: value}
    return found


def _read_check(group: Values) -> Values:
    flat = {**group, "Matcher.HttpCode": (group.get("Matcher") or {}).get("HttpCode")}
    return {name: flat[member] for name, (member, _, _) in _CHECK.items() if flat.get(member) is not None}


_STICKY = {
    "app_cookie": "stickiness.app_cookie.duration_seconds",
    "lb_cookie": "stickiness.lb_cookie.duration_seconds",
}
_known_stickiness = only_keys(cookieDuration=int, cookieName=str, enabled=bool, type=str)


def _stickiness_problem(value: Any) -> str | None:
    wrong = _known_stickiness(value)
    if wrong:
        return wrong
    if value.get("type") not in _STICKY:
        return f"needs a type of {', '.join(_STICKY)}, not {value.get('type')!r}"
    if (value["type"] == "app_cookie") != bool(value.get("cookieName")):
        return "has a cookieName with type app_cookie, and only then"
    return None


def _stickiness_keys(value: Any) -> Values:
    if not value:
        return {"stickiness.enabled": False}
    found = {
        "stickiness.enabled": value.get("enabled", True),
        "stickiness.type": value["type"],
        _STICKY[value["type"]]: value.get("cookieDuration", 86400),
    }
    if value.get("cookieName"):
        found["stickiness.app_cookie.cookie_name"] = value["cookieName"]
    return found


def _read_stickiness(group: Values) -> Values:
    found = attributes(group)
    kind = found.get("stickiness.type", "lb_cookie")
    named = found.get("stickiness.app_cookie.cookie_name")
    return {
        "enabled": found.get("stickiness.enabled") == "true",
        "type": kind,
        "cookieDuration": int(found.get(_STICKY.get(kind, ""), 86400)),
        **({"cookieName": named} if kind == "app_cookie" and named else {}),
    }


def _read_group(run: Run) -> Values | None:
    items = run.call("DescribeTargetGroups", TargetGroupArns=[run.id])["TargetGroups"]
    if not items:
        return None
    found: Values = items[0]
    answer = run.call("DescribeTargetGroupAttributes", TargetGroupArn=run.id)
    found["Attributes"] = answer["Attributes"]
    if found.get("TargetType") == "lambda":
        found = {name: value for name, value in found.items() if name not in ("Port", "Protocol", "VpcId")}
    return tagged(run, found)


@creates("CreateTargetGroup")
def _create_group(run: Run) -> Any:
    check = run.inputs.get("healthCheck")
    extra = {**(_check_members(check) if check else {}), **creation_tags(run, "CreateTargetGroup")}
    call = Call(op="CreateTargetGroup", result="TargetGroups.0")
    names = ("name", "port", "protocol", "protocolVersion", "vpcId", "targetType", "ipAddressType")
    return run.perform(call, names, extra)


def _set_check(run: Run) -> None:
    given = run.inputs.get("healthCheck")
    if given is not None:
        run.call("ModifyTargetGroup", TargetGroupArn=run.id, **_check_members(given))


def _find_group(run: Run) -> str | None:
    found = run.optional("DescribeTargetGroups", Names=[run.inputs["name"]]).get("TargetGroups") or []
    return found[0]["TargetGroupArn"] if found else None


def _group_rules(values: Values) -> dict[str, str]:
    if values.get("targetType") == "lambda":
        return {
            name: "has no meaning with targetType lambda"
            for name in ("port", "protocol", "vpcId")
            if values.get(name) is not None
        }
    return {
        name: f"is required with targetType {values.get('targetType', 'instance')}"
        for name in ("port", "protocol", "vpcId")
        if values.get(name) is None
    }


_ONLY_NETWORK = (
    "it is for other kinds of load balancers, and the emulator has application load balancers only"
)

TARGET_GROUP = Resource(
    token="aws:lb/targetGroup:TargetGroup",
    service="elbv2",
    fields={
        "name": Field("Name", read="TargetGroupName", computed=True, replace=True, maximum=32, rule=NAME),
        "namePrefix": Field(local=True, type="string", replace=True, maximum=6, rule=PREFIX),
        "port": Field("Port", replace=True),
        "protocol": Field("Protocol", replace=True, allowed=("HTTP", "HTTPS")),
        "protocolVersion": Field("ProtocolVersion", computed=True, replace=True, allowed=("HTTP1",)),
        "vpcId": Field("VpcId", replace=True),
        "targetType": Field(
            "TargetType", default="instance", replace=True, allowed=("instance", "ip", "lambda")
        ),
        "ipAddressType": Field("IpAddressType", computed=True, replace=True, allowed=("ipv4",)),
        "healthCheck": Field(
            local=True,
            type="object",
            read=_read_check,
            computed=True,
            rule=_check_problem,
            sub={
                name: Field(default=default, computed=default is None)
                for name, (_, _, default) in _CHECK.items()
            },
        ),
        "stickiness": Field(
            local=True,
            type="object",
            read=_read_stickiness,
            computed=True,
            rule=_stickiness_problem,
            sub={"enabled": Field(default=True), "cookieDuration": Field(default=86400)},
        ),
        **fields(_ATTRIBUTES),
    },
    autoname=AutoName(limit=32, prefix_property="namePrefix"),
    identity=("name",),
    validate=_group_rules,
    id="@TargetGroupArn",
    import_id="{id}",
    create=_create_group,
    read=_read_group,
    update=(
        Custom(run=_set_check, fields=("healthCheck",)),
        step(
            "ModifyTargetGroupAttributes",
            "TargetGroupArn",
            _ATTRIBUTES,
            {"stickiness": _stickiness_keys},
        ),
    ),
    delete=Call(op="DeleteTargetGroup", params={"TargetGroupArn": "{id}"}),
    outputs={"arn": "{id}", "arnSuffix": arn_suffix("")},
    tags=TAGS,
    unsupported={
        "connectionTermination": _ONLY_NETWORK,
        "preserveClientIp": _ONLY_NETWORK,
        "proxyProtocolV2": _ONLY_NETWORK,
        "targetControlPort": "the emulator's balancers don't ask targets for their load",
        "targetFailovers": _ONLY_NETWORK,
        "targetGroupHealth": "the emulator's balancers don't fail over",
        "targetHealthStates": _ONLY_NETWORK,
    },
    find=_find_group,
)
