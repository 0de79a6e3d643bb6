"""The build context: its files, one hash over what matters in them, and the same tar every time."""

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from docker.utils.build import exclude_paths

FIXED_MTIME = 946_684_800
"""2000-01-01T00:00:00Z for every file, so that the same content is the same tar. Not 1970: zip files, which
building a Python wheel makes, can't hold times before 1980."""


@dataclass(frozen=True)
class Entry:
    """A file, folder or symbolic link of the context. ``path`` is relative, with slashes."""

    path: str
    source: Path
    mode: int

    @property
    def kind(self) -> str:
        if stat.S_ISLNK(self.mode):
            return "link"
        if stat.S_ISDIR(self.mode):
            return "folder"
        return "program" if self.mode & stat.S_IXUSR else "file"


@dataclass(frozen=True)
class Context:
    """entries: in order of path. dockerfile: its name inside the tar. extra: files that replace or join those
    of the folder, by name (a Dockerfile from elsewhere, the ``.dockerignore`` that belongs to it)."""

    entries: tuple[Entry, ...]
    dockerfile: str
    dockerfile_text: str
    extra: Mapping[str, bytes]


def load(folder: Path, dockerfile: Path) -> Context:
    """The context that ``docker build --file dockerfile folder`` would send.

    ``<dockerfile>.dockerignore`` beside the Dockerfile is used before the folder's ``.dockerignore``.
    Raises OSError when a file can't be read.
    """
    root = folder.resolve()
    source = dockerfile.resolve()
    text = source.read_text(encoding="utf-8", errors="replace")
    own_ignore = source.with_name(f"{source.name}.dockerignore")
    ignore = own_ignore if own_ignore.is_file() else root / ".dockerignore"
    ignore_text = ignore.read_text(encoding="utf-8-sig", errors="replace") if ignore.is_file() else ""
    extra: dict[str, bytes] = {}
    if source.is_relative_to(root):
        inside = source.relative_to(root).as_posix()
    else:
        # As the docker command does: it travels under a name of its own that COPY doesn't see.
        inside = f".dockerfile.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        extra[inside] = text.encode()
        ignore_text += f"\n{inside}"
    if inside in extra or ignore is own_ignore:
        extra[".dockerignore"] = ignore_text.encode()
    patterns = ignore_patterns(ignore_text)
    paths = exclude_paths(str(root), list(patterns), dockerfile=inside)
    entries = []
    for path in sorted(path.replace(os.sep, "/") for path in paths):
        if path in extra:
            continue
        mode = os.lstat(root / path).st_mode
        # Sockets, pipes and devices can't be sent; docker leaves them out too.
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode):
            entries.append(Entry(path, root / path, mode))
    return Context(tuple(entries), inside, text, extra)


def ignore_patterns(text: str) -> list[str]:
    """The patterns of a ``.dockerignore``, without comments and empty lines."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def digest(context: Context, settings: Mapping[str, object]) -> str:
    """SHA-256 (hex) over names, kinds, contents and link targets, and over ``settings`` (plain values).

    Times, owners and permissions other than the owner's executable bit don't count, so that a fresh clone,
    or a touched file, is the same context.
    """
    whole = hashlib.sha256()

    def add(*parts: str) -> None:
        for part in parts:
            data = part.encode("utf-8", "surrogateescape")
            whole.update(len(data).to_bytes(8, "big") + data)

    for name in sorted(settings):
        add("setting", name, repr(settings[name]))
    add("dockerfile", context.dockerfile_text)
    for name, data in sorted(context.extra.items()):
        add("extra", name, hashlib.sha256(data).hexdigest())
    for entry in context.entries:
        content = ""
        if entry.kind == "link":
            content = os.readlink(entry.source)
        elif entry.kind != "folder":
            with entry.source.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        add(entry.kind, entry.path, content)
    return whole.hexdigest()


def pack(context: Context, into: IO[bytes]) -> None:
    """Writes the tar for the engine: owner root, fixed times, modes 755 or 644."""
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in context.entries:
            info = _header(entry.path)
            if entry.kind == "link":
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, os.readlink(entry.source), 0o777
                tar.addfile(info)
            elif entry.kind == "folder":
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            else:
                info.mode = 0o755 if entry.kind == "program" else 0o644
                with entry.source.open("rb") as file:
                    info.size = os.fstat(file.fileno()).st_size
                    tar.addfile(info, file)
        for name, data in sorted(context.extra.items()):
            info = _header(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))


def _header(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mtime = FIXED_MTIME
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info
