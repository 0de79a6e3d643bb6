"""AWS clients with deadlines, and the runner that the settings describe.

Credentials are the task role's: no key is read here or anywhere in the site.
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from covid.errors import Unavailable
from covid.models import SimulationRun
from covid.runner import Compute, ModelRunner
from covid.runner.fargate import Fargate
from covid.runner.onboard import Onboard


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """What the Fargate computes need of AWS: clients and names."""

    s3: Any
    dynamodb: Any
    sqs: Any
    ecs: Any
    bucket: str
    table: str
    restart_queue_url: str
    cluster_arn: str


class NoCloud:
    """In place of Fargate on a site without a bucket."""

    def _refuse(self, *_: object) -> Any:
        raise Unavailable("this site has no bucket (BUCKET_NAME): only the compute onboard is there")

    start = look = cancel = retry = _refuse


def clients(region: str) -> dict[str, Any]:
    """boto3 clients that give up after seconds, since somebody waits for a page."""
    import boto3
    from botocore.config import Config

    config = Config(
        region_name=region,
        connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 3},
        max_pool_connections=32,
    )  # fmt: skip
    return {name: boto3.client(name, config=config) for name in ("s3", "dynamodb", "sqs", "ecs")}


def from_settings() -> ModelRunner:
    """The three computes; each of the two on Fargate is the same class, the request says which capacity."""
    fargate: Compute = NoCloud()
    if settings.BUCKET_NAME:
        fargate = Fargate(
            Cloud(
                **clients(settings.AWS_REGION),
                bucket=settings.BUCKET_NAME,
                table=settings.RUN_TABLE,
                restart_queue_url=settings.RESTART_QUEUE_URL,
                cluster_arn=settings.CLUSTER_ARN,
            ),
            settings.SITE_URL,
        )
    onboard = Onboard(settings.ONBOARD_URL, settings.SITE_URL)
    return ModelRunner(
        {
            SimulationRun.FARGATE: fargate,
            SimulationRun.FARGATE_SPOT: fargate,
            SimulationRun.ONBOARD: onboard,
        }
    )
