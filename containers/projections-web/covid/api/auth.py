"""Signed tokens (JWT, HS256): of users and operators on the API, of tasks on the webhook.

Each kind has its own issuer and audience, the webhook its own key too, so that none can stand in for another.
"""

import time
from typing import Any

import jwt
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.utils.crypto import constant_time_compare
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from covid.people import Operator, is_operator

ALGORITHM = "HS256"
API_AUDIENCE = "projections-api"
USERS = "projections-web"
OPERATORS = "projections-ops"
WEBHOOK_AUDIENCE = "projections-webhook"
TASKS = "projections-model"

USER_LIFE_S = 12 * 3600
OPERATOR_LIFE_S = 600
WEBHOOK_LIFE_S = 600
LEEWAY_S = 5
"""What clocks may differ."""
MAX_TOKEN = 4096


def user_token(user: AbstractBaseUser) -> str:
    """A user's token. It ends with the password it was made with, too."""
    now = int(time.time())
    claims = {
        "iss": USERS, "aud": API_AUDIENCE, "sub": user.get_username(), "iat": now, "exp": now + USER_LIFE_S,
        "pwd": _password_mark(user),
    }  # fmt: skip
    return jwt.encode(claims, settings.API_SIGNING_KEY, algorithm=ALGORITHM)


class BearerAuthentication(BaseAuthentication):
    """``Authorization: Bearer <token>`` of a user, or of an operator."""

    def authenticate(self, request: Request) -> tuple[Any, dict[str, Any]] | None:
        token = bearer(request)
        if token is None:
            return None
        claims = _claims(token, settings.API_SIGNING_KEY, API_AUDIENCE, (USERS, OPERATORS))
        if claims["iss"] == OPERATORS:
            if claims.get("role") != "operator" or claims["sub"] != "operator":
                raise AuthenticationFailed("the token is of no operator")
            _check_life(claims, OPERATOR_LIFE_S)
            return Operator(), claims
        _check_life(claims, USER_LIFE_S)
        user = get_user_model()._default_manager.filter(username=claims["sub"]).first()
        if user is None or not user.is_active:
            raise AuthenticationFailed("the token's user is not active")
        if not constant_time_compare(str(claims.get("pwd")), _password_mark(user)):
            raise AuthenticationFailed("the password has changed since the token was made: get another")
        return user, claims

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class IsOperator(BasePermission):
    message = "this is for operators"

    def has_permission(self, request: Request, view: Any) -> bool:
        return is_operator(request.user)


def check_webhook(request: Request, run_id: str) -> None:
    """401 for a token that is wrong, old or missing; 403 for one of another run."""
    token = bearer(request)
    if token is None:
        raise AuthenticationFailed("no token: send Authorization: Bearer <token>")
    claims = _claims(token, settings.WEBHOOK_SIGNING_KEY, WEBHOOK_AUDIENCE, (TASKS,))
    _check_life(claims, WEBHOOK_LIFE_S)
    if claims["sub"] != run_id:
        raise PermissionDenied("the token is of another run")


def bearer(request: Request) -> str | None:
    """The token of the request, None when it carries none. A malformed header is an error, not a visitor."""
    scheme, _, token = get_authorization_header(request).partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    try:
        text = token.strip().decode("ascii")
    except UnicodeDecodeError as error:
        raise AuthenticationFailed("the token is no token") from error
    if not text or len(text) > MAX_TOKEN:
        raise AuthenticationFailed("the token is no token")
    return text


def _claims(token: str, key: str, audience: str, issuers: tuple[str, ...]) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=[ALGORITHM], audience=audience, leeway=LEEWAY_S,
            options={"require": ["iss", "aud", "sub", "iat", "exp"]},
        )  # fmt: skip
    except jwt.ExpiredSignatureError as error:
        raise AuthenticationFailed("the token has expired") from error
    except jwt.InvalidTokenError as error:
        raise AuthenticationFailed("the token is not valid here") from error
    if claims["iss"] not in issuers or not isinstance(claims["sub"], str):
        raise AuthenticationFailed("the token is not valid here")
    return claims


def _check_life(claims: dict[str, Any], longest_s: int) -> None:
    """A token made for longer than its kind may live is refused from the start."""
    if not 0 < int(claims["exp"]) - int(claims["iat"]) <= longest_s:
        raise AuthenticationFailed(f"the token is made for longer than {longest_s} s")


def _password_mark(user: Any) -> str:
    return str(user.get_session_auth_hash())[:16]
