"""Copying a scenario's files between a folder and the bucket, by content and in parallel.

What a scenario holds in the bucket: ``inputs/...`` and whatever else its author put there. What runs
write (``outputs/``, ``logs/``, ``model/``, ``info.json``) and ``.lock``, written by ``scenario lock``, are
never sent and never deleted by an upload.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from lambdas.quetzal_api.runs import SCENARIO
from ops.common.errors import error_code, invalid, not_found

T = TypeVar("T")

THREADS = 12
LOCK = ".lock"
RUN_FOLDERS = ("outputs/", "logs/", "model/")
RUN_MADE = ("info.json", "status.json", LOCK)
"""With ``RUN_FOLDERS`` what belongs to runs and locks; in ``model/`` steps leave things for the next."""
JUNK = {".DS_Store", "Thumbs.db", ".gitkeep", ".gitignore", "desktop.ini"}
JUNK_FOLDERS = {".git", "__pycache__", ".ipynb_checkpoints", ".idea", ".vscode"}
SECRET_LIKE = re.compile(
    r"^(\.env(\..*)?|.*\.env|id_(rsa|dsa|ecdsa|ed25519)|.*\.(pem|key|p12|pfx|kdbx|jks|ppk)|credentials(\..*)?"
    r"|\.netrc|\.pgpass|\.npmrc|\.pypirc|\.aws|\.ssh|secrets?\.(json|ya?ml|toml|txt|ini))$",
    re.IGNORECASE,
)
"""Names that hold secrets by convention; a scenario is readable by every user of the model."""

PART = 16 * 1024 * 1024
TRANSFER = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, use_threads=False)
"""Files are sent in parallel, so the parts of one file aren't."""


@dataclass(frozen=True)
class Stored:
    """An object of a scenario: ``path`` is relative to the scenario, ``size`` in octets."""

    path: str
    size: int
    etag: str
    modified: datetime


def is_run_made(path: str) -> bool:
    """Whether a path of a scenario was written by runs or locks."""
    return path in RUN_MADE or path.startswith(RUN_FOLDERS)


def stored(s3: Any, bucket: str, scenario: str, under: str = "") -> dict[str, Stored]:
    """All objects of a scenario by relative path; the slash keeps ``base2/`` out of ``base``."""
    prefix = f"{scenario}/"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + under)
    found = {}
    for page in pages:
        for item in page.get("Contents", []):
            path = item["Key"][len(prefix) :]
            if path and not path.endswith("/"):  # consoles make empty "folder" objects
                found[path] = Stored(path, int(item["Size"]), item["ETag"].strip('"'), item["LastModified"])
    return found


def local_files(folder: Path) -> dict[str, Path]:
    """The files of a local scenario by relative path, junk and what runs made left out.

    Raises ``OpsError``: NOT_FOUND for a missing folder; INVALID when it isn't a folder, has nothing in
    ``inputs/``, holds a secret-like file, or a link leads out of it.
    """
    if not folder.exists():
        raise not_found(f"{folder}: no such folder")
    if not folder.is_dir():
        raise invalid(f"{folder} is a file; give the scenario's folder, the one that holds inputs/")
    root = folder.resolve()
    found: dict[str, Path] = {}
    secrets: list[str] = []
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in JUNK_FOLDERS)
        here = Path(parent)
        secrets += [str((here / name).relative_to(root)) + "/" for name in folders if SECRET_LIKE.match(name)]
        for name in sorted(files):
            path = here / name
            relative = path.relative_to(root).as_posix()
            if SECRET_LIKE.match(name):
                secrets.append(relative)
            elif name not in JUNK and not is_run_made(relative):
                if not path.resolve().is_relative_to(root):
                    raise invalid(f"{folder}: {relative} is a link that leads out of the folder")
                if not path.is_file():
                    raise invalid(f"{folder}: {relative} is a broken link or no regular file")
                found[relative] = path
    if secrets:
        raise invalid(
            f"{folder} holds files that look like secrets, and every user of the model can read a scenario: "
            f"{', '.join(sorted(secrets))}; move them out"
        )
    if not any(path.startswith("inputs/") for path in found):
        inside = (
            "it is empty"
            if not found
            else f"it holds {', '.join(sorted({p.split('/')[0] for p in found})[:5])}"
        )
        raise invalid(f"{folder} has no file under inputs/ ({inside}); a scenario keeps its files in inputs/")
    return found


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def etag_of(path: Path, part: int = PART) -> str:
    """The ETag that S3 gives this file when sent by us without a KMS key: MD5, or MD5 of parts' MD5s."""
    octets = path.stat().st_size
    with path.open("rb") as file:
        if octets < part:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        sums = [
            hashlib.md5(block, usedforsecurity=False).digest() for block in iter(lambda: file.read(part), b"")
        ]
    return f"{hashlib.md5(b''.join(sums), usedforsecurity=False).hexdigest()}-{len(sums)}"


