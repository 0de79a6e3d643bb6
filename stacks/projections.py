"""COVID-19 projections: one stack is one site, the data it projects from, and the runner of its models.

Configuration namespace ``projections``; see ``Pulumi.projections-newengland.yaml`` for every key with its
meaning.
"""

from pathlib import Path

import pulumi
from pulumi_aws import get_region_output, s3

from components.fargate_spot_runner import FargateSpotRunner, FargateSpotRunnerArgs
from components.parts.alerts import Alerts, AlertsArgs
from components.parts.projections_site import SiteArgs
from sandbox.paths import ROOT
from stacks import settings as stack_settings
from stacks.projections_settings import MODEL_CONTEXT, WEB_CONTEXT, WEB_DOCKERFILE, ProjectionsSettings

SOURCE_PREFIX = "source"


def deploy() -> None:
    """Make the runner with its site and export what operators' tools read."""
    settings = stack_settings.of_stack(ProjectionsSettings, "projections")
    stack = pulumi.get_stack()
    tags = settings.tags.for_resources(stack)
    name = settings.name(stack)
    folder = settings.source_folder
    source = settings.data_source if folder is None else f"s3://{name}/{SOURCE_PREFIX}"
    alerts = Alerts("projections-alerts", AlertsArgs(emails=settings.alarm_emails, tags=tags))
    runner = FargateSpotRunner(
        "projections",
        FargateSpotRunnerArgs(
            runner_name=name,
            model_context=str(ROOT / MODEL_CONTEXT),
            network=settings.network.arguments(),
            alarm_topic_arn=alerts.topic_arn,
            cpu=settings.task_cpu,
            memory=settings.task_memory,
            max_interruptions=settings.max_interruptions,
            backoff_s=settings.backoff_s,
            max_backoff_s=settings.max_backoff_s,
            max_attempts=settings.max_attempts,
            stale_after_s=settings.stale_after_s,
            run_days=settings.run_days,
            log_days=settings.log_days,
            keep_data=settings.keep_data,
            tags=tags,
            site=SiteArgs(
                context=str(ROOT / WEB_CONTEXT),
                dockerfile=WEB_DOCKERFILE,
                allowed_cidrs=settings.allowed_cidrs,
                cpu=settings.site_cpu,
                memory=settings.site_memory,
                desired_count=settings.site_tasks,
                certificate_arn=settings.certificate_arn,
                domain=settings.domain,
                database_class=settings.database_class,
                data_source=source,
                data_source_token_arn=settings.data_source_token_arn,
                addhashes_schedule=settings.addhashes_schedule,
            ),
        ),
    )
    if folder is not None:
        _upload(ROOT / folder, runner)
    for key, value in sorted(runner.described().items()):
        pulumi.export(key, value)
    pulumi.export("region", get_region_output().region)
    pulumi.export("data_source", source)
    pulumi.export("alarm_topic_arn", alerts.topic_arn)


def _upload(folder: Path, runner: FargateSpotRunner) -> None:
    """The files of a data source beside the stack, so that the site reads them like any other."""
    for file in sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")
    ):
        path = file.relative_to(folder).as_posix()
        s3.BucketObjectv2(
            f"projections-source-{path.replace('/', '-')}",
            bucket=runner.bucket,
            key=f"{SOURCE_PREFIX}/{path}",
            source=pulumi.FileAsset(str(file)),
            opts=pulumi.ResourceOptions(depends_on=[runner]),
        )
