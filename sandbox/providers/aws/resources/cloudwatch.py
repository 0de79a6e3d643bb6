"""``aws:cloudwatch/*``: in Pulumi this module also holds CloudWatch Logs and EventBridge."""

from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.resources._events import EVENT_RULE, EVENT_TARGET
from sandbox.providers.aws.resources._log_metrics import METRIC_FILTER
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values

_LOG_GROUP = rules.matches(r"[.\-_/#A-Za-z0-9]+", "letters, digits and . - _ / #")


def _read_group(run: Run) -> Values | None:
    answer = run.call("DescribeLogGroups", logGroupNamePrefix=run.id)
    found: list[Values] = [group for group in answer["logGroups"] if group["logGroupName"] == run.id]
    return found[0] if found else None


def _retention(run: Run) -> None:
    days = run.inputs.get("retentionInDays")
    if days:
        run.call("PutRetentionPolicy", logGroupName=run.id, retentionInDays=days)
    else:
        run.optional("DeleteRetentionPolicy", logGroupName=run.id)


def _key(run: Run) -> None:
    key = run.inputs.get("kmsKeyId")
    if key:
        run.call("AssociateKmsKey", logGroupName=run.id, kmsKeyId=key)
    else:
        run.call("DisassociateKmsKey", logGroupName=run.id)


def _delete_group(run: Run) -> None:
    if run.value("skipDestroy") is not True:
        run.call("DeleteLogGroup", logGroupName=run.id)


LOG_GROUP = Resource(
    token="aws:cloudwatch/logGroup:LogGroup",
    service="logs",
    fields={
        "name": Field("logGroupName", replace=True, computed=True, pattern="", rule=_LOG_GROUP),
        "namePrefix": Field(local=True, type="string", replace=True),
        "retentionInDays": Field(
            local=True,
            type="integer",
            default=0,
            allowed=rules.LOG_RETENTION_DAYS,
            read=lambda group: group.get("retentionInDays", 0),
        ),
        "kmsKeyId": Field("kmsKeyId"),
        "logGroupClass": Field("logGroupClass", replace=True, computed=True),
        "deletionProtectionEnabled": Field("deletionProtectionEnabled", computed=True),
        "skipDestroy": Field(local=True, type="boolean", default=False),
    },
    autoname=AutoName(limit=512, prefix_property="namePrefix"),
    identity=("name",),
    create=Call(op="CreateLogGroup"),
    read=_read_group,
    delete=_delete_group,
    update=(
        Custom(run=_retention, fields=("retentionInDays",), on_create=True),
        Custom(run=_key, fields=("kmsKeyId",)),
        Call(
            op="PutLogGroupDeletionProtection",
            params={"logGroupIdentifier": "{id}"},
            fields=("deletionProtectionEnabled",),
        ),
    ),
    outputs={"arn": "arn:{partition}:logs:{region}:{account}:log-group:{name}"},
    tags=Tags(
        member="tags",
        add="TagResource",
        remove="UntagResource",
        list="ListTagsForResource",
        target={"resourceArn": "{arn}"},
    ),
    read_after_create=False,
)


def _alarm_rules(values: Values) -> dict[str, str]:
    single, several = values.get("metricName"), values.get("metricQueries")
    if single and several:
        return {"metricQueries": "conflicts with metricName"}
    if not single and not several and not values.get("evaluationCriteria"):
        return {"metricName": "is required, or metricQueries"}
    if single:
        for key in ("namespace", "period"):
            if values.get(key) is None:
                return {key: "is required with metricName"}
        if (values.get("statistic") is None) == (values.get("extendedStatistic") is None):
            return {"statistic": "exactly one of statistic and extendedStatistic is required with metricName"}
    if values.get("threshold") is None and not values.get("thresholdMetricId"):
        return {"threshold": "is required, or thresholdMetricId"}
    return {}


def _period(value: Any) -> str | None:
    if value in (10, 20, 30) or value % 60 == 0:
        return None
    return f"must be 10, 20, 30 or a multiple of 60 seconds, not {value}"


