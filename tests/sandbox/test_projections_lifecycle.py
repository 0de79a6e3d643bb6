"""A second stack beside the first: deployed, unchanged, destroyed without a trace, or kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox import projections_cloud, workspace
from tests.sandbox.holdings import holdings
from tests.sandbox.projections_cloud import SETTINGS, Deployed

NAME = "projections-second"


@pytest.fixture(scope="module")
def second(
    tmp_path_factory: pytest.TempPathFactory, sandbox_env: dict[str, str], projections: Deployed
) -> Iterator[workspace.Stack]:
    """Another stack; ``projections`` is named so that it is there before."""
    project: Path = workspace.copy_project(tmp_path_factory.mktemp("second") / "project")
    stack = workspace.Stack(project, NAME, sandbox_env)
    stack.configure(SETTINGS)
    yield stack
    if stack.created:
        stack.remove()


def test_a_stack_lives_beside_another_and_leaves_nothing(
    projections: Deployed, second: workspace.Stack
) -> None:
    before = holdings()
    second.up()
    outputs = second.outputs()
    shared = {key for key, value in projections.outputs.items() if outputs.get(key) == value}
    assert shared <= {"region"}, f"both stacks have {shared}"
    made = holdings() - before
    kinds = {kind for kind, _name in made}
    assert {"bucket", "role", "function", "log group", "repository", "alarm"} <= kinds
    # Nothing to do: not for a second up, nor after asking the cloud how everything is.
    for command in (("up", "--yes", "--skip-preview"), ("preview",), ("refresh", "--yes", "--skip-preview")):
        ran = second.pulumi(*command)
        assert set(ran.changes()) == {"unchanged"}, ran.output
    second.remove()
    assert holdings() == before


def test_data_that_is_to_be_kept_is_not_destroyed(second: workspace.Stack) -> None:
    second.configure({**SETTINGS, "projections:keep_data": True})
    second.up()
    refused = second.pulumi("destroy", "--yes", check=False)  # with its preview, as people type it
    assert refused.code != 0
    assert "protect" in refused.output
    deployed = projections_cloud.outputs_alive(second)
    assert deployed == {"bucket", "table", "database", "site"}
    second.configure({**SETTINGS, "projections:keep_data": False})
    second.up()
