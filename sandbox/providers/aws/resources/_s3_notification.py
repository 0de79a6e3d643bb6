"""Whom a bucket tells about its objects."""

from collections.abc import Callable
from typing import Any

from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import Call, Field, Resource, Values

_LISTS = ("LambdaFunctionConfigurations", "QueueConfigurations", "TopicConfigurations")


def _to_aws(target: str) -> Callable[[list[Values]], list[Values]]:
    """Prefix and suffix are properties here, rules of a filter in AWS."""

    def converted(given: Values) -> Values:
        found: Values = {target[0].upper() + target[1:]: given[target], "Events": given["events"]}
        if given.get("id"):
            found["Id"] = given["id"]
        rules = [
            {"Name": name, "Value": given[key]}
            for name, key in (("prefix", "filterPrefix"), ("suffix", "filterSuffix"))
            if given.get(key)
        ]
        return {**found, **({"Filter": {"Key": {"FilterRules": rules}}} if rules else {})}

    return lambda configurations: [converted(item) for item in configurations]


def _from_aws(target: str) -> Callable[[list[Values]], list[Values]]:
    def converted(found: Values) -> Values:
        given: Values = {
            "id": found.get("Id"),
            target: found[target[0].upper() + target[1:]],
            "events": found["Events"],
        }
        rules = found.get("Filter", {}).get("Key", {}).get("FilterRules") or []
        for rule in rules:
            given[f"filter{rule['Name'].capitalize()}"] = rule["Value"]
        return {key: value for key, value in given.items() if value not in (None, "")}

    return lambda configurations: [converted(item) for item in configurations]


def _problem(target: str) -> Callable[[list[Any]], str | None]:
    allowed = (target, "events", "filterPrefix", "filterSuffix", "id")

    def rule(configurations: list[Any]) -> str | None:
        for i, item in enumerate(configurations):
            if not isinstance(item, dict):
                return f"[{i}] must be an object"
            unknown = sorted(set(item) - set(allowed))
            if unknown:
                return f"[{i}] has no property {unknown[0]!r}; allowed: {', '.join(allowed)}"
            if not isinstance(item.get(target), str) or not item[target].startswith("arn:"):
                return f"[{i}] must have {target}, an ARN"
            events = item.get("events")
            if not isinstance(events, list) or not events:
                return f"[{i}] must have events, a list such as s3:ObjectCreated:*"
            wrong = [event for event in events if not str(event).startswith("s3:")]
            if wrong:
                return f"[{i}] has the event {wrong[0]!r}; events of S3 begin with s3:"
        return None

    return rule


def _targets(kind: str, target: str) -> Field:
    return Field(
        f"NotificationConfiguration.{kind}",
        read=kind,
        type="list",
        unordered=True,
        rule=_problem(target),
        out=_to_aws(target),
        back=_from_aws(target),
        sub={"id": Field(computed=True), "events": Field(unordered=True)},
    )


def _read(run: Run) -> Values | None:
    """A bucket that tells nobody has no configuration."""
    found = run.call("GetBucketNotificationConfiguration", Bucket=run.value("bucket"))
    tells = any(found.get(name) for name in _LISTS) or "EventBridgeConfiguration" in found
    return {**found, "Bucket": run.value("bucket")} if tells else None


def _rules(values: Values) -> dict[str, str]:
    if not any(values.get(name) for name in ("lambdaFunctions", "queues", "topics", "eventbridge")):
        return {"lambdaFunctions": "is required, or queues, topics or eventbridge"}
    return {}


NOTIFICATION = Resource(
    token="aws:s3/bucketNotification:BucketNotification",
    service="s3",
    fields={
        "bucket": Field("Bucket", required=True, replace=True, pattern=""),
        "lambdaFunctions": _targets("LambdaFunctionConfigurations", "lambdaFunctionArn"),
        "queues": _targets("QueueConfigurations", "queueArn"),
        "topics": _targets("TopicConfigurations", "topicArn"),
        "eventbridge": Field(
            "NotificationConfiguration.EventBridgeConfiguration",
            type="boolean",
            default=False,
            read=lambda found: "EventBridgeConfiguration" in found,
            out=lambda on: {} if on else None,
        ),
    },
    identity=("bucket",),
    id="{bucket}",
    validate=_rules,
    create=Call(op="PutBucketNotificationConfiguration"),
    read=_read,
    update=(Call(op="PutBucketNotificationConfiguration"),),
    delete=Call(
        op="PutBucketNotificationConfiguration",
        params={"Bucket": "{bucket}", "NotificationConfiguration": {}},
    ),
)
