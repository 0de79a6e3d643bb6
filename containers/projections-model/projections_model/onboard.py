"""The model as an HTTP service beside the site.

    POST /runs   a request document -> 202 {"id", "status", "progress"}; the same id twice is the same run
    GET /runs/<id>   {"id", "status", "progress"[, "reason"][, "output"]}
    DELETE /runs/<id>   stops it -> 202, the same document
    GET /health   {"status": "ok", "queued", "running"}

The standard library's server: three small paths, one caller on the same network interface, simulations in
another process. It answers 503 when too many runs wait or too many connections are open.
"""

import json
import re
import signal
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from projections_model import log
from projections_model.document import Request
from projections_model.errors import ModelError, one_line
from projections_model.queue_of_runs import Full, Runs
from projections_model.worker import storage

BODY_BYTES = 64 * 1024
CONNECTIONS = 64
SOCKET_S = 15.0
"""A connection that says nothing for so long is closed."""
_RUN = re.compile(r"/runs/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")

Work = Callable[[], dict[str, Any] | None]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, runs: Runs) -> None:
        self.runs = runs
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__((host, port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            body = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            try:
                request.settimeout(1)
                request.sendall(body)
            except OSError:
                log.event("connection refused", level="warning")
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is no error of ours."""
        log.event("connection lost", level="warning")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "projections-model"
    sys_version = ""
    timeout = SOCKET_S
    server: Server

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200, {"status": "ok", **self.server.runs.counts()})
            return
        self._of_run(self.server.runs.get, 200)

    def do_DELETE(self) -> None:
        self._of_run(self.server.runs.cancel, 202)

    def _of_run(self, work: Callable[[str], dict[str, Any] | None], status: int) -> None:
        match = _RUN.fullmatch(self.path)
        found = self._guarded(lambda: work(match[1]), status) if match else None
        self._answer(*(found or (404, {"detail": "no such run"})))

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        if self.path != "/runs":
            self._answer(404, {"detail": "POST requests to /runs"})
            return
        answer = self._guarded(lambda: self.server.runs.submit(Request.read(body), body), 202)
        self._answer(*(answer or (500, {"detail": "no answer"})))

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the site polls each second."""

    def _guarded(self, work: Work, status: int) -> tuple[int, dict[str, Any]] | None:
        try:
            found = work()
        except ModelError as error:
            return 400, {"detail": str(error)}
        except Full:
            return 503, {"detail": "too many runs are waiting, try again later"}
        except Exception as error:
            log.event("request failed", level="error", reason=one_line(error))
            return 502, {"detail": "the storage doesn't answer"}
        return (status, found) if found is not None else None

    def _body(self) -> bytes | None:
        """The body, or ``None`` after an answer that says what is wrong with it."""
        length = self.headers.get("Content-Length", "")
        problem = None
        if not length.isdecimal() or self.headers.get("Transfer-Encoding"):
            problem = (411, "a Content-Length is needed")
        elif len(length) > 9 or int(length) > BODY_BYTES:
            problem = (413, f"a request has at most {BODY_BYTES} bytes")
        if problem is not None:
            self.close_connection = True
            self._answer(problem[0], {"detail": problem[1]})
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return body

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        content = json.dumps(document, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if status == 503:
            self.send_header("Retry-After", "30")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def main(host: str, port: int, folder: Path | None) -> int:
    """Serve until SIGTERM; the running simulation stores what is finished."""
    runs = Runs(storage(folder), folder)
    server = Server(host, port, runs)

    def leave(*_: object) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    log.event("onboard started", address=f"{host}:{server.server_address[1]}", host=socket.gethostname())
    server.serve_forever(poll_interval=0.2)
    runs.close()
    server.server_close()
    log.event("onboard stopped")
    return 0
