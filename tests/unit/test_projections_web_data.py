"""``addhashes`` against real servers and folders: what is new is added; a bad source changes nothing."""

import hashlib
import importlib
import io
import json
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.unit import projections_site
from tests.unit.projections_git_host import (
    CONFIRMED,
    DEATHS,
    Host,
    drip,
    files,
    git_host,
    send,
)

database = projections_site.database
models = importlib.import_module("covid.models")
sources = importlib.import_module("covid.data.sources")
git_host_module = importlib.import_module("covid.data.git_host")
management = importlib.import_module("django.core.management")
CommandError = importlib.import_module("django.core.management.base").CommandError


@pytest.fixture
def host(database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(git_host_module, "PAUSE_S", 0.01)
    with git_host() as made:
        for days in (20, 21, 22):
            made.add(days)
        yield made


def addhashes(*arguments: str, source: str = "", timeout: float = 5) -> str:
    """What the command prints."""
    out = io.StringIO()
    options = [f"--timeout={timeout}", *([f"--source={source}"] if source else []), *arguments]
    management.call_command("addhashes", *options, stdout=out)
    return out.getvalue().strip()


def rows() -> tuple[Any, ...]:
    """Everything that a load may change."""
    return (
        list(models.HashValue.objects.order_by("hash").values()),
        list(models.HashFile.objects.order_by("id").values()),
        list(models.County.objects.order_by("id").values()),
    )


def stored() -> list[str]:
    return sorted(
        str(path.relative_to(projections_site.FILES)) for path in projections_site.FILES.rglob("*.csv")
    )


def test_each_versions_files_are_those_of_its_commit(host: Host) -> None:
    newest = host.commits[0][0]
    assert addhashes(source=host.url) == f"3 hashes added, newest {newest[:12]} of 2021-12-23"
    for sha, _, content in host.commits:
        for kind, name in (("confirmed", CONFIRMED), ("deaths", DEATHS)):
            file = models.HashFile.objects.get(hash__hash=sha, kind=kind)
            assert file.file.name == f"hashes/{sha}/{kind}.csv"
            assert file.file.open().read() == content[name]
            assert (file.size, file.sha256) == (len(content[name]), hashlib.sha256(content[name]).hexdigest())
    value = models.HashValue.objects.first()
    assert (value.hash, str(value.last_day), value.counties) == (newest, "2021-12-22", 6)
    assert list(models.County.objects.values_list("state__name", "name", "population"))[:2] == [
        ("Vermont", "County 0", 1000),
        ("Vermont", "County 1", 1001),
    ]
    assert models.County.objects.count() == 6  # "Unassigned" has no people


def test_twice_adds_nothing_and_a_new_commit_is_added_alone(host: Host) -> None:
    addhashes("--all", source=host.url)
    before = rows()
    host.requests.clear()
    assert addhashes(source=host.url) == "nothing new"
    assert addhashes("--all", source=host.url) == "nothing new"
    assert rows() == before
    assert all("/commits" in request for request in host.requests)  # no file was fetched again
    newest = host.add(23)
    assert addhashes(source=host.url) == f"1 hash added, newest {newest[:12]} of 2021-12-24"


def test_limit_takes_the_newest_and_all_fills_the_gap(host: Host) -> None:
    assert addhashes("--limit=1", source=host.url).startswith("1 hash added")
    assert addhashes(source=host.url) == "nothing new"  # it stops at the known one
    assert addhashes("--all", source=host.url).startswith("2 hashes added")
    assert models.HashValue.objects.count() == 3


@pytest.mark.parametrize("with_links", [True, False])
def test_all_pages_are_read(host: Host, monkeypatch: pytest.MonkeyPatch, with_links: bool) -> None:
    monkeypatch.setattr(git_host_module, "PER_PAGE", 2)
    host.with_links = with_links
    for days in (23, 24):
        host.add(days)
    assert addhashes("--all", source=host.url).startswith("5 hashes added")
    assert sum("/commits" in request for request in host.requests) == 3


def test_a_known_version_saves_the_pages_behind_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_host_module, "PER_PAGE", 1)
    addhashes(source=host.url)
    host.requests.clear()
    addhashes(source=host.url)
    assert sum("/commits" in request for request in host.requests) == 1


