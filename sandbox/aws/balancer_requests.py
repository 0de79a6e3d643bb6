"""What is changed in ministack's answers about load balancers: what AWS refuses, and what goes with what.

See ``adjustments``: each function is one adjustment, its docstring is the reason.
"""

import re
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from sandbox.aws.patching import module, replace, replace_operation

Handler = Callable[[dict[str, Any]], Any]

_ZONE = re.compile(r"<ZoneName>[^<]*</ZoneName><SubnetId>([^<]*)</SubnetId>")


def _subnet(identifier: str) -> dict[str, Any]:
    return module("services.ec2")._subnets.get(identifier) or {}


def placed_in_their_subnets() -> None:
    """A load balancer is in the VPC and the zones of its subnets, at least two zones, each once.

    Ministack puts every one into the same VPC and zone, and takes subnets that don't exist.
    """

    def create(original: Handler) -> Handler:
        def checked(params: dict[str, Any]) -> Any:
            alb = module("services.alb")
            subnets = alb._parse_member_list(params, "Subnets")
            zones = [_subnet(identifier).get("AvailabilityZone") for identifier in subnets]
            for identifier, zone in zip(subnets, zones, strict=True):
                if zone is None:
                    return alb._error("SubnetNotFound", f"The subnet ID '{identifier}' is not valid")
            if len(zones) > len(set(zones)):
                message = (
                    "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
                )
                return alb._error("InvalidConfigurationRequest", message)
            if len(zones) < 2 and alb._p(params, "Type", "application") == "application":
                message = "At least two subnets in two different Availability Zones must be specified"
                return alb._error("ValidationError", message)
            return original({**params, "VpcId": [_subnet(subnets[0])["VpcId"]]} if subnets else params)

        return checked

    def shape(original: Callable[..., Any]) -> Callable[..., Any]:
        def in_zones(balancer: dict[str, Any]) -> str:
            def zone(found: re.Match[str]) -> str:
                name = _subnet(found[1]).get("AvailabilityZone", "")
                return f"<ZoneName>{name}</ZoneName><SubnetId>{found[1]}</SubnetId>"

            return _ZONE.sub(zone, original(balancer))

        return in_zones

    replace("services.alb", "_lb_xml", shape)
    replace_operation("services.alb", "CreateLoadBalancer", create)


def deleted_with_what_is_theirs() -> None:
    """A deleted load balancer takes its listeners and rules with it, unless it is protected; a target group
    that a rule uses stays.

    Ministack deletes what it is asked to and nothing else.
    """

    def balancer(original: Handler) -> Handler:
        def checked(params: dict[str, Any]) -> Any:
            alb = module("services.alb")
            arn = alb._p(params, "LoadBalancerArn")
            if alb._lb_attr(arn, "deletion_protection.enabled", "false") == "true":
                message = f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
                return alb._error("OperationNotPermitted", message)
            for listener in list(alb._listeners.values()):
                if listener["LoadBalancerArn"] == arn:
                    alb._delete_listener({"ListenerArn": [listener["ListenerArn"]]})
            for group in alb._tgs.values():
                group["LoadBalancerArns"] = [one for one in group.get("LoadBalancerArns", []) if one != arn]
            return original(params)

        return checked

    def group(original: Handler) -> Handler:
        def checked(params: dict[str, Any]) -> Any:
            alb = module("services.alb")
            arn = alb._p(params, "TargetGroupArn")
            actions = [action for one in alb._listeners.values() for action in one["DefaultActions"]]
            actions += [action for rule in alb._rules.values() for action in rule["Actions"]]
            if arn and any(arn in str(action) for action in actions):
                message = f"Target group '{arn}' is currently in use by a listener or a rule"
                return alb._error("ResourceInUse", message)
            return original(params)

        return checked

    replace_operation("services.alb", "DeleteLoadBalancer", balancer)
    replace_operation("services.alb", "DeleteTargetGroup", group)


def one_of_each() -> None:
    """A port has one listener and a priority one rule; ministack takes a second, and serves either."""

    def listener(original: Handler) -> Handler:
        def checked(params: dict[str, Any]) -> Any:
            alb = module("services.alb")
            arn, port = alb._p(params, "LoadBalancerArn"), str(alb._p(params, "Port", "80"))
            taken = {str(one["Port"]) for one in alb._listeners.values() if one["LoadBalancerArn"] == arn}
            if port in taken:
                message = "A listener already exists on this port for this load balancer"
                return alb._error("DuplicateListener", message)
            return original(params)

        return checked

    def rule(original: Handler) -> Handler:
        def checked(params: dict[str, Any]) -> Any:
            alb = module("services.alb")
            arn, priority = alb._p(params, "ListenerArn"), str(alb._p(params, "Priority", "1"))
            taken = {str(one["Priority"]) for one in alb._rules.values() if one["ListenerArn"] == arn}
            if priority in taken:
                return alb._error("PriorityInUse", f"Priority '{priority}' is currently in use")
            return original(params)

        return checked

    replace_operation("services.alb", "CreateListener", listener)
    replace_operation("services.alb", "CreateRule", rule)


def texts_are_escaped() -> None:
    """What stands in an attribute or a fixed answer comes back as it was; ministack's XML breaks by it."""

    def escaped(value: Any) -> Any:
        if isinstance(value, dict):
            # This one field is escaped by ministack itself.
            return {key: item if key == "Query" else escaped(item) for key, item in value.items()}
        return escape(value) if isinstance(value, str) else value

    def attributes(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda found: original([escaped(one) for one in found])

    def action(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda found: original(escaped(found))

    replace("services.alb", "_attrs_xml", attributes)
    replace("services.alb", "_action_xml", action)


def apply() -> None:
    """Make these adjustments, before the first request."""
    placed_in_their_subnets()
    deleted_with_what_is_theirs()
    one_of_each()
    texts_are_escaped()
