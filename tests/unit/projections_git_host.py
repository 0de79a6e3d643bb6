"""A Git host's REST API on loopback, real sockets: commits by page, files as of a commit, and bad moods."""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

CONFIRMED = "time_series_covid19_confirmed_US.csv"
DEATHS = "time_series_covid19_deaths_US.csv"
REPOSITORY = "/api/v3/repos/owner/covid"
COLUMNS = "UID,iso2,iso3,code3,FIPS,Admin2,Province_State,Country_Region,Lat,Long_,Combined_Key"


def files(days: int = 20, counties: int = 6, first: date = date(2021, 12, 1)) -> dict[str, bytes]:
    """The two files with ``counties`` of Vermont; their content depends on the number of days."""
    names = [f"{day:%-m/%-d/%y}" for day in (first + timedelta(days=n) for n in range(days))]
    confirmed, deaths = [f"{COLUMNS},{','.join(names)}"], [f"{COLUMNS},Population,{','.join(names)}"]
    for number in range(counties):
        place = f"8405000{number},US,USA,840,5000{number},County {number},Vermont,US,44.0,-72.0,x"
        counts = ",".join(str(10 * number + day) for day in range(days))
        confirmed.append(f"{place},{counts}")
        deaths.append(f"{place},{1000 + number},{','.join(['0'] * days)}")
    unassigned = "84090050,US,USA,840,90050,Unassigned,Vermont,US,0.0,0.0,x"
    confirmed.append(f"{unassigned},{','.join(['0'] * days)}")
    deaths.append(f"{unassigned},0,{','.join(['0'] * days)}")
    return {CONFIRMED: "\n".join(confirmed).encode() + b"\n", DEATHS: "\n".join(deaths).encode() + b"\n"}


def blob(content: bytes) -> str:
    """Git's id of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass
class Host:
    """``commits``: newest first, (sha, date, files). ``answer`` may take a request over (and return True)."""

    commits: list[tuple[str, str, dict[str, bytes]]] = field(default_factory=list)
    folder: str = "data/series"
    answer: Callable[[BaseHTTPRequestHandler, str], bool] | None = None
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    with_links: bool = True
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{REPOSITORY}?path={self.folder}"

    def add(self, days: int) -> str:
        """A commit in front of the others, with its own files."""
        sha = hashlib.sha1(str(days).encode(), usedforsecurity=False).hexdigest()
        at = date(2021, 12, 1) + timedelta(days=days)
        self.commits.insert(0, (sha, f"{at}T05:00:00Z", files(days)))
        return sha


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    with contextlib.suppress(OSError):  # who asked may have given up waiting
        handler.wfile.write(body)


def drip(handler: BaseHTTPRequestHandler, seconds: float) -> None:
    """An answer that never ends: a byte now and then, up to ``seconds``."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    until = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        while time.monotonic() < until:
            handler.wfile.write(b" ")
            time.sleep(0.05)


def _handler(host: Host) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            host.requests.append(self.path)
            host.headers.append(dict(self.headers))
            if host.answer is not None and host.answer(self, self.path):
                return
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            path = parts.path.removeprefix(REPOSITORY)
            if path == "/commits" and query.get("path") == host.folder:
                self.commits(int(query["page"]), int(query["per_page"]))
            elif path.startswith("/contents/"):
                self.contents(path.removeprefix("/contents/"), query["ref"])
            else:
                send(self, 404, b"{}")

        def commits(self, page: int, per_page: int) -> None:
            found = host.commits[(page - 1) * per_page : page * per_page]
            items = [{"sha": sha, "commit": {"committer": {"date": at}}} for sha, at, _ in found]
            headers = {}
            if host.with_links and len(host.commits) > page * per_page:
                headers["Link"] = f'<http://127.0.0.1/x?page={page + 1}>; rel="next"'
            elif host.with_links and page > 1:
                headers["Link"] = '<http://127.0.0.1/x?page=1>; rel="first"'
            send(self, 200, json.dumps(items).encode(), **headers)

        def contents(self, path: str, ref: str) -> None:
            content = next((made for sha, _, made in host.commits if sha == ref), None)
            if content is None:
                send(self, 404, b"{}")
            elif path == host.folder:
                entries = [
                    {"name": name, "sha": blob(data), "size": len(data)} for name, data in content.items()
                ]
                send(self, 200, json.dumps(entries).encode())
            elif path.removeprefix(f"{host.folder}/") in content and "raw" in self.headers["Accept"]:
                send(self, 200, content[path.removeprefix(f"{host.folder}/")])
            else:
                send(self, 404, b"{}")

    return Handler


@contextlib.contextmanager
def git_host() -> Iterator[Host]:
    host = Host()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(host))
    server.daemon_threads = True
    host.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
