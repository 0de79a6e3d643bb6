"""What a data source is, and which one a URL means."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from covid.models import HashFile

NAMES = {
    HashFile.CONFIRMED: "time_series_covid19_confirmed_US.csv",
    HashFile.DEATHS: "time_series_covid19_deaths_US.csv",
}
"""Kind of a file -> its name in every source."""

MAX_FILE = 64 * 1024 * 1024
MAX_LIST = 8 * 1024 * 1024
"""Bytes of a data file (the largest of JHU's has 14 MB) and of a list of versions."""
SHA = re.compile(r"[0-9a-f]{40}")


class DataError(Exception):
    """The source is down, slow or sends something else; one line that says what and where."""


@dataclass(frozen=True)
class Version:
    """A commit of the source."""

    hash: str
    date: datetime

    def __str__(self) -> str:
        return f"{self.hash[:12]} of {self.date:%Y-%m-%d}"


class DataSource(Protocol):
    def versions(self) -> Iterator[Version]:
        """Newest first; further pages are fetched as they are needed. Raises ``DataError``."""

    def fetch(self, version: Version, folder: Path) -> dict[str, Path] | None:
        """Both files as of that commit, by kind; None when the commit has none of them yet."""


def open_source(url: str, *, token: str = "", region: str = "", timeout_s: float = 20) -> DataSource:
    """The source of ``url``. Raises ``DataError`` when it is none."""
    from covid.data.folders import BucketSource, FolderSource
    from covid.data.git_host import GitHost

    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path and parts.netloc in ("", "localhost"):
        return FolderSource(Path(parts.path))
    if parts.scheme == "s3" and parts.netloc:
        return BucketSource(parts.netloc, parts.path.strip("/"), region)
    if parts.scheme in ("https", "http"):
        return GitHost(url, token=token, timeout_s=timeout_s)
    raise DataError(
        f"data source {url!r} is none; allowed: https://<Git host's API>/repos/<owner>/<name>[?path=...], "
        "file:///folder, s3://bucket/prefix"
    )


def version_of(sha: Any, date: Any, where: str) -> Version:
    """A checked version; ``date`` is ISO 8601 with its zone."""
    if not isinstance(sha, str) or not SHA.fullmatch(sha):
        raise DataError(f"{where}: {str(sha)[:60]!r} is no commit id of 40 characters 0-9a-f")
    try:
        moment = datetime.fromisoformat(str(date).replace("Z", "+00:00"))
    except ValueError as error:
        raise DataError(f"{where}: commit {sha[:12]} has the date {str(date)[:40]!r}") from error
    if moment.tzinfo is None:
        raise DataError(f"{where}: the date of commit {sha[:12]} has no zone")
    return Version(sha, moment.astimezone(UTC))