@dataclass(frozen=True)
class Plan:
    """What an upload does: paths sent, left as they are, and deleted; ``octets`` to send."""

    send: tuple[str, ...]
    same: tuple[str, ...]
    delete: tuple[str, ...]
    octets: int


def plan_upload(
    local: Mapping[str, Path],
    remote: Mapping[str, Stored],
    delete: bool,
    sha_of_remote: Callable[[str], str | None],
) -> Plan:
    """Compare by content: size, then ETag, then (encrypted with a KMS key, sent by others) our checksum.

    ``sha_of_remote`` gives the checksum an object was uploaded with; asked only for objects of equal
    size and another ETag. Deleted are ``inputs/`` objects that are not in the folder, when asked.
    """
    send: list[str] = []
    same: list[str] = []
    for path, file in local.items():
        there = remote.get(path)
        if there is None or there.size != file.stat().st_size:
            send.append(path)
        elif there.etag == etag_of(file) or sha_of_remote(path) == sha256(file):
            same.append(path)
        else:
            send.append(path)
    stale = [path for path in remote if path.startswith("inputs/") and path not in local] if delete else []
    return Plan(tuple(send), tuple(same), tuple(sorted(stale)), sum(local[p].stat().st_size for p in send))


def upload(
    s3: Any, bucket: str, scenario: str, local: Mapping[str, Path], plan: Plan, done: Callable[[int], None]
) -> None:
    """Send ``plan.send``, then delete ``plan.delete``; ``done`` gets octets as they go."""

    def one(path: str) -> None:
        s3.upload_file(
            str(local[path]), bucket, f"{scenario}/{path}", Config=TRANSFER, Callback=done,
            ExtraArgs={"Metadata": {"sha256": sha256(local[path])}},
        )  # fmt: skip

    in_parallel(one, plan.send)
    remove(s3, bucket, [f"{scenario}/{path}" for path in plan.delete])


def remote_sha(s3: Any, bucket: str, scenario: str) -> Callable[[str], str | None]:
    """The checksum that an object carries from its upload, ``None`` when it has none."""

    def ask(path: str) -> str | None:
        found = s3.head_object(Bucket=bucket, Key=f"{scenario}/{path}").get("Metadata", {}).get("sha256")
        return None if found is None else str(found)

    return ask


def copy(s3: Any, bucket: str, source: str, target: str, paths: Iterable[str]) -> None:
    """Copy objects inside the bucket, without passing them through this machine."""

    def one(path: str) -> None:
        s3.copy({"Bucket": bucket, "Key": f"{source}/{path}"}, bucket, f"{target}/{path}", Config=TRANSFER)

    in_parallel(one, list(paths))


def download(
    s3: Any, bucket: str, scenario: str, objects: Sequence[Stored], folder: Path, done: Callable[[int], None],
    strip: str = "",
) -> list[Path]:  # fmt: skip
    """Fetch objects into ``folder`` (their names without ``strip``); a file appears only when complete."""
    root = folder.resolve()
    places = [root / item.path.removeprefix(strip) for item in objects]
    outside = [
        item.path
        for item, place in zip(objects, places, strict=True)
        if not place.resolve().is_relative_to(root)
    ]
    if outside:
        raise invalid(f"the bucket holds names that lead out of {folder}: {', '.join(outside[:3])}")

    def one(pair: tuple[Stored, Path]) -> None:
        item, place = pair
        place.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, f"{scenario}/{item.path}", str(place), Config=TRANSFER, Callback=done)

    in_parallel(one, list(zip(objects, places, strict=True)))
    return places


def remove(s3: Any, bucket: str, keys: Sequence[str]) -> None:
    """Delete objects, a thousand a call; on a versioned bucket their versions stay."""
    for start in range(0, len(keys), 1000):
        batch = keys[start : start + 1000]
        answer = s3.delete_objects(
            Bucket=bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
        )
        for failed in answer.get("Errors", []):
            raise ClientError({"Error": failed}, "DeleteObjects")


def read_text(s3: Any, bucket: str, key: str) -> str | None:
    """An object as text, ``None`` when there is none."""
    try:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error_code(error) in {"NoSuchKey", "404"}:
            return None
        raise
    return body.decode("utf-8", "replace")


def in_parallel(action: Callable[[T], None], items: Sequence[T]) -> None:
    """``action`` on each item in threads; the first error stops what hasn't begun and is raised."""
    if not items:
        return
    with ThreadPoolExecutor(max_workers=min(THREADS, len(items))) as pool:
        futures = [pool.submit(action, item) for item in items]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def scenarios_in(s3: Any, bucket: str) -> Iterator[str]:
    """Names of the scenarios of a bucket: its top-level prefixes, ``_common/`` and the like left out."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Delimiter="/")
    for page in pages:
        for item in page.get("CommonPrefixes", []):
            name = item["Prefix"].rstrip("/")
            if SCENARIO.fullmatch(name):
                yield name
