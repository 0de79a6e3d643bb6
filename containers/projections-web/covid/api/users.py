"""Tokens for users, and users for operators to make."""

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.models import Group
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import transaction
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from covid.accounts import password_link
from covid.api.auth import USER_LIFE_S, IsOperator, user_token
from covid.api.webhook import WebhookAuthentication
from covid.errors import InvalidInputs, NotAllowed
from covid.limits import TOKENS, address_of
from covid.people import GROUPS


class TokenThrottle(BaseThrottle):
    def allow_request(self, request: Request, view: Any) -> bool:
        return TOKENS.hit(address_of(request._request))

    def wait(self) -> float:
        return TOKENS.wait_s()


class Token(APIView):
    """A token for the API against name and password."""

    authentication_classes = (WebhookAuthentication,)  # no session: this needs no CSRF token
    permission_classes = ()
    throttle_classes = (TokenThrottle,)

    def post(self, request: Request) -> Response:
        username, password = request.data.get("username"), request.data.get("password")
        if not isinstance(username, str) or not isinstance(password, str):
            raise InvalidInputs("username and password are needed, as text")
        user = authenticate(request._request, username=username, password=password)
        if user is None:
            raise AuthenticationFailed("wrong name or password, or too many tries: wait five minutes")
        answer = {"access_token": user_token(user), "token_type": "Bearer", "expires_in": USER_LIFE_S}
        return Response(answer, headers={"Cache-Control": "no-store"})


class Users(APIView):
    permission_classes = (IsAuthenticated, IsOperator)

    def post(self, request: Request) -> Response:
        """Make a user, or a new link for one who lost the password; the link works once, for a day."""
        username, group = request.data.get("username"), request.data.get("group", "Fargate")
        if not isinstance(username, str) or not isinstance(group, str):
            raise InvalidInputs("username and group are needed, as text")
        if group not in GROUPS:
            raise InvalidInputs(f"group: {group!r}; allowed: {', '.join(GROUPS)}")
        users = get_user_model()
        username = users.normalize_username(username)
        try:
            UnicodeUsernameValidator()(username)
            if len(username) > 150:
                raise ValidationError("too long")
        except ValidationError as error:
            raise InvalidInputs("username: allowed: up to 150 letters, digits and @.+-_") from error
        with transaction.atomic():
            user, created = users._default_manager.get_or_create(username=username)
            if user.is_staff or user.is_superuser:
                raise NotAllowed("staff change their passwords themselves, in the admin site")
            if created:
                user.set_unusable_password()
                user.save()
            user.groups.set([*user.groups.exclude(name__in=GROUPS), Group.objects.get(name=group)])
        answer = {
            "username": username,
            "group": group,
            "created": created,
            "link": password_link(user),
            "valid_s": settings.PASSWORD_RESET_TIMEOUT,
        }
        return Response(answer, status=201 if created else 200, headers={"Cache-Control": "no-store"})
