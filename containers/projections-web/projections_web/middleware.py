"""The load balancer's probe, and one line in the log for each request."""

import logging
import time
from collections.abc import Callable

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

log = logging.getLogger("projections_web.requests")

Handler = Callable[[HttpRequest], HttpResponse]


class Health:
    """``/health`` without login, whatever the Host: probes address the container by its number."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return health(request) if request.path == "/health" else self.get_response(request)


def health(request: HttpRequest) -> HttpResponse:
    """200 when requests can be answered. A site without data works, and says so."""
    if request.method not in ("GET", "HEAD"):
        return JsonResponse({"detail": "only GET"}, status=405, headers={"Allow": "GET, HEAD"})
    from covid.models import HashValue

    try:
        hashes = HashValue.objects.count()
    except DatabaseError as error:
        log.error("health: %s", type(error).__name__)
        connection.close()
        return JsonResponse({"status": "down", "hashes": None, "database": False}, status=503)
    return JsonResponse({"status": "ok" if hashes else "no data", "hashes": hashes, "database": True})


class RequestLog:
    """Method, path without its query, status, milliseconds, who, and the run that the path names."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        begun = time.perf_counter()
        response = self.get_response(request)
        if request.path.startswith("/static/"):
            return response
        match = getattr(request, "resolver_match", None)
        path = request.path
        if match is not None and match.url_name == "password_reset_confirm":
            path = "/accounts/set-password/..."  # the rest is the secret of a one-time link
        facts = {"method": request.method, "path": path, "status": response.status_code}
        facts["ms"] = round((time.perf_counter() - begun) * 1000, 1)
        user = getattr(request, "user", None)
        if user is not None and user.is_authenticated:
            facts["user"] = user.get_username()
        run_id = match.kwargs.get("run_id") if match else None
        if run_id:
            facts["run_id"] = str(run_id)
        log.info("request", extra=facts)
        return response
