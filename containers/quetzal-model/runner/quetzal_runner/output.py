"""What a notebook prints: cut into lines, shown, kept in a file, and sent to the scenario's ``logs/``."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

from quetzal_runner.notebook import RETURN_PREFIX

LINE_BYTES = 16 * 1024
"""A longer line is cut: CloudWatch takes at most 256 KiB an event, and a reader no more than this."""
RETURN_BYTES = 256 * 1024
"""Step Functions takes no larger payload."""
LOG_BYTES = 32 * 1024 * 1024
"""The log stops growing here; its last lines are added when the notebook ends."""
TAIL_LINES = 400
PROGRESS_S = 10.0
"""How often a progress bar, which never ends its line, is shown."""


class Lines:
    """Cuts a stream of bytes into lines in bounded memory.

    A carriage return starts the line anew, as on a terminal: of a progress bar's thousand states the last
    is kept, and one now and then while it runs.
    """

    def __init__(self, emit: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._emit = emit
        self._clock = clock
        self._pending = bytearray()
        self._overwrite = False
        self._shown = clock()

    def feed(self, data: bytes) -> None:
        for piece in data.replace(b"\r\n", b"\n").splitlines(keepends=True):
            ended = piece.endswith((b"\n", b"\r"))
            body = piece.rstrip(b"\r\n")
            # \v, \f and the like also end a piece but not a line; bytes.splitlines knows only \n and \r.
            if self._overwrite and body:
                self._pending.clear()
                self._overwrite = False
            self._add(body)
            if not ended:
                continue
            if piece.endswith(b"\n"):
                self.flush()
            else:
                self._overwrite = True
                if self._pending and self._clock() - self._shown >= PROGRESS_S:
                    self._show(self._pending)

    def flush(self) -> None:
        """Emit what is pending as a line (an empty one too)."""
        self._show(self._pending)
        self._pending.clear()
        self._overwrite = False

    def close(self) -> None:
        if self._pending:
            self.flush()

    def _add(self, body: bytes) -> None:
        view = memoryview(body)
        while len(view):
            is_return = (bytes(self._pending) + bytes(view[:16])).startswith(RETURN_PREFIX.encode())
            limit = RETURN_BYTES if is_return else LINE_BYTES
            room = limit - len(self._pending)
            if room <= 0:
                self.flush()
                continue
            self._pending += view[:room]
            view = view[room:]
            if len(self._pending) >= LINE_BYTES and not is_return:
                self.flush()

    def _show(self, line: bytearray) -> None:
        self._shown = self._clock()
        self._emit(line.decode("utf-8", errors="replace"))


class Log:
    """Shows lines on ``screen``, keeps them in ``path``, and hands the file to ``upload`` while it grows."""

    def __init__(
        self,
        path: Path,
        upload: Callable[[Path], None],
        *,
        screen: IO[str] | None = None,
        interval_s: float = 3.0,
        limit_bytes: int = LOG_BYTES,
    ) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.returned: list[str] = []
        self._path = path
        self._upload = upload
        self._screen = screen if screen is not None else sys.stdout
        self._interval_s = interval_s
        self._limit = limit_bytes
        self._written = 0
        self._left_out = 0
        self._sent = -1
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._file = path.open("w", encoding="utf-8", errors="replace")
        self._thread = threading.Thread(target=self._keep_uploading, name="log-upload", daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """One line of output. Lines ``RETURN:{...}`` are also kept in ``returned``."""
        if text.startswith(RETURN_PREFIX):
            self.returned.append(text.removeprefix(RETURN_PREFIX))
        self.tail.append(text)
        print(text, file=self._screen, flush=True)
        with self._lock:
            if self._written < self._limit:
                self._written += self._file.write(text + "\n")
            else:
                self._left_out += 1

    def close(self) -> None:
        """Complete the file and upload it a last time; raises what that upload raised."""
        self._done.set()
        self._thread.join()
        with self._lock:
            if self._left_out:
                note = f"[... {self._left_out} lines left out, the last {len(self.tail)} follow ...]"
                self._file.write("\n".join([note, *self.tail, ""]))
            self._file.close()
        self._upload(self._path)

    def _keep_uploading(self) -> None:
        pause = self._interval_s
        while not self._done.wait(pause):
            with self._lock:
                self._file.flush()
                size = self._written
            if size == self._sent:
                continue
            started = time.monotonic()
            try:
                self._upload(self._path)
                self._sent = size
            except Exception as error:  # the run goes on; close() tries again and raises
                print(f"[quetzal-runner] log not stored yet: {error}", file=self._screen, flush=True)
            # A slow connection must not be kept busy with the log alone.
            pause = max(self._interval_s, 4 * (time.monotonic() - started))
