"""A wrong setting costs one clear line, at preview, before anything is created."""

from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.holdings import holdings
from tests.sandbox.workspace import Stack

GOOD = {"source": "probe", "base_scenario": "examples/quetzal-cairns/scenarios/base"}


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ({"Not_A_Bucket": GOOD}, ["Not_A_Bucket", "lower-case"]),
        ({"small": {**GOOD, "memory_mb": 64}}, ["memory_mb", "64", "128", "10240"]),
        ({"slow": {**GOOD, "time_limit_s": 901}}, ["time_limit_s", "901", "900"]),
        ({"gone": {**GOOD, "source": "dangling"}}, ["step-functions.json", "notebooks/missing.ipynb"]),
        ({"bare": {**GOOD, "base_scenario": "examples/nowhere"}}, ["base_scenario", "examples/nowhere"]),
        ({"typo": {**GOOD, "memory": 4016}}, ["memory", "memory_mb"]),
    ],
)
def test_bad_settings_are_one_line_before_anything_is_created(
    project: Path, sandbox_env: dict[str, str], models: dict[str, Any], told: list[str]
) -> None:
    stack = Stack(project, "quetzal-wrong", sandbox_env)
    stack.configure({"quetzal:models": models})
    before = holdings()
    result = stack.up(check=False)
    assert result.code != 0
    lines = [line for line in result.output.splitlines() if all(word in line for word in told)]
    assert len(lines) == 1, result.output
    assert "Traceback" not in result.output
    assert holdings() == before
    stack.remove()
