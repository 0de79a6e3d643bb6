"""A scenario's files: brought to a folder before the notebook, results taken back after it."""

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from quetzal_runner.errors import InvalidEvent, ScenarioLocked, ScenarioNotFound, ScenarioReadOnly
from quetzal_runner.storage import WORKERS, Storage, inside

READ_ONLY = frozenset({"base"})
INPUTS = "inputs"
LOGS = "logs"
LOCK = ".lock"
INFO = "info.json"

Snapshot = dict[str, tuple[int, int]]
"""Path below the scenario's folder to size and modification time (ns)."""


def download(storage: Storage, scenario: str, folder: Path) -> Snapshot:
    """Bring the scenario's files (not its logs) into ``folder``; says what it brought."""
    if scenario in READ_ONLY:
        raise ScenarioReadOnly(f"scenario {scenario!r} is read-only: copy it to another name and run that")
    prefix = f"{scenario}/"
    keys = [key for key in storage.list(prefix) if not key.endswith("/")]
    if not keys:
        raise ScenarioNotFound(f"no scenario {scenario!r}: nothing at {storage.describe(prefix)}")
    names = {key: key.removeprefix(prefix) for key in keys}
    if LOCK in names.values():
        raise ScenarioLocked(f"scenario {scenario!r} is locked: {storage.describe(prefix + LOCK)} exists")
    wanted = {key: inside(folder, name) for key, name in names.items() if not name.startswith(f"{LOGS}/")}
    for target in wanted.values():
        target.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(storage.download, wanted.keys(), wanted.values()))
    return snapshot(folder)


def upload(storage: Storage, scenario: str, folder: Path, before: Snapshot) -> list[str]:
    """Store what is new or changed since ``before``, inputs, logs and the runner's own files excepted.

    Returns the paths stored. A file that the notebook deleted stays in the storage.
    """
    after = snapshot(folder)
    changed = sorted(name for name, state in after.items() if before.get(name) != state and _is_output(name))
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda name: storage.upload(inside(folder, name), f"{scenario}/{name}"), changed))
    return changed


def snapshot(folder: Path) -> Snapshot:
    """All regular files below ``folder``; links are not followed: nothing from elsewhere is stored."""
    found: Snapshot = {}
    for root, _, names in os.walk(folder, followlinks=False):
        for name in names:
            path = Path(root, name)
            if path.is_symlink() or not path.is_file():
                continue
            state = path.stat()
            found[path.relative_to(folder).as_posix()] = (state.st_size, state.st_mtime_ns)
    return found


def run_folder(training_folder: str, root: Path) -> Path:
    """A fresh folder for one run below ``training_folder``, which must be ``root`` or in it.

    What an earlier run of this process, or of one that is gone, left behind is removed: a warm Lambda keeps
    its ``/tmp``.
    """
    parent = Path(training_folder)
    if not parent.resolve().is_relative_to(root.resolve()):
        raise InvalidEvent(f"launcher_arg.training_folder: must be in {root}, got {training_folder!r}")
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob("quetzal-run-*"):
        owner = old.name.split("-")[2]
        if owner == str(os.getpid()) or not (owner.isdigit() and Path("/proc", owner).exists()):
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"quetzal-run-{os.getpid()}-", dir=parent))


def _is_output(name: str) -> bool:
    top = name.split("/", 1)[0]
    return top not in (INPUTS, LOGS) and name not in (LOCK, INFO)
