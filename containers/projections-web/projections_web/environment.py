"""The site's settings come from the environment, and are checked before anything starts: a line a problem."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

SECRET = 32
"""Characters that a secret must have at least."""
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(Exception):
    """The environment is wrong; one line for each problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One field a variable, named in lower case. Secrets are kept out of ``repr``."""

    django_secret_key: str = field(repr=False)
    api_signing_key: str = field(repr=False)
    webhook_signing_key: str = field(repr=False)
    site_url: str
    """The public origin: of cookies, of the webhook's address in requests, of set-password links."""
    allowed_hosts: tuple[str, ...] = ()
    """Beside the site's own."""
    admin_password: str = field(default="", repr=False)
    """Of the user ``admin``, made at the first start; never changed afterwards."""

    database_host: str = ""
    database_port: int = 5432
    database_name: str = ""
    database_user: str = ""
    database_password: str = field(default="", repr=False)
    database_sslmode: str = "require"
    database_wait_s: int = 120
    """How long a start waits for the database."""
    database_file: str = ""
    """For tests only: an SQLite file in place of PostgreSQL."""

    bucket_name: str = ""
    run_table: str = ""
    restart_queue_url: str = ""
    cluster_arn: str = ""
    aws_region: str = ""
    data_folder: str = ""
    """Where a site without a bucket keeps data files."""

    onboard_url: str = "http://localhost:5000"
    data_source: str = ""
    """Where ``addhashes`` reads from: a Git host's API, ``file:///folder`` or ``s3://bucket/prefix``."""
    data_source_token: str = field(default="", repr=False)
    """For the Git host only: without one GitHub answers 60 requests an hour."""

    log_level: str = "INFO"
    web_workers: int = 2
    web_threads: int = 8

    @property
    def is_https(self) -> bool:
        return self.site_url.startswith("https://")

    @property
    def hosts(self) -> list[str]:
        """What a request's Host may be: names without ports, as Django compares them."""
        return sorted({*self.allowed_hosts, urlsplit(self.site_url).hostname or ""} - {""})


def read(environ: Mapping[str, str] = os.environ) -> Environment:
    """The checked settings. Raises ``SettingsError``; no message repeats a secret."""
    problems: list[str] = []
    values: dict[str, object] = {}
    for item in fields(Environment):
        name, text = item.name.upper(), environ.get(item.name.upper(), "").strip()
        if item.name == "aws_region":
            text = text or environ.get("AWS_DEFAULT_REGION", "")
        if not text:
            continue
        if item.type is int:
            if text.isdecimal() and 1 <= int(text) <= 65535:
                values[item.name] = int(text)
            else:
                problems.append(f"{name} is {text!r}; allowed: a whole number 1 to 65535")
        elif item.name == "allowed_hosts":
            values[item.name] = tuple(part.strip() for part in text.split(",") if part.strip())
        else:
            values[item.name] = text.rstrip("/") if item.name.endswith("_url") else text
    for name in ("django_secret_key", "api_signing_key", "webhook_signing_key", "site_url"):
        if not values.setdefault(name, ""):
            problems.append(f"{name.upper()} is missing")
    made = Environment(**values)  # type: ignore[arg-type]
    problems += _check(made)
    if problems:
        raise SettingsError(problems)
    return made


def _check(made: Environment) -> list[str]:
    problems = []
    secrets = ("django_secret_key", "api_signing_key", "webhook_signing_key")
    for name in secrets:
        value = getattr(made, name)
        if value and len(value) < SECRET:
            problems.append(f"{name.upper()} has {len(value)} characters; allowed: at least {SECRET}")
    given = [getattr(made, name) for name in secrets if getattr(made, name)]
    if len(set(given)) < len(given):
        problems.append(f"{', '.join(name.upper() for name in secrets)} must differ")
    if made.site_url and not _is_origin(made.site_url):
        problems.append(
            f"SITE_URL is {made.site_url!r}; allowed: an origin like https://projections.example.org"
        )
    if not _is_origin(made.onboard_url):
        problems.append(f"ONBOARD_URL is {made.onboard_url!r}; allowed: an origin like http://localhost:5000")
    if "*" in made.allowed_hosts:
        problems.append("ALLOWED_HOSTS has '*'; allowed: names, with commas between them")
    if not made.database_file:
        for name in ("database_host", "database_name", "database_user", "database_password"):
            if not getattr(made, name):
                problems.append(f"{name.upper()} is missing")
    if made.database_sslmode not in SSL_MODES:
        problems.append(f"DATABASE_SSLMODE is {made.database_sslmode!r}; allowed: {', '.join(SSL_MODES)}")
    if made.log_level not in LEVELS:
        problems.append(f"LOG_LEVEL is {made.log_level!r}; allowed: {', '.join(LEVELS)}")
    if made.bucket_name:
        for name in ("run_table", "restart_queue_url", "cluster_arn", "aws_region"):
            if not getattr(made, name):
                problems.append(f"{name.upper()} is missing; BUCKET_NAME needs it")
    elif not made.data_folder:
        problems.append("BUCKET_NAME is missing; a site without a bucket needs DATA_FOLDER")
    return problems


def _is_origin(url: str) -> bool:
    try:
        parts = urlsplit(url)
        whole = parts.netloc == url.split("//", 1)[1]
        return parts.scheme in ("http", "https") and bool(parts.hostname) and whole
    except (ValueError, IndexError):
        return False
