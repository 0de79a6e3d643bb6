"""The program of a stack: which system it deploys, what the quetzal stack makes and exports."""

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import config as runtime_config

import stacks
from stacks import quetzal
from tests.harness import Deployment, deploy

MODEL = {"source": "transit", "base_scenario": "examples/quetzal-cairns/scenarios/base"}


def up(monkeypatch: pytest.MonkeyPatch, *, preview: bool = False, **config: Any) -> Deployment:
    """Deploy a quetzal stack with this configuration, as the engine hands it over."""
    texts = {
        f"quetzal:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in config.items()
    }
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(texts))
    token = runtime_config.CONFIG.set({})
    try:
        return deploy(lambda: stacks.deploy(pulumi.get_stack()), preview=preview)
    finally:
        runtime_config.CONFIG.reset(token)


def test_every_system_has_a_module_and_settings_are_no_system() -> None:
    assert "quetzal" in stacks.systems()
    assert not any("settings" in name for name in stacks.systems())


@pytest.mark.parametrize("stack", ["quetzl-sandbox", "quetzal", "quetzal-", "sandbox"])
def test_an_unknown_system_is_one_line_that_lists_the_systems(stack: str) -> None:
    with pytest.raises(pulumi.RunError) as error:
        stacks.deploy(stack)
    assert "\n" not in str(error.value)
    assert repr(stack) in str(error.value)
    assert "quetzal" in str(error.value).partition("allowed:")[2]


def test_wrong_settings_end_the_program_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pulumi.RunError) as error:
        up(monkeypatch, models={"cairns": {**MODEL, "memory_mb": 64}})
    heading, line = str(error.value).splitlines()
    assert heading == "settings of stack quetzal-test that can't be used (1):"
    assert line.startswith("quetzal:models.cairns.memory_mb is 64; allowed: 128 to 10240 (MB)")
    assert error.value.__suppress_context__


@pytest.mark.parametrize("preview", [True, False])
def test_two_models_share_one_directory_one_topic_and_one_table(
    monkeypatch: pytest.MonkeyPatch, preview: bool
) -> None:
    made = up(monkeypatch, preview=preview, models={"north": MODEL, "south": MODEL}, bucket_prefix="q-")
    assert (
        len(made.of_type(":UserPool"))
        == len(made.of_type(":IdentityPool"))
        == len(made.of_type(":Topic"))
        == 1
    )
    assert {item.inputs["name"] for item in made.of_type("lambda/function:Function")} == {
        "q-north", "q-north-api", "q-south", "q-south-api",
    }  # fmt: skip
    table = made.one("quetzal-access-table").inputs
    assert json.loads(table["content"]) == {"north": ["north"], "south": ["south"]}
    assert table["key"] == "cognito_group_access.json"


