"""What one unit of the benchmark is: eight resources, the same values for every tool.

Both programs (``pulumi_unit/__main__.py`` and ``cdk_unit/app.py``) run in environments of their own, so
this module uses only the standard library.
"""

import json
import os

RESOURCES_PER_UNIT = 8
"""Bucket, role, function, log group, state machine, repository, topic, queue."""

MAX_UNITS = 60
"""CloudFormation takes 500 resources in one stack; the benchmark keeps to one stack for each tool."""

UNITS_VARIABLE = "BENCHMARK_UNITS"
"""Environment variable by which the benchmark tells a program how many units to declare."""

CONSTRUCTS_VARIABLE = "BENCHMARK_CONSTRUCTS"
"""Environment variable by which the benchmark tells the CDK's program which constructs: usual or low."""

RUNTIME = "python3.13"
HANDLER = "index.handler"
CODE = "def handler(event, context):\n    return event\n"
MEMORY_MB = 256
TIMEOUT_S = 30
LOG_DAYS = 14
VISIBILITY_TIMEOUT_S = 60
TAGS = {"benchmark": "deploy"}

SERVICES = ("lambda.amazonaws.com", "states.amazonaws.com")

ASSUME_ROLE_POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": list(SERVICES)},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


def names(prefix: str) -> list[str]:
    """Names of the units to declare: ``<prefix>-000``, ``<prefix>-001``, ... as the environment asks."""
    units = int(os.environ[UNITS_VARIABLE])
    if not 1 <= units <= MAX_UNITS:
        raise ValueError(f"{UNITS_VARIABLE} must be 1..{MAX_UNITS}, got {units}")
    return [f"{prefix}-{number:03d}" for number in range(units)]


def definition(function_arn: str) -> str:
    """Amazon States Language of the unit's state machine: one step that calls the function."""
    return json.dumps(
        {
            "StartAt": "call",
            "States": {
                "call": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke",
                    "Parameters": {"FunctionName": function_arn, "Payload.$": "$"},
                    "OutputPath": "$.Payload",
                    "End": True,
                }
            },
        }
    )
