"""The application's entry in Django."""

from django.apps import AppConfig


class CovidConfig(AppConfig):
    name = "covid"
    verbose_name = "COVID-19 projections"
    default_auto_field = "django.db.models.BigAutoField"
