"""What a notebook needs from the runner. Only the standard library, so that it also works in Jupyter."""

import copy
import json
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

RETURN_PREFIX = "RETURN:"
END_OF_NOTEBOOK = "end_of_notebook"


def launcher_arg(default: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The run's arguments: ``training_folder`` (where the scenario's files are) and ``params``.

    They are the JSON object in ``argv[1]``; in Jupyter, where ``argv[1]`` is none, ``default`` holds.
    """
    result: dict[str, Any] = {"training_folder": ".", "params": {}, **copy.deepcopy(dict(default or {}))}
    if len(sys.argv) > 1 and sys.argv[1].lstrip().startswith("{"):
        given = json.loads(sys.argv[1])
        result["training_folder"] = given.get("training_folder", result["training_folder"])
        result["params"] = {**result["params"], **(given.get("params") or {})}
    return result


def return_event(changes: Mapping[str, Any]) -> None:
    """Merge ``changes`` into the event that the next step of the workflow gets."""
    print(f"{RETURN_PREFIX}{json.dumps(changes)}", flush=True)


def end_of_notebook(reason: str = "") -> NoReturn:
    """Stop the notebook here without an error; the step counts as done."""
    print(f"{END_OF_NOTEBOOK}: {reason}" if reason else END_OF_NOTEBOOK, flush=True)
    sys.exit(0)
