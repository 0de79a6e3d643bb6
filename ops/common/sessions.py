"""The environment of one command: the sandbox's when the stack is a sandbox, and the boto3 session.

A stack named ``<system>-sandbox`` never touches a real account: its endpoint must be this machine.
"""

import ipaddress
import os
from collections.abc import MutableMapping
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from ops.common.errors import ExitCode, OpsError, refused

SANDBOX_SUFFIX = "-sandbox"


def is_sandbox(stack: str) -> bool:
    return stack.rsplit("/", 1)[-1].endswith(SANDBOX_SUFFIX)


def is_local(url: str) -> bool:
    """Whether an endpoint is this machine: loopback, a private (bridge) address, or Docker's name for it."""
    host = urlsplit(url).hostname or ""
    if host in {"localhost", "host.docker.internal"} or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or (address.is_private and not address.is_link_local)


def prepare(stack: str, environ: MutableMapping[str, str] | None = None) -> None:
    """Load the sandbox's variables for a ``-sandbox`` stack when the shell hasn't (``eval "$(./dev env)"``).

    Raises ``OpsError``: REFUSED when the endpoint isn't this machine, UNREACHABLE when the sandbox
    was never started. A stack of another name keeps the caller's environment as it is.
    """
    environ = os.environ if environ is None else environ
    if not is_sandbox(stack):
        return
    if not (environ.get("AWS_ENDPOINT_URL") and environ.get("PULUMI_BACKEND_URL")):
        from sandbox import environment  # only sandbox stacks need the sandbox's code

        try:
            loaded = environment.variables()
        except (environment.SettingsError, OSError) as error:
            raise OpsError(
                ExitCode.UNREACHABLE, f"the sandbox of stack {stack} can't be used: {error}; try `./dev up`"
            ) from error
        for name in environment.UNSET:
            environ.pop(name, None)
        environ.update(loaded)
    endpoint = environ.get("AWS_ENDPOINT_URL", "")
    if not endpoint:
        raise OpsError(ExitCode.UNREACHABLE, f"the sandbox of stack {stack} has no endpoint: run `./dev up`")
    others = [v for k, v in environ.items() if k.startswith("AWS_ENDPOINT_URL") and v and not is_local(v)]
    if others:
        raise refused(
            f"stack {stack} is a sandbox, but the AWS endpoint is {others[0]}: "
            'unset it, or use `eval "$(./dev env)"`; a sandbox stack never touches a real account'
        )


def aws_session(region: str | None) -> boto3.Session:
    """The default session (profile, environment, endpoint) in the stack's region."""
    return boto3.Session(region_name=region or None)


CLIENT_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 3},
    connect_timeout=5,
    read_timeout=60,
    max_pool_connections=32,
)
"""For every client: bounded retries, and connections enough for the parallel transfers."""
