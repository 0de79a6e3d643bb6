"""What a command prints: aligned text for people, or exactly one JSON document on standard output.

With ``--json`` everything meant for people is left out, progress included, and errors are a
document too: ``{"error": {"code", "exit_code", "message", "detail"?}}``. Without it, results go to
standard output, progress and notes to standard error, and colour only to a terminal.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ops.common.errors import OpsError

STATUS_STYLE = {
    "SUCCESS": "green", "SUCCEEDED": "green", "FAILED": "bold red", "RUNNING": "cyan", "PREPARING": "cyan",
    "STOPPED": "yellow", "STOPPING": "yellow", "TIMED_OUT": "bold red", "WAITING": "dim", "PENDING": "dim",
    "RETRYING": "yellow",
}  # fmt: skip


def iso(moment: datetime) -> str:
    """UTC, ISO 8601, seconds: ``2026-11-21T09:30:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """``0.4 s``, ``42 s``, ``3 min 05 s``, ``2 h 03 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(octets: int) -> str:
    """Decimal units: ``12 B``, ``3.4 kB``, ``120 MB``."""
    value = float(octets)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def _plain(value: object) -> object:
    """For ``json.dumps``: times become ISO 8601 and paths text."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date | Path):
        return str(value)
    raise TypeError(f"not serialisable: {type(value).__name__}")


class Output:
    """Where one command writes. Methods for people do nothing with ``--json``."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        # Piped text isn't folded at 80 columns: a line stays a line for grep.
        width = None if sys.stdout.isatty() else 10_000
        self._out = Console(highlight=False, soft_wrap=True)
        self._table_out = Console(highlight=False, width=width)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)

    def result(self, document: object) -> None:
        """The command's JSON document (only with ``--json``)."""
        if self.as_json:
            print(json.dumps(document, default=_plain, indent=2, ensure_ascii=False), flush=True)

    def line_document(self, document: object) -> None:
        """One JSON line of an endless command such as ``logs --follow --json``."""
        if self.as_json:
            print(json.dumps(document, default=_plain, ensure_ascii=False), flush=True)

    def say(self, text: str = "", style: str | None = None) -> None:
        """A line of the result, for people; ``text`` is never read as markup."""
        if not self.as_json:
            self._out.print(Text(text, style=style or ""))

    def note(self, text: str, style: str | None = "dim") -> None:
        """A remark beside the result (progress, hints), for people, on standard error."""
        if not self.as_json:
            self._err.print(Text(text, style=style or ""))

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None
    ) -> None:
        """An aligned table; numbers to the right, statuses coloured."""
        if self.as_json:
            return
        rows = [tuple(row) for row in rows]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", title=title,
                      title_justify="left", title_style="bold")  # fmt: skip
        for index, column in enumerate(columns):
            numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
            table.add_column(
                Text(column), justify="right" if numeric else "left", no_wrap=not sys.stdout.isatty()
            )
        for row in rows:
            table.add_row(*(self._cell(value) for value in row))
        if sys.stdout.isatty():
            self._table_out.print(table)
            return
        with self._table_out.capture() as captured:
            self._table_out.print(table)
        for line in captured.get().splitlines():
            print(line.rstrip())

    @staticmethod
    def _cell(value: object) -> Text:
        text = "" if value is None else iso(value) if isinstance(value, datetime) else str(value)
        return Text(text, style=STATUS_STYLE.get(text, ""))

    def error(self, error: OpsError) -> None:
        """The error as a document (``--json``) or as one line, its detail below it."""
        if self.as_json:
            body: dict[str, Any] = {
                "code": error.code.name, "exit_code": int(error.code), "message": error.message,
            }  # fmt: skip
            if error.detail:
                body["detail"] = error.detail
            self.result({"error": body})
            return
        line = Text("error: ", style="bold red")
        line.append(error.message, style="default")
        self._err.print(line)
        if error.detail:
            self._err.print(Text(error.detail))

    def status(self, text: str) -> AbstractContextManager[object]:
        """A spinner while something of unknown length goes on; a plain line when it isn't a terminal."""
        if self.as_json:
            return nullcontext()
        if self._err.is_terminal:
            return self._err.status(Text(text))
        self.note(text)
        return nullcontext()

    @contextmanager
    def transfer(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar of ``total`` octets on standard error (terminals only); call it with octets done."""
        quiet = self.as_json or not self._err.is_terminal
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._err, transient=True, disable=quiet) as bar:
            task = bar.add_task(what, total=total)
            yield lambda octets: bar.advance(task, octets)
