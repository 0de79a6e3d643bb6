"""IAM policy documents as pure functions: ARNs in, a JSON-ready document out.

No action carries a wildcard. Resources are ARNs of what the workload uses; the one ``*`` says why.
References: AWS service authorization reference (actions, resource types, condition keys).
"""

from collections.abc import Mapping, Sequence
from typing import Any

Statement = Mapping[str, Any]
Document = dict[str, Any]


def document(*statements: Statement) -> Document:
    """A policy document of these statements."""
    return {"Version": "2012-10-17", "Statement": [dict(item) for item in statements]}


def allow(
    sid: str, actions: Sequence[str], resources: Sequence[str], condition: Mapping[str, Any] | None = None
) -> Statement:
    """An Allow statement. Raises ``ValueError`` for a wildcard in an action."""
    return _statement("Allow", sid, actions, resources, condition)


def deny(
    sid: str, actions: Sequence[str], resources: Sequence[str], condition: Mapping[str, Any] | None = None
) -> Statement:
    """An explicit Deny, which no other policy overrides."""
    return _statement("Deny", sid, actions, resources, condition)


def _statement(
    effect: str,
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    condition: Mapping[str, Any] | None,
) -> Statement:
    wild = [action for action in actions if "*" in action or "?" in action]
    if wild:
        raise ValueError(f"statement {sid}: name the actions, {wild[0]!r} is a wildcard")
    made: dict[str, Any] = {
        "Sid": sid,
        "Effect": effect,
        "Action": sorted(actions),
        "Resource": sorted(resources),
    }
    if condition:
        made["Condition"] = dict(condition)
    return made


# --- who may take a role ---------------------------------------------------------------------------


def trust_service(service: str) -> Document:
    """Trust policy of a role for an AWS service, for example ``lambda.amazonaws.com``."""
    return document_of_trust({"Service": service}, "sts:AssumeRole")


def trust_identity_pool(identity_pool_id: str) -> Document:
    """Trust policy of a role for people signed in through one Cognito identity pool, never for guests."""
    return document_of_trust(
        {"Federated": "cognito-identity.amazonaws.com"},
        "sts:AssumeRoleWithWebIdentity",
        {
            "StringEquals": {"cognito-identity.amazonaws.com:aud": identity_pool_id},
            "ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": "authenticated"},
        },
    )


def document_of_trust(
    principal: Mapping[str, str], action: str, condition: Mapping[str, Any] | None = None
) -> Document:
    """A trust policy: resource-less, with a principal."""
    made: dict[str, Any] = {"Effect": "Allow", "Principal": dict(principal), "Action": action}
    if condition:
        made["Condition"] = dict(condition)
    return {"Version": "2012-10-17", "Statement": [made]}


# --- what many roles need --------------------------------------------------------------------------


def write_logs(log_group_arn: str) -> Statement:
    """Write to one log group that exists already: no right to create groups."""
    return allow("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], [f"{log_group_arn}:*"])


def deliver_logs() -> Statement:
    """What Step Functions needs to log to CloudWatch.

    AWS demands ``*`` here: log deliveries have no resource type, and Step Functions checks these very
    actions on it when the state machine is made ("Logging using CloudWatch Logs", Step Functions guide).
    """
    return allow(
        "DeliverLogs",
        [
            "logs:CreateLogDelivery",
            "logs:GetLogDelivery",
            "logs:UpdateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:DescribeResourcePolicies",
            "logs:DescribeLogGroups",
        ],
        ["*"],
    )


def send_traces() -> Statement:
    """What X-Ray tracing needs; its actions have no resource type either, so AWS demands ``*``."""
    return allow(
        "SendTraces",
        [
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
        ],
        ["*"],
    )


def invoke_function(function_arn: str) -> Statement:
    """Invoke one function, in its current state or any version of it."""
    return allow("InvokeFunction", ["lambda:InvokeFunction"], [function_arn, f"{function_arn}:*"])


def only_tls(bucket_arn: str) -> Document:
    """Bucket policy that refuses every request without TLS, whoever asks."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "OnlyTls",
                "Effect": "Deny",
                "Principal": "*",
                # A Deny must be complete: naming actions would let the ones AWS adds through.
                "Action": "s3:*",
                "Resource": [bucket_arn, f"{bucket_arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
