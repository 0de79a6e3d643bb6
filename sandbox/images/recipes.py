"""How each official base image is made again from Debian packages: data, one entry an image."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

RECIPE_FORMAT = 1
"""Raised when ``rootfs.py`` makes something else of the same recipe, so that old images aren't taken."""

COMMON_PACKAGES = ("ca-certificates", "netbase", "tzdata")
"""What the official slim images add to Debian's minimal system."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One base image.

    official: reference on Docker Hub, as Dockerfiles name it by default.
    repository, label: our name for the equal image, ``<repository>:<label>-<content key>``.
    suite: Debian release given to debootstrap.
    packages: Debian packages on top of the minimal system.
    setup: commands run inside the new system with ``/bin/sh -euc``, in this order, without network.
    exclude: paths (dpkg globs) that later package upgrades must not bring back.
    env, cmd, workdir: configuration of the image, as the official one has it.
    check: command that must succeed in the finished system.
    """

    official: str
    repository: str
    label: str
    suite: str
    packages: tuple[str, ...]
    setup: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cmd: tuple[str, ...] = ("/bin/sh",)
    workdir: str = "/"
    check: str = "true"

    def content_key(self, certificates: str, architecture: str) -> str:
        """Twelve hex digits over everything that decides what the image holds, package versions aside.

        certificates: hash of the certificates that are added; architecture: Debian's name (``amd64``).
        """
        content = json.dumps(
            [RECIPE_FORMAT, asdict(self), COMMON_PACKAGES, certificates, architecture], sort_keys=True
        )
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def reference(self, certificates: str, architecture: str) -> str:
        return f"{self.repository}:{self.label}-{self.content_key(certificates, architecture)}"


PYTHON_313 = Recipe(
    official="python:3.13-slim-trixie",
    repository="benchtop/python",
    label="3.13-trixie",
    suite="trixie",
    # python3-venv carries the wheel of pip that `python -m venv` needs; it serves for the system's pip too.
    packages=("python3", "python3-venv"),
    setup=(
        # Debian marks its Python as managed by apt, and pip then refuses to install. In the official image
        # the interpreter belongs to the image, and `pip install` goes to /usr/local; so it does here.
        "rm -f /usr/lib/python3.13/EXTERNALLY-MANAGED",
        # An ordinary pip in /usr/local, not Debian's package, so that `pip install --upgrade pip` works.
        "wheel=$(echo /usr/share/python-wheels/pip-*.whl); "
        "python3 $wheel/pip install --no-index --no-cache-dir"
        " --root-user-action=ignore --disable-pip-version-check $wheel",
        "for name in python python3 python3.13; do ln -s /usr/bin/python3.13 /usr/local/bin/$name; done",
    ),
    exclude=("/usr/lib/python3*/EXTERNALLY-MANAGED",),
    cmd=("python3",),
    check="python -c 'import ssl, sqlite3, venv, zlib, lzma, bz2, ctypes, sys; "
    "assert sys.version_info[:2] == (3, 13)'"
    " && pip --version >/dev/null",
)

RECIPES: Mapping[str, Recipe] = {recipe.official: recipe for recipe in (PYTHON_313,)}
"""Recipes by the official image's reference."""
