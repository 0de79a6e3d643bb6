"""The settings of the AWS emulator and the environment in which everything of the sandbox runs.

Only the standard library: ``./dev env`` imports this before anything is installed, and it must answer at
once. Clients take nothing but these variables; no code passes endpoints or keys to boto3.
"""

import hashlib
import json
import os
import secrets
import socket
import string
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from sandbox import paths

REGION = "ca-central-1"
"""The region of the sandbox; other regions answer too, as in an AWS account."""

ACCOUNT_ID = "000000000000"
"""The account of the sandbox: an id that AWS never gives."""

DEFAULT_PORT = 4566
_OTHER_PORTS = range(4700, 5000)
_DIRECT = ("127.0.0.1", "localhost")
_KEY_ALPHABET = string.ascii_uppercase + "234567"


class SettingsError(Exception):
    """The settings file can't be used; the message is one line that names it."""


@dataclass(frozen=True, kw_only=True)
class AwsSettings:
    """What the emulator and its clients must agree on; kept in ``state/aws/settings.json`` (mode 0600)."""

    port: int
    """TCP port on 127.0.0.1 and on the Docker bridge."""
    access_key_id: str
    """Key of the account's root user, random for each sandbox."""
    secret_access_key: str
    instance: str
    """Identity of this sandbox: its containers carry it, so that two sandboxes never touch each other's."""
    region: str = REGION

    @property
    def endpoint(self) -> str:
        """URL of the emulator on the host."""
        return f"http://127.0.0.1:{self.port}"


def settings_path() -> Path:
    return paths.aws_state() / "settings.json"


def run_path() -> Path:
    """What runs now (process ids and addresses), written by the supervisor."""
    return paths.aws_state() / "run.json"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def port_is_free(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def free_port(also_on: tuple[str, ...] = ()) -> int:
    """A port that nobody listens on, on loopback and on the addresses of ``also_on``.

    The default sandbox prefers 4566. One moved by ``BENCHTOP_SANDBOX`` starts at a place given by its path,
    so that a sandbox of a test run doesn't take the port of the user's, which may be stopped just now.
    """
    candidates = list(_OTHER_PORTS)
    digest = hashlib.sha256(str(paths.state()).encode()).digest()
    start = int.from_bytes(digest[:4], "big") % len(candidates)
    candidates = candidates[start:] + candidates[:start]
    if not os.environ.get("BENCHTOP_SANDBOX"):
        candidates.insert(0, DEFAULT_PORT)
    for port in candidates:
        if all(port_is_free(port, address) for address in ("127.0.0.1", *also_on)):
            return port
    raise SettingsError(
        f"no free port for the AWS emulator on 127.0.0.1: {DEFAULT_PORT} and "
        f"{_OTHER_PORTS.start}-{_OTHER_PORTS.stop - 1} are all taken; stop what listens there"
    )


def _read(path: Path) -> AwsSettings:
    try:
        values = json.loads(path.read_text())
        settings = AwsSettings(**{field.name: values[field.name] for field in fields(AwsSettings)})
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path} is not a settings file of the AWS emulator ({type(error).__name__}: {error}); "
            "`python -m sandbox purge` makes a new one"
        ) from error
    if not isinstance(settings.port, int) or not 1024 <= settings.port <= 65535:
        raise SettingsError(f"{path}: port is {settings.port!r}, allowed is a number from 1024 to 65535")
    return settings


def aws_settings() -> AwsSettings:
    """The settings of this sandbox, made at the first call.

    Raises:
        SettingsError: the file is damaged, or no port is free.
    """
    path = settings_path()
    if path.exists():
        return _read(path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings = AwsSettings(
        port=free_port(),
        access_key_id="AKIA" + "".join(secrets.choice(_KEY_ALPHABET) for _ in range(16)),
        secret_access_key=secrets.token_urlsafe(30),
        instance=f"benchtop-{secrets.token_hex(6)}",
    )
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_private(scratch, json.dumps(asdict(settings), indent=2) + "\n")
    try:
        os.link(scratch, path)  # fails when another process was first: then its keys are the keys
    except FileExistsError:
        return _read(path)
    finally:
        scratch.unlink(missing_ok=True)
    return settings


def change_port(settings: AwsSettings, port: int) -> AwsSettings:
    """Remember another port, because somebody else has the old one."""
    changed = AwsSettings(**{**asdict(settings), "port": port})
    write_private(settings_path(), json.dumps(asdict(changed), indent=2) + "\n")
    return changed


def variables() -> dict[str, str]:
    """The environment in which the engine, the providers and the operators' commands meet this sandbox.

    Without the emulator running the addresses are already right. A real AWS profile is never read: the files
    that would name one are replaced by an empty one.
    """
    settings = aws_settings()
    exempt = [
        host for host in (os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "").split(",") if host
    ]
    no_proxy = ",".join([*exempt, *(host for host in _DIRECT if host not in exempt)])
    path = [str(paths.engine_bin()), str(paths.VENV / "bin"), os.environ.get("PATH", os.defpath)]
    return {
        "PATH": os.pathsep.join(path),
        "PULUMI_HOME": str(paths.pulumi_home()),
        # No `.attrs` file and no MD5 beside each checkpoint: a tenth of a first `up`, and nobody reads them.
        "PULUMI_BACKEND_URL": paths.pulumi_backend().as_uri() + "?metadata=skip",
        # Local stacks only: it protects nothing real, and must be known to decrypt them again.
        "PULUMI_CONFIG_PASSPHRASE": "sandbox",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # The engine writes the whole state twice a resource, each time replacing the old one. A copy
        # of the one before, and a garbage collection every few megabytes, cost a tenth of a first `up`.
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        "GOGC": "300",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "AWS_ENDPOINT_URL": settings.endpoint,
        "AWS_ACCESS_KEY_ID": settings.access_key_id,
        "AWS_SECRET_ACCESS_KEY": settings.secret_access_key,
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "BENCHTOP_BASE_IMAGES": str(paths.base_images()),
        # Some programs read the one, some the other.
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


UNSET = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_ROLE_ARN",
         "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
         "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "PULUMI_ACCESS_TOKEN")  # fmt: skip
"""Variables of a real account that must be absent: with a session token, for one, the root key is refused."""


def process_environment() -> dict[str, str]:
    """A whole environment for a child process: the caller's, with ``variables()`` and without ``UNSET``."""
    kept = {
        name: value for name, value in os.environ.items()
        if name not in UNSET and not name.startswith("AWS_ENDPOINT_URL_")
    }  # fmt: skip
    return {**kept, **variables()}
