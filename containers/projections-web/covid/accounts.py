"""Passwords: limited tries everywhere they are asked for, and one-time links to choose one."""

import logging
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from covid.limits import FAILED_ADDRESS, FAILED_LOGINS, address_of

log = logging.getLogger(__name__)


class LimitedBackend(ModelBackend):
    """Behind every way to log in: after too many failures even the right password fails."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> AbstractBaseUser | None:
        address = address_of(request)
        pair = f"{(username or '').casefold()}\n{address}"
        # Counted before the password is looked at, so that many guesses at once don't slip through together.
        if not (FAILED_ADDRESS.hit(address) and FAILED_LOGINS.hit(pair)):
            log.warning("login refused: too many failures", extra={"address": address})
            raise PermissionDenied
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is not None:
            FAILED_LOGINS.refund(pair)
            FAILED_ADDRESS.refund(address)
        return user


def password_link(user: AbstractBaseUser) -> str:
    """A link to choose a password: once, within ``PASSWORD_RESET_TIMEOUT``."""
    path = reverse(
        "password_reset_confirm",
        kwargs={
            "uidb64": urlsafe_base64_encode(force_bytes(user.pk)),
            "token": default_token_generator.make_token(user),
        },
    )
    return f"{settings.SITE_URL}{path}"
