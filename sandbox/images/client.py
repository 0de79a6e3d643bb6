"""The Docker engine by docker-py's low-level API, with one clear error when there is none."""

import contextlib
import weakref
from typing import Any

import docker
import docker.errors
import requests
import requests.exceptions
import urllib3.exceptions

DEFAULT_TIMEOUT_S = 60
"""Longest silence (seconds) of the engine before a call fails; builds and pushes ask for more."""

STREAM_ERRORS = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError)
"""What reading a stream of events raises when the engine falls silent or goes away: docker-py reads the raw
answer of urllib3, so its errors come through too."""


class DockerUnavailable(Exception):
    """No Docker engine answers; the message is one line that says what to do."""


class Client(docker.APIClient):  # type: ignore[misc]  # docker-py has no types
    """docker-py's low-level client, with a way to end a stream that another thread is reading."""

    def __init__(self, **options: Any) -> None:
        self._answers: weakref.WeakSet[requests.Response] = weakref.WeakSet()
        super().__init__(**options)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        answer: requests.Response = super().send(request, **kwargs)
        self._answers.add(answer)
        return answer

    def interrupt(self) -> None:
        """Ends every stream of this client: its reader sees the end, and the engine gives up what it was
        doing for it once the reader closes the client."""
        for answer in list(self._answers):
            # Already read to the end, or closed in this moment.
            with contextlib.suppress(ValueError, OSError):
                answer.raw.shutdown()


def connect(timeout_s: int = DEFAULT_TIMEOUT_S, host: str = "") -> Client:
    """A client for the engine at ``host``, or that ``DOCKER_HOST`` (or the default socket) names, its API
    version negotiated.

    ``timeout_s`` bounds the silence between two answers, not a whole call, so a build that streams its
    progress may take longer. Raises DockerUnavailable when no engine answers.
    """
    options = docker.utils.kwargs_from_env()
    if host:
        options["base_url"] = host
    where = options.get("base_url", "/var/run/docker.sock")
    try:
        return Client(version="auto", timeout=timeout_s, **options)
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        reason = _shortest_reason(error)
        raise DockerUnavailable(
            f"no Docker engine answers at {where} ({reason}); start it, or see ./dev doctor"
        ) from error


def engine_reason(error: Exception) -> str:
    """What the engine said, in one line: an API error's ``explanation``, else the exception's own words."""
    text = getattr(error, "explanation", None) or str(error)
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return " ".join(str(text).split())


def _shortest_reason(error: BaseException) -> str:
    """The innermost OS error, as urllib3 and requests wrap it several times over."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return " ".join(str(error).split())[:200]
