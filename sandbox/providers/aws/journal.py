"""Remembers what is being created until the engine's state has it.

An engine that is killed between the AWS call and the writing of its state forgets what it made: the next
``up`` would fail on the existing name, or make a second copy where AWS makes up the id. So the provider
notes, in
``$PULUMI_HOME``, the name it is about to create and then the id that it got. When the engine asks again for
something that the journal has an id for, the existing resource is adopted: read, and updated to the new
inputs.
A note is dropped as soon as the engine shows that its state has the resource.

Only the URN, chosen names and ids are noted, no other values; one file a stack and backend.
"""

import hashlib
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Note:
    names: dict[str, str] = field(default_factory=dict)
    """Names that were made for the resource: the next attempt must use the same ones."""
    id: str = ""
    """Empty while the call to AWS hasn't answered."""


def _folder() -> Path:
    home = os.environ.get("PULUMI_HOME")
    return Path(home) if home else Path.home() / ".pulumi"


class Journal:
    """Notes of one process; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, Path] = {}
        self._notes: dict[str, dict[str, Note]] = {}

    def _stack(self, urn: str) -> str:
        """Loads the notes of the URN's stack at first use; the lock is held."""
        stack = "::".join(urn.split("::")[:2])
        if stack not in self._notes:
            key = hashlib.sha256(f"{os.environ.get('PULUMI_BACKEND_URL', '')} {stack}".encode()).hexdigest()
            path = _folder() / "benchtop-journal" / f"{key[:32]}.jsonl"
            self._files[stack] = path
            self._notes[stack] = _load(path)
        return stack

    def find(self, urn: str) -> Note | None:
        """What an earlier process left unfinished for this resource."""
        with self._lock:
            return self._notes[self._stack(urn)].get(urn)

    def begin(self, urn: str, names: dict[str, str]) -> None:
        self._append(urn, Note(names), {"urn": urn, "names": names})

    def made(self, urn: str, resource_id: str) -> None:
        with self._lock:
            note = self._notes[self._stack(urn)].get(urn, Note())
        self._append(urn, Note(note.names, resource_id), {"urn": urn, "id": resource_id})

    def _append(self, urn: str, note: Note, line: dict[str, Any]) -> None:
        with self._lock:
            stack = self._stack(urn)
            self._notes[stack][urn] = note
            path = self._files[stack]
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def settled(self, urn: str) -> None:
        """The state has the resource, or it is deleted: nothing to remember."""
        with self._lock:
            stack = self._stack(urn)
            notes = self._notes[stack]
            if notes.pop(urn, None) is None:
                return
            path = self._files[stack]
            if notes:
                with path.open("a") as file:
                    file.write(json.dumps({"urn": urn, "done": True}) + "\n")
            else:
                path.unlink(missing_ok=True)


def _load(path: Path) -> dict[str, Note]:
    notes: dict[str, Note] = {}
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return notes
    for text in lines:
        try:
            line = json.loads(text)
        except ValueError:
            continue  # cut short by the end of a process
        urn = line["urn"]
        if line.get("done"):
            notes.pop(urn, None)
        elif "id" in line:
            notes.setdefault(urn, Note()).id = line["id"]
        else:
            notes[urn] = Note(line.get("names", {}))
    return notes
