"""Settings of a stack: every problem at once, one clear line each; and the stack files of this repository."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field

from sandbox.paths import ROOT
from stacks.quetzal_settings import CONTEXT, QuetzalSettings
from stacks.settings import Settings, SettingsError, load

NOTEBOOK_STATE = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke",
    "Parameters": {"FunctionName": "${function_arn}", "Payload": {"notebook_path": "notebooks/a.ipynb"}},
    "End": True,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a good model, one whose step names a missing notebook, and two scenario folders."""
    for name in ("tiny", "dangling"):
        folder = tmp_path / CONTEXT / "models" / name
        (folder / "notebooks").mkdir(parents=True)
        (folder / "step-functions.json").write_text(
            json.dumps({"StartAt": "only", "States": {"only": NOTEBOOK_STATE}})
        )
    (tmp_path / CONTEXT / "models" / "tiny" / "notebooks" / "a.ipynb").write_text("{}")
    (tmp_path / "scenarios" / "base" / "inputs").mkdir(parents=True)
    (tmp_path / "scenarios" / "base" / "inputs" / "params.json").write_text("{}")
    (tmp_path / "scenarios" / "empty").mkdir()
    return tmp_path


GOOD: dict[str, Any] = {"source": "tiny", "base_scenario": "scenarios/base"}


