"""Which files an image or an archive is made of, and their digest. Pure, apart from reading the files."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

NOT_CODE = ("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints")


def python_files(folder: Path) -> list[Path]:
    """Python files of a Lambda's folder, sorted, without caches. Raises ``ValueError`` when there is none."""
    found = sorted(
        path
        for path in folder.rglob("*.py")
        if not any(part in NOT_CODE for part in path.relative_to(folder).parts)
    )
    if not found:
        raise ValueError(f"{folder}: no Python files to make a Lambda function of")
    return found


def context_files(context: Path, dockerfile: str = "Dockerfile") -> list[str]:
    """Paths (POSIX, relative, sorted) of the files that Docker sends for a build, by ``.dockerignore``.

    ``<dockerfile>.dockerignore`` takes precedence over ``.dockerignore``, as in Docker. The Dockerfile
    itself counts always, since it decides what comes out.
    """
    rules = _rules(_ignore_text(context, dockerfile))
    found = [path for path in _walk(context) if not ignored(path, rules)]
    return sorted({*found, dockerfile} if (context / dockerfile).is_file() else set(found))


def digest(context: Path, dockerfile: str = "Dockerfile", arguments: Mapping[str, str] | None = None) -> str:
    """64 hex digits over names, executable bits and bytes of the context's files, and the build arguments.

    Times, owners and the order of the file system don't count: touching a file changes nothing.
    """
    sha = hashlib.sha256()

    def feed(*parts: bytes) -> None:
        for part in parts:
            sha.update(len(part).to_bytes(8, "big"))
            sha.update(part)

    for key, value in sorted((arguments or {}).items()):
        feed(b"arg", key.encode(), value.encode())
    for name in context_files(context, dockerfile):
        path = context / name
        if path.is_symlink():
            feed(b"link", name.encode(), os.readlink(path).encode())
        else:
            mode = b"x" if path.stat().st_mode & 0o100 else b"-"
            feed(b"file", name.encode(), mode, path.read_bytes())
    return sha.hexdigest()


def _walk(context: Path) -> Iterator[str]:
    for folder, names, files in os.walk(context):
        names.sort()
        here = Path(folder).relative_to(context)
        links = [name for name in names if (Path(folder) / name).is_symlink()]
        for name in sorted([*files, *links]):
            yield (here / name).as_posix()


def _ignore_text(context: Path, dockerfile: str) -> str:
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        path = context / name
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return ""


Rule = tuple[re.Pattern[str], bool]
"""A compiled pattern and whether it brings a file back (``!``)."""


def _rules(text: str) -> list[Rule]:
    rules = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        back = line.startswith("!")
        pattern = os.path.normpath(line.lstrip("!").strip()).lstrip("/")
        if pattern not in ("", "."):
            rules.append((_compiled(pattern), back))
    return rules


def ignored(path: str, rules: list[Rule]) -> bool:
    """Whether ``path`` is left out: the last rule that matches it, or a folder above it, decides."""
    out = False
    for pattern, back in rules:
        if pattern.fullmatch(path):
            out = not back
    return out


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Docker's patterns (Go's ``filepath.Match`` and ``**``), for a path or anything below it."""
    made, i = "", 0
    while i < len(pattern):
        if pattern.startswith("**/", i):
            made, i = made + "(?:.*/)?", i + 3
        elif pattern.startswith("**", i):
            made, i = made + ".*", i + 2
        elif pattern[i] == "*":
            made, i = made + "[^/]*", i + 1
        elif pattern[i] == "?":
            made, i = made + "[^/]", i + 1
        elif pattern[i] == "[" and "]" in pattern[i + 2 :]:
            end = pattern.index("]", i + 2)
            body = pattern[i + 1 : end]
            made, i = made + f"[{body.replace(chr(92), chr(92) * 2)}]", end + 1
        else:
            made, i = made + re.escape(pattern[i]), i + 1
    return re.compile(made + "(?:/.*)?", re.DOTALL)
