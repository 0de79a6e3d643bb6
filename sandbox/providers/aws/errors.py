"""AWS's refusals, sorted into the few kinds that matter here."""

import re
from typing import Any

from sandbox.providers.server import ProviderError

_MISSING = re.compile(r"NotFound|NoSuch|NonExistent|DoesNotExist|^404$")
_EXISTS = re.compile(r"AlreadyExists|AlreadyOwnedByYou|ResourceConflict|ConflictException|ResourceInUse")
_NOT_MISSING = frozenset({"NoSuchUpload"})


class Refused(ProviderError):
    """AWS answered with an error; the message is one line with operation, code and reason."""

    def __init__(self, service: str, op: str, code: str, reason: str, status: int) -> None:
        super().__init__(f"{service} {op} refused ({code}): {' '.join(reason.split())}")
        self.op, self.code, self.reason, self.status = op, code, reason, status

    @property
    def missing(self) -> bool:
        """What was asked for isn't there."""
        return self.code not in _NOT_MISSING and bool(self.status == 404 or _MISSING.search(self.code))

    @property
    def exists(self) -> bool:
        """What was to be made is there already."""
        return bool(_EXISTS.search(self.code))


def refused(service: str, op: str, problem: Any) -> Refused:
    """From botocore's ``ClientError``."""
    error = problem.response.get("Error", {})
    status = problem.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(error.get("Code") or status)
    return Refused(
        service, op, code, str(error.get("Message") or error.get("message") or problem), int(status)
    )
