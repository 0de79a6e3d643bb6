"""The layers of container images, on disk.

Ministack keeps every layer in memory and writes all of them, as one JSON text, into its saved state. Images
of a few hundred megabytes make that slow and large, so the part of the registry protocol that moves layers
(blobs) is served here: streamed to and from files named by their digest. Repositories, tags and manifests
stay ministack's, which this asks whether a repository exists.

Protocol: https://github.com/opencontainers/distribution-spec/blob/main/spec.md ("pull" and "push").
"""

import asyncio
import hashlib
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from ministack.core import responses
from ministack.services import ecr

logger = logging.getLogger("benchtop.aws")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_PATH = re.compile(
    r"/v2/(?P<name>[a-z0-9._/-]+?)/blobs/"
    r"(?:uploads(?:/(?P<upload>[0-9a-f-]*))?|(?P<digest>sha256:[0-9a-f]{64}))/?"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK = 1 << 20
ORPHAN_S = 3600.0
"""A layer that no manifest names stays this long: a push sends layers first and the manifest last."""


class RegistryError(Exception):
    """An answer of the protocol other than success."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def digests_in(manifest: bytes | str) -> Iterator[str]:
    """Every digest that a manifest names: configuration, layers, or the manifests of an index."""
    try:
        content = json.loads(manifest)
    except ValueError:
        return
    parts = [content.get("config"), *(content.get("layers") or []), *(content.get("manifests") or [])]
    for part in parts:
        if isinstance(part, dict) and isinstance(part.get("digest"), str):
            yield part["digest"]


def named_digests() -> set[str]:
    """Digests named by the manifests of all repositories, whatever account and region."""
    found: set[str] = set()
    for _scope, manifests in list(ecr._manifest_blobs.all_items()):
        for manifest in list(manifests.values()):
            found.update(digests_in(manifest))
    return found


class Registry:
    """Layers in ``root/sha256/<hex>``, uploads under way in ``root/uploads/<id>``."""

    def __init__(self, root: Path) -> None:
        self._layers, self._uploads = root / "sha256", root / "uploads"
        for folder in (self._layers, self._uploads):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._known: set[str] | None = None

    def layer(self, digest: str) -> Path:
        return self._layers / digest.removeprefix("sha256:")

    def sweep(self) -> None:
        """Delete layers of images that were deleted, uploads that were given up, and orphans of old."""
        named = named_digests()
        freed = set() if self._known is None else self._known - named
        self._known = named
        for digest in freed:
            self.layer(digest).unlink(missing_ok=True)
        oldest = time.time() - ORPHAN_S
        for path in (*self._layers.iterdir(), *self._uploads.iterdir()):
            orphan = path.parent == self._uploads or f"sha256:{path.name}" not in named
            if orphan and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: the requests under ``/v2/<name>/blobs/``."""
        query = {key: values[0] for key, values in parse_qs(scope.get("query_string", b"").decode()).items()}
        headers = {key.decode().lower(): value.decode("latin-1") for key, value in scope["headers"]}
        method: str = scope["method"]
        try:
            place = _PATH.fullmatch(scope["path"])
            if place is None:
                raise RegistryError(404, "UNSUPPORTED", f"{scope['path']} is no path of the protocol")
            name, upload, digest = place["name"], place["upload"], place["digest"]
            self._require_repository(name, headers, query)
            if digest:
                await self._layer_request(method, digest, send)
            elif upload:
                await self._upload_request(method, name, upload, query, receive, send)
            elif method == "POST":
                await self._begin(name, query, receive, send)
            else:
                raise RegistryError(405, "UNSUPPORTED", f"{method} is not allowed here")
        except RegistryError as error:
            problem = {"code": error.code, "message": str(error), "detail": {}}
            body = json.dumps({"errors": [problem]}).encode()
            await self._answer(send, error.status, {"Content-Type": "application/json"}, body)

    @staticmethod
    def _require_repository(name: str, headers: dict[str, str], query: dict[str, str]) -> None:
        responses.set_request_account_id("")
        responses.set_request_region(None)
        ecr._select_registry_request_scope(name, headers, query)
        if name not in ecr._repositories:
            raise RegistryError(404, "NAME_UNKNOWN", f"the repository {name} does not exist in this sandbox")

    async def _layer_request(self, method: str, digest: str, send: Send) -> None:
        path = self.layer(digest)
        if method == "DELETE":
            path.unlink(missing_ok=True)
            await self._answer(send, 202, {})
            return
        if method not in ("GET", "HEAD"):
            raise RegistryError(405, "UNSUPPORTED", f"{method} is not allowed here")
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise RegistryError(404, "BLOB_UNKNOWN", f"the layer {digest} is not known") from None
        with file:
            size = os.fstat(file.fileno()).st_size
            headers = {"Content-Length": str(size), "Docker-Content-Digest": digest,
                       "Content-Type": "application/octet-stream"}  # fmt: skip
            if method == "HEAD":
                await self._answer(send, 200, headers)
                return
            await self._start(send, 200, headers)
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _begin(self, name: str, query: dict[str, str], receive: Receive, send: Send) -> None:
        mount = query.get("mount", "")
        if _DIGEST.fullmatch(mount) and self.layer(mount).exists():
            os.utime(self.layer(mount))  # young again: its manifest is still to come
            await self._created(send, name, mount)
            return
        upload = str(uuid.uuid4())
        path = self._uploads / upload
        path.touch(mode=0o600)
        if "digest" in query:
            await self._complete(name, path, query, receive, send)
            return
        await self._accepted(send, 202, name, path)

    async def _upload_request(self, method: str, name: str, upload: str, query: dict[str, str],
                              receive: Receive, send: Send) -> None:  # fmt: skip
        path = self._uploads / upload
        if not path.exists():
            raise RegistryError(404, "BLOB_UPLOAD_UNKNOWN", f"the upload {upload} is not known")
        if method == "PATCH":
            await self._append(path, receive)
            await self._accepted(send, 202, name, path)
        elif method == "PUT":
            await self._complete(name, path, query, receive, send)
        elif method == "GET":
            await self._accepted(send, 204, name, path)
        elif method == "DELETE":
            path.unlink(missing_ok=True)
            await self._answer(send, 204, {})
        else:
            raise RegistryError(405, "UNSUPPORTED", f"{method} is not allowed here")

    @staticmethod
    async def _append(path: Path, receive: Receive) -> None:
        with path.open("ab") as file:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RegistryError(400, "BLOB_UPLOAD_INVALID", "the client went away during the upload")
                if body := message.get("body"):
                    await asyncio.to_thread(file.write, body)
                more = message.get("more_body", False)

    async def _complete(
        self, name: str, path: Path, query: dict[str, str], receive: Receive, send: Send
    ) -> None:
        await self._append(path, receive)
        wanted = query.get("digest", "")
        found = "sha256:" + await asyncio.to_thread(_sha256, path)
        if wanted != found:
            path.unlink(missing_ok=True)
            raise RegistryError(
                400, "DIGEST_INVALID", f"the upload has digest {found}, announced was {wanted!r}"
            )
        os.replace(path, self.layer(found))
        os.utime(self.layer(found))
        await self._created(send, name, found)

    async def _created(self, send: Send, name: str, digest: str) -> None:
        await self._answer(
            send, 201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
        )

    async def _accepted(self, send: Send, status: int, name: str, path: Path) -> None:
        last = max(0, path.stat().st_size - 1)
        await self._answer(send, status, {"Location": f"/v2/{name}/blobs/uploads/{path.name}",
                                          "Range": f"0-{last}", "Docker-Upload-UUID": path.name})  # fmt: skip

    @staticmethod
    async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
        every = {"Docker-Distribution-API-Version": "registry/2.0", **headers}
        encoded = [(key.lower().encode(), value.encode()) for key, value in every.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})

    async def _answer(self, send: Send, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        if status != 204:
            headers = {"Content-Length": str(len(body)), **headers}
        await self._start(send, status, headers)
        await send({"type": "http.response.body", "body": body})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
