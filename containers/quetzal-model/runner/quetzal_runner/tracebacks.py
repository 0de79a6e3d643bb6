"""From a notebook's output to the traceback that its author understands."""

import re
from pathlib import Path

from quetzal_runner.convert import locate

_START = "Traceback (most recent call last):"
_CHAINED = ("The above exception was the direct cause", "During handling of the above exception")
_FRAME = re.compile(r'^(?P<indent>\s+)File "(?P<file>[^"]+)", line (?P<line>\d+)(?P<rest>.*)$')
LIMIT = 8000
"""Characters of a traceback in an error message: Step Functions keeps 32 KiB of an error's cause."""


def extract(output: str) -> str:
    """The last traceback in ``output``, exceptions it was raised from included; else the last lines."""
    lines = output.rstrip().splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith(_START)]
    if not starts:
        return "\n".join(lines[-20:])
    first = starts.pop()
    while starts and any(line.startswith(_CHAINED) for line in lines[starts[-1] : first]):
        first = starts.pop()
    return "\n".join(lines[first:])


def to_cells(traceback: str, script: Path, notebook: str) -> str:
    """Name notebook, cell and line in the frames of the converted ``script``."""
    source = script.read_text(encoding="utf-8")

    def rename(line: str) -> str:
        match = _FRAME.match(line)
        if match is None or Path(match["file"]) != script:
            return line
        place = locate(source, int(match["line"]))
        if place is None:
            return line
        return f"{match['indent']}{notebook}, cell {place[0]}, line {place[1]}{match['rest']}"

    return "\n".join(rename(line) for line in traceback.splitlines())


def shorten(text: str, limit: int = LIMIT) -> str:
    """``text`` in at most ``limit`` characters: the end says most, the beginning says where."""
    if len(text) <= limit:
        return text
    head = limit // 4
    return f"{text[:head]}\n  [... {len(text) - limit} characters left out ...]\n{text[head - limit :]}"
