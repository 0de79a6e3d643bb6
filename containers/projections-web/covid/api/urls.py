"""Addresses of the API, below ``/covid/api/``."""

from django.urls import path, re_path

from covid.api import places, simulations, users, webhook

_RUN = "simulations/<uuid:run_id>/"

urlpatterns = [
    path("simulations/", simulations.Simulations.as_view(), name="api_simulations"),
    path("simulations/status/", simulations.Status.as_view()),
    path("status/", simulations.Status.as_view(), name="api_status"),
    path(_RUN, simulations.Simulation.as_view(), name="api_simulation"),
    path(f"{_RUN}webhook/", webhook.Webhook.as_view(), name="api_webhook"),
    path(f"{_RUN}cancel/", simulations.Cancel.as_view(), name="api_cancel"),
    path(f"{_RUN}retry/", simulations.Retry.as_view(), name="api_retry"),
    path(f"{_RUN}output.json", simulations.Output.as_view(), {"form": "json"}, name="api_output_json"),
    path(f"{_RUN}output.csv", simulations.Output.as_view(), {"form": "csv"}, name="api_output_csv"),
    path("get_states_counties/", places.StatesCounties.as_view()),
    path("county_resources/", places.CountyResources.as_view()),
    path("hash_resources/", places.HashResources.as_view()),
    path("hash_files/", places.HashFiles.as_view()),
    re_path(
        r"^hash_files/(?P<data_hash>[0-9a-f]{40})/(?P<kind>confirmed|deaths)\.csv$",
        places.HashFileDownload.as_view(),
    ),
    path("meta/", places.Meta.as_view()),
    path("model/health", places.OnboardHealth.as_view()),
    path("model/runs/<uuid:run_id>", places.OnboardRun.as_view()),
    path("users/", users.Users.as_view(), name="api_users"),
]
