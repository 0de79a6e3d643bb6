"""The adjustments that fill a module of their own, in the order in which they are made."""

from sandbox.aws import (
    balancers,
    database_settings,
    databases,
    event_adjustments,
    function_adjustments,
    network_adjustments,
    task_adjustments,
)
from sandbox.environment import AwsSettings


def apply(settings: AwsSettings) -> None:
    """Make these adjustments, before the first request."""
    function_adjustments.apply()
    task_adjustments.apply()
    event_adjustments.apply()
    balancers.apply()
    databases.apply(settings)
    network_adjustments.apply()
    database_settings.apply()
