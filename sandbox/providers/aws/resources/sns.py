"""``aws:sns/*``: attributes are read all at once and written one by one."""

from collections.abc import Mapping
from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.shapes import bound, to_aws
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values


def _attribute(name: str, **options: Any) -> Field:
    """An entry of the attribute map: a string in AWS, of type ``type`` here."""
    return Field(f"Attributes.{name}", **{"type": "string", **options})


def _feedback(kind: str) -> dict[str, Field]:
    """The three delivery-status attributes of a protocol."""
    name = "HTTP" if kind == "http" else kind[0].upper() + kind[1:]
    name = "SQS" if kind == "sqs" else name
    role = rules.arn("iam")
    return {
        f"{kind}FailureFeedbackRoleArn": _attribute(f"{name}FailureFeedbackRoleArn", rule=role),
        f"{kind}SuccessFeedbackRoleArn": _attribute(f"{name}SuccessFeedbackRoleArn", rule=role),
        f"{kind}SuccessFeedbackSampleRate": _attribute(
            f"{name}SuccessFeedbackSampleRate", type="integer", minimum=0, maximum=100
        ),
    }


_TOPIC = {
    "displayName": _attribute("DisplayName", default="", maximum=100),
    "policy": _attribute("Policy", json="policy", computed=True, rule=rules.resource_policy),
    "deliveryPolicy": _attribute("DeliveryPolicy", json="any"),
    "kmsMasterKeyId": _attribute("KmsMasterKeyId"),
    "signatureVersion": _attribute("SignatureVersion", type="integer", computed=True, allowed=(1, 2)),
    "tracingConfig": _attribute("TracingConfig", computed=True, allowed=("PassThrough", "Active")),
    "contentBasedDeduplication": _attribute("ContentBasedDeduplication", type="boolean", default=False),
    "fifoThroughputScope": _attribute(
        "FifoThroughputScope", computed=True, allowed=("Topic", "MessageGroup")
    ),
    "archivePolicy": _attribute("ArchivePolicy", json="any"),
    **_feedback("application"),
    **_feedback("firehose"),
    **_feedback("http"),
    **_feedback("lambda"),
    **_feedback("sqs"),
}

_SUBSCRIPTION = {
    "deliveryPolicy": _attribute("DeliveryPolicy", json="any"),
    "filterPolicy": _attribute("FilterPolicy", json="any"),
    "filterPolicyScope": _attribute(
        "FilterPolicyScope", computed=True, allowed=("MessageAttributes", "MessageBody")
    ),
    "rawMessageDelivery": _attribute("RawMessageDelivery", type="boolean", default=False),
    "redrivePolicy": _attribute("RedrivePolicy", json="any"),
    "replayPolicy": _attribute("ReplayPolicy", json="any"),
    "subscriptionRoleArn": _attribute("SubscriptionRoleArn", rule=rules.arn("iam")),
}


def _write_attributes(op: str, target: str, fields: Mapping[str, Field]) -> Custom:
    """An update step that writes each changed attribute with a call of its own."""

    def write(run: Run) -> None:
        places = bound(run.entry)
        for name in sorted(run.changed & set(fields)):
            item = places[name]
            value = run.inputs.get(name)
            if value is None:
                value = item.field.default
            text = "" if value is None else to_aws(value, item.field, item.shape)
            run.call(op, **{target: run.id, "AttributeName": item.path[1], "AttributeValue": text})

    return Custom(run=write, fields=tuple(fields))


def _topic_rules(values: Values) -> dict[str, str]:
    name, fifo = values.get("name"), values.get("fifoTopic") is True
    if isinstance(name, str) and fifo != name.endswith(".fifo"):
        return {"name": f"the name of a FIFO topic ends with .fifo, no other does; got {name!r}"}
    if not fifo and values.get("contentBasedDeduplication"):
        return {"contentBasedDeduplication": "is only for FIFO topics (fifoTopic)"}
    return {}


TOPIC = Resource(
    token="aws:sns/topic:Topic",
    service="sns",
    fields={
        "name": Field(
            "Name",
            replace=True,
            computed=True,
            minimum=1,
            maximum=256,
            read=lambda result: result["Attributes"]["TopicArn"].rsplit(":", 1)[-1],
            rule=rules.matches(r"[A-Za-z0-9_-]+(\.fifo)?", "letters, digits, hyphens and underscores"),
        ),
        "namePrefix": Field(local=True, type="string", replace=True),
        "fifoTopic": _attribute("FifoTopic", type="boolean", replace=True, default=False),
        **_TOPIC,
    },
    autoname=AutoName(limit=256, prefix_property="namePrefix", suffix=".fifo", suffix_when="fifoTopic"),
    identity=("name",),
    validate=_topic_rules,
    id="{arn}",
    create=Call(op="CreateTopic"),
    read=Call(op="GetTopicAttributes", params={"TopicArn": "{id}"}),
    update=(_write_attributes("SetTopicAttributes", "TopicArn", _TOPIC),),
    delete=Call(op="DeleteTopic", params={"TopicArn": "{id}"}),
    outputs={"arn": "arn:{partition}:sns:{region}:{account}:{name}", "owner": "{account}"},
    import_id="{id}",
    tags=Tags(
        member="Tags",
        add="TagResource",
        remove="UntagResource",
        list="ListTagsForResource",
        target={"ResourceArn": "{id}"},
    ),
    read_after_create=False,
)

SUBSCRIPTION = Resource(
    token="aws:sns/topicSubscription:TopicSubscription",
    service="sns",
    fields={
        "topic": Field(
            "TopicArn", required=True, replace=True, rule=rules.arn("sns"), read="Attributes.TopicArn"
        ),
        "protocol": Field(
            "Protocol",
            required=True,
            replace=True,
            read="Attributes.Protocol",
            allowed=(
                "application",
                "email",
                "email-json",
                "firehose",
                "http",
                "https",
                "lambda",
                "sms",
                "sqs",
            ),
        ),
        "endpoint": Field("Endpoint", required=True, replace=True, read="Attributes.Endpoint"),
        "endpointAutoConfirms": Field(local=True, type="boolean", default=False),
        "confirmationTimeoutInMinutes": Field(local=True, type="integer", default=1),
        **_SUBSCRIPTION,
    },
    id="{arn}",
    create=Call(op="Subscribe", params={"ReturnSubscriptionArn": True}),
    read=Call(op="GetSubscriptionAttributes", params={"SubscriptionArn": "{id}"}),
    update=(_write_attributes("SetSubscriptionAttributes", "SubscriptionArn", _SUBSCRIPTION),),
    delete=Call(op="Unsubscribe", params={"SubscriptionArn": "{id}"}),
    outputs={
        "arn": lambda run, result: result.get("SubscriptionArn") or run.id or None,
        "ownerId": "Attributes.Owner",
        "pendingConfirmation": lambda run, result: _is_true(result, "PendingConfirmation"),
        "confirmationWasAuthenticated": lambda run, result: _is_true(result, "ConfirmationWasAuthenticated"),
    },
    import_id="{id}",
)


def _is_true(result: Any, name: str) -> bool | None:
    attributes = result.get("Attributes")
    return None if attributes is None else str(attributes.get(name, "false")).lower() == "true"


RESOURCES = (TOPIC, SUBSCRIPTION)
