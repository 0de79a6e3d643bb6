"""botocore clients, one a service and region, shared by all calls."""

import threading
from typing import TYPE_CHECKING, Any

from sandbox.providers.aws.config import Settings
from sandbox.providers.aws.errors import refused
from sandbox.providers.server import ProviderError

if TYPE_CHECKING:
    from botocore.client import BaseClient

THREADS = 16
"""Calls in flight at most; the engine asks for about as many at a time."""


class Clients:
    """Makes clients at first use; thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], BaseClient] = {}
        self._session: Any = None
        self._account = ""

    def client(self, service: str, region: str) -> "BaseClient":
        """The client for botocore's name of a service."""
        key = (service, region)
        found = self._clients.get(key)
        if found is None:
            with self._lock:
                found = self._clients.get(key) or self._make(service, region)
                self._clients[key] = found
        return found

    def _make(self, service: str, region: str) -> "BaseClient":
        import botocore.session
        from botocore.config import Config

        from sandbox.providers.aws.shapes import _LOADER

        settings = self.settings
        if self._session is None:
            self._session = botocore.session.Session()
            # One parsed copy of each service's model, shared with validation.
            self._session.register_component("data_loader", _LOADER)
        config = Config(
            max_pool_connections=THREADS,
            retries={"mode": "standard", "max_attempts": 3},
            connect_timeout=10,
            read_timeout=300,
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # Checked already, with better messages, before anything was created.
            parameter_validation=True,
            inject_host_prefix=False,
        )
        made: BaseClient = self._session.create_client(
            service,
            region_name=region,
            endpoint_url=settings.endpoint(service),
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            aws_session_token=settings.token,
            config=config,
        )
        return made

    def call(self, service: str, region: str, op: str, params: dict[str, Any]) -> dict[str, Any]:
        """Calls an operation by botocore's name. Raises :class:`Refused` when AWS refuses."""
        from botocore import xform_name
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            method = getattr(self.client(service, region), xform_name(op))
            response: dict[str, Any] = method(**params)
        except ClientError as problem:
            raise refused(service, op, problem) from problem
        except BotoCoreError as problem:
            raise ProviderError(f"{service} {op}: {' '.join(str(problem).split())}") from problem
        response.pop("ResponseMetadata", None)
        return response

    @property
    def account(self) -> str:
        """The account id, asked once."""
        if not self._account:
            identity = self.call("sts", self.settings.region, "GetCallerIdentity", {})
            self._account = identity["Account"]
        return self._account
