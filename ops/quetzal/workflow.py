"""The model's workflow as operators see it: deployed definition, the model's file, and the difference."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from components.parts import asl
from ops.common import stack
from ops.common.errors import invalid, not_found
from ops.quetzal.target import Model, Target

MODELS = stack.ROOT / "containers" / "quetzal-model" / "models"
"""One folder a model source: notebooks, requirements.txt, step-functions.json."""

FILE = "step-functions.json"


@dataclass(frozen=True, kw_only=True)
class StepInfo:
    """One step (Task state): what it runs, how often it is tried again, what comes next."""

    name: str
    notebook: str
    retries: int
    next: str

    @property
    def log(self) -> str:
        """Name of its log in the scenario's ``logs/``, without ``.txt``."""
        return PurePosixPath(self.notebook).stem or self.name


def deployed(target: Target) -> dict[str, Any]:
    """The definition that Step Functions has now."""
    found = target.client("stepfunctions").describe_state_machine(
        stateMachineArn=target.model.state_machine_arn
    )
    parsed = json.loads(found["definition"])
    if not isinstance(parsed, dict):
        raise invalid(f"the deployed workflow of {target.model.name} is not a JSON object")
    return parsed


def states(definition: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All states by name, those inside Parallel and Map too."""
    for name, state in (definition.get("States") or {}).items():
        yield name, state
        inner = [*(state.get("Branches") or []), state.get("ItemProcessor"), state.get("Iterator")]
        for machine in inner:
            if isinstance(machine, Mapping):
                yield from states(machine)


def steps(definition: Mapping[str, Any]) -> list[StepInfo]:
    """The steps in the order in which a run reaches them."""
    by_name = dict(states(definition))
    return [_info(name, by_name[name]) for name in asl.steps(definition)]


def _info(name: str, state: Mapping[str, Any]) -> StepInfo:
    payload = (state.get("Parameters") or {}).get("Payload") or {}
    notebook = payload.get("notebook_path") if isinstance(payload, Mapping) else None
    return StepInfo(
        name=name,
        notebook=notebook if isinstance(notebook, str) else "",
        retries=sum(
            int(rule.get("MaxAttempts", 3)) for rule in state.get("Retry") or []
        ),  # 3: the language's default
        next=str(state.get("Next") or ("end" if state.get("End") else "")),
    )


def function_arn(target: Target, definition: Mapping[str, Any]) -> str:
    """The function that the deployed workflow calls: named in it, else by the model's function name."""
    for _, state in states(definition):
        called = (state.get("Parameters") or {}).get("FunctionName")
        if isinstance(called, str) and called.startswith("arn:"):
            return called
    _, partition, _, region, account, *_ = target.model.state_machine_arn.split(":")
    return f"arn:{partition}:lambda:{region}:{account}:function:{target.model.function_name}"


def model_folder(model: Model) -> Path:
    """The folder of a model's source, which the stack's outputs name. NOT_FOUND when this clone lacks it."""
    return source_folder(model.source or model.name)


def source_folder(source: str) -> Path:
    """The folder of a model source by name."""
    folder = MODELS / source
    if not (folder / FILE).is_file():
        known = ", ".join(sources()) or "none"
        raise not_found(f"there is no model source {source!r} in {MODELS}; there are: {known}")
    return folder


def sources() -> list[str]:
    """Names of the model sources of this clone."""
    return sorted(path.parent.name for path in MODELS.glob(f"*/{FILE}"))


def in_file(path: Path) -> dict[str, Any]:
    """The checked definition of a model's file; INVALID with one line a problem otherwise."""
    if not path.is_file():
        raise not_found(f"{path}: no such workflow file")
    try:
        return asl.load(path)
    except asl.WorkflowError as error:
        first, *more = error.problems
        raise invalid(f"{path.parent}: {first}", "\n".join(more) or None) from error


def same(target: Target, definition: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether the file, its placeholder filled in, says what is deployed; layout doesn't count."""
    rendered = json.loads(asl.render(definition, function_arn(target, there)))
    return bool(rendered == there)