def read(root: Path, **raw: Any) -> QuetzalSettings:
    """Settings of a stack as the engine hands them over: everything structured is JSON text."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in raw.items()}
    return load(QuetzalSettings, texts, namespace="quetzal", stack="quetzal-test", root=root)


def lines(root: Path, **raw: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as error:
        read(root, **raw)
    return error.value.lines


def test_defaults_are_those_of_the_original(root: Path) -> None:
    settings = read(root, models={"tiny": GOOD})
    model = settings.models["tiny"]
    assert (model.memory_mb, model.time_limit_s, model.storage_mb) == (4016, 300, 4016)
    assert settings.front_end_origins == ("http://localhost:8081",)
    assert (settings.log_days, settings.keep_data) == (14, False)
    assert settings.access_bucket("quetzal-test") == "quetzal-test-config"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"memory_mb": 64}, ["quetzal:models.tiny.memory_mb is 64;", "allowed: 128 to 10240 (MB)"]),
        ({"memory_mb": "much"}, ["quetzal:models.tiny.memory_mb is 'much';", "allowed: 128 to 10240 (MB)"]),
        ({"time_limit_s": 901}, ["quetzal:models.tiny.time_limit_s is 901;", "1 to 900"]),
        ({"storage_mb": 511}, ["quetzal:models.tiny.storage_mb is 511;", "512 to 10240"]),
        ({"source": "nowhere"}, ["quetzal:models.tiny.source is 'nowhere'", "allowed: dangling, tiny"]),
        (
            {"source": "dangling"},
            [
                "models/dangling/step-functions.json: state 'only'",
                "notebook 'notebooks/a.ipynb' does not exist",
            ],
        ),
        ({"base_scenario": "scenarios/gone"}, ["base_scenario is 'scenarios/gone'", "no such folder"]),
        ({"base_scenario": "scenarios/empty"}, ["base_scenario is 'scenarios/empty'", "the folder is empty"]),
        ({"memory": 4016}, ["quetzal:models.tiny.memory is unknown; did you mean memory_mb?"]),
        ({"groups": ["has blank"]}, ["quetzal:models.tiny.groups[0] is 'has blank'", "allowed: names of"]),
    ],
)
def test_a_bad_model_setting_is_one_line_with_the_way_out(
    root: Path, changed: dict[str, Any], told: list[str]
) -> None:
    found = lines(root, models={"tiny": {**GOOD, **changed}})
    assert len(found) == 1
    assert "\n" not in found[0]
    assert all(text in found[0] for text in [*told, "in Pulumi.quetzal-test.yaml"]), found
    key = found[0].partition(" ")[0]
    assert f"pulumi config set --stack quetzal-test --path '{key}' <value>" in found[0]


def test_a_name_unfit_for_a_bucket_is_one_line(root: Path) -> None:
    (found,) = lines(root, models={"Not_A_Bucket": GOOD})
    assert "Not_A_Bucket" in found
    assert "allowed: 3 to 60 lower-case letters" in found
    (found,) = lines(root, models={"tiny": GOOD, "x" * 50: GOOD}, bucket_prefix="quetzal-of-a-group-")
    assert "not fit for a bucket" in found


def test_all_problems_are_told_at_once(root: Path) -> None:
    found = lines(
        root,
        models={
            "Bad": GOOD,
            "small": {**GOOD, "memory_mb": 64, "base_scenario": "nowhere"},
            "bare": {},
        },
        log_days=15,
        keep_data="perhaps",
        alarm_emails=["nobody"],
        front_end_origins=["*"],
        colour="blue",
    )
    keys = [line.partition(" ")[0] for line in found]
    assert sorted(keys) == [
        "quetzal:alarm_emails[0]",
        "quetzal:colour",
        "quetzal:front_end_origins[0]",
        "quetzal:keep_data",
        "quetzal:log_days",
        "quetzal:models.Bad",
        "quetzal:models.bare.base_scenario",
        "quetzal:models.bare.source",
        "quetzal:models.small.base_scenario",
        "quetzal:models.small.memory_mb",
    ]


def test_no_model_at_all(root: Path) -> None:
    assert lines(root)[0].startswith("quetzal:models is missing; allowed: at least one model")
    assert lines(root, models={})[0].startswith("quetzal:models is {}; allowed: at least one model")


def test_text_that_is_no_json_is_one_line(root: Path) -> None:
    (found,) = lines(root, models="{tiny")
    assert found.startswith("quetzal:models is not JSON")


def test_a_secret_value_is_not_shown(root: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load(
            QuetzalSettings, {"models": json.dumps({"tiny": GOOD}), "log_days": "4711"},
            namespace="quetzal", stack="quetzal-test", root=root, hidden=frozenset({"log_days"}),
        )  # fmt: skip
    assert "4711" not in str(error.value)
    assert "quetzal:log_days is [secret]" in str(error.value)


def test_names_that_get_in_each_others_way(root: Path) -> None:
    (found,) = lines(root, models={"tiny": {**GOOD, "groups": ["other"]}, "other": GOOD})
    assert "group 'other' has the name of a model" in found
    (found,) = lines(root, models={"tiny": GOOD}, config_bucket="tiny")
    assert "set config_bucket" in found


def test_the_access_table_goes_from_groups_to_models(root: Path) -> None:
    settings = read(
        root, models={"a-b": {**GOOD, "groups": ["planners"]}, "c-d": {**GOOD, "groups": ["planners"]}}
    )
    assert settings.access_table() == {"a-b": ["a-b"], "c-d": ["c-d"], "planners": ["a-b", "c-d"]}


def test_nested_unknown_keys_get_suggestions_from_their_own_level() -> None:
    class Inner(Settings):
        colour: str = "red"

    class Outer(Settings):
        inner: Inner | None = Field(None, description="an object")
        many: list[Inner] = Field(default_factory=list)

    with pytest.raises(SettingsError) as error:
        load(Outer, {"inner": {"color": "x"}, "many": [{"colr": 1}]}, namespace="n", stack="s")
    assert [line.partition(";")[0] for line in error.value.lines] == [
        "n:inner.color is unknown",
        "n:many[0].colr is unknown",
    ]
    assert all("did you mean colour?" in line for line in error.value.lines)


@pytest.mark.parametrize("stack", ["quetzal-sandbox", "quetzal-paris"])
def test_the_stack_files_of_this_repository_are_valid(stack: str) -> None:
    config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    raw = {key.removeprefix("quetzal:"): value for key, value in config.items() if key.startswith("quetzal:")}
    settings = load(QuetzalSettings, raw, namespace="quetzal", stack=stack)
    assert settings.keep_data is (stack == "quetzal-paris")
    if stack == "quetzal-paris":
        assert len(settings.models) == 2
        assert settings.shared_groups() == ["transport-planners"]


def test_commented_examples_in_the_production_file_are_valid_too() -> None:
    """What somebody gets who takes the comment signs away."""
    text = (ROOT / "Pulumi.quetzal-paris.yaml").read_text()
    block = text[text.index("  # quetzal:user_directory:") : text.index("  # On every resource")]
    example = yaml.safe_load("\n".join(line.replace("  # ", "", 1) for line in block.splitlines()))
    config = {**yaml.safe_load(text)["config"], **example}
    raw = {key.removeprefix("quetzal:"): value for key, value in config.items() if key.startswith("quetzal:")}
    settings = load(QuetzalSettings, raw, namespace="quetzal", stack="quetzal-paris")
    assert settings.user_directory is not None
    assert "transport-planners" in settings.user_directory.group_roles


def test_the_sandbox_file_holds_the_salt_of_the_documented_passphrase() -> None:
    """Without it the first `pulumi stack init` would rewrite a tracked file."""
    file = yaml.safe_load((ROOT / "Pulumi.quetzal-sandbox.yaml").read_text())
    assert file["encryptionsalt"].startswith("v1:")
