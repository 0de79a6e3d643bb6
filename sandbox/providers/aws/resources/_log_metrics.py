"""Metrics made of a log group's lines."""

from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import AutoName, Call, Field, Resource, Values


def _read(run: Run) -> Values | None:
    answer = run.call(
        "DescribeMetricFilters", logGroupName=run.value("logGroupName"), filterNamePrefix=run.id
    )
    found: list[Values] = [item for item in answer["metricFilters"] if item["filterName"] == run.id]
    return {**found[0], "logGroupName": run.value("logGroupName")} if found else None


def _value(value: Any) -> str | None:
    """A number, or the field of a line that has one."""
    if value.startswith("$"):
        return None
    try:
        float(value)
    except ValueError:
        return f"must be a number or a field such as $.seconds, not {value!r}"
    return None


def _number(value: Any) -> str | None:
    try:
        float(value)
    except (TypeError, ValueError):
        return f"must be a number, not {value!r}"
    return None


def _rules(values: Values) -> dict[str, str]:
    metric = values.get("metricTransformation")
    if isinstance(metric, dict) and metric.get("defaultValue") is not None and metric.get("dimensions"):
        return {"metricTransformation.defaultValue": "conflicts with dimensions"}
    return {}


METRIC_FILTER = Resource(
    token="aws:cloudwatch/logMetricFilter:LogMetricFilter",
    service="logs",
    fields={
        "name": Field(
            "filterName",
            replace=True,
            computed=True,
            rule=rules.matches(r"[^:*]{1,512}", "no ':' and no '*'"),
        ),
        "logGroupName": Field("logGroupName", required=True, replace=True, pattern=""),
        "pattern": Field("filterPattern", required=True),
        "applyOnTransformedLogs": Field("applyOnTransformedLogs", computed=True),
        "metricTransformation": Field(
            "metricTransformations",
            required=True,
            single=True,
            sub={
                "name": Field("metricName", required=True),
                "namespace": Field("metricNamespace", required=True),
                "value": Field("metricValue", required=True, rule=_value),
                # A string in Pulumi, so that nothing and zero can be told apart.
                "defaultValue": Field(
                    type="string", rule=_number, out=float, back=lambda number: f"{number:g}"
                ),
                "unit": Field(default="None"),
            },
        ),
    },
    autoname=AutoName(limit=512),
    identity=("logGroupName", "name"),
    import_id="{logGroupName}:{name}",
    validate=_rules,
    create=Call(op="PutMetricFilter"),
    read=_read,
    update=(Call(op="PutMetricFilter"),),
    delete=Call(op="DeleteMetricFilter", params={"logGroupName": "{logGroupName}", "filterName": "{id}"}),
    read_after_create=False,
)
