"""Packages of Debian and Ubuntu, for what the sandbox can't bring itself."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

from sandbox.bootstrap import console
from sandbox.bootstrap.errors import Missing, StepFailed

_UPDATE_TIMEOUT_S = 300
_INSTALL_TIMEOUT_S = 900


def is_debian() -> bool:
    """Whether this is Debian, Ubuntu or another system with ``apt-get``."""
    return Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def is_root() -> bool:
    return os.geteuid() == 0


def is_installed(package: str) -> bool:
    """Whether dpkg has the package, wholly installed."""
    if shutil.which("dpkg-query") is None:
        return False
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f=${Status}", package], capture_output=True, text=True, timeout=30, check=False
    )
    return answer.stdout.strip() == "install ok installed"


@functools.cache
def _update() -> None:
    try:
        console.run(
            "Debian package lists",
            ["apt-get", "update"],
            step="apt",
            timeout_s=_UPDATE_TIMEOUT_S,
            env=environment(),
        )
    except StepFailed as error:
        # One unreachable source spoils the update; the package may well come from another.
        console.say(f"  {str(error).splitlines()[0]}; trying with the lists that are there")


def environment() -> dict[str, str]:
    """The environment with a PATH for system commands and no questions asked."""
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": _system_path()}


def _system_path() -> str:
    """PATH with the folders of system commands, which a minimal environment may lack."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def find(command: str) -> str | None:
    """A command on PATH or among the system commands."""
    return shutil.which(command, path=_system_path())


def ensure_debian_package(name: str) -> None:
    """Install a Debian package when it isn't there.

    Raises:
        Missing: it isn't there and can't be installed by us: no Debian, or not root.
        StepFailed: ``apt-get`` failed.
    """
    if is_installed(name):
        return
    if not is_debian():
        raise Missing(
            f"{name} is needed, and this is no Debian or Ubuntu: install {name} with your system's tools"
        )
    if not is_root():
        raise Missing(f"{name} is needed: run `sudo apt-get install {name}`, then this again")
    _update()
    console.run(
        f"Debian package {name}",
        ["apt-get", "-o", "DPkg::Lock::Timeout=120", "install", "-y", "--no-install-recommends", name],
        step="apt", timeout_s=_INSTALL_TIMEOUT_S, env=environment(), result="installed", append=True,
    )  # fmt: skip
