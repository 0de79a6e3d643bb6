"""What can go wrong with a request about runs: one clear line and an HTTP status each."""


class ApiError(Exception):
    """Base of the errors that a caller can act on; ``message`` is one line."""

    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(ApiError):
    """The request itself is wrong: a name, a parameter, the body."""

    status = 400


class Forbidden(ApiError):
    """The caller's groups don't open this model, or the scenario is read-only."""

    status = 403


class NotFound(ApiError):
    """No such route, scenario or run."""

    status = 404


class Conflict(ApiError):
    """The scenario is being run, or the run has ended already."""

    status = 409


class Locked(ApiError):
    """The scenario carries a ``.lock`` object."""

    status = 423
