"""A topic with e-mail subscribers, and alarms that publish to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, sns

PERIOD_S = 300


@dataclass(frozen=True, kw_only=True)
class AlertsArgs:
    emails: Sequence[str] | None = None
    """Who is told; each address gets a message that asks to confirm."""
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for email in self.emails or ():
            if email.count("@") != 1 or email.startswith("@") or email.endswith("@"):
                raise ValueError(f"emails must be addresses like team@example.org, got {email!r}")


class Alerts(pulumi.ComponentResource):
    topic_arn: pulumi.Output[str]

    def __init__(self, name: str, args: AlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = AlertsArgs(**args) if isinstance(args, dict) else args
        super().__init__("benchtop:index:Alerts", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        # Not encrypted with alias/aws/sns: CloudWatch may not use that key, and alarms would be lost.
        # Alarms carry names and counts, nothing personal.
        topic = sns.Topic(f"{name}-topic", tags=args.tags, opts=child)
        for email in sorted(set(args.emails or ())):
            sns.TopicSubscription(
                f"{name}-{email}", topic=topic.arn, protocol="email", endpoint=email, opts=child
            )
        self.topic_arn = topic.arn
        self.register_outputs({"topic_arn": self.topic_arn})


def alarm(
    name: str,
    *,
    parent: pulumi.Resource,
    what: str,
    namespace: str,
    metric: str,
    dimensions: Mapping[str, pulumi.Input[str]],
    topic_arn: pulumi.Input[str],
    statistic: str = "Sum",
    above: float | None = None,
    below: float | None = None,
    periods: int = 1,
    tags: Mapping[str, str] | None = None,
) -> cloudwatch.MetricAlarm:
    """An alarm as soon as a metric counts one event within five minutes; no data is good news.

    Or when its ``statistic`` is over ``above``, or under ``below``, for ``periods`` of five minutes.
    """
    return cloudwatch.MetricAlarm(
        name,
        alarm_description=what,
        namespace=namespace,
        metric_name=metric,
        dimensions=dict(dimensions),
        statistic=statistic,
        period=PERIOD_S,
        evaluation_periods=periods,
        comparison_operator="GreaterThanThreshold" if below is None else "LessThanThreshold",
        threshold=(above or 0) if below is None else below,
        treat_missing_data="notBreaching",
        alarm_actions=[topic_arn],
        tags=tags,
        opts=pulumi.ResourceOptions(parent=parent),
    )
