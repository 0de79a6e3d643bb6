"""Secrets that nobody chose: generated once, kept in Secrets Manager, encrypted in the stack's state."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_aws import secretsmanager
from pulumi_random import RandomPassword

LENGTH = 48
"""Letters and digits: 285 bits, and nothing that a URL or a shell would read as something else."""
RECOVERY_DAYS = 30


def password(name: str, *, parent: pulumi.Resource) -> pulumi.Output[str]:
    """A random text of ``LENGTH`` letters and digits, the same in every ``up``."""
    made = RandomPassword(
        name,
        length=LENGTH,
        special=False,
        opts=pulumi.ResourceOptions(parent=parent, additional_secret_outputs=["result"]),
    )
    return pulumi.Output.secret(made.result)


def secret(
    name: str,
    secret_name: str,
    value: pulumi.Input[str],
    *,
    parent: pulumi.Resource,
    description: str,
    keep: bool | None = None,
    tags: Mapping[str, str] | None = None,
) -> pulumi.Output[str]:
    """A secret with its value; answers its ARN, known when the value is there.

    Not kept, it is deleted at once: a deleted secret would hold its name for a week, against the next ``up``.
    """
    made = secretsmanager.Secret(
        f"{name}-secret",
        name=secret_name,
        description=description,
        recovery_window_in_days=RECOVERY_DAYS if keep else 0,
        tags=tags,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    version = secretsmanager.SecretVersion(
        f"{name}-value",
        secret_id=made.id,
        secret_string=pulumi.Output.secret(value),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return pulumi.Output.all(made.arn, version.id).apply(lambda known: str(known[0]))


def generated(
    name: str,
    secret_name: str,
    keys: Sequence[str] = (),
    *,
    parent: pulumi.Resource,
    description: str,
    keep: bool | None = None,
    tags: Mapping[str, str] | None = None,
) -> pulumi.Output[str]:
    """A secret of one generated text, or with ``keys`` of a JSON object of them; answers its ARN."""
    value: pulumi.Output[str]
    if keys:
        made = {key: password(f"{name}-{key.replace('_', '-')}", parent=parent) for key in keys}
        value = pulumi.Output.json_dumps(made)
    else:
        value = password(f"{name}-password", parent=parent)
    return secret(name, secret_name, value, parent=parent, description=description, keep=keep, tags=tags)


def json_key(arn: pulumi.Input[str], key: str) -> pulumi.Output[str]:
    """How ECS is told to take one key of a JSON secret (``valueFrom``)."""
    return pulumi.Output.concat(arn, ":", key, "::")
