"""``aws:sfn/*``."""

from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.table import AutoName, Call, Field, Resource, Tags, Values


def _log_group(value: str) -> str | None:
    fits = value.startswith("arn:") and ":logs:" in value and value.endswith(":*")
    return None if fits else f"must be a log group's ARN with ':*' at its end, not {value!r}"


def _destination(destinations: Any) -> str | None:
    return destinations[0]["cloudWatchLogsLogGroup"]["logGroupArn"] if destinations else None


def _logging_rules(values: Values) -> dict[str, str]:
    logging = values.get("loggingConfiguration")
    if (
        isinstance(logging, dict)
        and logging.get("level", "OFF") != "OFF"
        and not logging.get("logDestination")
    ):
        return {"loggingConfiguration.logDestination": "is required unless level is OFF"}
    return {}


STATE_MACHINE = Resource(
    token="aws:sfn/stateMachine:StateMachine",
    service="stepfunctions",
    fields={
        "name": Field(
            "name",
            replace=True,
            computed=True,
            minimum=1,
            maximum=80,
            rule=rules.matches(r"[A-Za-z0-9_-]+", "letters, digits, hyphens and underscores"),
        ),
        "namePrefix": Field(local=True, type="string", replace=True),
        "definition": Field("definition", required=True, json="states", maximum=1048576),
        "roleArn": Field("roleArn", required=True, rule=rules.arn("iam")),
        "type": Field("type", replace=True, default="STANDARD"),
        "publish": Field("publish", unread=True, default=False),
        "loggingConfiguration": Field(
            "loggingConfiguration",
            computed=True,
            sub={
                "level": Field(default="OFF"),
                "includeExecutionData": Field(default=False),
                "logDestination": Field(
                    "destinations",
                    type="string",
                    rule=_log_group,
                    back=_destination,
                    out=lambda arn: [{"cloudWatchLogsLogGroup": {"logGroupArn": arn}}],
                ),
            },
        ),
        "tracingConfiguration": Field(
            "tracingConfiguration", computed=True, sub={"enabled": Field(default=False)}
        ),
        "encryptionConfiguration": Field(
            "encryptionConfiguration",
            computed=True,
            sub={
                "type": Field(default="AWS_OWNED_KEY"),
                "kmsDataKeyReusePeriodSeconds": Field(computed=True),
            },
        ),
    },
    autoname=AutoName(limit=80, prefix_property="namePrefix"),
    identity=("name",),
    validate=_logging_rules,
    id="{arn}",
    create=Call(op="CreateStateMachine"),
    read=Call(op="DescribeStateMachine", params={"stateMachineArn": "{id}"}),
    update=(Call(op="UpdateStateMachine", params={"stateMachineArn": "{id}"}),),
    delete=Call(op="DeleteStateMachine", params={"stateMachineArn": "{id}"}),
    outputs={
        "arn": "stateMachineArn",
        "creationDate": "creationDate",
        "status": lambda run, result: result.get("status") or run.state.get("status") or "ACTIVE",
        "revisionId": "revisionId",
        "stateMachineVersionArn": "stateMachineVersionArn",
    },
    import_id="{id}",
    tags=Tags(
        member="tags",
        add="TagResource",
        remove="UntagResource",
        list="ListTagsForResource",
        target={"resourceArn": "{id}"},
    ),
    read_after_create=False,
)

RESOURCES = (STATE_MACHINE,)
