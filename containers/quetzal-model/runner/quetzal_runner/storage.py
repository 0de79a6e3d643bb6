"""Where scenarios live: an S3 bucket, or a folder for local runs. Keys are ``<scenario>/<path>``."""

import os
import shutil
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from quetzal_runner.errors import AccessDenied, RunnerError, ScenarioNotFound

WORKERS = 8
"""Transfers at a time; also the size of the connection pool."""
_DENIED = {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403", "Forbidden"}
_MULTIPART_BYTES = 64 * 1024 * 1024


class Storage(Protocol):
    """All that the runner needs. Every method raises :class:`AccessDenied` when it is refused."""

    def describe(self, key: str) -> str:
        """How to name ``key`` to a user."""

    def list(self, prefix: str) -> list[str]:
        """Every key below ``prefix`` (ends with a slash). :class:`ScenarioNotFound`: there is no bucket."""

    def download(self, key: str, target: Path) -> None: ...

    def upload(self, source: Path, key: str) -> None: ...

    def write(self, key: str, content: bytes, content_type: str) -> None: ...


def inside(root: Path, relative: str) -> Path:
    """``root/relative``; :class:`RunnerError` if that would lie outside ``root``."""
    parts = PurePosixPath(relative).parts
    path = root.joinpath(*parts)
    safe = parts and not relative.startswith("/") and ".." not in parts
    if not safe or not path.resolve().is_relative_to(root.resolve()):
        raise RunnerError(f"object name {relative!r} leads outside of the scenario's folder")
    return path


class FolderStorage:
    """Scenarios are folders below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def describe(self, key: str) -> str:
        return str(self.root / key)

    def list(self, prefix: str) -> list[str]:
        folder = inside(self.root, prefix)
        files = (path for path in folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.root).as_posix() for path in files)

    def download(self, key: str, target: Path) -> None:
        self._guard("read", key, lambda: shutil.copyfile(inside(self.root, key), target))

    def upload(self, source: Path, key: str) -> None:
        def copy() -> None:
            target = inside(self.root, key)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

        self._guard("write", key, copy)

    def write(self, key: str, content: bytes, content_type: str) -> None:
        def put() -> None:
            target = inside(self.root, key)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

        self._guard("write", key, put)

    def _guard(self, action: str, key: str, work: Any) -> None:
        try:
            work()
        except PermissionError as error:
            raise AccessDenied(f"may not {action} {self.describe(key)} (user id {os.getuid()})") from error


class S3Storage:
    """Scenarios are prefixes of one bucket."""

    def __init__(self, bucket: str, client: Any = None) -> None:
        self.bucket = bucket
        self._client = client if client is not None else _s3_client()

    def describe(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def list(self, prefix: str) -> list[str]:
        def pages() -> list[str]:
            found = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [item["Key"] for page in found for item in page.get("Contents", [])]

        keys: list[str] = self._guard("s3:ListBucket", prefix, pages)
        return keys

    def download(self, key: str, target: Path) -> None:
        def fetch() -> None:
            body = self._client.get_object(Bucket=self.bucket, Key=key)["Body"]
            with target.open("wb") as file:
                shutil.copyfileobj(body, file, 1024 * 1024)

        self._guard("s3:GetObject", key, fetch)

    def upload(self, source: Path, key: str) -> None:
        def send() -> None:
            with source.open("rb") as file:
                if source.stat().st_size < _MULTIPART_BYTES:
                    self._client.put_object(Bucket=self.bucket, Key=key, Body=file, **_described(key))
                else:
                    self._client.upload_fileobj(file, self.bucket, key, ExtraArgs=_described(key))

        self._guard("s3:PutObject", key, send)

    def write(self, key: str, content: bytes, content_type: str) -> None:
        def put() -> None:
            self._client.put_object(Bucket=self.bucket, Key=key, Body=content, ContentType=content_type)

        self._guard("s3:PutObject", key, put)

    def _guard(self, action: str, key: str, work: Any) -> Any:
        from botocore.exceptions import ClientError

        try:
            return work()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            text = str(error.response.get("Error", {}).get("Message", ""))
            if code in _DENIED:
                raise AccessDenied(f"{action} on {self.describe(key)} was refused: {text or code}") from error
            if code == "NoSuchBucket":
                message = f"bucket {self.bucket!r} doesn't exist (looking for {key!r})"
                raise ScenarioNotFound(message) from error
            raise


def from_environment() -> Storage:
    """``LOCAL_SCENARIOS`` (a folder) wins over ``BUCKET_NAME``; one of them must be set."""
    folder = os.environ.get("LOCAL_SCENARIOS")
    if folder:
        return FolderStorage(Path(folder))
    bucket = os.environ.get("BUCKET_NAME")
    if not bucket:
        raise RunnerError("BUCKET_NAME (or LOCAL_SCENARIOS, a folder with scenarios) must be set")
    return S3Storage(bucket)


def _s3_client() -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=5,
        max_pool_connections=WORKERS + 4,
    )
    return boto3.client("s3", config=config)


LOG_TAG = "kind=log"
"""On every log: an expiry rule can't say "logs/ of any scenario" by prefix, but it can by tag."""


def _described(key: str) -> dict[str, str]:
    """Content type of an object, and the tag of a log (``<scenario>/logs/...``)."""
    types = {
        ".geojson": "application/geo+json",
        ".json": "application/json",
        ".csv": "text/csv; charset=utf-8",
        ".txt": "text/plain; charset=utf-8",
        ".png": "image/png",
        ".html": "text/html; charset=utf-8",
    }
    path = PurePosixPath(key)
    found = types.get(path.suffix)
    content_type = {"ContentType": found} if found else {}
    return content_type | ({"Tagging": LOG_TAG} if path.parts[1:2] == ("logs",) else {})
