"""How often something may be tried in a window of time, counted in the database for all processes."""

import hashlib
import time
from dataclasses import dataclass

from django.db.models import F
from django.http import HttpRequest

from covid.models import Attempts


@dataclass(frozen=True, kw_only=True)
class Limit:
    """At most ``tries`` in each window of ``seconds``."""

    scope: str
    tries: int
    seconds: int

    def hit(self, key: str) -> bool:
        """Count a try; whether it is still within the limit."""
        row = {"scope": self.scope, "key": _digest(key), "window": self._window()}
        Attempts.objects.bulk_create([Attempts(**row)], ignore_conflicts=True)
        Attempts.objects.filter(**row).update(count=F("count") + 1)
        count = Attempts.objects.values_list("count", flat=True).get(**row)
        if count == 1:  # the first of a window clears the old ones away
            Attempts.objects.filter(scope=self.scope, window__lt=self._window() - 1).delete()
        return count <= self.tries

    def refund(self, key: str) -> None:
        """Take a try back: one that succeeded doesn't count where only failures should."""
        row = {"scope": self.scope, "key": _digest(key), "window": self._window()}
        Attempts.objects.filter(**row, count__gt=0).update(count=F("count") - 1)

    def wait_s(self) -> int:
        """Seconds until the window ends."""
        return self.seconds - int(time.time()) % self.seconds

    def _window(self) -> int:
        return int(time.time()) // self.seconds


FAILED_LOGINS = Limit(scope="login", tries=10, seconds=300)
"""Of one name from one address: neither guessing many passwords, nor locking somebody else out."""
FAILED_ADDRESS = Limit(scope="login-address", tries=50, seconds=300)
"""Of one address, whatever the name."""
TOKENS = Limit(scope="token", tries=30, seconds=60)
"""Requests for a token from one address, good ones included: hashing a password costs a tenth of a second."""


def address_of(request: HttpRequest | None) -> str:
    """The caller's address: the last of X-Forwarded-For, which the load balancer adds itself."""
    if request is None:
        return "none"
    forwarded = request.headers.get("X-Forwarded-For", "").split(",")[-1].strip()
    return forwarded or str(request.META.get("REMOTE_ADDR", "none"))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
