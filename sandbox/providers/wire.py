"""Property values as plain Python, and their form on the wire between engine and provider.

``pulumi.provider.experimental`` brings ``PropertyValue`` for this, but as of 3.259 it takes unknown values
for strings, refuses the archives that the engine sends to Diff (only a hash) and drops hashes when it sends
assets back, so a changed Lambda package would never be seen. Here a value is ``None``, ``bool``, ``int``,
``float``,
``str``, ``list``, ``dict``, :data:`UNKNOWN`, :class:`Asset` or :class:`Archive`; which of them are secret is
kept beside, as paths.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import struct_pb2
from pulumi.runtime import rpc

Path = tuple[str | int, ...]


class Unknown:
    """A value that is only known once what it comes from has been deployed."""

    _instance: "Unknown | None" = None

    def __new__(cls) -> "Unknown":
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()

_UNKNOWN_MARKS: Final = frozenset(  # sdk/go/common/resource/plugin/rpc.go: one a type
    {
        rpc.UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


@dataclass(frozen=True)
class Asset:
    """A file: from ``path``, or with ``text``, or at ``uri``; all three are empty when only the hash is
    known.
    """

    hash: str = ""
    text: str | None = None
    path: str | None = None
    uri: str | None = None


@dataclass(frozen=True)
class Archive:
    """Many files: a folder or archive at ``path`` or ``uri``, or ``assets`` by name; may have only a hash."""

    hash: str = ""
    assets: "Mapping[str, Asset | Archive] | None" = None
    path: str | None = None
    uri: str | None = None


@dataclass
class Properties:
    """The properties of one resource and the paths of those that are secret."""

    values: dict[str, Any] = field(default_factory=dict)
    secrets: set[Path] = field(default_factory=set)


def has_unknown(value: Any) -> bool:
    """True when ``value`` is, or holds, a value that isn't known yet."""
    if value is UNKNOWN:
        return True
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return False


def decode(struct: struct_pb2.Struct) -> Properties:
    """From the wire. Whole numbers become ``int``."""
    found = Properties()
    for key, item in struct.fields.items():
        found.values[key] = _decode(item, (key,), found.secrets)
    return found


def _decode(value: struct_pb2.Value, path: Path, secrets: set[Path]) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        return UNKNOWN if text in _UNKNOWN_MARKS else text
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_decode(item, (*path, i), secrets) for i, item in enumerate(value.list_value.values)]
    if kind == "struct_value":
        fields = value.struct_value.fields
        if rpc._special_sig_key not in fields:
            return {key: _decode(item, (*path, key), secrets) for key, item in fields.items()}
        return _decode_special(fields, path, secrets)
    return None


def _decode_special(fields: Any, path: Path, secrets: set[Path]) -> Any:
    mark = fields[rpc._special_sig_key].string_value
    if mark == rpc._special_secret_sig:
        secrets.add(path)
        return _decode(fields["value"], path, secrets)
    if mark == rpc._special_output_value_sig:
        if "secret" in fields and fields["secret"].bool_value:
            secrets.add(path)
        return _decode(fields["value"], path, secrets) if "value" in fields else UNKNOWN
    if mark in (rpc._special_asset_sig, rpc._special_archive_sig):
        return _decode_file(fields, mark == rpc._special_archive_sig)
    if mark == rpc._special_resource_sig:
        return _decode(fields["id"], path, secrets) if "id" in fields else UNKNOWN
    raise ValueError(f"{path}: the engine sent a value of an unknown kind ({mark})")


def _decode_file(fields: Any, archive: bool) -> Asset | Archive:
    def text(key: str) -> str | None:
        return fields[key].string_value or None if key in fields else None

    if not archive:
        # An empty text is a real asset; an elided one has no text, no path and no URI at all.
        content = fields["text"].string_value if "text" in fields else None
        return Asset(text("hash") or "", content, text("path"), text("uri"))
    assets = None
    if "assets" in fields and fields["assets"].WhichOneof("kind") == "struct_value":
        assets = {
            name: _decode_file(item.struct_value.fields, _is_archive(item))
            for name, item in fields["assets"].struct_value.fields.items()
        }
    return Archive(text("hash") or "", assets or None, text("path"), text("uri"))


def _is_archive(value: struct_pb2.Value) -> bool:
    return bool(value.struct_value.fields[rpc._special_sig_key].string_value == rpc._special_archive_sig)


def encode(properties: Properties) -> struct_pb2.Struct:
    """To the wire. A secret path that no longer leads anywhere marks the nearest value above it: never less
    secret.
    """
    marked = {_existing(properties.values, path) for path in properties.secrets}
    marked.discard(())
    return struct_pb2.Struct(
        fields={key: _encode(item, (key,), marked) for key, item in properties.values.items()}
    )


def _existing(values: Any, path: Path) -> Path:
    done: list[str | int] = []
    for step in path:
        if isinstance(values, dict) and step in values:
            values = values[step]
        elif isinstance(values, list) and isinstance(step, int) and step < len(values):
            # Elements move when a list is edited, so a secret in a list makes the list secret.
            return tuple(done)
        else:
            break
        done.append(step)
    return tuple(done)


def _encode(value: Any, path: Path, secrets: Iterable[Path]) -> struct_pb2.Value:
    if secrets and path in secrets:
        inner = _encode(value, path, ())
        return _special(rpc._special_secret_sig, {"value": inner})
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if value is UNKNOWN:
        return struct_pb2.Value(string_value=rpc.UNKNOWN)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, list | tuple):
        items = [_encode(item, (*path, i), secrets) for i, item in enumerate(value)]
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=items))
    if isinstance(value, Mapping):
        fields = {str(key): _encode(item, (*path, str(key)), secrets) for key, item in value.items()}
        return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))
    if isinstance(value, Asset | Archive):
        return _encode_file(value)
    raise ValueError(f"{path}: a {type(value).__name__} can't be sent to the engine")


def _encode_file(value: Asset | Archive) -> struct_pb2.Value:
    fields = {"hash": struct_pb2.Value(string_value=value.hash)}
    for key in ("text", "path", "uri"):
        content = getattr(value, key, None)
        if content is not None:
            fields[key] = struct_pb2.Value(string_value=content)
    if isinstance(value, Archive) and value.assets is not None:
        inner = {name: _encode_file(item) for name, item in value.assets.items()}
        fields["assets"] = struct_pb2.Value(struct_value=struct_pb2.Struct(fields=inner))
    archive = isinstance(value, Archive)
    return _special(rpc._special_archive_sig if archive else rpc._special_asset_sig, fields)


def _special(mark: str, fields: dict[str, struct_pb2.Value]) -> struct_pb2.Value:
    fields = {rpc._special_sig_key: struct_pb2.Value(string_value=mark), **fields}
    return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))
