"""IAM statements of the projections: three functions, the model's task, the site's tasks, the clock."""

from collections.abc import Sequence

from components.parts import iam

REQUESTS = "requests/*"
RUNS = "runs/*"
CHECKPOINTS = "runs/*/checkpoints/*"
HASHES = "hashes/*"
SOURCE = "source/*"


def task_pattern(cluster_arn: str) -> str:
    """Tasks of one cluster.

    >>> task_pattern("arn:aws:ecs:eu-west-3:1:cluster/runner")
    'arn:aws:ecs:eu-west-3:1:task/runner/*'
    """
    return f"{cluster_arn.replace(':cluster/', ':task/', 1)}/*"


def family_pattern(definition_arn: str) -> str:
    """Every revision of a task definition: a function of the last `up` may start this one's for a moment.

    >>> family_pattern("arn:aws:ecs:eu-west-3:1:task-definition/runner-model:7")
    'arn:aws:ecs:eu-west-3:1:task-definition/runner-model:*'
    """
    return f"{definition_arn.rpartition(':')[0]}:*"


def start_tasks(cluster_arn: str, definition_arn: str, role_arns: Sequence[str]) -> list[iam.Statement]:
    """Run tasks of one family in one cluster, with its two roles and its tags."""
    return [
        iam.allow(
            "StartTasks",
            ["ecs:RunTask"],
            [family_pattern(definition_arn)],
            {"ArnEquals": {"ecs:cluster": cluster_arn}},
        ),
        iam.allow(
            "TagStartedTasks",
            ["ecs:TagResource"],
            [task_pattern(cluster_arn)],
            {"StringEquals": {"ecs:CreateAction": "RunTask"}},
        ),
        iam.allow(
            "PassTheirRoles",
            ["iam:PassRole"],
            role_arns,
            {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
    ]


def dispatch(
    *,
    bucket_arn: str,
    table_arn: str,
    queue_arn: str,
    dead_letter_arn: str,
    cluster_arn: str,
    definition_arn: str,
    role_arns: Sequence[str],
) -> list[iam.Statement]:
    """Read requests, put runs into the table, start their tasks, put off what finds no capacity."""
    return [
        iam.allow("ReadRequests", ["s3:GetObject"], [f"{bucket_arn}/{REQUESTS}"]),
        iam.allow("WriteRuns", ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], [table_arn]),
        *start_tasks(cluster_arn, definition_arn, role_arns),
        iam.allow("SendMessages", ["sqs:SendMessage"], [queue_arn, dead_letter_arn]),
    ]


def resume(
    *,
    table_arn: str,
    queue_arn: str,
    dead_letter_arn: str,
    cluster_arn: str,
    definition_arn: str,
    role_arns: Sequence[str],
) -> list[iam.Statement]:
    """Move runs on in the table, take and send restart messages, start tasks."""
    return [
        iam.allow("WriteRuns", ["dynamodb:GetItem", "dynamodb:UpdateItem"], [table_arn]),
        *start_tasks(cluster_arn, definition_arn, role_arns),
        iam.allow("SendMessages", ["sqs:SendMessage"], [queue_arn, dead_letter_arn]),
        iam.allow(
            "TakeMessages",
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
            [queue_arn],
        ),
    ]


def sweep(*, table_arn: str, index_arn: str, queue_arn: str, cluster_arn: str) -> list[iam.Statement]:
    """Look at all unfinished runs and their tasks, stop a silent task; never start one."""
    in_cluster = {"ArnEquals": {"ecs:cluster": cluster_arn}}
    return [
        iam.allow("FindRuns", ["dynamodb:Query"], [index_arn]),
        iam.allow("WriteRuns", ["dynamodb:UpdateItem"], [table_arn]),
        iam.allow(
            "SeeAndStopTasks",
            ["ecs:DescribeTasks", "ecs:StopTask"],
            [task_pattern(cluster_arn)],
            in_cluster,
        ),
        iam.allow("SendMessages", ["sqs:SendMessage"], [queue_arn]),
    ]


def model(bucket_arn: str, table_arn: str) -> list[iam.Statement]:
    """The task that computes: read its inputs, write its run's objects, report to the table."""
    return [
        # Without it S3 answers 403 instead of 404 for a checkpoint that isn't there yet.
        iam.allow("ListObjects", ["s3:ListBucket"], [bucket_arn]),
        iam.allow(
            "ReadInputs",
            ["s3:GetObject"],
            [f"{bucket_arn}/{folder}" for folder in (REQUESTS, HASHES, RUNS)],
        ),
        iam.allow("WriteResults", ["s3:PutObject"], [f"{bucket_arn}/{RUNS}"]),
        iam.allow("RemoveCheckpoints", ["s3:DeleteObject"], [f"{bucket_arn}/{CHECKPOINTS}"]),
        iam.allow("Report", ["dynamodb:GetItem", "dynamodb:UpdateItem"], [table_arn]),
    ]


def web(bucket_arn: str, table_arn: str, queue_arn: str, cluster_arn: str) -> list[iam.Statement]:
    """The site and the onboard model beside it: requests, runs and their results, data of the hashes."""
    return [
        *manage(bucket_arn),
        iam.allow("WriteRequests", ["s3:PutObject"], [f"{bucket_arn}/{REQUESTS}"]),
        iam.allow("ReadResults", ["s3:GetObject"], [f"{bucket_arn}/{RUNS}"]),
        iam.allow("WriteOnboardResults", ["s3:PutObject"], [f"{bucket_arn}/{RUNS}"]),
        iam.allow("FollowAndCancelRuns", ["dynamodb:GetItem", "dynamodb:UpdateItem"], [table_arn]),
        iam.allow("RetryRuns", ["sqs:SendMessage"], [queue_arn]),
        iam.allow(
            "StopCancelledTasks",
            ["ecs:StopTask"],
            [task_pattern(cluster_arn)],
            {"ArnEquals": {"ecs:cluster": cluster_arn}},
        ),
    ]


def manage(bucket_arn: str) -> list[iam.Statement]:
    """One-off commands of the site: read the data source, write and delete the files of hashes."""
    return [
        iam.allow("ListObjects", ["s3:ListBucket"], [bucket_arn]),
        iam.allow("ReadData", ["s3:GetObject"], [f"{bucket_arn}/{SOURCE}", f"{bucket_arn}/{HASHES}"]),
        iam.allow("WriteHashes", ["s3:PutObject", "s3:DeleteObject"], [f"{bucket_arn}/{HASHES}"]),
    ]


def execution(repository_arns: Sequence[str], secret_arns: Sequence[str]) -> list[iam.Statement]:
    """What ECS needs to start a task: its images and its secrets.

    AWS demands ``*`` for the login to the registry: the action has no resource type.
    """
    return [
        iam.allow("LogIn", ["ecr:GetAuthorizationToken"], ["*"]),
        iam.allow(
            "FetchImages",
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            repository_arns,
        ),
        iam.allow("ReadSecrets", ["secretsmanager:GetSecretValue"], secret_arns),
    ]


def deliver_dead_letters(queue_arn: str, rule_arn: str) -> iam.Document:
    """Queue policy: one rule of EventBridge may put there what it could not deliver."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "UndeliveredEvents",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
            }
        ],
    }
