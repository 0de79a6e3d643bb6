"""Quetzal transport models: one stack holds any number of models and one directory of their users.

Configuration namespace ``quetzal``; see ``Pulumi.quetzal-paris.yaml`` for every key with its meaning.
"""

from collections.abc import Mapping

import pulumi
from pulumi_aws import get_region_output

from components.parts.alerts import Alerts, AlertsArgs
from components.parts.directory import (
    AccessGroup,
    AccessGroupArgs,
    AccessTable,
    AccessTableArgs,
    UserDirectory,
    UserDirectoryArgs,
)
from components.quetzal_model import QuetzalModel, QuetzalModelArgs
from sandbox.paths import ROOT
from stacks import settings as stack_settings
from stacks.quetzal_settings import CONTEXT, Directory, QuetzalSettings


def deploy() -> None:
    """Make the stack's models and export what operators' tools read."""
    settings = stack_settings.of_stack(QuetzalSettings, "quetzal")
    stack = pulumi.get_stack()
    tags = settings.tags.for_resources(stack)
    alerts = Alerts("quetzal-alerts", AlertsArgs(emails=settings.alarm_emails, tags=tags))
    directory = settings.user_directory or _directory(stack, settings, tags)
    access = AccessTable(
        "quetzal-access",
        AccessTableArgs(
            bucket_name=settings.access_bucket(stack),
            table=settings.access_table(),
            origins=settings.front_end_origins,
            keep=settings.keep_data,
            tags=tags,
        ),
    )
    roles = _shared_roles(settings, directory, tags)
    models = {
        name: QuetzalModel(
            name,
            QuetzalModelArgs(
                bucket_name=settings.bucket_of(name),
                context=str(ROOT / CONTEXT),
                source=model.source,
                user_pool_id=directory.user_pool_id,
                user_pool_client_id=directory.user_pool_client_id,
                identity_pool_id=directory.identity_pool_id,
                shared_groups={group: roles[group] for group in model.groups},
                access_table_arn=access.arn,
                alarm_topic_arn=alerts.topic_arn,
                memory_mb=model.memory_mb,
                time_limit_s=model.time_limit_s,
                storage_mb=model.storage_mb,
                log_days=settings.log_days,
                front_end_origins=settings.front_end_origins,
                tracing=model.tracing,
                keep_data=settings.keep_data,
                tags={**tags, "model": name},
            ),
        )
        for name, model in sorted(settings.models.items())
    }
    pulumi.export(
        "models",
        {
            name: {**model.described(), "source": settings.models[name].source}
            for name, model in models.items()
        },
    )
    pulumi.export("user_pool_id", directory.user_pool_id)
    pulumi.export("user_pool_client_id", directory.user_pool_client_id)
    pulumi.export("identity_pool_id", directory.identity_pool_id)
    pulumi.export("access_table", {"bucket": access.bucket_name, "key": access.key})
    pulumi.export("alarm_topic_arn", alerts.topic_arn)
    pulumi.export("region", get_region_output().region)


def _directory(stack: str, settings: QuetzalSettings, tags: Mapping[str, str]) -> UserDirectory:
    return UserDirectory(
        "quetzal-users", UserDirectoryArgs(pool_name=stack, keep=settings.keep_data, tags=tags)
    )


def _shared_roles(
    settings: QuetzalSettings, directory: UserDirectory | Directory, tags: Mapping[str, str]
) -> dict[str, pulumi.Input[str]]:
    """Role names of the groups that models share: made here, once, unless the directory has them already."""
    roles: dict[str, pulumi.Input[str]] = dict(
        settings.user_directory.group_roles if settings.user_directory else {}
    )
    for group in settings.shared_groups():
        if group not in roles:
            roles[group] = AccessGroup(
                f"quetzal-group-{group}",
                AccessGroupArgs(
                    group_name=group,
                    description=f"Users of the Quetzal models {', '.join(settings.models_of(group))}",
                    user_pool_id=directory.user_pool_id,
                    identity_pool_id=directory.identity_pool_id,
                    tags=tags,
                ),
            ).role_name
    return roles
