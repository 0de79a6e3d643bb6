"""The event of one step: checked on the way in, merged with what the notebook returns on the way out."""

import copy
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from quetzal_runner.errors import InvalidEvent, NotebookError

SCENARIO_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
FIXED_FIELDS = ("notebook_path", "scenario_path_S3")
"""What a notebook's ``RETURN`` must not change: which scenario the next step works on is not its choice."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """A checked event."""

    notebook: str
    """Path of the notebook inside the model, with forward slashes: ``notebooks/import_gtfs.ipynb``."""
    scenario: str
    """Name of the scenario, without a slash."""
    training_folder: str
    """Folder under which the run makes its own folder."""
    params: dict[str, Any]
    user_email: str | None
    raw: dict[str, Any]
    """The event as it came, fields unknown to the runner included."""


def parse(event: object) -> Event:
    """Check ``event``; :class:`InvalidEvent` names the field, the value and what is allowed."""
    if not isinstance(event, dict):
        raise InvalidEvent(f"event: must be a JSON object, got {type(event).__name__}")
    launcher = _object(event, "launcher_arg")
    metadata = _object(event, "metadata")
    training_folder = launcher.get("training_folder", "/tmp")
    if not isinstance(training_folder, str) or not training_folder.startswith("/"):
        raise InvalidEvent(f"launcher_arg.training_folder: must be an absolute path, got {training_folder!r}")
    params = launcher.get("params") or {}
    if not isinstance(params, dict):
        raise InvalidEvent(f"launcher_arg.params: must be an object, got {type(params).__name__}")
    email = metadata.get("user_email")
    if email is not None and not isinstance(email, str):
        raise InvalidEvent(f"metadata.user_email: must be text, got {type(email).__name__}")
    return Event(
        notebook=_notebook(event),
        scenario=_scenario(event),
        training_folder=training_folder,
        params=params,
        user_email=email,
        raw=event,
    )


def merge(event: Mapping[str, Any], returned: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The next event: ``event`` with each returned object merged in, objects inside objects too."""
    result = copy.deepcopy(dict(event))
    for changes in returned:
        for field in FIXED_FIELDS:
            if field in changes and changes[field] != event.get(field):
                raise NotebookError(f"RETURN must not change {field} (it returned {changes[field]!r})")
        result = _deep_merge(result, changes)
    return result


def parse_return(text: str) -> dict[str, Any]:
    """The object after ``RETURN:``; :class:`NotebookError` if it is none."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise NotebookError(f"RETURN line holds no valid JSON ({error}): {text[:200]}") from error
    if not isinstance(value, dict):
        raise NotebookError(f"RETURN line must hold a JSON object, got {text[:200]}")
    return value


def _deep_merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = _deep_merge(old, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]
    return result


def _object(event: Mapping[str, Any], field: str) -> dict[str, Any]:
    value = event.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidEvent(f"{field}: must be an object, got {type(value).__name__}")
    return value


def _text(event: Mapping[str, Any], field: str, example: str) -> str:
    value = event.get(field)
    if not isinstance(value, str) or not value:
        found = "is missing" if field not in event else f"must be text, got {value!r}"
        raise InvalidEvent(f"{field}: {found} (example: {example!r})")
    return value


def _notebook(event: Mapping[str, Any]) -> str:
    value = _text(event, "notebook_path", "notebooks/import_gtfs.ipynb")
    path = PurePosixPath(value)
    if path.suffix != ".ipynb" or path.is_absolute() or ".." in path.parts or "\0" in value:
        raise InvalidEvent(f"notebook_path: must be a relative path to an .ipynb of the model, got {value!r}")
    return str(path)


def _scenario(event: Mapping[str, Any]) -> str:
    value = _text(event, "scenario_path_S3", "test/")
    name = value.removesuffix("/")
    if not SCENARIO_NAME.fullmatch(name):
        raise InvalidEvent(
            "scenario_path_S3: must be a scenario's name and a slash (letters, digits, - and _, at most 41, "
            f"first a letter or digit), got {value!r}"
        )
    return name
