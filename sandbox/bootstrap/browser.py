"""A browser for the tests that drive one: Debian's Chromium, in place before pytest starts.

Playwright's own browsers come from a download host that a guarded network refuses; Debian's comes with the
packages, signed. Only tests need it: ``./dev up`` never asks for it.
"""

import shutil
import subprocess

from sandbox.bootstrap import console, debian
from sandbox.bootstrap.errors import Missing, StepFailed

PACKAGE = "chromium"
_COMMANDS = ("chromium", "chromium-browser", "google-chrome")
"""Where it is; the others are what Ubuntu's snap, Fedora and Google's package call theirs."""
_ANSWER_S = 60.0


def find() -> str | None:
    """Path of a Chromium that is installed, ``None`` when there is none."""
    return next((path for path in map(shutil.which, _COMMANDS) if path), None)


def ensure() -> str:
    """Have a Chromium that starts; returns its path.

    Raises:
        Missing: there is none and it isn't ours to install (no Debian, or not root): what the user can do.
        StepFailed: the installation failed, or what is installed doesn't run.
    """
    path = find()
    if path is None:
        try:
            debian.ensure_debian_package(PACKAGE)
        except Missing as error:
            raise Missing(f"{error} (the site's browser tests drive it)") from error
        path = find()
    if path is None:
        raise StepFailed(
            f"{PACKAGE} is installed, but there is no {_COMMANDS[0]} on PATH: see .sandbox/logs/apt.log"
        )
    console.done("Chromium", f"{_version(path)} at {path}")
    return path


def _version(path: str) -> str:
    """What it says its version is; asking it shows that its libraries are there."""
    try:
        shown = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StepFailed(f"{path} doesn't start: {error}") from error
    if shown.returncode:
        lines = (shown.stderr or shown.stdout).strip().splitlines() or [f"exit code {shown.returncode}"]
        raise StepFailed(f"{path} doesn't start: {lines[-1][:200]}")
    return next((word for word in shown.stdout.split() if word[:1].isdigit()), "of unknown version")
