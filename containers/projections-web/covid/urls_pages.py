"""Addresses of the pages; the API's are in ``covid.api``."""

from django.contrib.auth import views
from django.urls import path

from covid import pages

_RUN = "runs/<uuid:run_id>/"

urlpatterns = [
    path("", pages.choose, name="choose"),
    path("runs/", pages.runs, name="runs"),
    path(_RUN, pages.run, name="run"),
    path(f"{_RUN}cancel/", pages.cancel, name="run_cancel"),
    path(f"{_RUN}retry/", pages.retry, name="run_retry"),
    path(
        "accounts/login/",
        views.LoginView.as_view(template_name="covid/login.html", redirect_authenticated_user=True),
        name="login",
    ),
    path("accounts/logout/", views.LogoutView.as_view(), name="logout"),
    path(
        "accounts/password/",
        views.PasswordChangeView.as_view(template_name="covid/password_change.html"),
        name="password_change",
    ),
    path(
        "accounts/password/done/",
        views.PasswordChangeDoneView.as_view(template_name="covid/password_changed.html"),
        name="password_change_done",
    ),
    # The one-time link that an operator hands to a new user (POST covid/api/users/).
    path(
        "accounts/set-password/<uidb64>/<token>/",
        views.PasswordResetConfirmView.as_view(template_name="covid/set_password.html"),
        name="password_reset_confirm",
    ),
    path(
        "accounts/set-password/done/",
        views.PasswordResetCompleteView.as_view(template_name="covid/password_set.html"),
        name="password_reset_complete",
    ),
]
