"""Settings from the environment, the start of the container, and the site as gunicorn serves it."""

import csv
import http.client
import importlib
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.paths import ROOT
from tests.unit import projections_people as people
from tests.unit import projections_site

database = projections_site.database
environment = importlib.import_module("projections_web.environment")
start = importlib.import_module("projections_web.start")
management = importlib.import_module("django.core.management")
models = importlib.import_module("covid.models")

DATABASE = {
    "DATABASE_HOST": "db",
    "DATABASE_NAME": "site",
    "DATABASE_USER": "site",
    "DATABASE_PASSWORD": "database-password",
}
GOOD = {
    **DATABASE,
    "DJANGO_SECRET_KEY": "django-" + "d" * 40,
    "API_SIGNING_KEY": "api-" + "a" * 40,
    "WEBHOOK_SIGNING_KEY": "webhook-" + "w" * 40,
    "SITE_URL": "https://projections.example.org/",
    "BUCKET_NAME": "bucket",
    "RUN_TABLE": "runs",
    "RESTART_QUEUE_URL": "https://sqs/1/q",
    "CLUSTER_ARN": "arn:c",
    "AWS_REGION": "eu-west-3",
}


def test_good_settings_are_read_and_keep_their_secrets_to_themselves() -> None:
    made = environment.read({**GOOD, "ALLOWED_HOSTS": "a.internal, b.internal"})
    assert made.site_url == "https://projections.example.org"
    assert made.hosts == ["a.internal", "b.internal", "projections.example.org"]
    assert (made.database_sslmode, made.database_port, made.is_https) == ("require", 5432, True)
    for name in ("DJANGO_SECRET_KEY", "API_SIGNING_KEY", "WEBHOOK_SIGNING_KEY", "DATABASE_PASSWORD"):
        assert GOOD[name] not in repr(made)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"DJANGO_SECRET_KEY": ""}, "DJANGO_SECRET_KEY is missing"),
        ({"API_SIGNING_KEY": "short"}, "API_SIGNING_KEY has 5 characters; allowed: at least 32"),
        ({"API_SIGNING_KEY": GOOD["WEBHOOK_SIGNING_KEY"]}, "must differ"),
        ({"SITE_URL": "projections.example.org"}, "SITE_URL is 'projections.example.org'"),
        ({"SITE_URL": "https://x/path"}, "allowed: an origin"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS has '*'"),
        ({"DATABASE_HOST": ""}, "DATABASE_HOST is missing"),
        ({"DATABASE_PORT": "54x"}, "DATABASE_PORT is '54x'; allowed: a whole number 1 to 65535"),
        ({"DATABASE_SSLMODE": "on"}, "DATABASE_SSLMODE is 'on'; allowed: disable, allow"),
        ({"RUN_TABLE": ""}, "RUN_TABLE is missing; BUCKET_NAME needs it"),
        ({"AWS_REGION": ""}, "AWS_REGION is missing"),
        ({"BUCKET_NAME": ""}, "needs DATA_FOLDER"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud'"),
        ({"ONBOARD_URL": "localhost:5000"}, "ONBOARD_URL is 'localhost:5000'"),
    ],
)
def test_each_problem_is_one_line_without_secrets(changes: dict[str, str], problem: str) -> None:
    with pytest.raises(environment.SettingsError) as caught:
        environment.read({**GOOD, **changes})
    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]
    assert "\n" not in caught.value.problems[0]
    assert GOOD["WEBHOOK_SIGNING_KEY"] not in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(environment.SettingsError) as caught:
        environment.read({})
    assert len(caught.value.problems) >= 8


def python(
    code: str, variables: dict[str, str], folder: Path = projections_site.WEB
) -> subprocess.CompletedProcess[str]:
    """Run ``code`` of the site in ``folder`` with nothing but ``variables`` in the environment."""
    path = os.pathsep.join((str(folder), str(projections_site.INPUTS)))
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **variables},
    )  # fmt: skip


