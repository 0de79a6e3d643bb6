"""Bodies of bounded size, pages of lists, and errors as ``{"detail": one line}``."""

import json
from typing import Any

from django.http import Http404
from rest_framework.exceptions import APIException, ParseError
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import BaseParser
from rest_framework.response import Response
from rest_framework.views import exception_handler

from covid.errors import SiteError

MAX_BODY = 64 * 1024
MAX_OUTPUT = 8 * 1024 * 1024
"""Bytes of a request, and of one that may carry an output document."""


class TooLarge(APIException):
    status_code = 413
    default_code = "too_large"


class LimitedJSONParser(BaseParser):
    """A JSON object of at most ``limit`` bytes, whatever its length says."""

    media_type = "application/json"
    limit = MAX_BODY

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        text = stream.read(self.limit + 1)
        if len(text) > self.limit:
            raise TooLarge(f"the body is too large; allowed: {self.limit} bytes")
        try:
            body = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise ParseError("the body is not JSON") from error
        if not isinstance(body, dict):
            raise ParseError("the body must be a JSON object")
        return body


class OutputParser(LimitedJSONParser):
    limit = MAX_OUTPUT


class Pages(PageNumberPagination):
    page_size = 25
    max_page_size = 200
    page_size_query_param = "page_size"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def answer_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """Our errors and the framework's in one form; Django logs unknown ones and answers with 500."""
    if isinstance(error, SiteError):
        return Response({"detail": error.message}, status=error.status)
    if isinstance(error, Http404):
        return Response({"detail": "not found"}, status=404)
    response = exception_handler(error, context)
    if response is not None and not (isinstance(response.data, dict) and "detail" in response.data):
        response.data = {"detail": json.dumps(response.data)}
    return response
