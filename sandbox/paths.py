"""Where everything of the sandbox lives: the one place that knows paths.

Only the standard library, because ``./dev`` imports it before anything is installed.
``BENCHTOP_SANDBOX`` moves the state of one sandbox (tests use a sandbox of their own
beside the user's); ``BENCHTOP_CACHE`` moves what clones share, keyed by content.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

VENV = ROOT / ".venv"
"""The Python environment, the same for the sandbox and for a real cloud (``Pulumi.yaml`` names it)."""


def state() -> Path:
    """State of this sandbox: safe to delete when it is stopped."""
    return Path(os.environ.get("BENCHTOP_SANDBOX") or ROOT / ".sandbox").resolve()


def cache() -> Path:
    """What all clones on this machine share, each entry keyed by its content."""
    chosen = os.environ.get("BENCHTOP_CACHE")
    if chosen:
        return Path(chosen).resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "benchtop"


def logs() -> Path:
    return state() / "logs"


def aws_state() -> Path:
    """Everything the AWS emulator keeps, its settings (``settings.json``) included."""
    return state() / "aws"


def pulumi_home() -> Path:
    """The sandbox's own ``PULUMI_HOME``; the user's is never touched."""
    return state() / "pulumi-home"


def pulumi_backend() -> Path:
    """Folder of the file backend that holds the sandbox's stacks."""
    return state() / "pulumi-state"


def engine_bin() -> Path:
    """Folder put first on ``PATH``: the engine (or a link to it) and the language host."""
    return state() / "bin"


def base_images() -> Path:
    """JSON map from an official base image to the equal one made on this machine."""
    return state() / "base-images.json"
