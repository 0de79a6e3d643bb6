"""What can go wrong with a request about runs: one clear line and an HTTP status each."""


class SiteError(Exception):
    """Base of the errors that a caller can act on; ``message`` is one line."""

    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInputs(SiteError):
    """A measure, a county or a number that isn't allowed."""

    status = 400


class NotAllowed(SiteError):
    """The caller may not do this, or not to this run."""

    status = 403


class Conflict(SiteError):
    """The run has ended already, or hasn't yet."""

    status = 409


class NoData(Conflict):
    """No case data has been loaded."""

    def __init__(self) -> None:
        super().__init__("no data yet: run addhashes --all (python -m ops projections addhashes --all)")


class Unavailable(SiteError):
    """A service behind the site doesn't answer; trying again later may help."""

    status = 503
