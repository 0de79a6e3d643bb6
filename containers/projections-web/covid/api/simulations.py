"""Runs over HTTP: ask, list, look, cancel, retry, download."""

import json
import uuid
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from covid import services
from covid.api.documents import csv_lines, run_document
from covid.api.parsing import Pages
from covid.errors import Conflict, InvalidInputs
from covid.models import SimulationRun

_LISTS = ("county",)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class Simulations(APIView):
    def get(self, request: Request) -> Response:
        """Newest first; ``?state=&status=&compute=&page=&page_size=``. Unfinished ones are refreshed."""
        runs = services.runs_of(request.user)
        allowed = {"status": dict(SimulationRun.STATUSES), "compute": dict(SimulationRun.COMPUTES)}
        for name in ("state", "status", "compute"):
            value = request.query_params.get(name)
            if value and name in allowed and value not in allowed[name]:
                raise InvalidInputs(f"{name}: {value!r}; allowed: {', '.join(allowed[name])}")
            if value:
                runs = runs.filter(**{name: value})
        pages = Pages()
        page = pages.paginate_queryset(runs, request, view=self) or []
        services.refresh_some([run for run in page if not run.is_finished])
        return pages.get_paginated_response([run_document(run) for run in page])

    def post(self, request: Request) -> Response:
        """201 with a new run, 200 with the one that these inputs have already."""
        inputs = dict(request.data)
        compute, replicate = inputs.pop("compute", None), inputs.pop("replicate", 0)
        if compute is not None and not isinstance(compute, str):
            raise InvalidInputs("compute: must be text")
        if isinstance(replicate, bool) or not isinstance(replicate, int):
            raise InvalidInputs(f"replicate: {json.dumps(replicate)}; allowed: a whole number from 0")
        run, created = services.submit(request.user, inputs, compute=compute, replicate=replicate)
        return Response(run_document(run), status=201 if created else 200)


class Status(APIView):
    def get(self, request: Request) -> Response:
        """The run of the query's inputs, or 404. ``max_age``: days older than the newest data."""
        inputs, max_age = _query(request)
        run = services.existing(inputs, max_age)
        if run is None:
            return Response({"detail": "nobody has asked for this yet"}, status=404)
        return Response(run_document(services.refresh(run)))


class Simulation(APIView):
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        return Response(run_document(_refreshed(request, run_id), output=True))


class Cancel(APIView):
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        return Response(run_document(services.cancel(_refreshed(request, run_id), request.user)))


class Retry(APIView):
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        return Response(run_document(services.retry(_refreshed(request, run_id), request.user)), status=202)


class Output(APIView):
    """The result as a file, in the two forms."""

    def get(self, request: Request, run_id: uuid.UUID, form: str) -> HttpResponse | StreamingHttpResponse:
        run = _refreshed(request, run_id)
        if run.output is None:
            raise Conflict(f"run {run.pk} is {run.status}: there is no output yet")
        response: HttpResponse | StreamingHttpResponse
        if form == "csv":
            response = StreamingHttpResponse(csv_lines(run.output), content_type="text/csv; charset=utf-8")
        else:
            response = HttpResponse(json.dumps(run.output), content_type="application/json")
        response["Content-Disposition"] = f'attachment; filename="projection-{run.pk}.{form}"'
        response["Cache-Control"] = "private, max-age=3600"
        return response


def _refreshed(request: Request, run_id: uuid.UUID) -> SimulationRun:
    return services.refresh(get_object_or_404(services.runs_of(request.user), pk=run_id))


def _query(request: Request) -> tuple[dict[str, Any], int | None]:
    """Inputs from a query: counties repeated or with commas, numbers and booleans as text, empty for null."""
    inputs: dict[str, Any] = {}
    max_age = None
    for name, values in request.query_params.lists():
        value: Any = values[-1]
        if name == "max_age":
            if not value.isdecimal() or len(value) > 5:
                raise InvalidInputs(f"max_age: {value!r}; allowed: days, 0 for the newest data only")
            max_age = int(value)
        elif name in _LISTS:
            inputs[name] = [part.strip() for text in values for part in text.split(",") if part.strip()]
        elif value == "":
            inputs[name] = None
        elif name == "social_distancing":
            inputs[name] = _BOOLEANS.get(value.lower(), value)
        elif name != "data_hash":
            inputs[name] = value
    return inputs, max_age
