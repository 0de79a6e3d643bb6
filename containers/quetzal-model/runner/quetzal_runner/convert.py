"""Notebooks to Python scripts, when the image is built.

Each code cell follows a marker line, so that a traceback can be mapped back to cell and line
(:mod:`quetzal_runner.tracebacks`). Lines only Jupyter understands (``%magic``, ``!command``) become
comments. ``python -m quetzal_runner.convert FOLDER...`` converts every notebook below each folder.
"""

import json
import sys
from pathlib import Path
from typing import Any

MARKER = "# --- cell "
"""A line of this and the cell's number (code cells counted from 1) starts each cell."""


def script_of(notebook: dict[str, Any]) -> str:
    """The Python source of a notebook in nbformat 4; ``ValueError`` if it is anything else."""
    if notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
        raise ValueError("not a notebook in nbformat 4")
    parts: list[str] = []
    number = 0
    for cell in notebook["cells"]:
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append("\n".join(f"# {line}".rstrip() for line in source.splitlines()))
        elif cell["cell_type"] == "code":
            number += 1
            lines = ["# " + line if line.lstrip()[:1] in ("%", "!") else line for line in source.splitlines()]
            parts.append("\n".join([f"{MARKER}{number}", *lines]))
    return "\n\n".join(parts) + "\n"


def convert(path: Path) -> Path:
    """Write the script beside the notebook; errors name the notebook, syntax errors its cell and line."""
    try:
        script = script_of(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    target = path.with_suffix(".py")
    try:
        compile(script, str(target), "exec")
    except SyntaxError as error:
        cell, line = locate(script, error.lineno or 1) or (0, error.lineno or 1)
        raise ValueError(f"{path}: cell {cell}, line {line}: {error.msg}") from error
    target.write_text(script, encoding="utf-8")
    return target


def locate(script: str, line: int) -> tuple[int, int] | None:
    """Cell number and line in the cell (both from 1) of a line of a converted script."""
    lines = script.splitlines()
    for above in range(min(line, len(lines)) - 1, -1, -1):
        if lines[above].startswith(MARKER):
            number = lines[above].removeprefix(MARKER).strip()
            return (int(number), line - above - 1) if number.isdigit() else None
    return None


def main(folders: list[str]) -> int:
    found = [path for folder in folders for path in sorted(Path(folder).rglob("*.ipynb"))]
    found = [path for path in found if ".ipynb_checkpoints" not in path.parts]
    if not found:
        print(f"no notebook below {', '.join(folders) or '(no folder given)'}", file=sys.stderr)
        return 1
    for path in found:
        try:
            print(f"{path} -> {convert(path).name}")
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
