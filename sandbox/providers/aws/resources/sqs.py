"""``aws:sqs/*``."""

from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import AutoName, Call, Field, Resource, Tags, Values


def _attribute(name: str, **options: Any) -> Field:
    """An entry of the attribute map: a string in AWS, of type ``type`` here."""
    return Field(f"Attributes.{name}", **{"type": "string", **options})


def _seconds(name: str, default: int, minimum: int, maximum: int) -> Field:
    return _attribute(name, type="integer", default=default, minimum=minimum, maximum=maximum)


_ATTRIBUTES = {
    "delaySeconds": _seconds("DelaySeconds", 0, 0, 900),
    # AWS raised its default from 262144 to 1048576 in 2025, so absence is no fixed value.
    "maxMessageSize": _attribute(
        "MaximumMessageSize", type="integer", computed=True, minimum=1024, maximum=1048576
    ),
    "messageRetentionSeconds": _seconds("MessageRetentionPeriod", 345600, 60, 1209600),
    "receiveWaitTimeSeconds": _seconds("ReceiveMessageWaitTimeSeconds", 0, 0, 20),
    "visibilityTimeoutSeconds": _seconds("VisibilityTimeout", 30, 0, 43200),
    # Computed, because a QueuePolicy may set it.
    "policy": _attribute("Policy", json="policy", rule=rules.resource_policy, computed=True),
    "redrivePolicy": _attribute("RedrivePolicy", json="any", clear=""),
    "redriveAllowPolicy": _attribute("RedriveAllowPolicy", json="any", clear=""),
    "kmsMasterKeyId": _attribute("KmsMasterKeyId", clear=""),
    "kmsDataKeyReusePeriodSeconds": _attribute(
        "KmsDataKeyReusePeriodSeconds", type="integer", computed=True, minimum=60, maximum=86400
    ),
    "sqsManagedSseEnabled": _attribute("SqsManagedSseEnabled", type="boolean", computed=True),
    "contentBasedDeduplication": _attribute("ContentBasedDeduplication", type="boolean", default=False),
    "deduplicationScope": _attribute("DeduplicationScope", computed=True, allowed=("messageGroup", "queue")),
    "fifoThroughputLimit": _attribute(
        "FifoThroughputLimit", computed=True, allowed=("perQueue", "perMessageGroupId")
    ),
}


def _queue_rules(values: Values) -> dict[str, str]:
    name, fifo = values.get("name"), values.get("fifoQueue") is True
    if isinstance(name, str) and fifo != name.endswith(".fifo"):
        return {"name": f"the name of a FIFO queue ends with .fifo, no other does; got {name!r}"}
    if not fifo:
        for key in ("contentBasedDeduplication", "deduplicationScope", "fifoThroughputLimit"):
            if values.get(key):
                return {key: "is only for FIFO queues (fifoQueue)"}
    if values.get("kmsMasterKeyId") and values.get("sqsManagedSseEnabled") is True:
        return {"sqsManagedSseEnabled": "conflicts with kmsMasterKeyId"}
    return {}


def _read_policy(run: Run) -> Values | None:
    answer = run.call("GetQueueAttributes", QueueUrl=run.value("queueUrl"), AttributeNames=["Policy"])
    found = answer.get("Attributes", {})
    return {"QueueUrl": run.value("queueUrl"), "Attributes": found} if found.get("Policy") else None


QUEUE = Resource(
    token="aws:sqs/queue:Queue",
    service="sqs",
    fields={
        "name": Field(
            "QueueName",
            replace=True,
            computed=True,
            minimum=1,
            maximum=80,
            read=lambda result: result["Attributes"]["QueueArn"].rsplit(":", 1)[-1],
            rule=rules.matches(r"[A-Za-z0-9_-]+(\.fifo)?", "letters, digits, hyphens and underscores"),
        ),
        "namePrefix": Field(local=True, type="string", replace=True),
        "fifoQueue": _attribute("FifoQueue", type="boolean", replace=True, default=False),
        **_ATTRIBUTES,
    },
    autoname=AutoName(limit=80, prefix_property="namePrefix", suffix=".fifo", suffix_when="fifoQueue"),
    identity=("name",),
    validate=_queue_rules,
    id="@QueueUrl",
    create=Call(op="CreateQueue"),
    read=Call(op="GetQueueAttributes", params={"QueueUrl": "{id}", "AttributeNames": ["All"]}),
    update=(
        Call(
            op="SetQueueAttributes", params={"QueueUrl": "{id}"}, fields=tuple(_ATTRIBUTES), changed_only=True
        ),
    ),
    delete=Call(op="DeleteQueue", params={"QueueUrl": "{id}"}),
    outputs={"url": "{id}", "arn": "arn:{partition}:sqs:{region}:{account}:{name}"},
    tags=Tags(
        member="tags", add="TagQueue", remove="UntagQueue", list="ListQueueTags", target={"QueueUrl": "{id}"}
    ),
    read_after_create=False,
)

QUEUE_POLICY = Resource(
    token="aws:sqs/queuePolicy:QueuePolicy",
    service="sqs",
    fields={
        "queueUrl": Field("QueueUrl", required=True, replace=True),
        "policy": _attribute("Policy", required=True, json="policy", rule=rules.resource_policy),
    },
    identity=("queueUrl",),
    id="{queueUrl}",
    create=Call(op="SetQueueAttributes"),
    read=_read_policy,
    update=(Call(op="SetQueueAttributes"),),
    delete=Call(op="SetQueueAttributes", params={"QueueUrl": "{id}", "Attributes": {"Policy": ""}}),
    read_after_create=False,
)

RESOURCES = (QUEUE, QUEUE_POLICY)
