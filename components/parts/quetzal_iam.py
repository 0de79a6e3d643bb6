"""IAM statements of a Quetzal model: runner, state machine, API and the model's users."""

from components.parts import iam

READ_ONLY_SCENARIO = "base"
"""The scenario nobody writes; the slash after it keeps ``base2/`` out of it."""

_WRITE = ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")


def _never_write_base(bucket_arn: str) -> iam.Statement:
    return iam.deny(
        "NeverWriteBase", ["s3:PutObject", "s3:DeleteObject"], [f"{bucket_arn}/{READ_ONLY_SCENARIO}/*"]
    )


def runner(bucket_arn: str) -> list[iam.Statement]:
    """The container Lambda: everything of the model's bucket but writing ``base/``."""
    return [
        # Without a condition on the prefix: with one, S3 answers 403 instead of 404 for a missing object.
        iam.allow("ListScenarios", ["s3:ListBucket"], [bucket_arn]),
        iam.allow("ReadScenarios", ["s3:GetObject"], [f"{bucket_arn}/*"]),
        # Logs are tagged when they are written, because the bucket's expiry rule finds them by tag.
        iam.allow("WriteScenarios", [*_WRITE, "s3:PutObjectTagging"], [f"{bucket_arn}/*"]),
        _never_write_base(bucket_arn),
    ]


def users(bucket_arn: str, access_table_arn: str | None = None) -> list[iam.Statement]:
    """People of the model's groups, from a browser; ``access_table_arn`` is the table of groups."""
    statements = [
        iam.allow("ListModel", ["s3:ListBucket"], [bucket_arn]),
        iam.allow("ReadModel", ["s3:GetObject"], [f"{bucket_arn}/*"]),
        iam.allow("WriteModel", _WRITE, [f"{bucket_arn}/*"]),
        _never_write_base(bucket_arn),
    ]
    if access_table_arn is not None:
        statements.append(iam.allow("ReadAccessTable", ["s3:GetObject"], [access_table_arn]))
    return statements


def state_machine(function_arn: str, *, tracing: bool = False) -> list[iam.Statement]:
    """The workflow: its one function and its logs."""
    statements = [iam.invoke_function(function_arn), iam.deliver_logs()]
    return [*statements, iam.send_traces()] if tracing else statements


def api(bucket_arn: str, state_machine_arn: str) -> list[iam.Statement]:
    """The API function: runs of one state machine, names and locks of the scenarios."""
    executions = f"{state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:*"
    return [
        iam.allow(
            "StartAndListRuns", ["states:StartExecution", "states:ListExecutions"], [state_machine_arn]
        ),
        iam.allow(
            "FollowAndStopRuns",
            ["states:DescribeExecution", "states:GetExecutionHistory", "states:StopExecution"],
            [executions],
        ),
        iam.allow("ListScenarios", ["s3:ListBucket"], [bucket_arn]),
        iam.allow("SeeLocks", ["s3:GetObject"], [f"{bucket_arn}/*/.lock"]),
    ]
