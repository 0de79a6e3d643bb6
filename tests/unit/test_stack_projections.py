"""The projections stack: what it makes and exports, wrong settings, and its two stack files."""

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import config as runtime_config

import stacks
from sandbox.paths import ROOT
from stacks import projections
from stacks.projections_settings import MODEL_CONTEXT, WEB_CONTEXT, WEB_DOCKERFILE, ProjectionsSettings
from stacks.settings import SettingsError, load
from tests.harness import Deployment, deploy

STACK = "projections-test"
FILES = ("projections-sandbox", "projections-newengland")
GOOD: dict[str, Any] = {"data_source": "source", "allowed_cidrs": ["192.0.2.0/24"]}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two images that are quickly read and a data source."""
    for file in (MODEL_CONTEXT / "Dockerfile", WEB_CONTEXT / WEB_DOCKERFILE):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("FROM scratch\n")
    (tmp_path / "source" / "abc").mkdir(parents=True)
    (tmp_path / "source" / "commits.json").write_text("[]")
    (tmp_path / "source" / "abc" / "deaths.csv").write_text("x")
    (tmp_path / "source" / ".hidden").write_text("x")
    monkeypatch.setattr(projections, "ROOT", tmp_path)
    monkeypatch.setattr("stacks.settings.ROOT", tmp_path)
    monkeypatch.setattr(load, "__kwdefaults__", {**(load.__kwdefaults__ or {}), "root": tmp_path})
    return tmp_path


def up(monkeypatch: pytest.MonkeyPatch, *, preview: bool = False, **changed: Any) -> Deployment:
    texts = {
        f"projections:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in {**GOOD, **changed}.items()
    }
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(texts))
    token = runtime_config.CONFIG.set({})
    try:
        return deploy(lambda: stacks.deploy(pulumi.get_stack()), preview=preview, stack=STACK)
    finally:
        runtime_config.CONFIG.reset(token)


def read(root: Path, stack: str = STACK, **raw: Any) -> ProjectionsSettings:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in raw.items()}
    return load(ProjectionsSettings, texts, namespace="projections", stack=stack, root=root)


def lines(root: Path, **changed: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as error:
        read(root, **{**GOOD, **changed})
    return error.value.lines


def test_projections_is_a_system() -> None:
    assert "projections" in stacks.systems()
    assert not any("settings" in name for name in stacks.systems())


@pytest.mark.parametrize("preview", [True, False])
def test_outputs_are_what_operators_tools_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, preview: bool
) -> None:
    outputs = up(monkeypatch, preview=preview).outputs
    assert set(outputs) == {
        "site_url", "bucket", "run_table", "cluster_arn", "model_task_family", "web_service",
        "manage_task_family", "manage_network", "restart_queue_url", "dead_letter_queue_urls",
        "dispatch_function", "resume_function", "sweep_function", "log_groups", "api_key_secret_arn",
        "region", "data_source", "alarm_topic_arn", "load_balancer",
    }  # fmt: skip
    if preview:
        return
    assert outputs["site_url"].startswith("http://projections-test-1.")
    assert outputs["bucket"] == "projections-test"
    assert outputs["run_table"] == "projections-test-runs"
    assert outputs["manage_task_family"] == "projections-test-manage"
    assert set(outputs["manage_network"]) == {"subnets", "security_groups", "assign_public_ip"}
    assert set(outputs["dead_letter_queue_urls"]) == {"dispatch", "events", "restarts"}
    assert outputs["log_groups"] == {
        "model": "/ecs/projections-test/model",
        "web": "/ecs/projections-test/web",
        "dispatch": "/aws/lambda/projections-test-dispatch",
        "resume": "/aws/lambda/projections-test-resume",
        "sweep": "/aws/lambda/projections-test-sweep",
    }
    assert ":secret:projections-test/api-key-" in outputs["api_key_secret_arn"]


def test_a_folder_of_data_is_uploaded_and_read_like_any_other_source(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = up(monkeypatch)
    objects = made.of_type(":BucketObjectv2")
    assert sorted(item.inputs["key"] for item in objects) == ["source/abc/deaths.csv", "source/commits.json"]
    assert {item.inputs["bucket"] for item in objects} == {"projections-test"}
    assert made.outputs["data_source"] == "s3://projections-test/source"
    assert (
        made.outputs["data_source"]
        in made.one("projections-site-web-task-definition").inputs["containerDefinitions"]
    )


def test_a_source_elsewhere_is_not_uploaded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = up(monkeypatch, data_source="https://git.example.org/repos/a/b")
    assert not made.of_type(":BucketObjectv2")
    assert made.outputs["data_source"] == "https://git.example.org/repos/a/b"


def test_settings_reach_what_they_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = up(
        monkeypatch, runner_name="covid", task_cpu=2048, task_memory=8192, max_interruptions=0, backoff_s=1,
        max_backoff_s=5, max_attempts=7, stale_after_s=90, run_days=3, log_days=7, site_tasks=2, site_cpu=512,
        site_memory=2048, database_class="db.m7g.large", addhashes_schedule="rate(1 day)",
        alarm_emails=["a@example.org"], network={"cidr": "10.9.0.0/16"},
    )  # fmt: skip
    variables = made.one("projections-run-sweep-function").inputs["environment"]["variables"]
    expected = {"MAX_INTERRUPTIONS": "0", "BACKOFF_S": "1", "MAX_BACKOFF_S": "5", "MAX_ATTEMPTS": "7",
                "STALE_AFTER_S": "90", "RUN_DAYS": "3"}  # fmt: skip
    assert expected.items() <= variables.items()
    assert made.outputs["bucket"] == "covid"
    assert made.one("projections-model-definition").inputs["cpu"] == "2048"
    assert made.one("projections-site-web-task-definition").inputs["memory"] == "2048"
    assert made.one("projections-site-web-service").inputs["desiredCount"] == 2
    assert made.one("projections-site-database-instance").inputs["instanceClass"] == "db.m7g.large"
    assert made.one("projections-network-vpc").inputs["cidrBlock"] == "10.9.0.0/16"
    assert {item.inputs["retentionInDays"] for item in made.of_type(":LogGroup")} == {7}
    assert [item.inputs["endpoint"] for item in made.of_type(":TopicSubscription")] == ["a@example.org"]


def test_tags_are_on_everything_that_costs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {"project": "p", "owner": "o", "cost-centre": "c"}
    made = up(monkeypatch, tags=tags)
    for kind in (":Bucket", ":Table", ":Cluster", ":Service", ":Instance", ":LoadBalancer", ":Function",
                 ":TaskDefinition", ":Secret", ":VpcEndpoint", ":Topic"):  # fmt: skip
        for item in (item for item in made.of_type(kind) if item.type.startswith("aws:")):
            assert {**tags, "stack": STACK}.items() <= item.inputs["tags"].items(), item.name


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"data_source": "nowhere"}, "projections:data_source is 'nowhere': the folder has no commits.json"),
        ({"data_source": "http://x/y"}, "projections:data_source is 'http://x/y': allowed: https://"),
        ({"allowed_cidrs": []}, "projections:allowed_cidrs is []; allowed: who reaches the site"),
        (
            {"allowed_cidrs": ["10.0.0.1/8"]},
            "projections:allowed_cidrs[0] is '10.0.0.1/8': 10.0.0.1/8 has host bits",
        ),
        (
            {"max_interruptions": 21},
            "projections:max_interruptions is '21'; allowed: 0 to 20 (interruptions)",
        ),
        ({"backoff_s": 0}, "projections:backoff_s is '0'; allowed: 1 to 900 (s)"),
        ({"backoff_s": 700}, "projections: max_backoff_s is 600; allowed: backoff_s (700) or more"),
        ({"task_cpu": 1000}, "projections: task_cpu, task_memory: cpu 1000 is no size of Fargate"),
        ({"site_memory": 512}, "projections: site_cpu, site_memory: memory 512 is none"),
        ({"runner_name": "Covid"}, "projections: runner_name: 'Covid' is not fit"),
        ({"runner_name": "c" * 29}, "is longer than 28 characters: set a shorter one"),
        ({"network": {"cidr": "8.8.8.0/24"}}, "projections:network.cidr is '8.8.8.0/24'"),
        ({"network": {}}, "projections:network is {}: network: give either cidr, or vpc_id"),
        ({"network": {"vpc_id": "x"}}, "projections:network.vpc_id is 'x'; allowed: like vpc-"),
        (
            {"certificate_arn": "arn:aws:acm:eu-west-3:123456789012:certificate/1"},
            "certificate_arn needs domain",
        ),
        ({"database_class": "big"}, "projections:database_class is 'big'; allowed: like db.t4g.micro"),
        (
            {"addhashes_schedule": "daily"},
            "projections:addhashes_schedule is 'daily'; allowed: like rate(1 day)",
        ),
        ({"log_days": 15}, "projections:log_days is '15'; allowed: one of 1, 3, 5"),
        ({"alarm_emails": ["nobody"]}, "projections:alarm_emails[0] is 'nobody'; allowed: e-mail addresses"),
        ({"max_interuptions": 3}, "max_interuptions is unknown; did you mean max_interruptions?"),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_way_out(root: Path, changed: dict[str, Any], told: str) -> None:
    (line,) = lines(root, **changed)
    assert told in line
    assert f"in Pulumi.{STACK}.yaml" in line
    assert "\n" not in line


def test_what_must_be_chosen_is_asked_for(root: Path) -> None:
    with pytest.raises(SettingsError) as error:
        read(root)
    assert sorted(line.partition(" ")[0] for line in error.value.lines) == [
        "projections:allowed_cidrs", "projections:data_source",
    ]  # fmt: skip


def test_an_existing_network_is_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"vpc_id": "vpc-1", "public_subnets": ["subnet-1", "subnet-2"],
             "private_subnets": ["subnet-3", "subnet-4"], "nat": True}  # fmt: skip
    made = up(monkeypatch, network=given)
    assert not [item for item in made.resources if item.type == "aws:ec2/vpc:Vpc"]
    assert made.outputs["manage_network"]["subnets"] == ["subnet-3", "subnet-4"]
    assert made.outputs["manage_network"]["assign_public_ip"] is False


# --- the stack files of this repository ------------------------------------------------------------------


def config(stack: str) -> dict[str, Any]:
    document = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    prefix = "projections:"
    return {
        key.removeprefix(prefix): value for key, value in document["config"].items() if key.startswith(prefix)
    }


@pytest.mark.parametrize("stack", FILES)
def test_the_stack_files_can_be_used_as_they_are(stack: str) -> None:
    settings = read(ROOT, stack, **config(stack))
    assert settings.name(stack) == stack


def test_production_keeps_data_and_the_sandbox_does_not() -> None:
    sandbox, production = (read(ROOT, stack, **config(stack)) for stack in FILES)
    assert (sandbox.keep_data, production.keep_data) == (False, True)
    assert sandbox.backoff_s == 1
    assert sandbox.source_folder is not None
    assert production.source_folder is None


def test_the_production_file_explains_every_key() -> None:
    text = (ROOT / "Pulumi.projections-newengland.yaml").read_text()
    missing = [name for name in ProjectionsSettings.model_fields if f"projections:{name}:" not in text]
    assert missing == []


def test_the_stack_module_stays_small() -> None:
    """It composes; what it composes belongs in components."""
    assert len(Path(projections.__file__).read_text().splitlines()) < 150
