"""The site's API for operators: short-lived tokens signed here, bounded waits, errors as one line."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

import jwt
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from ops.common.errors import ExitCode, OpsError

ISSUER = "projections-ops"
AUDIENCE = "projections-api"
LIFETIME_S = 300
"""Of a token; the site takes ten minutes at most."""
TIMEOUT_S = (5.0, 60.0)
"""To connect, and between two bytes of an answer."""
SIMULATIONS = "/covid/api/simulations/"
CODES = {
    400: ExitCode.USAGE,
    401: ExitCode.REFUSED,
    403: ExitCode.REFUSED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.REFUSED,
    429: ExitCode.REFUSED,
}


class Site:
    """Calls of the API at ``url``; ``signing_key`` is asked for once, when the first call is made."""

    def __init__(self, url: str, signing_key: Callable[[], str]) -> None:
        self.url = url.rstrip("/") + "/"
        self._ask_key = signing_key
        self._key: str | None = None
        self._session = requests.Session()
        # Only what may be repeated is: reading, and submitting, which finds the same run again.
        retry = Retry(
            total=3,
            backoff_factor=0.3,
            status_forcelist=(502, 503, 504),
            allowed_methods={"GET", "POST"},
            raise_on_status=False,
        )
        self._session.mount("http://", HTTPAdapter(max_retries=retry))
        self._session.mount("https://", HTTPAdapter(max_retries=retry))

    def token(self) -> str:
        """An operator's token, signed with the stack's key (RFC 7519)."""
        if self._key is None:
            self._key = self._ask_key()
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "operator",
            "role": "operator",
            "iat": now,
            "exp": now + LIFETIME_S,
        }
        return jwt.encode(claims, self._key, algorithm="HS256")

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request; the answer is a success.

        Raises ``OpsError``: UNREACHABLE when the site doesn't answer, else by status, with the site's words.
        """
        url = urljoin(self.url, path.lstrip("/"))
        try:
            answer = self._session.request(
                method,
                url,
                headers={"Authorization": f"Bearer {self.token()}", "Accept": "application/json"},
                timeout=TIMEOUT_S,
                allow_redirects=False,
                **options,
            )
        except requests.RequestException as error:
            raise OpsError(
                ExitCode.UNREACHABLE,
                f"the site at {self.url} does not answer ({type(error).__name__}): is the stack up? "
                "`python -m ops projections open` shows its health",
            ) from error
        if answer.status_code < 300:
            return answer
        code = ExitCode.UNREACHABLE if answer.status_code >= 500 else CODES.get(answer.status_code)
        raise OpsError(code or ExitCode.UNEXPECTED, f"{method} {path}: {said(answer)}")

    def document(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON object that a request answers."""
        answer = self.call(method, path, **options)
        try:
            found = answer.json()
        except ValueError as error:
            raise OpsError(ExitCode.UNEXPECTED, f"{method} {path}: the answer is no JSON") from error
        if not isinstance(found, dict):
            raise OpsError(ExitCode.UNEXPECTED, f"{method} {path}: the answer is no JSON object")
        return found

    def submit(self, fields: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The run of these inputs, and whether it is new."""
        answer = self.call("POST", SIMULATIONS, json=dict(fields))
        found: dict[str, Any] = answer.json()
        return found, answer.status_code == 201

    def run(self, run_id: str) -> dict[str, Any]:
        return self.document("GET", f"{SIMULATIONS}{run_id}/")

    def act(self, run_id: str, verb: str) -> dict[str, Any]:
        """``cancel`` or ``retry`` a run."""
        return self.document("POST", f"{SIMULATIONS}{run_id}/{verb}/")

    def runs(self, **wanted: str | None) -> Iterator[dict[str, Any]]:
        """Runs, newest first, over all pages."""
        path: str | None = SIMULATIONS
        params: Mapping[str, str] | None = {key: value for key, value in wanted.items() if value}
        while path:
            page = self.document("GET", path, params=params)
            yield from page.get("results", ())
            # The next page's address has the host that the site believes in; ours is the one that works.
            _before, _mark, query = str(page.get("next") or "").partition("?")
            path, params = (f"{SIMULATIONS}?{query}", None) if query else (None, None)


def said(answer: requests.Response) -> str:
    """What the site says about a refusal, in one line.

    >>> bad = requests.Response(); bad.status_code = 400; bad._content = b'{"county": ["not known"]}'
    >>> said(bad)
    'county: not known'
    """
    try:
        found = answer.json()
    except ValueError:
        return f"the site answered {answer.status_code}"
    if isinstance(found, dict):
        if set(found) == {"detail"}:
            return flat(found["detail"])
        return "; ".join(f"{key}: {flat(value)}" for key, value in found.items())
    return flat(found)


def flat(value: Any) -> str:
    """Nested lists of messages as text in one line."""
    if isinstance(value, list):
        return "; ".join(flat(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{key}: {flat(item)}" for key, item in value.items())
    return " ".join(str(value).split())
