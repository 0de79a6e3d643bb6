"""What people are told of the projections, by e-mail: failed runs, dead letters, a sick site."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch

from components.parts.alerts import alarm

NAMESPACE = "Benchtop/Projections"
FAILED_RUN = '{ $.event = "run failed" }'
"""What the model's task and the functions log when a run ends as failed."""
LEAST_STORAGE_BYTES = 2 * 1024**3
BUSY_PERCENT = 90
BUSY_PERIODS = 3


@dataclass(frozen=True, kw_only=True)
class Alarms:
    """Makes alarms of one runner, as children of ``parent``."""

    name: str
    runner_name: str
    topic_arn: pulumi.Input[str]
    parent: pulumi.Resource
    tags: Mapping[str, str] | None = None

    def failed_runs(self, log_groups: Mapping[str, pulumi.Input[str]]) -> None:
        """Counted where they are logged: by the task itself, or by a function that gives a run up."""
        metric = f"{self.runner_name}-failed-runs"
        for key, group in sorted(log_groups.items()):
            cloudwatch.LogMetricFilter(
                f"{self.name}-{key}-failed-runs",
                name=metric,
                log_group_name=group,
                pattern=FAILED_RUN,
                metric_transformation={"name": metric, "namespace": NAMESPACE, "value": "1"},
                opts=pulumi.ResourceOptions(parent=self.parent),
            )
        self._alarm("runs-failed", "a run failed", NAMESPACE, metric, {})

    def functions(self, names: Mapping[str, pulumi.Input[str]]) -> None:
        for key, function in sorted(names.items()):
            dimensions = {"FunctionName": function}
            self._alarm(f"{key}-errors", f"{key} raised an error", "AWS/Lambda", "Errors", dimensions)

    def dead_letters(self, names: Mapping[str, pulumi.Input[str]]) -> None:
        for key, queue in sorted(names.items()):
            self._alarm(
                f"{key}-dead-letters",
                f"there are dead letters of {key}",
                "AWS/SQS",
                "ApproximateNumberOfMessagesVisible",
                {"QueueName": queue},
                statistic="Maximum",
            )

    def site(self, balancer: pulumi.Input[str], targets: pulumi.Input[str]) -> None:
        """``balancer`` and ``targets`` are the suffixes of their ARNs."""
        both = {"LoadBalancer": balancer, "TargetGroup": targets}
        for key, what, metric, dimensions in (
            ("site-5xx", "the site answered 5xx", "HTTPCode_Target_5XX_Count", both),
            ("balancer-5xx", "no task answered", "HTTPCode_ELB_5XX_Count", {"LoadBalancer": balancer}),
        ):
            self._alarm(key, what, "AWS/ApplicationELB", metric, dimensions)
        self._alarm(
            "site-unhealthy",
            "a task of the site fails its health check",
            "AWS/ApplicationELB",
            "UnHealthyHostCount",
            both,
            statistic="Minimum",
            periods=BUSY_PERIODS,
        )

    def database(self, instance: pulumi.Input[str]) -> None:
        dimensions = {"DBInstanceIdentifier": instance}
        self._alarm(
            "database-storage",
            "the database has less than 2 GB left",
            "AWS/RDS",
            "FreeStorageSpace",
            dimensions,
            statistic="Minimum",
            below=LEAST_STORAGE_BYTES,
        )
        self._alarm(
            "database-cpu",
            f"the database has been busy for {5 * BUSY_PERIODS} minutes",
            "AWS/RDS",
            "CPUUtilization",
            dimensions,
            statistic="Average",
            above=BUSY_PERCENT,
            periods=BUSY_PERIODS,
        )

    def _alarm(
        self,
        key: str,
        what: str,
        namespace: str,
        metric: str,
        dimensions: Mapping[str, pulumi.Input[str]],
        *,
        statistic: str = "Sum",
        above: float | None = None,
        below: float | None = None,
        periods: int = 1,
    ) -> None:
        alarm(
            f"{self.name}-{key}",
            parent=self.parent,
            what=f"Projections {self.runner_name}: {what}",
            namespace=namespace,
            metric=metric,
            dimensions=dimensions,
            topic_arn=self.topic_arn,
            statistic=statistic,
            above=above,
            below=below,
            periods=periods,
            tags=self.tags,
        )
