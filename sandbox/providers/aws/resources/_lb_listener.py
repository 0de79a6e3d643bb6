"""``aws:lb/listener`` and ``listenerRule``: which requests go where."""

from collections.abc import Mapping
from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.resources._lb_attributes import Attribute, fields, step
from sandbox.providers.aws.resources._lb_balancer import TAGS, tagged
from sandbox.providers.aws.table import Call, Custom, Field, Resource, Values
from sandbox.providers.aws.tags import creation_tags

_KINDS = {"forward": "targetGroupArn", "redirect": "redirect", "fixed-response": "fixedResponse"}
_NO_ACTION = {
    "authenticateCognito": "the emulator's listeners don't log in users",
    "authenticateOidc": "the emulator's listeners don't log in users",
    "forward": "the emulator forwards to one target group: targetGroupArn",
    "jwtValidation": "the emulator's listeners don't look at tokens",
}


def _actions_problem(actions: list[Any]) -> str | None:
    if not actions:
        return "must have an action"
    for i, action in enumerate(actions):
        if not isinstance(action, dict):
            return f"[{i}] must be an object with type"
        given = {name for name, value in action.items() if value is not None}
        for name in sorted(given & set(_NO_ACTION)):
            return f"[{i}].{name} isn't supported by the sandbox's aws provider: {_NO_ACTION[name]}"
        kind = action.get("type")
        if kind not in _KINDS:
            return f"[{i}].type must be one of {', '.join(_KINDS)}, not {kind!r}"
        if _KINDS[kind] not in given:
            return f"[{i}].{_KINDS[kind]} is required with type {kind}"
        for name in sorted(given - {"type", "order", _KINDS[kind]}):
            return f"[{i}].{name} doesn't go with type {kind}"
    return None


def _actions(member: str) -> Field:
    same = {name: f"#{{{name}}}" for name in ("host", "port", "protocol", "query")}
    redirect = {name: Field(default=default) for name, default in {**same, "path": "/#{path}"}.items()}
    return Field(
        member,
        required=True,
        rule=_actions_problem,
        sub={
            "order": Field(computed=True, minimum=1, maximum=50000),
            "redirect": Field("RedirectConfig", sub={**redirect, "statusCode": Field(required=True)}),
            "fixedResponse": Field(
                "FixedResponseConfig",
                sub={
                    "contentType": Field(
                        required=True,
                        allowed=(
                            "text/plain",
                            "text/css",
                            "text/html",
                            "application/javascript",
                            "application/json",
                        ),
                    ),
                    "statusCode": Field(required=True, pattern="[245][0-9]{2}"),
                },
            ),
        },
    )


def _described(actions: list[Values]) -> list[Values]:
    """AWS tells a single target group twice."""
    return [{name: value for name, value in item.items() if name != "ForwardConfig"} for item in actions]


def _header(direction: str, name: str, suffix: str) -> str:
    return f"routing.http.{direction}.{name}.{suffix}"


_REQUEST = {
    "XAmznMtlsClientcert": "x_amzn_mtls_clientcert",
    "XAmznMtlsClientcertIssuer": "x_amzn_mtls_clientcert_issuer",
    "XAmznMtlsClientcertLeaf": "x_amzn_mtls_clientcert_leaf",
    "XAmznMtlsClientcertSerialNumber": "x_amzn_mtls_clientcert_serial_number",
    "XAmznMtlsClientcertSubject": "x_amzn_mtls_clientcert_subject",
    "XAmznMtlsClientcertValidity": "x_amzn_mtls_clientcert_validity",
    "XAmznTlsCipherSuite": "x_amzn_tls_cipher_suite",
    "XAmznTlsVersion": "x_amzn_tls_version",
}
_RESPONSE = {
    "AccessControlAllowCredentials": "access_control_allow_credentials",
    "AccessControlAllowHeaders": "access_control_allow_headers",
    "AccessControlAllowMethods": "access_control_allow_methods",
    "AccessControlAllowOrigin": "access_control_allow_origin",
    "AccessControlExposeHeaders": "access_control_expose_headers",
    "AccessControlMaxAge": "access_control_max_age",
    "ContentSecurityPolicy": "content_security_policy",
    "StrictTransportSecurity": "strict_transport_security",
    "XContentTypeOptions": "x_content_type_options",
    "XFrameOptions": "x_frame_options",
}
_ATTRIBUTES: Mapping[str, Attribute] = {
    **{
        f"routingHttpRequest{name}HeaderName": Attribute(_header("request", key, "header_name"), "string", "")
        for name, key in _REQUEST.items()
    },
    **{
        f"routingHttpResponse{name}HeaderValue": Attribute(
            _header("response", key, "header_value"), "string", ""
        )
        for name, key in _RESPONSE.items()
    },
    "routingHttpResponseServerEnabled": Attribute("routing.http.response.server.enabled", "boolean", True),
}


