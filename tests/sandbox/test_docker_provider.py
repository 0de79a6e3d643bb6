"""``docker.Image`` by the real engine, the Docker engine and the emulator's registry."""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import docker.errors
import pulumi
import pulumi_docker
import pytest
from pulumi import automation

from sandbox.images import ensure
from sandbox.images.client import Client, connect
from sandbox.providers.docker import context
from sandbox.providers.docker.builder import Builder, Plan
from sandbox.providers.docker.report import EngineLog, Report
from sandbox.providers.server import ProviderError

PASSWORD = "a-password-of-the-registry"
PROJECT = "docker-provider"


@dataclass
class World:
    """A repository in the emulator's registry, a build context, and one stack."""

    env: dict[str, str]
    folder: Path
    repository: str
    uri: str
    stack_name: str
    work: Path

    def image(self, name: str = "image", **changes: Any) -> pulumi_docker.Image:
        inputs: dict[str, Any] = {
            "image_name": f"{self.uri}:latest",
            "build": {"context": str(self.folder)},
            "registry": {"server": self.uri.split("/")[0], "username": "AWS", "password": PASSWORD},
        }
        image = pulumi_docker.Image(name, **{**inputs, **changes})
        pulumi.export(name, image.repo_digest)
        return image

    def stack(self, program: Callable[[], object] | None = None) -> automation.Stack:
        def run() -> None:
            (program or self.image)()

        options = automation.LocalWorkspaceOptions(env_vars=self.env, work_dir=str(self.work))
        return automation.create_or_select_stack(self.stack_name, PROJECT, run, opts=options)

    def refused(self, **changes: Any) -> str:
        """What preview says of these inputs."""
        with pytest.raises(automation.CommandError) as caught:
            self.stack(lambda: self.image(**changes)).preview()
        return str(caught.value)

    def pushed(self) -> set[str]:
        """Digests that the registry has."""
        listed = boto3.client("ecr").describe_images(repositoryName=self.repository)["imageDetails"]
        return {image["imageDigest"] for image in listed}

    def log(self, name: str = "image") -> Path:
        (found,) = (Path(self.env["BENCHTOP_SANDBOX"]) / "logs").glob(f"docker-{name}-*.log")
        return found


