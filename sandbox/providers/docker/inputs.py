"""The inputs of ``docker:index/image:Image`` as pulumi-docker 5 has them, and their check at preview."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.providers.docker import reference
from sandbox.providers.server import Failure
from sandbox.providers.wire import UNKNOWN

BUILDERS = ("BuilderV1", "BuilderBuildKit")

_TEXTS: Any = object()
"""Kind of a map of strings."""

_BUILD: Mapping[str, Any] = {
    "context": str,
    "dockerfile": str,
    "args": _TEXTS,
    "platform": str,
    "target": str,
    "network": str,
    "addHosts": [str],
    "cacheFrom": {"images": [str]},
    "builderVersion": BUILDERS,
}
IMAGE: Mapping[str, Any] = {
    "imageName": str,
    "build": _BUILD,
    "registry": {"server": str, "username": str, "password": str},
    "skipPush": bool,
    "buildOnPreview": bool,
}
"""Property name to kind: a type, a tuple of allowed words, ``[kind]`` for a list, a mapping for an object."""


def without_nulls(value: Any) -> Any:
    """The value without properties that are null: the same as not given."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


def check_kinds(values: Mapping[str, Any], kinds: Mapping[str, Any] = IMAGE, path: str = "") -> list[Failure]:
    """Unknown properties (with the nearest known one) and wrong types, each named by its path."""
    failures = []
    for name, value in values.items():
        where = f"{path}{name}"
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, 1)
            meant = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(kinds))}"
            failures.append(Failure(where, f"docker.Image has no input {where!r}{meant}"))
        else:
            failures += _check_kind(value, kinds[name], where)
    return failures


def _check_kind(value: Any, kind: Any, where: str) -> list[Failure]:
    if value is UNKNOWN:
        return []
    if kind is _TEXTS or isinstance(kind, Mapping):
        if not isinstance(value, dict):
            return [Failure(where, f"must be an object, got {_named(value)}")]
        if kind is not _TEXTS:
            return check_kinds(value, kind, f"{where}.")
        return [f for key, item in value.items() for f in _check_kind(item, str, f"{where}.{key}")]
    if isinstance(kind, list):
        if not isinstance(value, list):
            return [Failure(where, f"must be a list, got {_named(value)}")]
        return [f for i, item in enumerate(value) for f in _check_kind(item, kind[0], f"{where}[{i}]")]
    if isinstance(kind, tuple):
        return (
            []
            if value in kind
            else [Failure(where, f"must be one of {', '.join(kind)}, got {_named(value)}")]
        )
    if not isinstance(value, kind):
        wanted = {str: "a string", bool: "true or false"}[kind]
        return [Failure(where, f"must be {wanted}, got {_named(value)}")]
    return []


def _named(value: Any) -> str:
    """The value for an error, and never the content of an object or list, which may hold secrets."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"the {'number' if isinstance(value, int | float) else 'string'} {value!r}"


def check_names(values: Mapping[str, Any]) -> list[Failure]:
    """The image's name, by the reference grammar; with its registry when it is to be pushed."""
    name = values.get("imageName")
    if name is None:
        return [Failure("imageName", "is required: registry/repository[:tag]")]
    if name is UNKNOWN:
        return []
    try:
        found = reference.parse(name)
    except ValueError as error:
        return [Failure("imageName", str(error))]
    if found.digest:
        return [
            Failure(
                "imageName", f"{name!r} has a digest, which is only known once the image is built; give a tag"
            )
        ]
    if not found.domain and values.get("skipPush") is not True and values.get("skipPush") is not UNKNOWN:
        return [
            Failure(
                "imageName",
                f"{name!r} doesn't name the registry to push to; "
                f"for Docker Hub write '{reference.DEFAULT_DOMAIN}/{name}', or set skipPush",
            )
        ]
    return []


def paths(build: Mapping[str, Any]) -> tuple[Path, Path]:
    """(context folder, Dockerfile). Both are relative to the program's folder, as with pulumi-docker."""
    folder = Path(build.get("context", "."))
    return folder, Path(build["dockerfile"]) if "dockerfile" in build else folder / "Dockerfile"


def check_paths(build: Mapping[str, Any]) -> list[Failure]:
    """The context folder and the Dockerfile must be there."""
    if build.get("context") is UNKNOWN or build.get("dockerfile") is UNKNOWN:
        return []
    folder, dockerfile = paths(build)
    if str(folder).startswith(("http:/", "https:/", "git:/", "git@")):
        return [
            Failure(
                "build.context", f"{folder} is a remote context; the light provider builds from a folder only"
            )
        ]
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "doesn't exist"
        return [Failure("build.context", f"folder {folder} {what} (seen from {Path.cwd()})")]
    if not dockerfile.is_file():
        inside = folder / dockerfile
        hint = f"; did you mean {str(inside)!r}?" if not dockerfile.is_absolute() and inside.is_file() else ""
        prop = "build.dockerfile" if "dockerfile" in build else "build.context"
        return [Failure(prop, f"there is no Dockerfile at {dockerfile} (seen from {Path.cwd()}){hint}")]
    return []


def check_hosts(build: Mapping[str, Any]) -> list[Failure]:
    hosts = build.get("addHosts")
    if not isinstance(hosts, list):
        return []
    return [
        Failure(f"build.addHosts[{i}]", f"must be like 'host:ip', got {host!r}")
        for i, host in enumerate(hosts)
        if isinstance(host, str) and ":" not in host
    ]


def differences(old: Any, new: Any, ignored: Sequence[str], path: str = "") -> list[tuple[str, bool, bool]]:
    """(path, was there, is there) of every property that differs, down to those that aren't objects."""
    if path in ignored or old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted({*old, *new}):
            below = f"{path}.{key}" if path else key
            found += differences(old.get(key), new.get(key), ignored, below)
        return found
    return [(path, old is not None, new is not None)]