def _read_listener(run: Run) -> Values | None:
    items = run.call("DescribeListeners", ListenerArns=[run.id])["Listeners"]
    if not items:
        return None
    found: Values = items[0]
    found["DefaultActions"] = _described(found["DefaultActions"])
    found["Attributes"] = run.call("DescribeListenerAttributes", ListenerArn=run.id)["Attributes"]
    return tagged(run, found)


def _find_listener(run: Run) -> str | None:
    """A balancer has one listener a port."""
    balancer, port = run.inputs["loadBalancerArn"], run.inputs["port"]
    items = run.optional("DescribeListeners", LoadBalancerArn=balancer).get("Listeners") or []
    return next((item["ListenerArn"] for item in items if item["Port"] == port), None)


def _listener_rules(values: Values) -> dict[str, str]:
    secure = values.get("protocol", "HTTP")
    if secure == "HTTPS" and values.get("certificateArn") is None:
        return {"certificateArn": "is required with protocol HTTPS"}
    if secure == "HTTP":
        for name in ("certificateArn", "sslPolicy"):
            if values.get(name) is not None:
                return {name: "is only for listeners with protocol HTTPS"}
    return {}


_ONLY_NETWORK = "it is for network load balancers, and the emulator has application load balancers only"

LISTENER = Resource(
    token="aws:lb/listener:Listener",
    service="elbv2",
    fields={
        "loadBalancerArn": Field("LoadBalancerArn", required=True, replace=True),
        "port": Field("Port", required=True),
        "protocol": Field("Protocol", default="HTTP", allowed=("HTTP", "HTTPS")),
        "sslPolicy": Field("SslPolicy", computed=True),
        "certificateArn": Field(
            "Certificates",
            type="string",
            out=lambda arn: [{"CertificateArn": arn}],
            back=lambda found: found[0]["CertificateArn"] if found else None,
        ),
        "defaultActions": _actions("DefaultActions"),
        **fields(_ATTRIBUTES),
    },
    validate=_listener_rules,
    id="@ListenerArn",
    import_id="{id}",
    create=Call(op="CreateListener", result="Listeners.0"),
    read=_read_listener,
    update=(
        Call(op="ModifyListener", params={"ListenerArn": "{id}"}),
        step("ModifyListenerAttributes", "ListenerArn", _ATTRIBUTES),
    ),
    delete=Call(op="DeleteListener", params={"ListenerArn": "{id}"}),
    outputs={"arn": "{id}"},
    tags=TAGS,
    unsupported={
        "alpnPolicy": _ONLY_NETWORK,
        "mutualAuthentication": "the emulator's listeners ask clients for no certificate",
        "tcpIdleTimeoutSeconds": _ONLY_NETWORK,
    },
    find=_find_listener,
)

_CONDITIONS = {
    # property: (AWS's field, member, its keys)
    "hostHeader": ("host-header", "HostHeaderConfig", {"values": "Values"}),
    "httpHeader": (
        "http-header",
        "HttpHeaderConfig",
        {"httpHeaderName": "HttpHeaderName", "values": "Values"},
    ),
    "httpRequestMethod": ("http-request-method", "HttpRequestMethodConfig", {"values": "Values"}),
    "pathPattern": ("path-pattern", "PathPatternConfig", {"values": "Values"}),
    "sourceIp": ("source-ip", "SourceIpConfig", {"values": "Values"}),
}