@pytest.fixture(scope="module")
def engine_env(sandbox_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    ensure.ensure(None, print)
    backend = tmp_path_factory.mktemp("stacks")
    return {
        **sandbox_env,
        "PULUMI_BACKEND_URL": backend.as_uri(),
        # Logs of builds go where the test can look for them.
        "BENCHTOP_SANDBOX": str(tmp_path_factory.mktemp("state")),
    }


@pytest.fixture
def world(engine_env: dict[str, str], tmp_path: Path) -> Iterator[World]:
    repository = f"docker-provider/{secrets.token_hex(4)}"
    ecr = boto3.client("ecr")
    uri = ecr.create_repository(repositoryName=repository)["repository"]["repositoryUri"]
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM scratch\nCOPY . /{repository}/\n")
    (folder / "main.py").write_text("print('one')\n")
    (folder / ".dockerignore").write_text("*.tmp\n")
    work = tmp_path / "work"
    work.mkdir()
    env = {**engine_env, "BENCHTOP_SANDBOX": str(tmp_path / "state")}
    made = World(env, folder, repository, uri, f"t{secrets.token_hex(3)}", work)
    yield made
    stack = made.stack()
    stack.destroy()
    stack.workspace.remove_stack(made.stack_name)
    ecr.delete_repository(repositoryName=repository, force=True)


@pytest.fixture
def client() -> Iterator[Client]:
    opened = connect()
    yield opened
    opened.close()


def changes(result: automation.UpResult | automation.RefreshResult) -> dict[str, int]:
    found: Mapping[Any, int] = result.summary.resource_changes or {}
    return {str(getattr(kind, "value", kind)): count for kind, count in found.items()}


def test_build_push_and_nothing_again_until_a_source_changes(world: World, client: Client) -> None:
    (world.folder / "Dockerfile").write_text(
        "ARG BASE_IMAGE=python:3.13-slim-trixie\nFROM ${BASE_IMAGE}\nRUN pip install --no-cache-dir idna\n"
        'COPY . /app/\nCMD ["python", "-c", "import idna; exec(open(\'/app/main.py\').read())"]\n'
    )
    first = world.stack().up()
    repo_digest = first.outputs["image"].value
    assert repo_digest.split("@")[0] == world.uri
    assert world.pushed() == {repo_digest.split("@")[1]}
    container = client.create_container(f"{world.uri}:latest")["Id"]
    client.start(container)
    assert client.wait(container)["StatusCode"] == 0
    assert client.logs(container) == b"one\n"
    client.remove_container(container)

    built_at = world.log().stat().st_mtime_ns
    os.utime(world.folder / "main.py", (1, 1))
    (world.folder / "scratch.tmp").write_text("ignored")
    started = time.monotonic()
    second = world.stack().up()
    assert time.monotonic() - started < 30
    assert changes(second) == {"same": 2}
    assert world.log().stat().st_mtime_ns == built_at, "nothing may be built"

    (world.folder / "main.py").write_text("print('two')\n")
    preview = world.stack().preview()
    assert preview.change_summary.get(automation.OpType.UPDATE) == 1
    third = world.stack().up()
    assert changes(third) == {"same": 1, "update": 1}
    assert third.outputs["image"].value.split("@")[1] in world.pushed() - {repo_digest.split("@")[1]}


def test_nothing_of_this_machine_stays_in_the_image(world: World, client: Client) -> None:
    (world.folder / "Dockerfile").write_text(
        "ARG BASE_IMAGE=python:3.13-slim-trixie\n"
        "FROM ${BASE_IMAGE} AS build\nARG PIP_EXTRA_INDEX_URL\n"
        'RUN test "$PIP_EXTRA_INDEX_URL" = "http://user:token@index.invalid/simple" && date > /built\n'
        'FROM ${BASE_IMAGE}\nCOPY --from=build /built /built\nRUN test -n "$NO_PROXY"\n'
    )
    world.env |= {"PIP_EXTRA_INDEX_URL": "http://user:token@index.invalid/simple", "NO_PROXY": "no.invalid"}
    world.stack().up()
    found = json.dumps([client.history(f"{world.uri}:latest"), client.inspect_image(f"{world.uri}:latest")])
    assert "index.invalid" not in found
    assert "no.invalid" not in found


def test_secrets_are_in_neither_state_nor_outputs_nor_logs(world: World) -> None:
    (world.folder / "Dockerfile").write_text(
        "ARG BASE_IMAGE=python:3.13-slim-trixie\nFROM ${BASE_IMAGE}\nARG TOKEN\nRUN echo got $TOKEN\n"
    )

    # A new one each time: a command that ran before, with the same arguments, is taken from the build cache.
    value = secrets.token_hex(8)

    def program() -> None:
        token = pulumi.Output.secret(value)
        world.image(build={"context": str(world.folder), "args": {"TOKEN": token}})

    shown: list[str] = []
    stack = world.stack(program)
    stack.up(on_output=shown.append)
    backend = Path(world.env["PULUMI_BACKEND_URL"].removeprefix("file://"))
    state = (backend / ".pulumi" / "stacks" / PROJECT / f"{world.stack_name}.json").read_text()
    assert world.uri in state
    for secret in (PASSWORD, value):
        assert secret not in state
        assert secret not in "".join(shown)
        assert secret not in world.log().read_text()
    assert "got [secret]" in world.log().read_text()


def test_refresh_notices_an_emptied_registry_and_up_pushes_again(world: World) -> None:
    digest = world.stack().up().outputs["image"].value
    assert changes(world.stack().refresh()) == {"same": 2}
    ecr = boto3.client("ecr")
    ecr.batch_delete_image(
        repositoryName=world.repository,
        imageIds=[{"imageDigest": found} for found in world.pushed()] + [{"imageTag": "latest"}],
    )
    assert world.pushed() == set()
    assert changes(world.stack().refresh()) == {"same": 1, "delete": 1}
    again = world.stack().up()
    assert again.outputs["image"].value == digest, (
        "the image that the engine still has is pushed, not a new one"
    )
    assert world.pushed() == {digest.split("@")[1]}


def test_destroy_removes_our_tag_and_only_ours(world: World, client: Client) -> None:
    stack = world.stack(lambda: [world.image("a"), world.image("b", image_name=f"{world.uri}:other")])
    stack.up()
    both = [client.inspect_image(f"{world.uri}:{tag}")["Id"] for tag in ("latest", "other")]
    assert both[0] == both[1], "the same content is built once, also by two images at a time"
    # Somebody else takes the second tag for an image of their own.
    client.tag(ensure.ensure(None, print)["python:3.13-slim-trixie"], world.uri, "other")
    stack.destroy()
    with pytest.raises(docker.errors.ImageNotFound):
        client.inspect_image(f"{world.uri}:latest")
    assert client.inspect_image(f"{world.uri}:other")["Id"] != both[0]
    assert world.pushed(), "the registry keeps what was pushed"
    client.remove_image(f"{world.uri}:other")


def test_two_different_images_in_one_update(world: World) -> None:
    other = world.folder.with_name("other")
    other.mkdir()
    (other / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    build = {"context": str(other)}
    result = world.stack(
        lambda: [world.image("a"), world.image("b", image_name=f"{world.uri}:other", build=build)]
    ).up()
    digests = {result.outputs[name].value.split("@")[1] for name in ("a", "b")}
    assert len(digests) == 2
    assert digests == world.pushed()


def test_a_local_image_is_not_pushed(world: World, client: Client) -> None:
    name = f"docker-provider-{secrets.token_hex(4)}"
    stack = world.stack(lambda: world.image(image_name=name, skip_push=True))
    image_id = stack.up().outputs["image"].value
    assert image_id == client.inspect_image(name)["Id"]
    assert world.pushed() == set()
    stack.destroy()
    assert client.images(name) == []


def test_what_is_only_known_after_the_deployment_is_tolerated_in_preview(world: World) -> None:
    def program() -> None:
        first = world.image("first")
        tag = first.repo_digest.apply(lambda digest: f"{world.uri}:{digest[-12:]}")
        build = {"context": str(world.folder), "args": {"FIRST": first.repo_digest}}
        world.image("second", image_name=tag, build=build)

    stack = world.stack(program)
    assert stack.preview().change_summary.get(automation.OpType.CREATE) == 3
    result = stack.up()
    assert result.outputs["second"].value.startswith(f"{world.uri}@sha256:")
    assert changes(stack.up()) == {"same": 3}


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (
            {"image_name": "app"},
            "property imageName value {app} has a problem: 'app' doesn't name the registry",
        ),
        (
            {"build": {"contxt": "."}},
            "build.contxt: docker.Image has no input 'build.contxt'; did you mean 'context'?",
        ),
        ({"build": {"context": "/nowhere"}}, "build.context: folder /nowhere doesn't exist"),
        ({"skip_push": "yes"}, "property skipPush value {yes} has a problem: must be true or false"),
    ],
)
def test_wrong_inputs_stop_the_preview(world: World, inputs: dict[str, Any], says: str) -> None:
    assert says in world.refused(**inputs)


