"""Where requests, data, checkpoints and outputs live: one S3 bucket, or a folder for local runs."""

import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from projections_model.errors import ModelError

_TYPES = {".json": "application/json", ".csv": "text/csv; charset=utf-8", ".npz": "application/octet-stream"}


class Storage(Protocol):
    """All that the model needs. Keys are as in the bucket: ``runs/<run id>/output.json``."""

    def read(self, key: str) -> bytes | None:
        """``None``: there is no such object."""

    def write(self, key: str, content: bytes) -> None:
        """All of it or nothing: nobody ever reads half an object."""

    def list(self, prefix: str) -> list[str]:
        """Keys that begin with ``prefix``, in order."""

    def delete(self, key: str) -> None: ...


class FolderStorage:
    """Objects are files below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def read(self, key: str) -> bytes | None:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, key: str, content: bytes) -> None:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
            file.write(content)
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)

    def list(self, prefix: str) -> list[str]:
        folder = self._path(prefix.rpartition("/")[0] or ".")
        found = (path.relative_to(self.root).as_posix() for path in folder.rglob("*") if path.is_file())
        return sorted(key for key in found if key.startswith(prefix) and "/.new-" not in key)

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        path = (self.root / key).resolve()
        if not path.is_relative_to(self.root):
            raise ModelError(f"{key!r} leads outside of the folder")
        return path


class S3Storage:
    """Objects of one bucket, with the credentials of the task's role."""

    def __init__(self, bucket: str, client: Any = None) -> None:
        self.bucket = bucket
        self._client = client if client is not None else aws_client("s3")

    def read(self, key: str) -> bytes | None:
        from botocore.exceptions import ClientError

        try:
            content: bytes = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                return None
            raise
        return content

    def write(self, key: str, content: bytes) -> None:
        kind = _TYPES.get(PurePosixPath(key).suffix, "application/octet-stream")
        self._client.put_object(Bucket=self.bucket, Key=key, Body=content, ContentType=kind)

    def list(self, prefix: str) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.bucket, Key=key)


def aws_client(service: str) -> Any:
    """A boto3 client that gives up soon enough for the two minutes after a Spot warning."""
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "max_attempts": 5}
    return boto3.client(service, config=Config(retries=retries, connect_timeout=5, read_timeout=20))


def is_transient(error: BaseException) -> bool:
    """Whether ``error`` comes from the way to AWS, not from the run: another attempt may well succeed."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(error.response.get("Error", {}).get("Code", ""))
        busy = code in ("SlowDown", "ProvisionedThroughputExceededException") or "Throttl" in code
        return status >= 500 or busy
    return isinstance(error, BotoCoreError)
