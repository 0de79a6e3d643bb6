"""``manage.py addhashes``: load versions of the case data, or forget them."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from covid.data import load
from covid.data.sources import DataError, open_source


class Command(BaseCommand):
    help = "Load new versions of the case data from DATA_SOURCE, newest first until a known one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--all", action="store_true", help="every version: needed the first time")
        which.add_argument("--delete", action="store_true", help="forget all versions and their files")
        parser.add_argument("--source", default=settings.DATA_SOURCE, help="another source than DATA_SOURCE")
        parser.add_argument("--limit", type=int, help="at most so many, the newest ones")
        parser.add_argument("--timeout", type=float, default=20, help="seconds to wait for the source (20)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["limit"] is not None and options["limit"] < 1:
            raise CommandError(f"--limit is {options['limit']}; allowed: from 1")
        if not 0 < options["timeout"] <= 600:
            raise CommandError(f"--timeout is {options['timeout']:g}; allowed: up to 600 seconds")
        try:
            self.stdout.write(self._delete() if options["delete"] else self._add(**options))
        except DataError as error:
            raise CommandError(f"nothing was changed: {error}") from error
        except DatabaseError as error:
            what = str(error).strip().splitlines()
            raise CommandError(
                f"nothing was changed: the database: {what[0] if what else error!r}"
            ) from error

    def _add(self, **options: Any) -> str:
        if not options["source"]:
            raise CommandError("no data source: set DATA_SOURCE, or give --source")
        source = open_source(
            options["source"],
            token=settings.DATA_SOURCE_TOKEN if options["source"] == settings.DATA_SOURCE else "",
            region=settings.AWS_REGION,
            timeout_s=options["timeout"],
        )
        loaded = load.add(source, everything=options["all"], limit=options["limit"])
        note = f" ({loaded.without} versions without the files)" if loaded.without else ""
        if not loaded.versions:
            return f"nothing new{note}"
        newest = max(loaded.versions, key=lambda version: version.date)
        return f"{_counted(len(loaded.versions))} added, newest {newest}{note}"

    def _delete(self) -> str:
        return f"{_counted(load.delete_all())} deleted; before the next run: addhashes --all"


def _counted(number: int) -> str:
    return f"{number} hash" if number == 1 else f"{number} hashes"
