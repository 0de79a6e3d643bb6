"""All addresses. What isn't named here or in the two lists below doesn't exist."""

from covid.api.users import Token
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.urls import include, path

# One login page for everybody, with its limits; the admin site's own isn't offered.
admin.site.login = login_required(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("users/api/token/", Token.as_view(), name="api_token"),
    path("covid/api/", include("covid.api.urls")),
    path("admin/", admin.site.urls),
    path("", include("covid.urls_pages")),
]
