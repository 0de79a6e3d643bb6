"""Updates to the site, each with a token made for it that lives five minutes."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import jwt

from projections_model import log

ISSUER, AUDIENCE = "projections-model", "projections-webhook"
TOKEN_S = 300
TIMEOUT_S = 10.0
FINAL_WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Between the tries of the last update. The site finds outputs in the bucket without it too."""
_REFUSED = (400, 401, 403, 404, 409, 410, 413, 422)
"""Trying again wouldn't help; 409: the run is complete already."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token goes to the address that the request names and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


def token(run_id: str, key: str) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": run_id, "iat": now, "exp": now + TOKEN_S}
    return jwt.encode(claims, key, algorithm="HS256")


class Webhook:
    """The webhook of one run."""

    def __init__(self, url: str, run_id: str, attempt: int, key: str) -> None:
        self._url, self._run_id, self._attempt, self._key = url, run_id, attempt, key

    def running(self, progress: float) -> None:
        """One try; a later update says more."""
        self._send({"status": "running", "progress": progress})

    def complete(self, output: dict[str, Any], sleep: Callable[[float], Any] = time.sleep) -> None:
        self._insist({"status": "complete", "progress": 1, "output": output}, sleep)

    def failed(self, progress: float, reason: str, sleep: Callable[[float], Any] = time.sleep) -> None:
        self._insist({"status": "failed", "progress": progress, "reason": reason}, sleep)

    def _insist(self, body: dict[str, Any], sleep: Callable[[float], Any]) -> None:
        for wait in (*FINAL_WAITS_S, None):
            if self._send(body) or wait is None:
                return
            sleep(wait)

    def _send(self, body: dict[str, Any]) -> bool:
        """Whether there is an answer that another try wouldn't change. Never raises because of the
        network."""
        request = urllib.request.Request(
            self._url,
            data=json.dumps({**body, "attempt": self._attempt}).encode(),
            method="PUT",
            headers={
                "Authorization": f"Bearer {token(self._run_id, self._key)}",
                "Content-Type": "application/json",
                "User-Agent": ISSUER,
            },
        )
        try:
            with _opener.open(request, timeout=TIMEOUT_S) as answer:
                status = int(answer.status)
        except urllib.error.HTTPError as error:
            status = error.code
            error.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = type(error).__name__
            log.event("webhook not reached", level="warning", status=body["status"], reason=reason)
            return False
        level = "info" if status == 200 else "warning"
        log.event("webhook called", level=level, status=body["status"], answer=status)
        return status == 200 or status in _REFUSED
