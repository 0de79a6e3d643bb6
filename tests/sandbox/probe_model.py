"""A small model whose notebook prints, fails, waits or writes on demand; tests add it to their copy."""

import json
from pathlib import Path
from typing import Any

NOTEBOOK = """
import json, sys, time
from pathlib import Path

argument = json.loads(sys.argv[1])
folder, params = Path(argument["training_folder"]), argument["params"]
outputs = folder / "outputs"
outputs.mkdir(parents=True, exist_ok=True)
(outputs / "partial.txt").write_text("written before anything went wrong")
"""

BEHAVIOUR = """
for _ in range(params.get("print_mb", 0) * 1024):
    print("x" * 1023)
if params.get("wait_s"):
    print("waiting", flush=True)
    time.sleep(params["wait_s"])
for path, text in params.get("write", {}).items():
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
if params.get("fail"):
    raise ValueError(params["fail"])
print('RETURN:{"answer": 42}')
"""

RETRY = [
    {
        "ErrorEquals": ["Lambda.ServiceException", "Lambda.SdkClientException"],
        "IntervalSeconds": 2,
        "MaxAttempts": 2,
        "BackoffRate": 2,
    }
]


def write(folder: Path, steps: int = 2, notebook: str = "notebooks/probe.ipynb") -> None:
    """Write the model to ``folder`` (a folder of ``containers/quetzal-model/models/``), of equal steps."""
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell{n}",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": text.strip().splitlines(keepends=True),
        }
        for n, text in enumerate([NOTEBOOK, BEHAVIOUR])
    ]
    kernel = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    (folder / "notebooks" / "probe.ipynb").write_text(
        json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, indent=1)
    )
    (folder / "requirements.txt").write_text("")
    (folder / "step-functions.json").write_text(json.dumps(definition(steps, notebook), indent=2))


def definition(steps: int, notebook: str) -> dict[str, Any]:
    """A workflow of ``steps`` states that all run ``notebook``."""
    states: dict[str, Any] = {}
    for number in range(1, steps + 1):
        states[f"probe{number}"] = {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {
                "FunctionName": "${function_arn}",
                "Payload": {
                    "notebook_path": notebook,
                    "scenario_path_S3.$": "$.scenario_path_S3",
                    "launcher_arg.$": "$.launcher_arg",
                    "metadata.$": "$.metadata",
                },
            },
            "OutputPath": "$.Payload",
            "Retry": RETRY,
            **({"Next": f"probe{number + 1}"} if number < steps else {"End": True}),
        }
    return {"Comment": "Prints, fails, waits or writes on demand.", "StartAt": "probe1", "States": states}
