"""``aws:lb/loadBalancer``: application load balancers."""

from collections.abc import Callable
from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.resources._lb_attributes import Attribute, attributes, fields, only_keys, step
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values
from sandbox.providers.aws.tags import creation_tags

ACTIVE_S = 600

TAGS = Tags(
    member="Tags",
    add="AddTags",
    remove="RemoveTags",
    target={"ResourceArns": ["{id}"]},
    read="Tags",
)
NAME = rules.matches(
    r"(?!internal-)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?",
    "letters, digits and hyphens, no hyphen at either end and not 'internal-' at the beginning",
)
PREFIX = rules.matches(r"(?!internal-)[A-Za-z0-9][A-Za-z0-9-]*", "letters, digits and hyphens")

_HTTP = "routing.http"
_ATTRIBUTES = {
    "clientKeepAlive": Attribute("client_keep_alive.seconds", "integer", 3600, None, 60, 604800),
    "desyncMitigationMode": Attribute(
        f"{_HTTP}.desync_mitigation_mode", "string", "defensive", ("monitor", "defensive", "strictest")
    ),
    "dropInvalidHeaderFields": Attribute(f"{_HTTP}.drop_invalid_header_fields.enabled", "boolean", False),
    "enableDeletionProtection": Attribute("deletion_protection.enabled", "boolean", False),
    "enableHttp2": Attribute("routing.http2.enabled", "boolean", True),
    "enableTlsVersionAndCipherSuiteHeaders": Attribute(
        f"{_HTTP}.x_amzn_tls_version_and_cipher_suite.enabled", "boolean", False
    ),
    "enableWafFailOpen": Attribute("waf.fail_open.enabled", "boolean", False),
    "enableXffClientPort": Attribute(f"{_HTTP}.xff_client_port.enabled", "boolean", False),
    "enableZonalShift": Attribute("zonal_shift.config.enabled", "boolean", False),
    "idleTimeout": Attribute("idle_timeout.timeout_seconds", "integer", 60, None, 1, 4000),
    "preserveHostHeader": Attribute(f"{_HTTP}.preserve_host_header.enabled", "boolean", False),
    "xffHeaderProcessingMode": Attribute(
        f"{_HTTP}.xff_header_processing.mode", "string", "append", ("append", "preserve", "remove")
    ),
}
_LOGS = {
    "accessLogs": "access_logs.s3",
    "connectionLogs": "connection_logs.s3",
    "healthCheckLogs": "health_check_logs.s3",
}


def _log_keys(prefix: str) -> Callable[[Any], Values]:
    def split(value: Any) -> Values:
        if not value or not value.get("enabled"):
            return {f"{prefix}.enabled": False}
        return {
            f"{prefix}.enabled": True,
            f"{prefix}.bucket": value["bucket"],
            f"{prefix}.prefix": value.get("prefix") or "",
        }

    return split


def _log_field(prefix: str) -> Field:
    known = only_keys(bucket=str, enabled=bool, prefix=str)

    def read(result: Values) -> Values | None:
        found = attributes(result)
        if found.get(f"{prefix}.enabled") != "true":
            return None
        log = {"bucket": found.get(f"{prefix}.bucket"), "prefix": found.get(f"{prefix}.prefix")}
        return {"enabled": True, **{name: value for name, value in log.items() if value}}

    def rule(value: Any) -> str | None:
        return known(value) or (None if value.get("bucket") else "needs a bucket")

    return Field(local=True, type="object", read=read, rule=rule)


def _read_balancer(run: Run) -> Values | None:
    found: Values = run.call("DescribeLoadBalancers", LoadBalancerArns=[run.id])["LoadBalancers"][0]
    answer = run.call("DescribeLoadBalancerAttributes", LoadBalancerArn=run.id)
    found["Attributes"] = answer["Attributes"]
    for name, prefix in _LOGS.items():
        # Logs that are off keep their bucket in the program, and none in AWS.
        given = run.value(name)
        if given and not given.get("enabled") and attributes(found).get(f"{prefix}.enabled") != "true":
            found[name] = given
    return tagged(run, found)


def tagged(run: Run, found: Values) -> Values:
    """A read hook's result with its tags, which have an operation of their own."""
    described = run.call("DescribeTags", ResourceArns=[run.id])["TagDescriptions"]
    found["Tags"] = described[0]["Tags"] if described else []
    run.response = found
    return found


@creates("CreateLoadBalancer")
def _create_balancer(run: Run) -> Any:
    internal = run.inputs.get("internal") is True
    extra = {
        "Type": "application",
        "Scheme": "internal" if internal else "internet-facing",
        **creation_tags(run, "CreateLoadBalancer"),
    }
    call = Call(op="CreateLoadBalancer", result="LoadBalancers.0")
    return run.perform(call, ("name", "subnets", "securityGroups", "ipAddressType"), extra)


