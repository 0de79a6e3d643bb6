"""Runs in the service beside the site: the model's own image, over HTTP on loopback, with deadlines."""

import json
import logging
import time
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from covid.errors import Unavailable
from covid.models import SimulationRun
from covid.runner.document import request_document
from covid.runner.seen import Seen

log = logging.getLogger(__name__)

TIMEOUT_S = (1.0, 2.0)
"""To connect, and between two bytes of the answer."""
TRIES = 3
PAUSE_S = 0.2
MAX_ANSWER = 16 * 1024 * 1024

_STATUS = {
    "queued": SimulationRun.QUEUED,
    "running": SimulationRun.RUNNING,
    "complete": SimulationRun.SUCCEEDED,
    "failed": SimulationRun.FAILED,
}


class Onboard:
    """Handing over the same run twice is one run there, too."""

    def __init__(self, url: str, site_url: str) -> None:
        self._url = url.rstrip("/")
        self._site_url = site_url

    def start(self, run: SimulationRun) -> None:
        status, answer = self.call("POST", "/runs", request_document(run, self._site_url))
        if status not in (200, 201, 202):
            raise Unavailable(f"the onboard service refused the run with {status}: {_reason(answer)}")

    def look(self, run: SimulationRun) -> Seen:
        """Its state there. A service that was restarted knows no runs: ``lost``."""
        status, answer = self.call("GET", f"/runs/{run.pk}")
        if status == 404:
            return Seen(status=SimulationRun.QUEUED, lost=True)
        found = _STATUS.get(str(answer.get("status")))
        if status != 200 or found is None:
            raise Unavailable(f"the onboard service answered {status}: {_reason(answer)}")
        output = answer.get("output") if found == SimulationRun.SUCCEEDED else None
        if found == SimulationRun.SUCCEEDED and not isinstance(output, dict):
            raise Unavailable("the onboard service says complete but sends no output")
        begun = found != SimulationRun.QUEUED
        return Seen(
            status=found,
            progress=_fraction(answer.get("progress")),
            # Attempts are counted here: each hand-over after the first follows a restart or a retry.
            attempt=max(run.interruptions, run.retried_attempt) + 1 if begun else run.attempt,
            interruptions=run.interruptions,
            reason="" if found == SimulationRun.SUCCEEDED else str(answer.get("reason") or ""),
            output=output,
        )

    def cancel(self, run: SimulationRun, reason: str) -> Seen:
        """The service is told, but the run is over here whatever it says: nobody asks it for the result."""
        try:
            self.call("DELETE", f"/runs/{run.pk}")
        except Unavailable as error:
            log.warning("cancel: %s", error.message, extra={"run_id": str(run.pk)})
        return Seen(status=SimulationRun.FAILED, attempt=run.attempt, progress=run.progress, reason=reason)

    def retry(self, run: SimulationRun) -> int:
        self.start(run)
        return run.attempt

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON object; an unreachable service is tried again, an answer of any status is final."""
        for left in reversed(range(TRIES)):
            try:
                with requests.request(
                    method,
                    f"{self._url}{path}",
                    json=body,
                    timeout=TIMEOUT_S,
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    text = response.raw.read(MAX_ANSWER + 1, decode_content=True)
                    if response.status_code < 500 or not left:
                        return response.status_code, _object(response, text)
            except (requests.RequestException, HTTPError, OSError) as error:
                if not left:
                    what = type(error).__name__
                    raise Unavailable(f"the onboard service doesn't answer: {what}") from error
            time.sleep(PAUSE_S)
        raise AssertionError("unreachable")


def _object(response: requests.Response, text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text) if text and len(text) <= MAX_ANSWER else {}
    except ValueError as error:
        raise Unavailable(f"the onboard service answered {response.status_code} without JSON") from error
    return value if isinstance(value, dict) else {}


def _reason(answer: dict[str, Any]) -> str:
    return str(answer.get("reason") or answer.get("detail") or answer.get("error") or "no reason given")[:200]


def _fraction(value: Any) -> float:
    try:
        return min(max(float(value), 0.0), 1.0)
    except (TypeError, ValueError):
        return 0.0
