"""The site's Django, made ready once for all tests that import this: SQLite, files in a folder, no bucket.

Importing it comes before any import of ``covid`` or ``projections_web``. The fixture ``database`` is for
tests that need rows: each begins with what the migrations make, and what it commits is gone after it.
"""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from sandbox.paths import ROOT

WEB = ROOT / "containers" / "projections-web"
INPUTS = ROOT / "containers" / "projections-model"
SOURCE = ROOT / "examples" / "projections-new-england" / "source"
"""Two snapshots of real data, as ``addhashes`` reads them."""

FOLDER = Path(tempfile.mkdtemp(prefix="projections-site-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
FILES = FOLDER / "files"
_CURRENT, _PRISTINE = FOLDER / "site.sqlite", FOLDER / "pristine.sqlite"

ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "projections_web.settings",
    "DJANGO_SECRET_KEY": "django-" + "d" * 40,
    "API_SIGNING_KEY": "api-" + "a" * 40,
    "WEBHOOK_SIGNING_KEY": "webhook-" + "w" * 40,
    "SITE_URL": "http://testserver",
    "DATABASE_FILE": str(_CURRENT),
    "DATA_FOLDER": str(FILES),
    "ONBOARD_URL": "http://127.0.0.1:9",
    "DATA_SOURCE": SOURCE.as_uri(),
    "LOG_LEVEL": "WARNING",
}


def _make_ready() -> None:
    """``django.setup`` with our environment alone; the process's own is as before afterwards."""
    for folder in (INPUTS, WEB):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "TMPDIR", "LANG")}
    with mock.patch.dict(os.environ, {**kept, **ENVIRONMENT}, clear=True):
        import django
        from django.conf import settings

        django.setup()
        # A test's password needs no million rounds.
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        assert settings.SITE_URL
    os.environ["DJANGO_SETTINGS_MODULE"] = ENVIRONMENT["DJANGO_SETTINGS_MODULE"]


_make_ready()


@pytest.fixture
def database() -> Iterator[None]:
    """A database as after the first start; files and what is cached of the clouds are gone as well."""
    from django.core.management import call_command
    from django.db import connections

    connections.close_all()
    if not _PRISTINE.exists():
        _CURRENT.unlink(missing_ok=True)
        call_command("migrate", verbosity=0, interactive=False)
        connections.close_all()
        shutil.copyfile(_CURRENT, _PRISTINE)
    shutil.copyfile(_PRISTINE, _CURRENT)
    shutil.rmtree(FILES, ignore_errors=True)
    yield
    connections.close_all()