def _conditions_problem(conditions: list[Any]) -> str | None:
    if not conditions:
        return "must have a condition"
    for i, condition in enumerate(conditions):
        given = {name for name, value in condition.items() if value} if isinstance(condition, dict) else set()
        if "queryStrings" in given:
            return f"[{i}].queryStrings isn't supported: the emulator's rules don't look at them"
        if len(given) != 1 or not given <= set(_CONDITIONS):
            return f"[{i}] must have one of {', '.join(_CONDITIONS)}"
        name = given.pop()
        keys = _CONDITIONS[name][2]
        body = condition[name]
        if not isinstance(body, dict) or {key for key, value in body.items() if value} != set(keys):
            return f"[{i}].{name} must be an object with {' and '.join(keys)}"
        if not isinstance(body["values"], list):
            return f"[{i}].{name}.values must be a list"
    return None


def _to_conditions(conditions: list[Values]) -> list[Values]:
    made = []
    for condition in conditions:
        name = next(name for name, value in condition.items() if value)
        field, member, keys = _CONDITIONS[name]
        made.append({"Field": field, member: {keys[key]: condition[name][key] for key in keys}})
    return made


def _from_conditions(conditions: list[Values]) -> list[Values]:
    made = []
    for condition in conditions:
        for name, (field, member, keys) in _CONDITIONS.items():
            if condition["Field"] == field:
                body = condition.get(member) or condition
                made.append({name: {key: body.get(inner) for key, inner in keys.items()}})
    return made


def _read_rule(run: Run) -> Values | None:
    items = run.call("DescribeRules", RuleArns=[run.id])["Rules"]
    if not items:
        return None
    found: Values = items[0]
    found["Actions"] = _described(found["Actions"])
    found["ListenerArn"] = run.id.replace(":listener-rule/", ":listener/").rpartition("/")[0]
    return tagged(run, found)


def _priorities(run: Run) -> dict[int, str]:
    """Priority -> ARN of the listener's rules, without the default one."""
    items = run.call("DescribeRules", ListenerArn=run.inputs["listenerArn"])["Rules"]
    return {int(item["Priority"]): item["RuleArn"] for item in items if not item["IsDefault"]}


@creates("CreateRule")
def _create_rule(run: Run) -> Any:
    """Without a priority the rule comes after all others."""
    priority = run.inputs.get("priority") or max(_priorities(run), default=0) + 1
    extra = {"Priority": priority, **creation_tags(run, "CreateRule")}
    return run.perform(
        Call(op="CreateRule", result="Rules.0"), ("listenerArn", "actions", "conditions"), extra
    )


def _find_rule(run: Run) -> str | None:
    """By the priority, which no two rules share; one that AWS was to choose is the last."""
    there = _priorities(run)
    priority = run.inputs.get("priority")
    if priority is not None:
        return there.get(priority)
    last = there.get(max(there, default=0))
    if last is None:
        return None
    found = run.call("DescribeRules", RuleArns=[last])["Rules"][0]
    wanted = sorted(map(str, _to_conditions(run.inputs["conditions"])))
    same = sorted(map(str, _to_conditions(_from_conditions(found["Conditions"])))) == wanted
    return last if same else None


def _set_priority(run: Run) -> None:
    if run.inputs.get("priority") is not None:
        change = {"RuleArn": run.id, "Priority": run.inputs["priority"]}
        run.call("SetRulePriorities", RulePriorities=[change])


LISTENER_RULE = Resource(
    token="aws:lb/listenerRule:ListenerRule",
    service="elbv2",
    fields={
        "listenerArn": Field(
            "ListenerArn", required=True, replace=True, rule=rules.arn("elasticloadbalancing")
        ),
        "priority": Field(
            "Priority", computed=True, minimum=1, maximum=50000, read=lambda rule: int(rule["Priority"])
        ),
        "actions": _actions("Actions"),
        "conditions": Field(
            "Conditions",
            type="list",
            required=True,
            unordered=True,
            rule=_conditions_problem,
            out=_to_conditions,
            back=_from_conditions,
            sub={name: Field(sub={"values": Field(unordered=True)}) for name in _CONDITIONS},
        ),
    },
    id="@RuleArn",
    import_id="{id}",
    create=_create_rule,
    read=_read_rule,
    update=(
        Custom(run=_set_priority, fields=("priority",)),
        Call(op="ModifyRule", params={"RuleArn": "{id}"}, fields=("actions", "conditions")),
    ),
    delete=Call(op="DeleteRule", params={"RuleArn": "{id}"}),
    outputs={"arn": "{id}"},
    tags=TAGS,
    unsupported={"transforms": "the rules here leave hosts and paths as they are"},
    find=_find_rule,
)
