"""The routes of the API, for the handler that serves them and the component that lets them through."""

ROUTES = (
    "GET /model",
    "GET /scenarios",
    "POST /runs",
    "GET /runs",
    "GET /runs/{id}",
    "POST /runs/{id}/stop",
)