def test_commits_from_before_the_files_are_left_out(host: Host) -> None:
    host.commits.append(("a" * 40, "2020-01-22T00:00:00Z", {"README.md": b"x"}))
    assert addhashes("--all", source=host.url).endswith("(1 versions without the files)")
    host.commits[:] = [host.commits[-1]]
    addhashes("--delete")
    with pytest.raises(CommandError, match="none of the 1 versions has the files"):
        addhashes("--all", source=host.url)


def test_delete_forgets_versions_and_files_but_not_places(host: Host) -> None:
    addhashes(source=host.url)
    assert len(stored()) == 6
    assert addhashes("--delete") == "3 hashes deleted; before the next run: addhashes --all"
    assert (models.HashValue.objects.count(), models.HashFile.objects.count(), stored()) == (0, 0, [])
    assert models.County.objects.count() == 6
    assert addhashes("--delete").startswith("0 hashes deleted")


# --- sources in a bad mood -------------------------------------------------------------------------


def refuse(status: int, **headers: str) -> Any:
    def answer(handler: BaseHTTPRequestHandler, path: str) -> bool:
        send(handler, status, b"<html>", **headers)
        return True

    return answer


def only(part: str, status: int, body: bytes) -> Any:
    """Answer requests whose path has ``part`` so, others as usual."""

    def answer(handler: BaseHTTPRequestHandler, path: str) -> bool:
        if part in path:
            send(handler, status, body)
        return part in path

    return answer


def slow(handler: BaseHTTPRequestHandler, path: str) -> bool:
    time.sleep(1.5)
    return False


def dripping(handler: BaseHTTPRequestHandler, path: str) -> bool:
    drip(handler, 8)
    return True


def cut(handler: BaseHTTPRequestHandler, path: str) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b"[")
    handler.close_connection = True
    return True


def corrupt(handler: BaseHTTPRequestHandler, path: str) -> bool:
    """The newest commit's folder is right, its files are those of another commit."""
    if CONFIRMED in path:
        send(handler, 200, files(9)[CONFIRMED])
        return True
    return False


MOODS = {
    "error 500": (refuse(500), "answered 500"),
    "moved": (refuse(301, Location="http://elsewhere.example/"), "moved to http://elsewhere.example/"),
    "rate limit": (refuse(403, X_RateLimit_Remaining="0"), "rate limit is used up"),
    "gone": (refuse(404), "answered 404"),
    "slow": (slow, "no answer within 0.3 s"),
    "dripping": (dripping, "not complete after"),
    "cut off": (cut, "no connection, or it broke"),
    "HTML for commits": (only("/commits", 200, b"<html>"), "not JSON"),
    "object for commits": (only("/commits", 200, b"{}"), "not a list of commits"),
    "deep JSON": (only("/commits", 200, b"[" * 100_000), "not JSON"),
    "no sha": (only("/commits", 200, b'[{"commit": {}}]'), "without sha"),
    "odd sha": (
        only(
            "/commits",
            200,
            b'[{"sha": "../../x", "commit": {"committer": {"date": "2021-01-01T00:00:00Z"}}}]',
        ),
        "is no commit id",
    ),
    "odd date": (
        only("/commits", 200, b'[{"sha": "%s", "commit": {"committer": {"date": "?"}}}]' % (b"a" * 40)),
        "has the date",
    ),
    "no versions": (only("/commits", 200, b"[]"), "has no versions"),
    "folder gone wrong": (only("/contents/data/series?", 200, b"{}"), "not a list of files"),
    "another commit's file": (corrupt, "checksum is"),
    "file missing": (only(DEATHS, 404, b""), "answered 404"),
}