def test_a_site_on_https_passes_djangos_deployment_checks() -> None:
    code = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'projections_web.settings'\n"
        "import django; django.setup()\n"
        "from django.core.management import call_command\n"
        "call_command('check', deploy=True, fail_level='WARNING')\n"
        "from django.conf import settings as s\n"
        "print(s.SECURE_HSTS_SECONDS, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE)\n"
        "print(s.SECURE_SSL_REDIRECT, s.DEBUG)"
    )
    varied = {key: f"{value}-0123456789-abcdefghij" for key, value in GOOD.items() if key.endswith("_KEY")}
    done = python(code, {**GOOD, **varied})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-5:] == ["31536000", "True", "True", "True", "False"]


def test_wrong_settings_stop_the_start_with_their_lines() -> None:
    done = python("import projections_web.settings", {**GOOD, "SITE_URL": "", "LOG_LEVEL": "loud"})
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "the site can't start:",
        "SITE_URL is missing",
        "LOG_LEVEL is 'loud'; allowed: DEBUG, INFO, WARNING, ERROR",
    ]


@pytest.mark.parametrize("arguments", [[], ["manage"], ["web", "x"], ["shell"]])
def test_the_start_takes_web_or_manage_only(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert start.main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_a_database_that_never_comes_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    db = importlib.import_module("django.db")
    tries: list[int] = []

    def refuse(*_: object) -> None:
        tries.append(1)
        raise db.OperationalError("connection refused\nIs the server running?")

    monkeypatch.setattr(type(db.connection._connections["default"]), "ensure_connection", refuse)
    with pytest.raises(
        TimeoutError, match=r"no database within 0\.1 s: connection refused Is the server running\?"
    ):
        start.wait_for_database(0.1, pause_s=0.03)
    assert len(tries) >= 3


def test_the_admin_is_made_once_and_keeps_the_password(database: None) -> None:
    assert start.make_admin("first-password-of-admin")
    assert not start.make_admin("second-password-of-admin")
    admin = people.auth_models.User.objects.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password("first-password-of-admin")
    people.auth_models.User.objects.all().delete()
    assert not start.make_admin("")


def test_migrations_make_groups_and_states_and_are_complete(database: None) -> None:
    names = set(people.auth_models.Group.objects.values_list("name", flat=True))
    assert names == {"Fargate", "Fargate Spot", "Onboard"}
    assert models.State.objects.count() == 52
    with_measures = models.State.objects.exclude(default_counties=[])
    assert len(with_measures) == 14
    for state in with_measures:  # what a form begins with must be allowed
        inputs = {
            "state": state.name,
            "county": state.default_counties,
            "data_hash": "a" * 40,
            **state.measures(),
        }
        importlib.import_module("projections_inputs").ModelInput.model_validate(inputs)
    management.call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_the_report_lists_the_last_days_runs(database: None) -> None:
    now = importlib.import_module("django.utils.timezone").now()
    ada = people.person("ada")
    for number, age in enumerate((0.5, 3)):
        created = now - timedelta(days=age)
        models.SimulationRun.objects.create(
            input_hash=str(number), model_input={"county": ["A", "B"]}, state="Vermont", user=ada,
            compute="onboard", status="succeeded", attempt=1,
            created_at=created, completed_at=created + timedelta(seconds=90),
        )  # fmt: skip
    out = io.StringIO()
    management.call_command("runs_report", stdout=out)
    (row,) = csv.DictReader(io.StringIO(out.getvalue()))
    assert (row["user"], row["counties"], row["status"], row["minutes"]) == (
        "ada",
        "A; B",
        "succeeded",
        "1.5",
    )
    out = io.StringIO()
    management.call_command("runs_report", "--days=4", stdout=out)
    assert len(out.getvalue().splitlines()) == 3


# --- the whole, in processes of its own ------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes], Path]]:
    """``start web`` on a free port: gunicorn with two workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {
        **projections_site.ENVIRONMENT,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(projections_site.INPUTS),
        "DATABASE_FILE": str(tmp_path / "site.sqlite"),
        "DATA_FOLDER": str(tmp_path / "files"),
        "ADMIN_PASSWORD": people.PASSWORD,
        "SITE_URL": f"http://127.0.0.1:{port}",
        "WEB_HOST": "127.0.0.1",
        "WEB_PORT": str(port),
        "LOG_LEVEL": "INFO",
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "projections_web.start", "web"], cwd=projections_site.WEB, env=variables,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield port, process, log
    finally:
        process.kill()
        process.wait(timeout=10)


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_the_site_starts_serves_and_stops_on_a_signal(
    site: tuple[int, subprocess.Popen[bytes], Path],
) -> None:
    port, process, log = site
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            status, answer = ask(port, "GET", "/health")
            break
        except OSError:
            time.sleep(0.2)
    assert (status, answer["status"]) == (200, "no data")
    probe = python("import sys, projections_web.probe as p; sys.exit(p.main())", {"WEB_PORT": str(port)})
    assert probe.returncode == 0
    credentials = {"username": "admin", "password": people.PASSWORD}
    status, answer = ask(
        port, "POST", "/users/api/token/", credentials, **{"Content-Type": "application/json"}
    )
    assert status == 200, answer
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    status, _ = ask(port, "GET", "/covid/api/simulations/", **bearer)
    assert status == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]  # every line is JSON
    requests = [line for line in lines if line["message"] == "request"]
    assert {"path": "/covid/api/simulations/", "user": "admin", "status": 200}.items() <= requests[-1].items()
    assert people.PASSWORD not in log.read_text()
    assert answer["access_token"] not in log.read_text()
    probe = python("import sys, projections_web.probe as p; sys.exit(p.main())", {"WEB_PORT": str(port)})
    assert probe.returncode == 1


def test_collected_files_are_named_by_content_and_compressed(tmp_path: Path) -> None:
    """What the image's build does, and what its pages then ask for."""
    shutil.copytree(
        projections_site.WEB, tmp_path / "web", ignore=shutil.ignore_patterns("collected", "__pycache__")
    )
    plotly = importlib.util.find_spec("plotly")
    assert plotly is not None
    assert plotly.origin is not None
    vendor = tmp_path / "web/covid/static/vendor"
    vendor.mkdir()
    shutil.copy(Path(plotly.origin).parent / "package_data/plotly.min.js", vendor)
    (tmp_path / "web/collected").mkdir()
    code = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'projections_web.settings'\n"
        "import django; django.setup()\n"
        "from django.core.management import call_command\n"
        "call_command('collectstatic', interactive=False, verbosity=0)\n"
        "from django.test import Client\n"
        "page = Client().get('/accounts/login/', headers={'Host': 'testserver'}).content.decode()\n"
        "import re\n"
        "for name in re.findall(r'/static/([^\"]+)', page):\n"
        "    print(name, Client().get('/static/' + name, headers={'Host': 'testserver'}).status_code)\n"
    )
    variables = {**projections_site.ENVIRONMENT, "DATABASE_FILE": str(tmp_path / "x.sqlite")}
    done = python(code, variables, tmp_path / "web")
    assert done.returncode == 0, done.stderr
    asked = [line.split() for line in done.stdout.splitlines()]
    assert asked
    for name, status in asked:
        assert re.search(r"\.[0-9a-f]{12}\.", name), name
        assert status == "200"
    (script,) = (tmp_path / "web/collected/vendor").glob("plotly.min.????????????.js")
    assert script.with_name(f"{script.name}.gz").stat().st_size < script.stat().st_size / 2


# --- the image -------------------------------------------------------------------------------------


def test_the_image_has_the_versions_that_are_tested_here() -> None:
    def pinned(path: Path) -> dict[str, str]:
        lines = re.findall(r"^([\w.-]+(?:\[\w+\])?)==(\S+)", path.read_text(), re.MULTILINE)
        return {name.lower().replace("_", "-"): version for name, version in lines}

    ours, theirs = pinned(projections_site.WEB / "requirements.txt"), pinned(ROOT / "requirements.txt")
    assert {name: theirs.get(name) for name in ours} == ours
    dockerfile = (projections_site.WEB / "Dockerfile").read_text()
    assert f"plotly=={theirs['plotly']}" in dockerfile
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)
