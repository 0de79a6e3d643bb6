"""Saving the emulator's state while it runs, not only at its end.

Ministack writes its state when it is shut down; after a crash everything since the start would be gone while
the objects of S3, written at once, would still be there. This saves every service that changed, soon after
the change, by ministack's own serialisation, so that ministack loads it as if it had written it.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import persistence

logger = logging.getLogger("benchtop.aws")

SOONEST_S = 2.0
LATEST_S = 30.0
SHARE = 0.1
"""The part of the time that may go into saving: a save that took 0.5 s is followed by a pause of 5 s."""


class Saver:
    """Writes what changed, in a thread, as often as its cost allows (every 2 to 30 s)."""

    def __init__(self, extra: Callable[[], None]) -> None:
        self._extra = extra
        self._changed = asyncio.Event()
        self._written: dict[str, str] = {}
        self._last = ""
        self._seconds = 0.0
        self._busy = asyncio.Lock()

    def changed(self) -> None:
        """Something may have changed: save soon."""
        self._changed.set()

    def report(self) -> dict[str, object]:
        return {"last": self._last, "seconds": round(self._seconds, 3)}

    async def finish(self) -> None:
        """Return when no save is under way and none will begin: ministack writes the last one itself."""
        await self._busy.acquire()

    async def run(self) -> None:
        """Save for ever, or until ``finish``."""
        quiet = 0
        while True:
            pause = min(max(SOONEST_S, self._seconds / SHARE), LATEST_S)
            await asyncio.sleep(pause)
            quiet += 1
            # Executions and functions change state with no request of their own: look now and then anyway.
            if not self._changed.is_set() and quiet * pause < LATEST_S:
                continue
            quiet = 0
            self._changed.clear()
            began = time.monotonic()
            async with self._busy:
                await asyncio.to_thread(self.save)
            self._seconds = time.monotonic() - began

    def save(self) -> None:
        """Write each service whose state isn't what was written last."""
        for name, get_state in app._build_persistence_save_dict().items():
            try:
                self._save_service(name, get_state)
            except (RuntimeError, KeyError):
                # The state changed size while it was copied, by a request served meanwhile: next time.
                self._changed.set()
            except (OSError, TypeError, ValueError) as error:
                logger.error("the state of %s could not be saved: %s", name, error)
        self._extra()
        self._last = datetime.now(UTC).isoformat(timespec="seconds")

    def _save_service(self, name: str, get_state: Callable[[], dict[str, Any] | None]) -> None:
        state = get_state()
        if state is None:
            return
        wrapped = {"__ministack_format__": persistence._state_format_version(name), "payload": state}
        text = json.dumps(wrapped, default=persistence._json_default)
        digest = hashlib.sha256(text.encode()).hexdigest()
        path = Path(persistence.STATE_DIR) / f"{name}.json"
        if self._written.get(name) == digest and path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = path.with_suffix(".saving")
        try:
            with scratch.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                scratch.unlink()
            raise
        self._written[name] = digest
