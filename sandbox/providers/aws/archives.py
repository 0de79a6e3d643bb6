"""Lambda packages and objects from Pulumi's assets and archives: the same content gives the same bytes."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

from sandbox.providers.server import ProviderError
from sandbox.providers.wire import Archive, Asset

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold; every entry has it."""


def asset_bytes(asset: Asset) -> bytes:
    """The content of an asset. Raises :class:`ProviderError` when it can't be read."""
    if asset.text is not None and asset.path is None:
        return asset.text.encode()
    if asset.path is not None:
        try:
            return Path(asset.path).read_bytes()
        except OSError as problem:
            raise ProviderError(f"the file {asset.path} can't be read: {problem.strerror}") from problem
    raise ProviderError(f"assets at a URL ({asset.uri}) aren't supported by the sandbox's aws provider")


def zip_bytes(archive: Archive) -> bytes:
    """A zip of the archive, independent of times, owners and the order of the file system.

    A ``.zip`` file is taken as it is. Raises :class:`ProviderError` for what can't be read.
    """
    if archive.path is not None and os.path.isfile(archive.path):
        if not zipfile.is_zipfile(archive.path):
            raise ProviderError(f"{archive.path} is neither a folder nor a zip file")
        return Path(archive.path).read_bytes()
    files: dict[str, tuple[bytes, bool]] = {}
    _collect(archive, "", files)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as target:
        for name in sorted(files):
            content, executable = files[name]
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = (0o100755 if executable else 0o100644) << 16
            target.writestr(info, content)
    return packed.getvalue()


def _collect(archive: Archive, prefix: str, files: dict[str, tuple[bytes, bool]]) -> None:
    if archive.assets is not None:
        for name, item in archive.assets.items():
            if isinstance(item, Asset):
                executable = item.path is not None and os.access(item.path, os.X_OK)
                files[prefix + name] = asset_bytes(item), executable
            else:
                _collect(item, f"{prefix}{name}/" if name not in ("", ".") else prefix, files)
    elif archive.path is not None and os.path.isdir(archive.path):
        root = Path(archive.path)
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                name = prefix + path.relative_to(root).as_posix()
                files[name] = path.read_bytes(), os.access(path, os.X_OK)
    elif archive.path is not None and zipfile.is_zipfile(archive.path):
        with zipfile.ZipFile(archive.path) as source:
            for info in source.infolist():
                if not info.is_dir():
                    files[prefix + info.filename] = source.read(info), bool(info.external_attr >> 16 & 0o111)
    elif archive.path is not None:
        raise ProviderError(f"the archive {archive.path} isn't there, or is neither a folder nor a zip file")
    elif archive.uri is not None:
        raise ProviderError(
            f"archives at a URL ({archive.uri}) aren't supported by the sandbox's aws provider"
        )


def content(value: Asset | Archive) -> bytes:
    return asset_bytes(value) if isinstance(value, Asset) else zip_bytes(value)


def with_hash(value: Asset | Archive) -> Asset | Archive:
    """The same with the SHA-256 of what would be uploaded, which is also what Lambda calls ``CodeSha256``."""
    digest = hashlib.sha256(content(value)).hexdigest()
    if isinstance(value, Asset):
        return Asset(digest, value.text, value.path, value.uri)
    return Archive(digest, value.assets, value.path, value.uri)