def test_outputs_are_what_operators_tools_read(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = up(monkeypatch, models={"cairns": MODEL}, bucket_prefix="q-").outputs
    assert set(outputs) == {
        "models", "user_pool_id", "user_pool_client_id", "identity_pool_id", "access_table",
        "alarm_topic_arn", "region",
    }  # fmt: skip
    model = outputs["models"]["cairns"]
    assert model["bucket"] == model["function_name"] == "q-cairns"
    assert model["log_group"] == "/aws/lambda/q-cairns"
    assert model["state_machine_arn"].endswith(":stateMachine:q-cairns")
    assert model["api_url"].startswith("https://")
    assert "@sha256:" in model["image_digest_uri"]
    assert model["groups"] == ["cairns"]
    assert model["user_role_arn"].endswith("role/cairns-users-role-0000000")
    assert model["steps"][0] == "import_gtfs"
    assert outputs["access_table"] == {"bucket": "quetzal-test-config", "key": "cognito_group_access.json"}
    assert outputs["region"] == "eu-west-3"


def test_a_shared_group_is_made_once_and_opens_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = {**MODEL, "groups": ["planners"]}
    made = up(monkeypatch, models={"north": shared, "south": shared, "alone": MODEL})
    groups = [item.inputs["name"] for item in made.of_type(":UserGroup")]
    assert sorted(groups) == ["alone", "north", "planners", "south"]
    opened = [
        item
        for item in made.of_type(":RolePolicy")
        if item.inputs["role"] == "quetzal-group-planners-role-0000000"
    ]
    assert len(opened) == 2
    text = json.dumps([item.inputs["policy"] for item in opened])
    assert "arn:aws:s3:::north" in text
    assert "arn:aws:s3:::south" in text
    assert "arn:aws:s3:::alone" not in text


def test_an_existing_directory_is_used_and_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = up(
        monkeypatch,
        models={"cairns": {**MODEL, "groups": ["planners"]}},
        user_directory={
            "user_pool_id": "eu-west-3_AbC", "user_pool_client_id": "client1",
            "identity_pool_id": "eu-west-3:01234567-89ab-cdef-0123-456789abcdef",
            "group_roles": {"planners": "planners-role"},
        },
    )  # fmt: skip
    assert not made.of_type(":UserPool")
    assert [item.inputs["name"] for item in made.of_type(":UserGroup")] == ["cairns"]
    assert made.one("cairns-users-planners-policy").inputs["role"] == "planners-role"
    assert made.outputs["user_pool_id"] == "eu-west-3_AbC"


@pytest.mark.parametrize("preview", [True, False])
def test_people_are_invited_and_tokens_name_one_role(monkeypatch: pytest.MonkeyPatch, preview: bool) -> None:
    made = up(monkeypatch, preview=preview, models={"cairns": MODEL})
    pool = made.one("quetzal-users-pool").inputs
    assert pool["adminCreateUserConfig"] == {"allowAdminCreateUserOnly": True}
    assert pool["passwordPolicy"]["minimumLength"] >= 12
    assert made.one("quetzal-users-identities").inputs["allowUnauthenticatedIdentities"] is False
    client = made.one("quetzal-users-client").inputs
    assert client["generateSecret"] is False
    assert client["preventUserExistenceErrors"] == "ENABLED"
    (mapping,) = made.one("quetzal-users-roles").inputs["roleMappings"]
    assert (mapping["type"], mapping["ambiguousRoleResolution"]) == ("Token", "Deny")
    assert "quetzal-users-no-group" not in json.dumps(
        [item.inputs.get("role") for item in made.of_type(":RolePolicy")], default=str
    ), "who is in no group may do nothing"


def test_alarms_reach_everybody_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = up(
        monkeypatch,
        models={"cairns": MODEL},
        alarm_emails=["b@example.org", "a@example.org", "b@example.org"],
    )
    mails = made.of_type(":TopicSubscription")
    assert [item.inputs["endpoint"] for item in sorted(mails, key=lambda item: item.name)] == [
        "a@example.org",
        "b@example.org",
    ]
    assert {item.inputs["protocol"] for item in mails} == {"email"}


def test_production_protects_data_and_people(monkeypatch: pytest.MonkeyPatch) -> None:
    made = up(monkeypatch, models={"cairns": MODEL}, keep_data="true")
    protected = {item.name for item in made.resources if item.protect}
    assert protected == {
        "cairns-data-bucket", "cairns-image-repository", "quetzal-access-store-bucket", "quetzal-users-pool",
    }  # fmt: skip
    assert made.one("quetzal-users-pool").inputs["deletionProtection"] == "ACTIVE"
    assert not any(item.protect for item in up(monkeypatch, models={"cairns": MODEL}).resources)


def test_tags_tell_project_owner_cost_centre_stack_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {"project": "p", "owner": "o", "cost-centre": "c"}
    made = up(monkeypatch, models={"cairns": MODEL}, tags=tags)
    assert made.one("cairns-data-bucket").inputs["tags"] == {
        **tags,
        "stack": "quetzal-test",
        "model": "cairns",
    }
    assert made.one("quetzal-users-pool").inputs["tags"] == {**tags, "stack": "quetzal-test"}


def test_the_stack_module_stays_small() -> None:
    """It composes; what it composes belongs in components."""
    assert len(Path(quetzal.__file__).read_text().splitlines()) < 150
