"""What the container runs: ``web`` (the site) or ``manage <command> ...`` (one of Django's commands).

Both wait for the database and bring it up to date first, one container at a time.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("projections_web.start")

LOCK = 0x73746172  # "star"
ADMIN = "admin"
APPLICATION = "projections_web.wsgi"
USAGE = "usage: python -m projections_web.start web | manage <command> [arguments]"


def main(arguments: list[str]) -> int:
    if arguments != ["web"] and (arguments[:1] != ["manage"] or len(arguments) < 2):
        print(USAGE, file=sys.stderr)
        return 2
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "projections_web.settings")
    import django

    django.setup()
    try:
        prepare()
    except TimeoutError as error:
        log.error("%s", error)
        return 1
    if arguments[0] == "web":
        # In place of this process, so that ECS's signals reach gunicorn itself.
        os.execvp(sys.executable, [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", APPLICATION])
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *arguments[1:]])
    return 0


def prepare() -> None:
    """Database there, migrated, with its administrator."""
    from django.conf import settings
    from django.core.management import call_command

    wait_for_database(settings.ENVIRONMENT.database_wait_s)
    with _alone(settings.ENVIRONMENT.database_wait_s):
        call_command("migrate", interactive=False, verbosity=0)
        make_admin(settings.ADMIN_PASSWORD)


def wait_for_database(seconds: float, pause_s: float = 1.0) -> None:
    """Raises ``TimeoutError`` when it doesn't answer within ``seconds``."""
    from django.db import OperationalError, connection

    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            if time.monotonic() + pause_s > deadline:
                reason = " ".join(str(error).split())[:300]
                raise TimeoutError(f"no database within {seconds:g} s: {reason}") from error
            log.info("waiting for the database")
            time.sleep(pause_s)
        else:
            return


def make_admin(password: str) -> bool:
    """The user ``admin`` where there is none; an existing one keeps its password. Whether it was made."""
    from django.contrib.auth import get_user_model

    users = get_user_model()._default_manager
    if not password or users.filter(username=ADMIN).exists():
        return False
    users.create_superuser(username=ADMIN, password=password)
    log.info("made the user %s", ADMIN)
    return True


@contextmanager
def _alone(seconds: float) -> Iterator[None]:
    """PostgreSQL's advisory lock, asked for until it is free: a wait inside PostgreSQL has no deadline."""
    from django.db import connection

    if connection.vendor != "postgresql":
        yield
        return
    deadline = time.monotonic() + seconds
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
            if cursor.fetchone()[0]:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"another start has held the migration lock for {seconds:g} s")
            time.sleep(0.5)
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
