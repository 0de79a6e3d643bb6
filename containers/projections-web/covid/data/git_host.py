"""A repository behind a Git host's REST API: commits by page, files as of a commit, checked by Git's own id.

Sources: https://docs.github.com/en/rest/commits/commits, https://docs.github.com/en/rest/repos/contents.
"""

import hashlib
import ipaddress
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import requests
from urllib3.exceptions import HTTPError

from covid.data.sources import MAX_FILE, MAX_LIST, NAMES, SHA, DataError, Version, version_of

FOLDER = "csse_covid_19_data/csse_covid_19_time_series"
"""Where JHU CSSE has them; ``?path=`` says another."""
PER_PAGE = 100
MAX_PAGES = 1000
TRIES = 3
PAUSE_S = 0.5
JSON = "application/vnd.github+json"
RAW = "application/vnd.github.raw+json"


class GitHost:
    """``url`` is the repository's: ``https://api.github.com/repos/<owner>/<name>[?path=<folder>]``."""

    def __init__(self, url: str, *, token: str = "", timeout_s: float = 20) -> None:
        parts = urlsplit(url)
        if parts.scheme == "http" and not _is_near(parts.hostname or ""):
            raise DataError(f"data source {url!r}: http is for this machine and private networks; use https")
        if not parts.hostname or "/repos/" not in parts.path or parts.username or parts.fragment:
            raise DataError(
                f"data source {url!r}: expected https://<host>/.../repos/<owner>/<name>[?path=...]"
            )
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.folder = parse_qs(parts.query).get("path", [FOLDER])[0].strip("/")
        self.timeout_s = timeout_s
        self._session = requests.Session()
        self._session.trust_env = False  # no .netrc: what is sent is what is said here
        self._session.headers["User-Agent"] = "projections-web"
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def versions(self) -> Iterator[Version]:
        seen: set[str] = set()
        for page in range(1, MAX_PAGES + 1):
            query = f"path={quote(self.folder)}&per_page={PER_PAGE}&page={page}"
            items, headers = self._json(f"/commits?{query}")
            if not isinstance(items, list):
                raise DataError(f"{self.url}/commits: not a list of commits")
            for item in items:
                version = self._version(item)
                if version.hash in seen:
                    raise DataError(f"{self.url}/commits: page {page} repeats commit {version.hash[:12]}")
                seen.add(version.hash)
                yield version
            link = headers.get("Link")
            if not items or (('rel="next"' not in link) if link else len(items) < PER_PAGE):
                return
        raise DataError(f"{self.url}/commits: more than {MAX_PAGES} pages")

    def fetch(self, version: Version, folder: Path) -> dict[str, Path] | None:
        entries = self._entries(version)
        if not any(name in entries for name in NAMES.values()):
            return None
        paths = {}
        for kind, name in NAMES.items():
            where = f"{name} of {version}"
            if name not in entries:
                raise DataError(f"{where}: not in that commit")
            entry = entries[name]
            if not isinstance(entry.get("sha"), str) or not SHA.fullmatch(entry["sha"]):
                raise DataError(f"{where}: the host gives no blob id")
            path = f"/contents/{quote(f'{self.folder}/{name}')}?ref={version.hash}"
            content, _ = self._get(path, RAW, MAX_FILE)
            # Git's id of a file's content: a cut or changed one has another (git help hash-object).
            found = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            if found != entry["sha"]:
                raise DataError(f"{where}: checksum is {found[:12]}, the commit has {entry['sha'][:12]}")
            paths[kind] = folder / f"{kind}.csv"
            paths[kind].write_bytes(content)
        return paths

    def _entries(self, version: Version) -> dict[str, Mapping[str, Any]]:
        """Name -> entry of the folder at that commit; empty when it wasn't there."""
        items, _ = self._json(f"/contents/{quote(self.folder)}?ref={version.hash}", missing=[])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise DataError(f"{self.folder} of {version}: not a list of files")
        return {str(item.get("name")): item for item in items}

    def _version(self, item: Any) -> Version:
        where = f"{self.url}/commits"
        try:
            return version_of(item["sha"], item["commit"]["committer"]["date"], where)
        except (KeyError, TypeError) as error:
            raise DataError(f"{where}: an entry without sha and commit.committer.date") from error

    def _json(self, path: str, missing: Any = None) -> tuple[Any, Mapping[str, str]]:
        content, headers = self._get(path, JSON, MAX_LIST, missing_ok=missing is not None)
        if content is None:
            return missing, headers
        try:
            return json.loads(content), headers
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.url}{path.split('?')[0]}: not JSON") from error

    def _get(
        self, path: str, accept: str, limit: int, *, missing_ok: bool = False
    ) -> tuple[Any, Mapping[str, str]]:
        """Body and headers. What may pass (no connection, 5xx, slow) is tried again, within bounds."""
        where = f"{self.url}{path.split('?')[0]}"
        for left in reversed(range(TRIES)):
            try:
                status, headers, content = self._once(path, accept, limit, where)
            except (requests.RequestException, HTTPError, OSError) as error:
                if left:
                    time.sleep(PAUSE_S * (TRIES - left))
                    continue
                slow = isinstance(error, (requests.Timeout, TimeoutError))
                what = f"no answer within {self.timeout_s:g} s" if slow else "no connection, or it broke"
                raise DataError(f"{where}: {what} ({TRIES} tries)") from error
            if status == 200:
                return content, headers
            if status == 404 and missing_ok:
                return None, headers
            if status >= 500 and left:
                time.sleep(PAUSE_S * (TRIES - left))
                continue
            raise DataError(f"{where}: {_refusal(status, headers)}")
        raise AssertionError("unreachable")

    def _once(self, path: str, accept: str, limit: int, where: str) -> tuple[int, Mapping[str, str], bytes]:
        deadline = time.monotonic() + 6 * self.timeout_s  # for one that sends a byte now and then
        with self._session.get(
            f"{self.url}{path}", headers={"Accept": accept}, timeout=(min(5, self.timeout_s), self.timeout_s),
            stream=True, allow_redirects=False,
        ) as response:  # fmt: skip
            parts, size = [], 0
            # read1 returns what is there: iter_content would wait for a whole block of a source that drips.
            while part := response.raw.read1(65536, decode_content=True):
                parts.append(part)
                size += len(part)
                if size > limit:
                    raise DataError(f"{where}: larger than {limit} bytes")
                if time.monotonic() > deadline:
                    raise DataError(f"{where}: not complete after {6 * self.timeout_s:g} s")
            return response.status_code, response.headers, b"".join(parts)


def _refusal(status: int, headers: Mapping[str, str]) -> str:
    if status in (403, 429) and headers.get("X-RateLimit-Remaining", "0") == "0":
        return f"answered {status}: its rate limit is used up; wait, or set DATA_SOURCE_TOKEN"
    if 300 <= status < 400:
        return f"answered {status}: moved to {str(headers.get('Location'))[:200]}; use that address"
    return f"answered {status}"


def _is_near(host: str) -> bool:
    """This machine, or a private address: nobody between who could change the data."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_private
    except ValueError:
        return False