@pytest.mark.parametrize("mood", MOODS)
def test_a_source_in_a_bad_mood_changes_nothing(host: Host, mood: str) -> None:
    good = list(host.commits)
    host.commits = good[1:]
    addhashes("--all", source=host.url)
    before, kept = rows(), stored()
    host.commits = [*good, ("b" * 40, "2021-12-01T00:00:00Z", files(18))]
    host.answer, words = MOODS[mood]
    begun = time.monotonic()
    with pytest.raises(CommandError) as caught:
        addhashes("--all", source=host.url, timeout=0.3)
    assert words in str(caught.value)
    assert str(caught.value).startswith("nothing was changed: ")
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begun < 10
    assert (rows(), stored()) == (before, kept)
    host.answer = None
    assert addhashes("--all", source=host.url).startswith("2 hashes added")


def test_a_source_that_is_down_is_one_line(database: None) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(CommandError, match="no connection"):
        addhashes(source=f"http://127.0.0.1:{port}/repos/a/b")


def test_an_error_that_passes_is_survived(host: Host) -> None:
    failures = iter((500, 503))

    def answer(handler: BaseHTTPRequestHandler, path: str) -> bool:
        status = next(failures, None)
        if status:
            send(handler, status, b"")
        return status is not None

    host.answer = answer
    assert addhashes(source=host.url).startswith("3 hashes added")


def test_a_page_that_repeats_ends_the_load(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_host_module, "PER_PAGE", 3)
    page = json.dumps(
        [{"sha": s, "commit": {"committer": {"date": at}}} for s, at, _ in host.commits]
    ).encode()
    host.answer = only("/commits", 200, page)
    with pytest.raises(CommandError, match="repeats commit"):
        addhashes("--all", source=host.url)


def test_a_file_that_is_too_large_is_not_read_to_its_end(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_host_module, "MAX_FILE", 1000)
    with pytest.raises(CommandError, match="larger than 1000 bytes"):
        addhashes(source=host.url)
    assert rows() == ([], [], [])


def test_a_storage_that_fails_leaves_no_files_behind(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    save, calls = type(models.data_files()).save, []

    def failing(self: Any, name: str, content: Any, **options: Any) -> str:
        calls.append(name)
        if len(calls) == 4:
            raise OSError("disk full")
        return str(save(self, name, content, **options))

    monkeypatch.setattr(type(models.data_files()), "save", failing)
    with pytest.raises(CommandError, match="can't be stored: OSError"):
        addhashes(source=host.url)
    assert (rows(), stored()) == (([], [], []), [])


def test_the_token_goes_to_the_configured_source_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = importlib.import_module("django.conf").settings
    monkeypatch.setattr(settings, "DATA_SOURCE_TOKEN", "secret-token")
    addhashes(source=host.url)
    assert not [headers for headers in host.headers if "Authorization" in headers]
    monkeypatch.setattr(settings, "DATA_SOURCE", host.url)
    addhashes(source=host.url)
    assert host.headers[-1]["Authorization"] == "Bearer secret-token"


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x/y", "file://elsewhere/x", "http://api.example.org/repos/a/b", "https://u:p@h/repos/a/b", "s3://",
     "https://h/a/b"],
)  # fmt: skip
def test_what_is_no_source_is_refused(database: None, url: str) -> None:
    with pytest.raises(sources.DataError):
        sources.open_source(url)


# --- folders ---------------------------------------------------------------------------------------


def test_the_examples_folder_is_a_source(database: None) -> None:
    assert addhashes("--all").startswith("2 hashes added")
    assert set(models.County.objects.values_list("state__name", flat=True)) == {"Massachusetts", "Vermont"}


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (None, "No such file"),
        ("{", "not JSON"),
        ("{}", "not a list"),
        ('[{"sha": "x", "date": "2021-01-01T00:00:00Z"}]', "is no commit id"),
        (json.dumps([{"sha": "a" * 40, "date": "2021-01-01T00:00:00"}]), "has no zone"),
        (json.dumps([{"sha": "a" * 40, "date": "2021-01-01T00:00:00Z"}] * 2), "listed twice"),
        (json.dumps([{"sha": "a" * 40, "date": "2021-01-01T00:00:00Z"}]), "No such file"),
    ],
)
def test_a_broken_folder_is_one_line(database: None, tmp_path: Path, index: str | None, words: str) -> None:
    if index is not None:
        (tmp_path / "commits.json").write_text(index)
    with pytest.raises(CommandError, match=words):
        addhashes(source=tmp_path.as_uri())
