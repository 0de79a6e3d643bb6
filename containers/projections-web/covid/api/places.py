"""What can be projected: states, counties, versions of the data, defaults; the onboard service's state."""

import uuid
from typing import Any

from django.conf import settings
from django.http import FileResponse
from django.shortcuts import get_object_or_404
from projections_inputs import DEFAULT_INPUTS, LIMITS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from covid import services
from covid.api.parsing import Pages
from covid.models import County, HashFile, HashValue, SimulationRun, State
from covid.people import GROUPS, compute_of, is_operator
from covid.runner.document import stamp
from covid.runner.onboard import Onboard


class StatesCounties(APIView):
    def get(self, request: Request) -> Response:
        """Every state that there is data of, its counties, and the measures its form begins with."""
        counties: dict[int, list[str]] = {}
        for state_id, name in County.objects.order_by("name").values_list("state_id", "name"):
            counties.setdefault(state_id, []).append(name)
        states = [
            {
                "name": state.name,
                "code": state.code,
                "counties": counties[state.pk],
                "default_counties": [name for name in state.default_counties if name in counties[state.pk]],
                "measures": state.measures(),
            }
            for state in State.objects.filter(pk__in=counties)
        ]
        return Response({"states": states})


class CountyResources(APIView):
    def get(self, request: Request) -> Response:
        """Counties with population and beds (null: not known); ``?state=``."""
        counties = County.objects.select_related("state")
        if request.query_params.get("state"):
            counties = counties.filter(state__name=request.query_params["state"])
        return _pages(self, request, counties, _county)


class HashResources(APIView):
    def get(self, request: Request) -> Response:
        """Versions of the data, newest first."""
        return _pages(self, request, HashValue.objects.all(), _hash)


class HashFiles(APIView):
    def get(self, request: Request) -> Response:
        """Files of the versions; ``?hash=``."""
        files = HashFile.objects.select_related("hash").order_by("-hash__date", "kind")
        if request.query_params.get("hash"):
            files = files.filter(hash__hash=request.query_params["hash"])
        return _pages(self, request, files, _file)


class HashFileDownload(APIView):
    def get(self, request: Request, data_hash: str, kind: str) -> FileResponse:
        found = get_object_or_404(HashFile, hash__hash=data_hash, kind=kind)
        return FileResponse(
            found.file.open("rb"),
            as_attachment=True,
            filename=f"{kind}-{data_hash[:12]}.csv",
            content_type="text/csv",
        )


class Meta(APIView):
    def get(self, request: Request) -> Response:
        """Defaults and limits of the inputs, where this caller's runs go, and the data they would use."""
        return Response(
            {
                "defaults": DEFAULT_INPUTS,
                "limits": LIMITS,
                "groups": GROUPS,
                "computes": [name for name, _ in SimulationRun.COMPUTES],
                "compute": compute_of(request.user),
                "operator": is_operator(request.user),
                "data_hash": services.newest_hash(),
            }
        )


class OnboardHealth(APIView):
    """The onboard service itself; only what can't start anything is passed on."""

    def get(self, request: Request) -> Response:
        return Response(*reversed(_onboard().call("GET", "/health")))


class OnboardRun(APIView):
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        return Response(*reversed(_onboard().call("GET", f"/runs/{run_id}")))


def _onboard() -> Onboard:
    return Onboard(settings.ONBOARD_URL, settings.SITE_URL)


def _pages(view: APIView, request: Request, rows: Any, document: Any) -> Response:
    pages = Pages()
    return pages.get_paginated_response(
        [document(row) for row in pages.paginate_queryset(rows, request, view) or []]
    )


def _county(county: County) -> dict[str, Any]:
    return {
        "state": county.state.name,
        "name": county.name,
        "population": county.population,
        "hospital_beds": county.hospital_beds,
        "icu_beds": county.icu_beds,
        "ventilators": county.ventilators,
    }


def _hash(value: HashValue) -> dict[str, Any]:
    return {
        "hash": value.hash,
        "date": stamp(value.date),
        "added": stamp(value.added),
        "last_day": value.last_day.isoformat(),
        "counties": value.counties,
    }


def _file(file: HashFile) -> dict[str, Any]:
    return {
        "hash": file.hash.hash,
        "kind": file.kind,
        "sha256": file.sha256,
        "size": file.size,
        "key": file.file.name,
        "url": f"/covid/api/hash_files/{file.hash.hash}/{file.kind}.csv",
    }
