"""Checks of ``step-functions.json``: one line a problem, naming file, state and what is allowed."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.parts import asl
from sandbox.paths import ROOT

Change = Callable[[dict[str, Any]], object]


def task(notebook: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "OutputPath": "$.Payload",
        "Parameters": {
            "FunctionName": "${function_arn}",
            "Payload": {"notebook_path": f"notebooks/{notebook}.ipynb", "metadata.$": "$.metadata"},
        },
        "Retry": [
            {
                "ErrorEquals": ["Lambda.ServiceException"],
                "IntervalSeconds": 2,
                "MaxAttempts": 2,
                "BackoffRate": 2,
            },
            {
                "ErrorEquals": ["Lambda.AWSLambdaException"],
                "IntervalSeconds": 30,
                "MaxAttempts": 4,
                "BackoffRate": 2,
            },
        ],
        **more,
    }


GOOD: dict[str, Any] = {
    "StartAt": "read",
    "States": {
        "read": task("a", Next="which", Catch=[{"ErrorEquals": ["States.ALL"], "Next": "failed"}]),
        "which": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.choice", "StringEquals": "quick", "Next": "draw"}],
            "Default": "both",
        },
        "both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "left", "States": {"left": task("b", End=True)}},
                {"StartAt": "right", "States": {"right": task("a", End=True)}},
            ],
            "Next": "draw",
        },
        "draw": task("b", End=True),
        "failed": {"Type": "Fail", "Error": "E"},
    },
}
NOTEBOOKS = {"notebooks/a.ipynb", "notebooks/b.ipynb"}


def problems(definition: object) -> list[str]:
    return asl.check(definition, file="models/m/step-functions.json", has_notebook=NOTEBOOKS.__contains__)


def test_a_good_workflow_has_no_problem() -> None:
    assert problems(GOOD) == []


def at(*path: Any, value: Any) -> Change:
    """Set what stands at a path of the definition."""

    def change(definition: dict[str, Any]) -> None:
        here: Any = definition
        for key in path[:-1]:
            here = here[key]
        here[path[-1]] = value

    return change


def without(*path: Any) -> Change:
    def change(definition: dict[str, Any]) -> None:
        here: Any = definition
        for key in path[:-1]:
            here = here[key]
        del here[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            at("States", "draw", "Parameters", "Payload", "notebook_path", value="notebooks/gone.ipynb"),
            "state 'draw': notebook 'notebooks/gone.ipynb' does not exist in the model's folder",
        ),
        (
            at("States", "draw", "Parameters", "Payload", "notebook_path", value="../secret.ipynb"),
            "state 'draw': notebook_path is '../secret.ipynb'; allowed: notebooks/<name>.ipynb",
        ),
        (
            at("States", "draw", "Parameters", "Payload", "notebook_path", value="notebooks/../../x.ipynb"),
            "state 'draw': notebook_path is 'notebooks/../../x.ipynb'; allowed",
        ),
        (
            without("States", "draw", "Parameters", "Payload", "notebook_path"),
            "state 'draw': notebook_path is None; allowed",
        ),
        (
            at("States", "draw", "Parameters", "Payload", value="$"),
            "state 'draw': Payload must be an object with notebook_path",
        ),
        (without("States", "draw", "Parameters"), "state 'draw': Parameters must be an object"),
        (
            at("States", "draw", "Resource", value="arn:aws:states:::ecs:runTask"),
            "state 'draw': Resource is 'arn:aws:states:::ecs:runTask'; allowed: 'arn:aws:states:::lambda",
        ),
        (
            at("States", "draw", "Parameters", "FunctionName", value="other"),
            "state 'draw': FunctionName is 'other'; allowed: '${function_arn}'",
        ),
        (
            at("States", "draw", "Comment", value="${account}"),
            "state 'draw': placeholder ${account} is unknown; allowed: ${function_arn}",
        ),
        (at("StartAt", value="begin"), "StartAt is 'begin'; allowed: read, which, both, draw, failed"),
        (
            at("States", "which", "Default", value="nowhere"),
            "state 'which': Default is 'nowhere', which is no state; allowed: read, which",
        ),
        (
            at("States", "which", "Choices", 0, "Next", value="nowhere"),
            "state 'which': Choices[0].Next is 'nowhere', which is no state",
        ),
        (
            at("States", "which", "Choices", value=[]),
            "state 'which': Choices must be a list of at least one rule",
        ),
        (
            at("States", "which", "End", value=True),
            "state 'which': a Choice has no Next and no End of its own",
        ),
        (at("States", "spare", value=task(End=True)), "state 'spare': no path leads to it from StartAt"),
        (without("States", "draw", "End"), "state 'draw': needs either Next or \"End\": true"),
        (
            at("States", "draw", "Next", value="failed"),
            "state 'draw': needs either Next or \"End\": true, not both",
        ),
        (at("States", "draw", "End", value="yes"), "state 'draw': End is 'yes'; allowed: true"),
        (
            at("States", "draw", "Type", value="Job"),
            "state 'draw': Type is 'Job'; allowed: Task, Pass, Choice",
        ),
        (at("States", "draw", value=7), "state 'draw': must be an object, got int"),
        (
            at("States", "failed", "Next", value="draw"),
            "state 'failed': Fail ends the run; remove Next and End",
        ),
        (
            at("States", "both", "Branches", value=[]),
            "state 'both': Branches must be a list of at least one machine",
        ),
        (
            at("States", "both", "Branches", 0, "StartAt", value="x"),
            "state 'both': Branches[0]: StartAt is 'x'; allowed: left",
        ),
        (
            at("States", "read", "Catch", 0, "Next", value="x"),
            "state 'read': Catch[0].Next is 'x', which is no state",
        ),
        (without("States", "read", "Catch", 0, "Next"), "state 'read': Catch[0] needs Next"),
        (at("States", "draw", "Retry", value={}), "state 'draw': Retry must be a list of rules, got dict"),
        (
            at("States", "draw", "Retry", 0, value="x"),
            "state 'draw': Retry[0] must be an object with ErrorEquals",
        ),
        (
            at("States", "draw", "Retry", 0, "ErrorEquals", value="x"),
            "state 'draw': Retry[0].ErrorEquals must be a list of error names",
        ),
        (
            at("States", "draw", "Retry", 0, "ErrorEquals", value=["States.ALL"]),
            "state 'draw': Retry[0].ErrorEquals: States.ALL must stand alone, in the last rule",
        ),
        (
            at("States", "draw", "Retry", 0, "IntervalSeconds", value=0),
            "state 'draw': Retry[0].IntervalSeconds is 0; allowed: a whole number of seconds from 1",
        ),
        (
            at("States", "draw", "Retry", 0, "MaxAttempts", value=True),
            "state 'draw': Retry[0].MaxAttempts is True; allowed: a whole number from 0",
        ),
        (
            at("States", "draw", "Retry", 0, "BackoffRate", value=0.5),
            "state 'draw': Retry[0].BackoffRate is 0.5; allowed: a number from 1.0",
        ),
        (
            at("States", "draw", "Retry", 0, "JitterStrategy", value="SOME"),
            "state 'draw': Retry[0].JitterStrategy is 'SOME'; allowed: NONE, FULL",
        ),
        (at("States", "x" * 81, value={"Type": "Succeed"}), "a name has 1 to 80 characters, this has 81"),
        (
            at("States", "both", "Branches", 0, "States", "left", "Parameters", "FunctionName", value="f"),
            "state 'both': Branches[0]: state 'left': FunctionName is 'f'",
        ),
    ],
)
def test_each_fault_is_named(change: Change, told: str) -> None:
    definition = copy.deepcopy(GOOD)
    change(definition)
    found = problems(definition)
    assert any(told in line for line in found), found
    assert all(line.startswith("models/m/step-functions.json: ") and "\n" not in line for line in found)


def test_a_notebook_missing_for_several_states_is_one_line() -> None:
    definition = {"StartAt": "x", "States": {"x": task("gone", Next="y"), "y": task("gone", End=True)}}
    assert problems(definition) == [
        "models/m/step-functions.json: state 'x', 'y': notebook 'notebooks/gone.ipynb' "
        "does not exist in the model's folder"
    ]


def test_a_circle_without_an_end() -> None:
    definition = {"StartAt": "x", "States": {"x": task(Next="y"), "y": task(Next="x")}}
    assert problems(definition) == [
        'models/m/step-functions.json: no path ends; one reachable state needs "End": true, or the type '
        "Succeed or Fail"
    ]


def test_a_workflow_without_a_step() -> None:
    (line,) = problems({"StartAt": "x", "States": {"x": {"Type": "Pass", "End": True}}})
    assert "no Task state" in line


def test_one_name_in_two_branches() -> None:
    definition = copy.deepcopy(GOOD)
    branch = definition["States"]["both"]["Branches"][1]
    branch["StartAt"], branch["States"] = "left", {"left": branch["States"]["right"]}
    assert any("state 'left': the name is used twice" in line for line in problems(definition))


@pytest.mark.parametrize(
    "definition", [[], "text", None, 3, {}, {"States": {}}, {"StartAt": "a", "States": []}]
)
def test_what_is_no_workflow_at_all(definition: object) -> None:
    assert len(problems(definition)) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not JSON (line 1, column 2"),
        ("[]", "must be a JSON object with StartAt and States, got list"),
        ('{"StartAt": "a", "StartAt": "b", "States": {}}', "'StartAt' occurs twice in one object"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "step-functions.json"
    file.write_text(text)
    assert any(told in line for line in asl.check_file(file))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (line,) = asl.check_file(tmp_path / "step-functions.json", label="models/m/step-functions.json")
    assert line.startswith("models/m/step-functions.json: missing")


def test_steps_come_in_the_order_of_a_run() -> None:
    assert asl.steps(GOOD) == ("read", "left", "right", "draw")


def test_the_function_goes_where_it_is_called_and_nowhere_else() -> None:
    definition = {**GOOD, "Comment": "${function_arn} is filled in"}
    rendered = json.loads(asl.render(definition, "arn:f"))
    assert rendered["States"]["read"]["Parameters"]["FunctionName"] == "arn:f"
    assert (
        rendered["States"]["both"]["Branches"][0]["States"]["left"]["Parameters"]["FunctionName"] == "arn:f"
    )
    assert rendered["Comment"] == definition["Comment"]


@pytest.mark.parametrize(
    "file", sorted((ROOT / "containers/quetzal-model/models").glob("*/step-functions.json")), ids=str
)
def test_the_models_of_this_repository_can_be_deployed(file: Path) -> None:
    assert asl.check_file(file) == []
