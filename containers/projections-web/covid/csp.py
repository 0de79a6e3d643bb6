"""The site's Content-Security-Policy: everything comes from the site itself, and nothing inline runs.

Plotly needs one exception, and no more (tried with plotly.js 4.1.1 in Chromium): it keeps its rules in style
elements that it adds *empty* and fills through the CSSOM, which the policy doesn't govern. So the hash of the
empty text is enough where ``'unsafe-inline'`` would otherwise be needed. ``'unsafe-eval'`` would be for its
WebGL charts, which the pages don't have. Its camera button draws the picture from a ``data:`` URL.
"""

import base64
import hashlib
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


def _hash(text: str) -> str:
    """How a policy names an inline text that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' {_hash('')}",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class ContentSecurityPolicy:
    """Puts the policy on every answer, errors and the admin site included."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response