_METRIC = ("metricName", "namespace", "period", "stat", "unit", "dimensions")


def _metric_stat(metric: Values) -> Values:
    """Pulumi has the metric and its statistic in one object, AWS in two."""
    inner: Values = {"MetricName": metric["metricName"]}
    if metric.get("namespace"):
        inner["Namespace"] = metric["namespace"]
    if metric.get("dimensions"):
        inner["Dimensions"] = [{"Name": name, "Value": value} for name, value in metric["dimensions"].items()]
    outer: Values = {"Metric": inner, "Period": metric["period"], "Stat": metric["stat"]}
    return outer | ({"Unit": metric["unit"]} if metric.get("unit") else {})


def _metric(stat: Values) -> Values:
    inner = stat["Metric"]
    found = {
        "metricName": inner.get("MetricName"),
        "namespace": inner.get("Namespace"),
        "period": stat.get("Period"),
        "stat": stat.get("Stat"),
        "unit": stat.get("Unit"),
        "dimensions": {item["Name"]: item["Value"] for item in inner.get("Dimensions") or []},
    }
    return {name: value for name, value in found.items() if value not in (None, {})}


def _metric_problem(metric: Values) -> str | None:
    unknown = sorted(set(metric) - set(_METRIC))
    if unknown:
        return f"has no property {unknown[0]!r}; allowed: {', '.join(_METRIC)}"
    missing = [name for name in ("metricName", "period", "stat") if metric.get(name) is None]
    return f"must have {missing[0]}" if missing else None


ALARM = Resource(
    token="aws:cloudwatch/metricAlarm:MetricAlarm",
    service="cloudwatch",
    fields={
        "name": Field("AlarmName", replace=True, computed=True),
        "comparisonOperator": Field("ComparisonOperator"),
        "evaluationPeriods": Field("EvaluationPeriods"),
        "metricName": Field("MetricName"),
        "namespace": Field("Namespace"),
        "period": Field("Period", rule=_period),
        "statistic": Field("Statistic"),
        "extendedStatistic": Field("ExtendedStatistic"),
        "threshold": Field("Threshold"),
        "thresholdMetricId": Field("ThresholdMetricId"),
        "dimensions": Field("Dimensions"),
        "unit": Field("Unit"),
        "datapointsToAlarm": Field("DatapointsToAlarm"),
        "treatMissingData": Field(
            "TreatMissingData", default="missing", allowed=("missing", "ignore", "breaching", "notBreaching")
        ),
        "evaluateLowSampleCountPercentiles": Field(
            "EvaluateLowSampleCountPercentile", computed=True, allowed=("evaluate", "ignore")
        ),
        "alarmDescription": Field("AlarmDescription"),
        "actionsEnabled": Field("ActionsEnabled", default=True),
        "alarmActions": Field("AlarmActions", unordered=True),
        "okActions": Field("OKActions", unordered=True),
        "insufficientDataActions": Field("InsufficientDataActions", unordered=True),
        "metricQueries": Field(
            "Metrics",
            unordered=True,
            sub={
                "returnData": Field(default=False),
                "metric": Field(
                    "MetricStat", type="object", rule=_metric_problem, out=_metric_stat, back=_metric
                ),
            },
        ),
    },
    autoname=AutoName(limit=255),
    identity=("name",),
    validate=_alarm_rules,
    create=Call(op="PutMetricAlarm"),
    read=Call(op="DescribeAlarms", params={"AlarmNames": ["{id}"]}, result="MetricAlarms.0"),
    update=(Call(op="PutMetricAlarm"),),
    delete=Call(op="DeleteAlarms", params={"AlarmNames": ["{id}"]}),
    outputs={"arn": "arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}"},
    tags=Tags(
        member="Tags",
        add="TagResource",
        remove="UntagResource",
        list="ListTagsForResource",
        target={"ResourceARN": "{arn}"},
    ),
    read_after_create=False,
)

RESOURCES = (LOG_GROUP, METRIC_FILTER, ALARM, EVENT_RULE, EVENT_TARGET)
