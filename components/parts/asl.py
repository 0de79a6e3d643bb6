"""Checks of a workflow in Amazon States Language (``step-functions.json``) before anything is made.

Pure functions; only ``check_file`` and ``load`` read files. Every problem is one line: file, state, what is
wrong, what is allowed. Reference: https://states-language.net/spec.html and the Step Functions guide.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FUNCTION_PLACEHOLDER = "${function_arn}"
LAMBDA_INVOKE = "arn:aws:states:::lambda:invoke"
MAX_BYTES = 1_048_576
"""Largest definition that Step Functions takes."""
MAX_NAME = 80

_PLACEHOLDER = re.compile(r"\$\{[^}]*\}")
_NOTEBOOK = re.compile(r"notebooks/[^/]+(/[^/]+)*\.ipynb")
_TERMINAL = ("Succeed", "Fail")
_TYPES = ("Task", "Pass", "Choice", "Wait", "Parallel", "Map", *_TERMINAL)

State = Mapping[str, Any]


class WorkflowError(ValueError):
    """A workflow file that can't be deployed; ``problems`` are its lines."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load(path: Path, label: str | None = None) -> dict[str, Any]:
    """The definition in ``path``, its placeholders untouched; notebooks are looked for beside it.

    ``label`` is what problems call the file, its name when None. Raises ``WorkflowError``.
    """
    label = label or path.name
    definition, problems = _read(path, label)
    problems += check(definition, file=label, has_notebook=_in(path.parent)) if definition is not None else []
    if problems or definition is None:
        raise WorkflowError(problems)
    return definition


def check_file(path: Path, label: str | None = None) -> list[str]:
    """All problems of a model's ``step-functions.json``, as ``load`` finds them."""
    try:
        load(path, label)
    except WorkflowError as error:
        return list(error.problems)
    return []


def render(definition: Mapping[str, Any], function_arn: str) -> str:
    """The definition as Step Functions gets it: the function's ARN in place, stable in form.

    >>> render({"a": "${function_arn}"}, "arn:f")
    '{"a": "arn:f"}'
    """
    return json.dumps(_replaced(definition, function_arn))


def _replaced(value: Any, arn: str) -> Any:
    if value == FUNCTION_PLACEHOLDER:
        return arn
    if isinstance(value, Mapping):
        return {key: _replaced(item, arn) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, arn) for item in value]
    return value


