"""The admin site: everything can be seen; what the system writes itself can't be edited."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from covid.models import County, HashFile, HashValue, SimulationRun, State

admin.site.site_header = admin.site.site_title = "COVID-19 projections"


class ReadOnly(admin.ModelAdmin):
    """To look at and delete."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(State)
class StateAdmin(admin.ModelAdmin):
    list_display = ("name", "code", "shelter_date", "shelter_release_start_date", "social_distancing")
    search_fields = ("name", "code")


@admin.register(County)
class CountyAdmin(admin.ModelAdmin):
    list_display = ("name", "state", "population", "hospital_beds", "icu_beds", "ventilators")
    list_filter = ("state",)
    list_select_related = ("state",)
    search_fields = ("name",)


@admin.register(HashValue)
class HashValueAdmin(ReadOnly):
    list_display = ("hash", "date", "last_day", "counties", "added")
    search_fields = ("hash",)


@admin.register(HashFile)
class HashFileAdmin(ReadOnly):
    list_display = ("hash", "kind", "size", "sha256")
    list_select_related = ("hash",)


@admin.register(SimulationRun)
class SimulationRunAdmin(ReadOnly):
    list_display = ("id", "state", "compute", "status", "progress", "attempt", "user", "created_at")
    list_filter = ("status", "compute", "state")
    list_select_related = ("user",)
    search_fields = ("id", "user__username")
    exclude = ("output",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("output")
