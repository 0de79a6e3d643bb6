"""Load versions of the data: all is fetched and checked, then the database changes once, or not at all."""

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.core.files import File
from django.core.files.storage import Storage
from django.db import connection, transaction

from covid.data import jhu
from covid.data.sources import DataError, DataSource, Version
from covid.models import County, HashFile, HashValue, State, data_files
from covid.runner.document import data_key

log = logging.getLogger(__name__)

LOCK = 0x70726F6A  # "proj": one load at a time, since a failed one removes the files it stored


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was added; ``without`` counts commits that don't have the files."""

    versions: tuple[Version, ...]
    without: int = 0


@dataclass(frozen=True, kw_only=True)
class _Fetched:
    version: Version
    summary: jhu.Summary
    files: tuple[HashFile, ...]


def add(source: DataSource, *, everything: bool = False, limit: int | None = None) -> Loaded:
    """Add what is new, newest first until a known version; ``everything``: also what is missing before it.

    Raises ``DataError``; the database and the stored files are then as they were.
    """
    with _alone():
        known = set(HashValue.objects.values_list("hash", flat=True))
        wanted, listed = _wanted(source, known, everything, limit)
        if not listed:
            raise DataError("the data source has no versions")
        storage = data_files()
        fetched: list[_Fetched] = []
        without = 0
        stored: list[str] = []
        try:
            for number, version in enumerate(wanted, 1):
                found = _fetch(source, version, storage, stored)
                if found is None:
                    without += 1
                else:
                    fetched.append(found)
                    log.info("fetched %s (%d of %d)", version, number, len(wanted))
            if without and not fetched and not known:
                raise DataError(f"none of the {without} versions has the files")
            with transaction.atomic():
                _write(fetched)
        except BaseException:
            _remove(storage, stored)
            raise
    return Loaded(versions=tuple(item.version for item in fetched), without=without)


def delete_all() -> int:
    """Forget every version and its files; runs and places stay. How many there were."""
    with _alone():
        with transaction.atomic():
            names = list(HashFile.objects.values_list("file", flat=True))
            count = HashValue.objects.count()
            HashValue.objects.all().delete()
        _remove(data_files(), names)
    return count


def _wanted(
    source: DataSource, known: set[str], everything: bool, limit: int | None
) -> tuple[list[Version], bool]:
    """What to fetch, and whether the source lists anything."""
    wanted: list[Version] = []
    listed = False
    for version in source.versions():
        listed = True
        if version.hash not in known:
            wanted.append(version)
        elif not everything:
            break
        if limit is not None and len(wanted) >= limit:
            break
    return wanted, listed


def _fetch(source: DataSource, version: Version, storage: Storage, stored: list[str]) -> _Fetched | None:
    """Fetch, check and store the files of one version: all of them together may not fit on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        paths = source.fetch(version, Path(folder))
        if paths is None:
            return None
        try:
            summary = jhu.check(paths[HashFile.CONFIRMED], paths[HashFile.DEATHS])
        except DataError as error:
            raise DataError(f"{version}: {error}") from error
        return _Fetched(
            version=version,
            summary=summary,
            files=tuple(_store(storage, version, kind, path, stored) for kind, path in sorted(paths.items())),
        )


def _store(storage: Storage, version: Version, kind: str, path: Path, stored: list[str]) -> HashFile:
    key = data_key(version.hash, kind)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        stored.append(key)
        try:
            name = storage.save(key, File(file))
        except Exception as error:  # whatever the storage is made of
            raise DataError(f"{key} can't be stored: {type(error).__name__}") from error
    if name != key:
        stored.append(name)
        raise DataError(f"{key} would be stored as {name}: the storage must overwrite")
    return HashFile(kind=kind, file=key, sha256=sha256, size=path.stat().st_size)


def _write(fetched: list[_Fetched]) -> None:
    if not fetched:
        return
    newest_known = HashValue.objects.order_by("-date", "-id").first()
    for item in fetched:
        value = HashValue.objects.create(
            hash=item.version.hash,
            date=item.version.date,
            last_day=item.summary.last_day,
            counties=len(item.summary.places),
        )
        for file in item.files:
            file.hash = value
            file.save()
    newest = max(fetched, key=lambda item: item.version.date)
    if newest_known is None or newest.version.date >= newest_known.date or not County.objects.exists():
        _write_places(newest.summary)


def _write_places(summary: jhu.Summary) -> None:
    """Counties of the states that the site knows; those of others (cruise ships, islands) aren't offered."""
    states = {state.name: state for state in State.objects.all()}
    counties = [
        County(state=states[place.state], name=place.county, population=place.population)
        for place in summary.places
        if place.state in states
    ]
    if len(counties) < jhu.LEAST_COUNTIES:
        raise DataError(f"{len(counties)} counties of known states; expected at least {jhu.LEAST_COUNTIES}")
    County.objects.bulk_create(
        counties,
        batch_size=500,
        update_conflicts=True,
        unique_fields=("state", "name"),
        update_fields=("population",),
    )


def _remove(storage: Storage, names: list[str]) -> None:
    for name in names:
        try:
            storage.delete(name)
        except Exception as error:  # a file left over does no harm: it is overwritten when it comes again
            log.warning("%s can't be removed: %s", name, type(error).__name__)


@contextmanager
def _alone() -> Iterator[None]:
    """Hold PostgreSQL's advisory lock, which ends with the connection at the latest. SQLite is for tests."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            raise DataError("another addhashes is under way: wait for it")
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
