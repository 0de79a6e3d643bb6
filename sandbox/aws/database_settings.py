"""What RDS instances are set to and ministack doesn't keep."""

import re
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from sandbox.aws.network_adjustments import Handler, first
from sandbox.aws.patching import module, replace, replace_operation

_NUMBERS = ("PerformanceInsightsRetentionPeriod", "StorageThroughput")
_FLAGS = {
    "AutoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "EnablePerformanceInsights": "PerformanceInsightsEnabled",
}


def _members(params: dict[str, Any], prefix: str) -> list[str]:
    """A list of the request, whatever its members are called."""
    pattern = re.compile(rf"{re.escape(prefix)}\.\w+\.(\d+)")
    found = {int(match[1]): first(params, key) for key in params if (match := pattern.fullmatch(key))}
    return [found[number] for number in sorted(found)]


def _keep(instance: dict[str, Any], params: dict[str, Any]) -> None:
    for name in _NUMBERS:
        if first(params, name):
            instance[name] = int(first(params, name))
    for name, kept in _FLAGS.items():
        if first(params, name):
            instance[kept] = first(params, name) == "true"
    if first(params, "CACertificateIdentifier"):
        instance["CACertificateIdentifier"] = first(params, "CACertificateIdentifier")
    change = "CloudwatchLogsExportConfiguration"
    logs = [
        *instance.get("EnabledCloudwatchLogsExports", []),
        *_members(params, "EnableCloudwatchLogsExports"),
    ]
    logs += _members(params, f"{change}.EnableLogTypes")
    gone = _members(params, f"{change}.DisableLogTypes")
    instance["EnabledCloudwatchLogsExports"] = [name for name in dict.fromkeys(logs) if name not in gone]


def instances_keep_their_settings() -> None:
    """Insights, minor upgrades, the certificate's authority, throughput and exported logs of an instance.

    Ministack forgets them, so that a refresh would show a change that nobody made.
    """
    rds = module("services.rds")

    def keeping(original: Handler) -> Handler:
        def kept(params: dict[str, Any]) -> Any:
            answer = original(params)
            instance = rds._resolve_instance(first(params, "DBInstanceIdentifier"))
            if answer[0] == 200 and instance:
                _keep(instance, params)
            return answer

        return kept

    def shape(original: Callable[..., str]) -> Callable[..., str]:
        def with_logs(instance: dict[str, Any]) -> str:
            logs = instance.get("EnabledCloudwatchLogsExports", [])
            inner = "".join(f"<member>{escape(name)}</member>" for name in logs)
            filled = f"<EnabledCloudwatchLogsExports>{inner}</EnabledCloudwatchLogsExports>"
            return original(instance).replace("<EnabledCloudwatchLogsExports/>", filled)

        return with_logs

    replace_operation("services.rds", "CreateDBInstance", keeping)
    replace_operation("services.rds", "ModifyDBInstance", keeping)
    replace("services.rds", "_instance_xml", shape)


def subnet_groups_are_not_overwritten() -> None:
    """A second subnet group of a name is refused; ministack puts it in the place of the first."""
    rds = module("services.rds")

    def create(original: Handler) -> Handler:
        def unless_there(params: dict[str, Any]) -> Any:
            name = first(params, "DBSubnetGroupName")
            if name in rds._subnet_groups:
                reason = f"The DB subnet group '{name}' already exists."
                return rds._error("DBSubnetGroupAlreadyExists", reason, 400)
            return original(params)

        return unless_there

    replace_operation("services.rds", "CreateDBSubnetGroup", create)


def apply() -> None:
    """Make all adjustments, before the first request."""
    instances_keep_their_settings()
    subnet_groups_are_not_overwritten()