def steps(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the steps (Task states) in the order of a run, nested ones in place."""
    states = _states(definition)
    backwards: list[str] = []  # a state goes in when all that it leads to are in
    seen: set[str] = set()

    def visit(name: object) -> None:
        if not isinstance(name, str) or name in seen or name not in states:
            return
        seen.add(name)
        for _, target in reversed(list(_targets(states[name]))):
            visit(target)
        backwards.append(name)

    visit(definition.get("StartAt"))
    order: list[str] = []
    for name in reversed(backwards):
        if states[name].get("Type") == "Task":
            order.append(name)
        for _, machine in _inner(states[name]):
            order += steps(machine)
    return tuple(order)


def check(
    definition: object,
    *,
    file: str = "step-functions.json",
    has_notebook: Callable[[str], bool] | None = None,
) -> list[str]:
    """All problems of a parsed definition. ``has_notebook`` tells whether a ``notebook_path`` exists."""
    if not isinstance(definition, Mapping):
        return [f"{file}: must be a JSON object with StartAt and States, got {type(definition).__name__}"]
    problems = list(_machine(definition, file))
    if has_notebook is not None:
        problems += _missing_notebooks(definition, file, has_notebook)
    if not problems and not steps(definition):
        problems.append(f"{file}: no Task state: at least one step must run a notebook")
    names = [name for name, _ in _all_states(definition)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(
            f"{file}: state {name!r}: the name is used twice; state names must be unique in the file"
        )
    return problems


# --- reading ---------------------------------------------------------------------------------------


def _in(folder: Path) -> Callable[[str], bool]:
    return lambda name: (folder / name).is_file()


def _read(path: Path, label: str) -> tuple[dict[str, Any] | None, list[str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None, [f"{label}: missing; the model folder {path.parent} must have one"]
    except UnicodeDecodeError:
        return None, [f"{label}: not UTF-8 text"]
    if len(text.encode()) > MAX_BYTES:
        return None, [f"{label}: larger than {MAX_BYTES} bytes, the most that Step Functions takes"]
    repeated: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in items:
            if key in made:
                repeated.append(f"{label}: {key!r} occurs twice in one object; the first would be lost")
            made[key] = value
        return made

    try:
        parsed = json.loads(text, object_pairs_hook=pairs)
    except ValueError as error:
        where = (
            f"line {error.lineno}, column {error.colno}: {error.msg}"
            if isinstance(error, json.JSONDecodeError)
            else error
        )
        return None, [f"{label}: not JSON ({where})"]
    if not isinstance(parsed, dict):
        return None, check(parsed, file=label)
    return parsed, repeated


# --- structure -------------------------------------------------------------------------------------


def _states(definition: Mapping[str, Any]) -> dict[str, State]:
    found = definition.get("States")
    return (
        {name: state for name, state in found.items() if isinstance(state, Mapping)}
        if isinstance(found, Mapping)
        else {}
    )


def _all_states(definition: Mapping[str, Any]) -> Iterator[tuple[str, State]]:
    for name, state in _states(definition).items():
        yield name, state
        for _, machine in _inner(state):
            yield from _all_states(machine)


def _inner(state: State) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Machines inside a Parallel or Map state, and the key they stand under."""
    branches = state.get("Branches")
    for index, branch in enumerate(branches if isinstance(branches, list) else []):
        if isinstance(branch, Mapping):
            yield f"Branches[{index}]", branch
    for key in ("ItemProcessor", "Iterator"):
        if isinstance(state.get(key), Mapping):
            yield key, state[key]


def _targets(state: State) -> Iterator[tuple[str, Any]]:
    """Where a state may go next: the key that says so, and the name of the target."""
    if "Next" in state:
        yield "Next", state["Next"]
    for key in ("Choices", "Catch"):
        rules = state.get(key)
        for index, rule in enumerate(rules if isinstance(rules, list) else []):
            if isinstance(rule, Mapping) and "Next" in rule:
                yield f"{key}[{index}].Next", rule["Next"]
    if "Default" in state:
        yield "Default", state["Default"]


def _machine(definition: Mapping[str, Any], where: str) -> Iterator[str]:
    raw = definition.get("States")
    if not isinstance(raw, Mapping) or not raw:
        yield f"{where}: States must be an object with at least one state"
        return
    names = ", ".join(str(name) for name in raw)
    start = definition.get("StartAt")
    if start not in raw:
        yield f"{where}: StartAt is {start!r}; allowed: {names}"
    for name, state in raw.items():
        place = f"{where}: state {name!r}"
        if not isinstance(state, Mapping):
            yield f"{place}: must be an object, got {type(state).__name__}"
            continue
        if not 1 <= len(name) <= MAX_NAME:
            yield f"{place}: a name has 1 to {MAX_NAME} characters, this has {len(name)}"
        for key, target in _targets(state):
            if target not in raw:
                yield f"{place}: {key} is {target!r}, which is no state; allowed: {names}"
        yield from _state(state, place)
    if isinstance(start, str) and start in raw:
        yield from _paths(start, _states(definition), where)


def _paths(start: str, states: Mapping[str, State], where: str) -> Iterator[str]:
    """Unreachable states, and machines without an end."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in states:
            continue
        reached.add(name)
        waiting += [target for _, target in _targets(states[name]) if isinstance(target, str)]
    for name in states:
        if name not in reached:
            yield f"{where}: state {name!r}: no path leads to it from StartAt; connect or remove it"
    if not any(states[name].get("End") is True or states[name].get("Type") in _TERMINAL for name in reached):
        yield f'{where}: no path ends; one reachable state needs "End": true, or the type Succeed or Fail'


def _state(state: State, place: str) -> Iterator[str]:
    kind = state.get("Type")
    if kind not in _TYPES:
        yield f"{place}: Type is {kind!r}; allowed: {', '.join(_TYPES)}"
        return
    ends, goes_on = state.get("End") is True, "Next" in state
    if "End" in state and not isinstance(state["End"], bool):
        yield f"{place}: End is {state['End']!r}; allowed: true"
    if kind == "Choice":
        if not isinstance(state.get("Choices"), list) or not state["Choices"]:
            yield f"{place}: Choices must be a list of at least one rule"
        elif any(not isinstance(rule, Mapping) or "Next" not in rule for rule in state["Choices"]):
            yield f"{place}: each of Choices must be an object with Next"
        if goes_on or "End" in state:
            yield f"{place}: a Choice has no Next and no End of its own; use Default"
    elif kind in _TERMINAL:
        if goes_on or "End" in state:
            yield f"{place}: {kind} ends the run; remove Next and End"
    elif ends == goes_on:
        yield f'{place}: needs either Next or "End": true' + (", not both" if ends else "")
    if kind == "Parallel" and not list(_inner(state)):
        yield f"{place}: Branches must be a list of at least one machine with StartAt and States"
    if kind == "Map" and not list(_inner(state)):
        yield f"{place}: ItemProcessor must be a machine with StartAt and States"
    for key, machine in _inner(state):
        yield from _machine(machine, f"{place}: {key}")
    if kind in ("Task", "Parallel", "Map"):
        yield from _errors(state, place)
    if kind == "Task":
        yield from _task(state, place)
    own = {key: value for key, value in state.items() if key not in ("Branches", "ItemProcessor", "Iterator")}
    for found in sorted(
        {text for value in _texts(own) for text in _PLACEHOLDER.findall(value)} - {FUNCTION_PLACEHOLDER}
    ):
        yield f"{place}: placeholder {found} is unknown; allowed: {FUNCTION_PLACEHOLDER}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


# --- tasks -----------------------------------------------------------------------------------------


def _task(state: State, place: str) -> Iterator[str]:
    if state.get("Resource") != LAMBDA_INVOKE:
        yield f"{place}: Resource is {state.get('Resource')!r}; allowed: {LAMBDA_INVOKE!r}"
        return
    parameters = state.get("Parameters")
    if not isinstance(parameters, Mapping):
        yield f"{place}: Parameters must be an object with FunctionName and Payload"
        return
    if parameters.get("FunctionName") != FUNCTION_PLACEHOLDER:
        found = parameters.get("FunctionName")
        yield f"{place}: FunctionName is {found!r}; allowed: {FUNCTION_PLACEHOLDER!r}"
    payload = parameters.get("Payload")
    if not isinstance(payload, Mapping):
        yield f"{place}: Payload must be an object with notebook_path, so that it can be checked"
        return
    yield from _notebook(payload, place)


def _notebook(payload: Mapping[str, Any], place: str) -> Iterator[str]:
    name = payload.get("notebook_path")
    if not isinstance(name, str) or not _NOTEBOOK.fullmatch(name) or ".." in name.split("/"):
        yield f"{place}: notebook_path is {name!r}; allowed: notebooks/<name>.ipynb in the model's folder"


def _missing_notebooks(
    definition: Mapping[str, Any], file: str, has_notebook: Callable[[str], bool]
) -> Iterator[str]:
    """One line a notebook, naming every state that wants it."""
    wanted: dict[str, list[str]] = {}
    for state_name, state in _all_states(definition):
        parameters = state.get("Parameters")
        payload = parameters.get("Payload") if isinstance(parameters, Mapping) else None
        notebook = payload.get("notebook_path") if isinstance(payload, Mapping) else None
        if isinstance(notebook, str) and _NOTEBOOK.fullmatch(notebook) and ".." not in notebook.split("/"):
            wanted.setdefault(notebook, []).append(repr(state_name))
    for notebook, names in wanted.items():
        if not has_notebook(notebook):
            states = ", ".join(names)
            yield f"{file}: state {states}: notebook {notebook!r} does not exist in the model's folder"


def _errors(state: State, place: str) -> Iterator[str]:
    """Shapes of Retry and Catch."""
    for key in ("Retry", "Catch"):
        if key not in state:
            continue
        rules = state[key]
        if not isinstance(rules, list):
            yield f"{place}: {key} must be a list of rules, got {type(rules).__name__}"
            continue
        for index, rule in enumerate(rules):
            at = f"{place}: {key}[{index}]"
            if not isinstance(rule, Mapping):
                yield f"{at} must be an object with ErrorEquals"
                continue
            yield from _rule(rule, at, last=index == len(rules) - 1)
            if key == "Retry":
                yield from _retry(rule, at)
            elif "Next" not in rule:
                yield f"{at} needs Next, the state that goes on after the error"


def _rule(rule: Mapping[str, Any], at: str, *, last: bool) -> Iterator[str]:
    errors = rule.get("ErrorEquals")
    if not isinstance(errors, list) or not errors or not all(isinstance(error, str) for error in errors):
        yield f'{at}.ErrorEquals must be a list of error names, like ["States.TaskFailed"]'
    elif "States.ALL" in errors and (len(errors) > 1 or not last):
        yield f"{at}.ErrorEquals: States.ALL must stand alone, in the last rule"


_RETRY_LIMITS: dict[str, tuple[type[int] | tuple[type[int], type[float]], float, float, str]] = {
    "IntervalSeconds": (int, 1, 99_999_999, "a whole number of seconds from 1"),
    "MaxAttempts": (int, 0, 99_999_999, "a whole number from 0"),
    "BackoffRate": ((int, float), 1, float("inf"), "a number from 1.0"),
    "MaxDelaySeconds": (int, 1, 31_622_400, "a whole number of seconds from 1 to 31622400"),
}


def _retry(rule: Mapping[str, Any], at: str) -> Iterator[str]:
    for key, (kind, low, high, allowed) in _RETRY_LIMITS.items():
        if key in rule:
            value = rule[key]
            number = value if isinstance(value, kind) and not isinstance(value, bool) else None
            if number is None or not low <= number <= high:
                yield f"{at}.{key} is {value!r}; allowed: {allowed}"
    if rule.get("JitterStrategy", "NONE") not in ("NONE", "FULL"):
        yield f"{at}.JitterStrategy is {rule['JitterStrategy']!r}; allowed: NONE, FULL"