def _active(run: Run) -> bool | None:
    found = run.call("DescribeLoadBalancers", LoadBalancerArns=[run.id])["LoadBalancers"][0]
    return True if found["State"]["Code"] in ("active", "active_impaired") else None


def _place(run: Run) -> None:
    """After creation it only waits: requests reach a balancer once it is active."""
    if "subnets" in run.changed:
        run.call("SetSubnets", LoadBalancerArn=run.id, Subnets=run.inputs["subnets"])
    run.wait_until(lambda: _active(run), f"the start of load balancer {run.value('name')}", ACTIVE_S)


def _groups(run: Run) -> None:
    if run.inputs.get("securityGroups"):
        run.call("SetSecurityGroups", LoadBalancerArn=run.id, SecurityGroups=run.inputs["securityGroups"])


def _find_balancer(run: Run) -> str | None:
    """The name is the balancer's own in its account and region."""
    found = run.optional("DescribeLoadBalancers", Names=[run.inputs["name"]]).get("LoadBalancers") or []
    return found[0]["LoadBalancerArn"] if found else None


def arn_suffix(kind: str) -> Callable[[Run, Values], str]:
    """The part of the ARN that metrics are named by."""
    return lambda run, _result: run.id.rpartition(f":{kind}")[2]


def _balancer_rules(values: Values) -> dict[str, str]:
    subnets = values["subnets"]
    if isinstance(subnets, list) and len(subnets) < 2:
        return {"subnets": "an application load balancer needs at least two, in two availability zones"}
    return {}


_ONLY_NETWORK = "is for network load balancers, and the emulator has application load balancers only"

LOAD_BALANCER = Resource(
    token="aws:lb/loadBalancer:LoadBalancer",
    service="elbv2",
    fields={
        "name": Field("Name", read="LoadBalancerName", computed=True, replace=True, maximum=32, rule=NAME),
        "namePrefix": Field(local=True, type="string", replace=True, maximum=6, rule=PREFIX),
        "internal": Field(
            local=True,
            type="boolean",
            read=lambda lb: lb["Scheme"] == "internal",
            computed=True,
            replace=True,
        ),
        "loadBalancerType": Field("Type", default="application", replace=True, allowed=("application",)),
        "subnets": Field(
            "Subnets",
            required=True,
            unordered=True,
            read=lambda lb: [zone["SubnetId"] for zone in lb["AvailabilityZones"]],
        ),
        "securityGroups": Field("SecurityGroups", computed=True, unordered=True),
        "ipAddressType": Field("IpAddressType", computed=True, allowed=("ipv4",), replace=True),
        **fields(_ATTRIBUTES),
        **{name: _log_field(prefix) for name, prefix in _LOGS.items()},
    },
    autoname=AutoName(limit=32, prefix_property="namePrefix"),
    identity=("name",),
    validate=_balancer_rules,
    id="@LoadBalancerArn",
    import_id="{id}",
    create=_create_balancer,
    read=_read_balancer,
    update=(
        Custom(run=_place, fields=("subnets",), on_create=True),
        Custom(run=_groups, fields=("securityGroups",)),
        step(
            "ModifyLoadBalancerAttributes",
            "LoadBalancerArn",
            _ATTRIBUTES,
            {name: _log_keys(prefix) for name, prefix in _LOGS.items()},
        ),
    ),
    delete=Call(op="DeleteLoadBalancer", params={"LoadBalancerArn": "{id}"}),
    outputs={
        "arn": "{id}",
        "arnSuffix": arn_suffix("loadbalancer/"),
        "dnsName": "DNSName",
        "vpcId": "VpcId",
        "zoneId": "CanonicalHostedZoneId",
    },
    tags=TAGS,
    unsupported={
        "customerOwnedIpv4Pool": "the emulator has no Outposts",
        "dnsRecordClientRoutingPolicy": _ONLY_NETWORK,
        "enableCrossZoneLoadBalancing": "application load balancers always do it",
        "enablePrefixForIpv6SourceNat": _ONLY_NETWORK,
        "enforceSecurityGroupInboundRulesOnPrivateLinkTraffic": _ONLY_NETWORK,
        "ipamPools": "the emulator has no IP address manager",
        "minimumLoadBalancerCapacity": "the emulator's balancers have no capacity units",
        "secondaryIpsAutoAssignedPerSubnet": _ONLY_NETWORK,
        "subnetMappings": "give subnets: an application load balancer takes no addresses of its own",
    },
    find=_find_balancer,
)
