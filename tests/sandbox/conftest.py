"""A sandbox of the tests' own, beside the user's: its own emulator, engine home and stacks."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox import paths
from tests.sandbox import probe_model, projections_cloud, workspace
from tests.sandbox.workspace import Ran

os.environ.setdefault("BENCHTOP_SANDBOX", str(paths.ROOT / ".sandbox" / "test"))


def sandbox_command(*argv: str) -> None:
    """Run ``python -m sandbox ...``; a failure shows what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", *argv], cwd=paths.ROOT, text=True, capture_output=True, timeout=180
    )
    assert done.returncode == 0, f"sandbox {' '.join(argv)} failed:\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def sandbox_env() -> Iterator[dict[str, str]]:
    """The environment of a running sandbox, as ``./dev env`` would export it.

    It is also put into this process, so that boto3 in the tests speaks to the emulator and to nothing else.
    """
    from sandbox import environment
    from sandbox.providers.install import install

    sandbox_command("start")
    variables = environment.variables()
    os.environ.update(variables)
    install(paths.pulumi_home(), Path(sys.executable))
    yield {**os.environ, **variables}
    sandbox_command("stop")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with two more models: ``probe``, and ``dangling``, which lacks a notebook."""
    copy = workspace.copy_project(tmp_path_factory.mktemp("project"))
    models = copy / "containers" / "quetzal-model" / "models"
    probe_model.write(models / "probe")
    probe_model.write(models / "dangling", notebook="notebooks/missing.ipynb")
    return copy


@dataclass
class Probes:
    """Two small models, ``alpha`` and ``beta``, deployed side by side in one stack."""

    stack: workspace.Stack
    outputs: dict[str, Any]

    @property
    def models(self) -> dict[str, Any]:
        models: dict[str, Any] = self.outputs["models"]
        return models

    def ops(self, model: str, *argv: str, stdin: str | None = None) -> Ran:
        """Run ``python -m ops quetzal ...`` for one of the models."""
        command = [
            sys.executable,
            "-m",
            "ops",
            "quetzal",
            *argv,
            "--stack",
            self.stack.name,
            "--model",
            model,
        ]
        done = subprocess.run(
            command,
            cwd=self.stack.project,
            env=self.stack.env,
            input=stdin or "",
            text=True,
            capture_output=True,
            timeout=300,
        )
        return Ran(done.returncode, done.stdout, done.stdout + done.stderr)

    def scenario(self, model: str) -> str:
        """A new copy of ``base``."""
        name = f"test-{secrets.token_hex(4)}"
        copied = self.ops(model, "scenario", "copy", "base", name)
        assert copied.code == 0, copied.output
        return name


@pytest.fixture(scope="session")
def probes(project: Path, sandbox_env: dict[str, str]) -> Iterator[Probes]:
    base = project / "examples" / "probe" / "scenarios" / "base"
    (base / "inputs").mkdir(parents=True)
    (base / "inputs" / "params.json").write_text('{"about": "the base of the probe"}')
    setting = {"source": "probe", "base_scenario": "examples/probe/scenarios/base"}
    stack = workspace.Stack(project, "quetzal-probe", sandbox_env)
    stack.configure({"quetzal:models": {"alpha": setting, "beta": {**setting, "time_limit_s": 20}}})
    stack.up()
    deployed = Probes(stack, stack.outputs())
    for model in deployed.models:
        uploaded = deployed.ops(model, "scenario", "upload", str(base), "base")
        assert uploaded.code == 0, uploaded.output
    yield deployed
    stack.remove()


@pytest.fixture(scope="session")
def projections(
    tmp_path_factory: pytest.TempPathFactory, sandbox_env: dict[str, str]
) -> Iterator[projections_cloud.Deployed]:
    """One projections stack with the example's data, for all tests of it."""
    folder = tmp_path_factory.mktemp("projections") / "project"
    with projections_cloud.deployed(folder, sandbox_env) as deployed:
        yield deployed


@pytest.fixture(scope="session")
def site(projections: projections_cloud.Deployed) -> projections_cloud.Planners:
    """The same stack as a planner's browser sees it."""
    return projections_cloud.Planners(projections)
