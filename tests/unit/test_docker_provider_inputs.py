from pathlib import Path
from typing import Any

import pytest

from sandbox.providers.docker import inputs, report
from sandbox.providers.docker.builder import Credentials, content_key, index_settings, proxies
from sandbox.providers.wire import UNKNOWN


def reasons(values: dict[str, Any]) -> dict[str, str]:
    return {failure.property: failure.reason for failure in inputs.check_kinds(values)}


@pytest.mark.parametrize(
    ("values", "where", "says"),
    [
        ({"imagename": "a"}, "imagename", "did you mean 'imageName'"),
        ({"build": {"contxt": "."}}, "build.contxt", "did you mean 'context'"),
        ({"registry": {"zzz": "a"}}, "registry.zzz", "there are: password, server, username"),
        ({"build": {"args": {"A": 3}}}, "build.args.A", "must be a string, got the number 3"),
        ({"build": "."}, "build", "must be an object, got the string '.'"),
        ({"build": {"cacheFrom": {"images": "a"}}}, "build.cacheFrom.images", "must be a list"),
        ({"build": {"addHosts": ["a:1", 2]}}, "build.addHosts[1]", "must be a string"),
        (
            {"build": {"builderVersion": "V3"}},
            "build.builderVersion",
            "must be one of BuilderV1, BuilderBuildKit",
        ),
        ({"skipPush": "yes"}, "skipPush", "must be true or false, got the string 'yes'"),
    ],
)
def test_wrong_inputs_are_named(values: dict[str, Any], where: str, says: str) -> None:
    found = reasons(values)
    assert list(found) == [where]
    assert says in found[where]


def test_every_wrong_input_is_reported_at_once() -> None:
    assert set(reasons({"skipPush": 1, "build": {"target": 2, "args": []}})) == {
        "skipPush",
        "build.target",
        "build.args",
    }


def test_unknown_values_are_tolerated() -> None:
    assert reasons({"imageName": UNKNOWN, "build": {"args": {"A": UNKNOWN}, "context": UNKNOWN}}) == {}
    assert inputs.check_names({"imageName": UNKNOWN}) == []
    assert inputs.check_paths({"context": UNKNOWN}) == []


def test_a_wrong_kind_never_shows_what_an_object_holds() -> None:
    assert "hunter2" not in str(
        reasons({"registry": [{"password": "hunter2"}], "imageName": {"a": "hunter2"}})
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "is required"),
        ({"imageName": "app:1"}, "write 'docker.io/app:1', or set skipPush"),
        ({"imageName": "host.example/App"}, "lower case"),
        ({"imageName": "host.example/app@sha256:" + "0" * 64}, "give a tag"),
    ],
)
def test_names_that_cannot_be_pushed(values: dict[str, Any], says: str) -> None:
    (failure,) = inputs.check_names(values)
    assert failure.property == "imageName"
    assert says in failure.reason


def test_a_local_image_needs_no_registry() -> None:
    assert inputs.check_names({"imageName": "app:1", "skipPush": True}) == []


def test_missing_folders_and_dockerfiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM scratch\n")
    assert inputs.check_paths({"context": "app"}) == []
    assert inputs.check_paths({"context": "app", "dockerfile": "app/Dockerfile"}) == []
    (nowhere,) = inputs.check_paths({"context": "ap"})
    assert (nowhere.property, "doesn't exist" in nowhere.reason) == ("build.context", True)
    (relative,) = inputs.check_paths({"context": "app", "dockerfile": "Dockerfile"})
    assert relative.property == "build.dockerfile"
    assert "did you mean 'app/Dockerfile'" in relative.reason
    (remote,) = inputs.check_paths({"context": "https://example.org/x.git"})
    assert "remote context" in remote.reason


def test_hosts_have_an_address() -> None:
    (failure,) = inputs.check_hosts({"addHosts": ["a:127.0.0.1", "b"]})
    assert failure.property == "build.addHosts[1]"


def test_differences_go_down_to_single_properties_and_skip_what_is_ignored() -> None:
    old = {"build": {"target": "a", "args": {"X": "1"}}, "registry": {"server": "s", "password": "1"}}
    new = {
        "build": {"target": "b", "args": {"X": "1", "Y": "2"}},
        "registry": {"server": "s", "password": "2"},
    }
    assert inputs.differences(old, new, ["registry.password"]) == [
        ("build.args.Y", False, True),
        ("build.target", True, True),
    ]
    assert inputs.differences(old, old, []) == []


def test_secrets_are_kept_out_of_the_report(tmp_path: Path) -> None:
    values = {"registry": {"password": "hunter22"}, "build": {"args": {"TOKEN": "tok-123"}}}
    secrets = report.secret_texts(values, {("registry",), ("build", "args", "TOKEN"), ("not", "there")})
    assert sorted(secrets) == ["hunter22", "tok-123"]
    made = report.Report(report.EngineLog(""), "urn", tmp_path / "logs" / "x.log", secrets)
    made.line("RUN login hunter22 tok-123\n\nnext\n")
    assert made.file.read_text() == "RUN login [secret] [secret]\nnext\n"
    assert "hunter22" not in repr(Credentials("AWS", "hunter22"))


def test_the_content_key_follows_the_base_image() -> None:
    one = content_key("d", {"python:3.13": "sha256:1"})
    assert one == content_key("d", {"python:3.13": "sha256:1"})
    assert (
        len(
            {
                one,
                content_key("d", {"python:3.13": "sha256:2"}),
                content_key("e", {"python:3.13": "sha256:1"}),
            }
        )
        == 3
    )


def test_proxies_are_passed_in_both_cases() -> None:
    assert proxies({"https_proxy": "http://p:1", "OTHER": "x"}) == {
        "HTTPS_PROXY": "http://p:1",
        "https_proxy": "http://p:1",
    }


def test_pips_settings_come_from_its_files_and_its_environment(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://one.example/simple\nextra-index-url =\n    https://a.example\n    https://b.example\n"
    )
    env = {
        "PIP_CONFIG_FILE": str(config),
        "PIP_INDEX_URL": "https://two.example/simple",
        "HOME": str(tmp_path),
    }
    found = index_settings(env)
    assert found["PIP_INDEX_URL"] == "https://two.example/simple"
    assert found["PIP_EXTRA_INDEX_URL"] == "https://a.example https://b.example"
