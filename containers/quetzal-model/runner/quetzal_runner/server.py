"""The protocol of the Lambda runtime interface emulator, for images run outside of Lambda.

``POST /2015-03-31/functions/function/invocations`` with an event answers with the result, or with Lambda's
``{"errorMessage", "errorType", "stackTrace"}`` and the header ``Lambda-Runtime-Function-Error-Type``, both
with status 200.
One invocation at a time, as in a Lambda environment; another meanwhile is answered 429.
"""

import json
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/2015-03-31/functions/function/invocations"
EVENT_BYTES = 6 * 1024 * 1024
"""Lambda's limit of a synchronous invocation."""

Handler = Callable[[object], Any]


def make_server(handler: Handler, host: str = "0.0.0.0", port: int = 8080) -> ThreadingHTTPServer:
    """A server that is bound but not yet running (port 0 takes a free one)."""
    busy = threading.Lock()

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(200 if self.path == "/health" else 404, {"path": self.path, "busy": busy.locked()})

        def do_POST(self) -> None:
            try:
                length = int(self.headers.get("Content-Length") or 0)
            except ValueError:
                length = -1
            if not 0 <= length <= EVENT_BYTES:
                self.close_connection = True
                self._answer(413, _failure("RequestEntityTooLarge", f"an event has 0..{EVENT_BYTES} bytes"))
                return
            body = self.rfile.read(length)
            if self.path != PATH:
                self._answer(404, _failure("NotFound", f"post events to {PATH}"))
                return
            if not busy.acquire(blocking=False):
                self._answer(429, _failure("TooManyRequests", "an invocation is running; one at a time"))
                return
            try:
                answer, error_type = respond(handler, body)
            finally:
                busy.release()
            headers = {"Lambda-Runtime-Function-Error-Type": error_type} if error_type else None
            self._answer(200, answer, headers)

        def log_message(self, format: str, *args: object) -> None:
            """Silent: standard output is the function's log."""

        def _answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer((host, port), Request)
    server.daemon_threads = True
    return server


def respond(handler: Handler, body: bytes) -> tuple[Any, str | None]:
    """Result and ``None``, or Lambda's error object and its type."""
    try:
        event = json.loads(body or b"{}")
    except ValueError as error:
        return _failure("InvalidEvent", f"event: no valid JSON ({error})"), "InvalidEvent"
    try:
        return handler(event), None
    except Exception as error:  # as Lambda's runtime does: whatever it is goes to the caller
        kind = type(error).__name__
        stack = traceback.format_tb(error.__traceback__)
        print(f"[ERROR] {kind}: {error}", flush=True)
        return _failure(kind, str(error), stack), kind


def _failure(kind: str, message: str, stack: list[str] | None = None) -> dict[str, Any]:
    return {"errorMessage": message, "errorType": kind, "stackTrace": stack or []}
