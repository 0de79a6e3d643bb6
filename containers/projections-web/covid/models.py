"""What the site keeps in PostgreSQL.

The run table in DynamoDB is the truth about a run while it is under way; a ``SimulationRun`` is the request,
who made it, what was last seen of it, and its result.
"""

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.files.storage import Storage, storages
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

HASH = 40
"""Length of a data hash: the id of a Git commit."""


def data_files() -> Storage:
    """The bucket, or a folder where there is none."""
    return storages["default"]


class State(models.Model):
    """A state, and the measures its form begins with."""

    name = models.CharField(max_length=64, unique=True)
    code = models.CharField(max_length=2, unique=True)
    default_counties = models.JSONField(default=list, blank=True, help_text="Empty: the most populous.")
    shelter_date = models.DateField(null=True, blank=True)
    shelter_release_start_date = models.DateField(null=True, blank=True)
    shelter_release_end_date = models.DateField(null=True, blank=True)
    social_distancing = models.BooleanField(default=True)
    social_distancing_end_date = models.DateField(null=True, blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def measures(self) -> dict[str, Any]:
        """The inputs that this state's form begins with, as a model input has them."""
        dates = {
            key: value.isoformat() if value else None
            for key in (
                "shelter_date",
                "shelter_release_start_date",
                "shelter_release_end_date",
                "social_distancing_end_date",
            )
            for value in (getattr(self, key),)
        }
        return {**dates, "social_distancing": self.social_distancing}


class County(models.Model):
    """A county that the data has cases of."""

    state = models.ForeignKey(State, on_delete=models.CASCADE, related_name="counties")
    name = models.CharField(max_length=64)
    population = models.PositiveIntegerField()
    hospital_beds = models.PositiveIntegerField(null=True, blank=True)
    icu_beds = models.PositiveIntegerField(null=True, blank=True)
    ventilators = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ("state__name", "name")
        verbose_name_plural = "counties"
        constraints = (models.UniqueConstraint(fields=("state", "name"), name="county_once_a_state"),)

    def __str__(self) -> str:
        return f"{self.name}, {self.state.name}"


class HashValue(models.Model):
    """One version of the case data: a commit of the data source."""

    hash = models.CharField(max_length=HASH, unique=True)
    date = models.DateTimeField(db_index=True, help_text="When the data source committed it.")
    added = models.DateTimeField(default=timezone.now)
    last_day = models.DateField(help_text="The last day with cases in it.")
    counties = models.PositiveIntegerField(help_text="Rows with a county in it.")

    class Meta:
        ordering = ("-date", "-id")

    def __str__(self) -> str:
        return f"{self.hash[:12]} of {self.date:%Y-%m-%d}"


class HashFile(models.Model):
    """One file of a version. ``file`` is in the bucket, or in a folder where there is no bucket."""

    CONFIRMED = "confirmed"
    DEATHS = "deaths"
    KINDS = ((CONFIRMED, "Confirmed cases"), (DEATHS, "Deaths"))

    hash = models.ForeignKey(HashValue, on_delete=models.CASCADE, related_name="files")
    kind = models.CharField(max_length=16, choices=KINDS)
    file = models.FileField(storage=data_files, max_length=200)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()

    class Meta:
        ordering = ("hash", "kind")
        constraints = (models.UniqueConstraint(fields=("hash", "kind"), name="file_once_a_hash"),)

    def __str__(self) -> str:
        return str(self.file.name)


class SimulationRun(models.Model):
    """One projection asked for. Its id follows from its inputs, so that asking twice can't make two."""

    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STATUSES = tuple((name, name.capitalize()) for name in (QUEUED, RUNNING, INTERRUPTED, SUCCEEDED, FAILED))
    UNFINISHED = (QUEUED, RUNNING, INTERRUPTED)

    FARGATE = "fargate"
    FARGATE_SPOT = "fargate-spot"
    ONBOARD = "onboard"
    COMPUTES = ((FARGATE, "Fargate"), (FARGATE_SPOT, "Fargate Spot"), (ONBOARD, "Onboard"))

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    input_hash = models.CharField(max_length=64)
    replicate = models.PositiveIntegerField(default=0)
    model_input = models.JSONField()
    state = models.CharField(max_length=64, db_index=True, help_text="Of model_input, for filters.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="runs",
        help_text="Who asked first; empty: an operator's command.",
    )  # fmt: skip
    compute = models.CharField(max_length=16, choices=COMPUTES)

    status = models.CharField(max_length=16, choices=STATUSES, default=QUEUED)
    progress = models.FloatField(default=0, validators=[MinValueValidator(0), MaxValueValidator(1)])
    attempt = models.PositiveIntegerField(default=0, help_text="0 until one has begun.")
    interruptions = models.PositiveIntegerField(default=0)
    reason = models.TextField(blank=True, default="", help_text="Why it failed, was interrupted or waits.")
    history = models.JSONField(default=list, blank=True)
    output = models.JSONField(null=True, blank=True)

    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True, help_text="When its request was handed over.")
    tried_at = models.DateTimeField(null=True, blank=True, help_text="When that was last tried.")
    refreshed_at = models.DateTimeField(null=True, blank=True)
    retried_attempt = models.PositiveIntegerField(default=0, help_text="The failed attempt being retried.")

    class Meta:
        ordering = ("-created_at", "id")
        constraints = (models.UniqueConstraint(fields=("input_hash", "replicate"), name="run_once_an_input"),)
        indexes = (
            models.Index(fields=("-created_at", "id"), name="run_newest"),
            models.Index(fields=("status", "-created_at"), name="run_by_status"),
        )

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_finished(self) -> bool:
        return self.status not in self.UNFINISHED

    @property
    def duration(self) -> timedelta | None:
        """From the request to the result; None while it is under way."""
        return self.completed_at - self.created_at if self.completed_at else None


class Attempts(models.Model):
    """Tries in one window of time, for limits that all processes share (see ``limits``)."""

    scope = models.CharField(max_length=32)
    key = models.CharField(max_length=64)
    window = models.BigIntegerField()
    count = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "attempts"
        constraints = (
            models.UniqueConstraint(fields=("scope", "key", "window"), name="attempts_once_a_window"),
        )
