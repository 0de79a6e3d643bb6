"""What a task reports of its own run."""

import uuid
from typing import Any

from django.shortcuts import get_object_or_404
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from covid import services
from covid.api.auth import BearerAuthentication, check_webhook
from covid.api.documents import BANDS
from covid.api.parsing import OutputParser
from covid.models import SimulationRun
from covid.runner import Seen

_STATUS = {
    "running": SimulationRun.RUNNING,
    "complete": SimulationRun.SUCCEEDED,
    "failed": SimulationRun.FAILED,
}


class WebhookAuthentication(BearerAuthentication):
    """Only says which scheme a 401 asks for: the token is checked against the run in ``put``."""

    def authenticate(self, request: Request) -> None:
        return None


class Webhook(APIView):
    """200; 401 no, wrong or old token; 403 another run's; 404 no such run; 409 the run has ended."""

    authentication_classes = (WebhookAuthentication,)
    permission_classes = ()
    parser_classes = (OutputParser,)

    def put(self, request: Request, run_id: uuid.UUID) -> Response:
        check_webhook(request, str(run_id))  # before the body is read
        run = get_object_or_404(services.runs_of(None), pk=run_id)
        services.check_open(run)
        services.report(run, _seen(request.data, run))
        return Response({"id": str(run.pk), "status": run.status, "progress": run.progress})


def _seen(body: dict[str, Any], run: SimulationRun) -> Seen:
    status = _STATUS.get(str(body.get("status")))
    progress, attempt, output = body.get("progress", run.progress), body.get("attempt"), body.get("output")
    if status is None:
        raise ParseError(f"status: allowed: {', '.join(_STATUS)}")
    if isinstance(progress, bool) or not isinstance(progress, (int, float)) or not 0 <= progress <= 1:
        raise ParseError("progress: allowed: 0 to 1")
    if isinstance(attempt, bool) or not isinstance(attempt, int) or not 1 <= attempt <= 10_000:
        raise ParseError("attempt: allowed: a whole number from 1")
    if status == SimulationRun.SUCCEEDED and not is_output(output):
        raise ParseError(f"output: needs {', '.join(BANDS[:4])}: day to [low, median, high]")
    return Seen(
        status=status,
        progress=float(progress),
        attempt=attempt,
        interruptions=run.interruptions,
        reason=str(body.get("reason") or "")[:2000] if status == SimulationRun.FAILED else "",
        output=output if status == SimulationRun.SUCCEEDED else None,
    )


def is_output(value: Any) -> bool:
    """Whether this is an output document, as far as a chart needs it."""
    return isinstance(value, dict) and all(
        isinstance(value.get(name), dict)
        and value[name]
        and all(isinstance(band, list) and len(band) == 3 for band in value[name].values())
        for name in BANDS[:4]
    )
