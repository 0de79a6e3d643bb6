"""Outputs, state and partial deployments of a real stack by the real engine; its program needs no cloud."""

import os
from pathlib import Path

import pytest

from ops.common import stack
from ops.common.errors import ExitCode, OpsError
from sandbox import paths
from tests.sandbox.workspace import Stack

PROGRAM = """
from pathlib import Path

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider, UpdateResult


class Provider(ResourceProvider):
    def create(self, props):
        return CreateResult("one", props)

    def update(self, _id, olds, news):
        return UpdateResult(news)


class Word(Resource):
    word: pulumi.Output[str]

    def __init__(self, name, word):
        super().__init__(Provider(), name, {"word": word})


said = Path("word.txt").read_text()
first, other = Word("image", said), Word("other", said)
second = Word("function", first.word)
pulumi.export("words", {"image": first.word, "function": second.word, "other": other.word})
"""

DYNAMIC = "pulumi-python:dynamic:Resource"


@pytest.fixture(scope="module")
def deployed(sandbox_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Stack:
    project = tmp_path_factory.mktemp("words")
    options = f"    toolchain: pip\n    virtualenv: {paths.VENV}\n"
    (project / "Pulumi.yaml").write_text(f"name: words\nruntime:\n  name: python\n  options:\n{options}")
    (project / "__main__.py").write_text(PROGRAM)
    (project / "word.txt").write_text("one")
    made = Stack(project, "words-test", sandbox_env)
    made.up()
    return made


@pytest.fixture(autouse=True)
def _in_its_project(deployed: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "ROOT", deployed.project)
    monkeypatch.setenv("PATH", deployed.env["PATH"])


def urns() -> list[str]:
    return [urn for urn in stack.urns_of(stack.state("words-test"), DYNAMIC) if not urn.endswith("::other")]


def test_only_the_targets_are_deployed_and_the_outputs_follow(deployed: Stack) -> None:
    (deployed.project / "word.txt").write_text("two")
    lines: list[str] = []
    changes = stack.deploy("words-test", urns()[:1], "a test", lines.append)
    assert changes["update"] == 2, "the target and what depends on it"
    assert stack.outputs("words-test")["words"] == {"image": "two", "function": "two", "other": "one"}
    assert any("updated" in line for line in lines)
    function = next(urn for urn in urns() if urn.endswith("::function"))
    [source] = stack.depends_through(stack.state("words-test"), function, "word")
    assert source.endswith("::image")


def test_a_program_that_fails_shows_its_traceback(deployed: Stack) -> None:
    program = deployed.project / "__main__.py"
    before = program.read_text()
    program.write_text("raise RuntimeError('the bridge is out')")
    try:
        with pytest.raises(OpsError) as caught:
            stack.deploy("words-test", urns(), "a test", lambda line: None)
    finally:
        program.write_text(before)
    assert caught.value.code is ExitCode.UNEXPECTED
    assert "RuntimeError: the bridge is out" in str(caught.value.detail)


def test_a_stack_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(OpsError, match="stack words-nope does not exist") as caught:
        stack.outputs("words-nope")
    assert caught.value.code is ExitCode.NOT_FOUND


def test_a_stack_without_outputs_is_not_deployed(deployed: Stack) -> None:
    empty = Stack(deployed.project, "words-sandbox", deployed.env)
    empty.pulumi("stack", "output")
    with pytest.raises(OpsError, match="so nothing is deployed") as caught:
        stack.outputs("words-sandbox")
    assert caught.value.code is ExitCode.NOT_FOUND


def test_without_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    with pytest.raises(OpsError, match="is not on PATH") as caught:
        stack.outputs("words-test")
    assert caught.value.code is ExitCode.UNREACHABLE
