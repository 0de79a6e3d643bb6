"""The Python environment of the repository: ``.venv``, from ``requirements.txt``."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from sandbox import paths
from sandbox.bootstrap import console
from sandbox.bootstrap.errors import Missing, StepFailed

REQUIREMENTS = paths.ROOT / "requirements.txt"
PYTHON = paths.VENV / "bin" / "python"
_STAMP = paths.VENV / ".benchtop-stamp"
_CREATE_TIMEOUT_S = 180
_INSTALL_TIMEOUT_S = 1800


def key() -> str:
    """What the environment depends on: the pinned packages, and the folder, which its scripts name.

    The Python that runs ``./dev`` isn't part of it: whichever comes first on PATH today, a complete
    environment stays as it is.
    """
    digest = hashlib.sha256()
    for part in (REQUIREMENTS.read_bytes(), str(paths.VENV).encode()):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _stamp() -> dict[str, str]:
    """What the last complete installation wrote; empty when there is none, or it no longer works."""
    try:
        stamp = json.loads(_STAMP.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(stamp, dict) or stamp.get("folder") != str(paths.VENV):
        return {}
    # The system's Python may have gone, or become another one under the same name.
    return stamp if stamp.get("python") == _version() else {}


def _version() -> str:
    """Version of the environment's Python; empty when it doesn't run."""
    try:
        answer = subprocess.run(
            [str(PYTHON), "-c", "import platform; print(platform.python_version())"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def ready() -> bool:
    """Whether it is complete and belongs to the requirements as they are now."""
    return REQUIREMENTS.is_file() and _stamp().get("key") == key()


def can_create() -> bool:
    """Whether this Python has what it takes to make an environment."""
    probe = subprocess.run(
        [sys.executable, "-c", "import venv, ensurepip"], capture_output=True, timeout=60, check=False
    )
    return probe.returncode == 0


def _remove_unfinished() -> None:
    if paths.VENV.is_symlink():
        paths.VENV.unlink()
    elif paths.VENV.exists():
        with console.Progress("remove the unfinished .venv"):
            shutil.rmtree(paths.VENV)


def ensure() -> Path:
    """Make or complete the environment; returns its Python.

    A stamp is written last, so one that an interrupted run left half made is made anew; where only the
    requirements changed, pip brings it up to date.

    Raises:
        Missing: this Python has no ``venv`` module (Debian packs it apart).
        StepFailed: pip failed.
    """
    if not REQUIREMENTS.is_file():
        raise Missing(f"{REQUIREMENTS} is missing: this is no complete clone of the repository")
    if ready():
        console.done("Python packages", "installed")
        return PYTHON
    wanted = key()
    if not _stamp():
        if not can_create():
            raise Missing(
                f"{sys.executable} has no venv module: install it (Debian: apt-get install python3-venv) and "
                "run this again"
            )
        _remove_unfinished()
        console.run(
            "virtual environment",
            [sys.executable, "-m", "venv", str(paths.VENV)],
            step="venv",
            timeout_s=_CREATE_TIMEOUT_S,
        )
    _STAMP.unlink(missing_ok=True)
    try:
        console.run(
            "Python packages",
            [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
             "--progress-bar", "off", "-r", str(REQUIREMENTS)],
            step="pip",
            timeout_s=_INSTALL_TIMEOUT_S,
            result="installed",
        )  # fmt: skip
    except StepFailed as error:
        raise StepFailed(f"{error}\n  pip needs a package index: see `pip config list`") from error
    _STAMP.write_text(json.dumps({"key": wanted, "python": _version(), "folder": str(paths.VENV)}))
    return PYTHON
