"""Sources that are copies: a folder, or a bucket's prefix, with ``commits.json`` and a folder a commit."""

import json
from collections.abc import Iterator
from pathlib import Path

from covid.data.sources import MAX_FILE, MAX_LIST, NAMES, DataError, Version, version_of

INDEX = "commits.json"


class _Copies:
    """What both have in common: only reading one file differs."""

    where: str

    def read(self, name: str, limit: int) -> bytes:
        raise NotImplementedError

    def versions(self) -> Iterator[Version]:
        where = f"{self.where}/{INDEX}"
        try:
            items = json.loads(self.read(INDEX, MAX_LIST))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not JSON") from error
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise DataError(f'{where}: not a list of {{"sha", "date"}}')
        found = [version_of(item.get("sha"), item.get("date"), where) for item in items]
        if len({version.hash for version in found}) < len(found):
            raise DataError(f"{where}: a commit is listed twice")
        yield from sorted(found, key=lambda version: version.date, reverse=True)

    def fetch(self, version: Version, folder: Path) -> dict[str, Path]:
        paths = {}
        for kind, name in NAMES.items():
            paths[kind] = folder / f"{kind}.csv"
            paths[kind].write_bytes(self.read(f"{version.hash}/{name}", MAX_FILE))
        return paths


class FolderSource(_Copies):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.where = f"file://{folder}"

    def read(self, name: str, limit: int) -> bytes:
        try:
            with (self.folder / name).open("rb") as file:
                content = file.read(limit + 1)
        except OSError as error:
            raise DataError(f"{self.where}/{name}: {error.strerror}") from error
        return _bounded(content, limit, f"{self.where}/{name}")


class BucketSource(_Copies):
    def __init__(self, bucket: str, prefix: str, region: str) -> None:
        self.bucket, self.prefix, self.region = bucket, prefix, region
        self.where = f"s3://{bucket}/{prefix}".rstrip("/")
        self._client = None

    def read(self, name: str, limit: int) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        from covid.runner.cloud import clients

        where = f"{self.where}/{name}"
        try:
            self._client = self._client or clients(self.region)["s3"]
            found = self._client.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}".lstrip("/"))
            with found["Body"] as body:
                content = body.read(limit + 1)
        except ClientError as error:
            raise DataError(f"{where}: S3 refused it with {error.response['Error']['Code']}") from error
        except (BotoCoreError, OSError) as error:
            raise DataError(f"{where}: S3 doesn't answer ({type(error).__name__})") from error
        return _bounded(content, limit, where)


def _bounded(content: bytes, limit: int, where: str) -> bytes:
    if len(content) > limit:
        raise DataError(f"{where}: larger than {limit} bytes")
    return content
