"""How each official base image is made again from Debian packages: data, one entry an image."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

RECIPE_FORMAT = 1
"""Raised when ``rootfs.py`` makes something else of the same recipe, so that old images aren't taken."""

COMMON_PACKAGES = ("ca-certificates", "netbase", "tzdata")
"""What the official slim images add to Debian's minimal system."""


_LATER_FIELDS = ("scripts", "entrypoint", "volumes", "ports")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One base image.

    official: reference on Docker Hub, as Dockerfiles name it by default.
    repository, label: our name for the equal image, ``<repository>:<label>-<content key>``.
    suite: Debian release given to debootstrap.
    packages: Debian packages on top of the minimal system.
    setup: commands run inside the new system with ``/bin/sh -euc``, in this order, without network.
    exclude: paths (dpkg globs) that later package upgrades must not bring back.
    env, cmd, workdir, entrypoint, volumes, ports: configuration of the image, as the official one has it.
    check: command that must succeed in the finished system.
    scripts: executables by their path in the image, there before ``setup`` runs.
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
    scripts: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()

    def content_key(self, certificates: str, architecture: str) -> str:
        """Twelve hex digits over everything that decides what the image holds, package versions aside.

        certificates: hash of the certificates that are added; architecture: Debian's name (``amd64``).
        """
        # What a recipe leaves out is no part of its key: images made before the field came stay good.
        recipe = {key: value for key, value in asdict(self).items() if value or key not in _LATER_FIELDS}
        parts = [RECIPE_FORMAT, recipe, COMMON_PACKAGES, certificates, architecture]
        content = json.dumps(parts, sort_keys=True)
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


def _script(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


POSTGRES_17 = Recipe(
    official="postgres:17-trixie",
    repository="benchtop/postgres",
    label="17-trixie",
    suite="trixie",
    packages=("postgresql-17", "locales", "xz-utils"),
    scripts={"/usr/local/bin/docker-entrypoint.sh": _script("postgres-entrypoint.sh")},
    setup=(
        # The cluster that Debian's package makes for a whole machine; a container makes its own.
        "rm -rf /etc/postgresql/17 /var/lib/postgresql/17",
        # Compiling queries needs 130 MB of LLVM and is worth it for analytics only. Without the library
        # PostgreSQL goes on without compiling.
        "rm -f /usr/lib/postgresql/17/lib/llvmjit* /usr/lib/*/libLLVM* /usr/lib/*/libz3.so*"
        "; rm -rf /usr/lib/postgresql/17/lib/bitcode /usr/lib/llvm-*",
        "localedef -i en_US -c -f UTF-8 -A /usr/share/locale/locale.alias en_US.UTF-8",
        "sed -i \"s/^#listen_addresses = .*/listen_addresses = '*'/\""
        " /usr/share/postgresql/17/postgresql.conf.sample",
        "mkdir -p /docker-entrypoint-initdb.d",
        "install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data",
    ),
    env={
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin",
        "LANG": "en_US.utf8",
        "PG_MAJOR": "17",
        "PGDATA": "/var/lib/postgresql/data",
    },
    entrypoint=("docker-entrypoint.sh",),
    cmd=("postgres",),
    volumes=("/var/lib/postgresql/data",),
    ports=("5432/tcp",),
    check="grep -q \"^listen_addresses = '\\*'\" /usr/share/postgresql/17/postgresql.conf.sample"
    " && /usr/lib/postgresql/17/bin/postgres --version | grep -q ' 17\\.'"
    " && locale -a | grep -q en_US.utf8 && bash -n /usr/local/bin/docker-entrypoint.sh",
)

RECIPES: Mapping[str, Recipe] = {recipe.official: recipe for recipe in (PYTHON_313,)}
"""Recipes by the official image's reference: what our Dockerfiles begin with, made at ``./dev up``."""

ON_DEMAND: Mapping[str, Recipe] = {recipe.official: recipe for recipe in (POSTGRES_17,)}
"""Recipes of what only some systems need, made when it is asked for by name."""