def test_a_dockerfile_without_from_stops_the_preview(world: World) -> None:
    (world.folder / "Dockerfile").write_text("RUN true\n")
    assert f"the context can't be read: {world.folder}/Dockerfile: it has no FROM" in world.refused()


def test_no_docker_engine_is_one_clear_line_at_preview(world: World) -> None:
    world.env["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    said = world.refused()
    assert "no Docker engine answers at unix:///nowhere/docker.sock (No such file or directory)" in said
    world.env.pop("DOCKER_HOST")


def test_types_and_functions_that_it_lacks_are_named(world: World) -> None:
    with pytest.raises(
        automation.CommandError, match=r"has no resource type 'docker:index/remoteImage:RemoteImage'"
    ):
        world.stack(lambda: pulumi_docker.RemoteImage("x", name="a")).preview()
    with pytest.raises(
        automation.CommandError, match=r"has no function 'docker:index/getNetwork:getNetwork'"
    ):
        world.stack(lambda: pulumi_docker.get_network(name="a")).preview()


def test_a_failed_command_is_one_line_and_leaves_nothing(world: World, client: Client) -> None:
    (world.folder / "Dockerfile").write_text(
        "ARG BASE_IMAGE=python:3.13-slim-trixie\nFROM ${BASE_IMAGE}\nRUN echo the reason; exit 7\n"
    )
    before = {container["Id"] for container in client.containers(all=True)}
    shown: list[str] = []
    with pytest.raises(automation.CommandError):
        world.stack().up(on_output=shown.append)
    (line,) = (line for line in shown if line.startswith("    error: build failed"))
    assert "'/bin/sh -c echo the reason; exit 7' returned a non-zero code: 7" in line
    assert str(world.log()) in line
    assert any("the reason" in line for line in shown)
    leftover = {c["Id"] for c in client.containers(all=True) if "the reason" in str(c["Command"])} - before
    assert leftover == set()


def test_a_registry_that_refuses_is_named(world: World, client: Client) -> None:
    name = f"{world.uri}-missing:1"
    with pytest.raises(automation.CommandError, match=f"push of {name} failed"):
        world.stack(lambda: world.image(image_name=name)).up()
    client.remove_image(name)


def test_an_image_of_the_registry_can_be_read(world: World) -> None:
    digest = world.stack().up().outputs["image"].value

    def program() -> None:
        world.image()
        pulumi.export("read", pulumi_docker.Image.get("read", f"{world.uri}:latest").repo_digest)

    assert world.stack(program).up().outputs["read"].value == digest


def test_a_cancelled_build_ends_soon_and_leaves_no_container(tmp_path: Path, client: Client) -> None:
    base = ensure.ensure(None, print)["python:3.13-slim-trixie"]
    mark = secrets.token_hex(6)
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN sleep 300 && echo {mark}\n")
    builder = Builder()
    plan = Plan(context.load(tmp_path, tmp_path / "Dockerfile"), key=mark, arguments={}, passing={})
    report = Report(EngineLog(""), "urn", tmp_path / "build.log")
    failed: list[str] = []

    def build() -> None:
        try:
            builder.build(plan, report)
        except ProviderError as error:
            failed.append(str(error))

    def running() -> list[str]:
        return [c["Id"] for c in client.containers(all=True) if mark in str(c["Command"])]

    thread = threading.Thread(target=build, daemon=True)
    thread.start()
    wait_for(lambda: bool(running()), 20)
    builder.cancel()
    thread.join(10)
    assert not thread.is_alive()
    assert failed == ["build failed: cancelled (whole output: " + str(report.file) + ")"]
    wait_for(lambda: not running(), 20)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.1)
