"""Every type of the light aws provider: made, found unchanged, changed, imported, deleted on the emulator."""

import re
from collections.abc import Iterator
from secrets import token_hex

import pytest

from sandbox.providers.aws import schema
from sandbox.providers.aws.table import entries, resource
from tests.sandbox.aws_provider_cases import CASES
from tests.sandbox.aws_provider_support import Cloud

NEVER_GONE = {
    "aws:s3/bucketVersioning:BucketVersioning",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "aws:secretsmanager/secretVersion:SecretVersion",
}
"""Settings that every bucket has: deleting them goes back to the default. And a secret's current version."""

MAY_BE_ABSENT = {
    "versionId", "signingJobArn", "signingProfileVersionArn", "revisionId", "stateMachineVersionArn",
    "integrationResponseSelectionExpression", "streamArn", "streamLabel",
}  # fmt: skip
"""Outputs that AWS only has with certain inputs, or only after an update."""


@pytest.fixture(scope="module")
def cloud(sandbox_env: dict[str, str]) -> Iterator[Cloud]:
    made = Cloud(f"types-{token_hex(3)}")
    yield made
    made.clean()


def test_every_type_has_a_case() -> None:
    assert set(CASES) == {entry.token for module in schema.MODULES for entry in entries(module)}


@pytest.mark.parametrize("token", CASES, ids=lambda token: token.split(":")[1])
def test_life_of(token: str, cloud: Cloud) -> None:
    inputs_of, change_of, import_id = CASES[token]
    inputs = inputs_of(cloud)
    made = cloud.create(token, inputs)
    assert set(resource(token).outputs) - set(made.state.values) <= MAY_BE_ABSENT
    assert made.diff(inputs).changes == {}, "a second up must change nothing"
    assert made.refresh_diff().changes == {}, "a refresh right after must see nothing"

    given = re.sub(r"\{(\w+)\}", lambda name: str(made.id if name[1] == "id" else made[name[1]]), import_id)
    imported = cloud.import_(token, given)
    assert imported is not None
    assert imported[0] == made.id
    assert cloud.diff(made.urn, imported[0], imported[2], imported[1], made.inputs).changes == {}
    cloud.check(cloud.urn(token, "imported"), imported[2].values)

    if change_of is not None:
        changed = {**inputs, **change_of(cloud)}
        found = made.diff(changed)
        assert found.changes
        assert not found.replaces, "this change needs no replacement"
        made.update(changed)
        assert made.diff(changed).changes == {}
        assert made.refresh_diff().changes == {}, "what AWS holds is what was asked for"

    made.delete()
    if token not in NEVER_GONE:
        assert made.read() is None, "gone, so that refresh drops it"
    made.delete()


@pytest.mark.parametrize("token", CASES, ids=lambda token: token.split(":")[1])
def test_interrupted_creation_of(token: str, cloud: Cloud) -> None:
    """What the engine's state doesn't know of is taken over by the next creation; no second one is made."""
    inputs = CASES[token][0](cloud)
    made = cloud.create(token, inputs, "interrupted")
    rule = resource(token).autoname
    names = {rule.property: made.inputs.values[rule.property]} if rule is not None else {}
    for known_id in ("", made.id):
        cloud.provider.journal.begin(made.urn, names)
        if known_id:
            cloud.provider.journal.made(made.urn, known_id)
        again = cloud.create(token, inputs, "interrupted")
        assert again.id == made.id
        assert again.diff(inputs).changes == {}
        assert again.refresh_diff().changes == {}
    again.delete()
    assert cloud.provider.journal.find(made.urn) is None
