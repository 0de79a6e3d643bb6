"""The first tables, as ``makemigrations`` wrote them."""

import uuid

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import covid.models


class Migration(migrations.Migration):
    initial = True

    dependencies = (migrations.swappable_dependency(settings.AUTH_USER_MODEL),)

    operations = (
        migrations.CreateModel(
            name="HashValue",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hash", models.CharField(max_length=40, unique=True)),
                ("date", models.DateTimeField(db_index=True, help_text="When the data source committed it.")),
                ("added", models.DateTimeField(default=django.utils.timezone.now)),
                ("last_day", models.DateField(help_text="The last day with cases in it.")),
                ("counties", models.PositiveIntegerField(help_text="Rows with a county in it.")),
            ],
            options={
                "ordering": ("-date", "-id"),
            },
        ),
        migrations.CreateModel(
            name="State",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=64, unique=True)),
                ("code", models.CharField(max_length=2, unique=True)),
                (
                    "default_counties",
                    models.JSONField(blank=True, default=list, help_text="Empty: the most populous."),
                ),
                ("shelter_date", models.DateField(blank=True, null=True)),
                ("shelter_release_start_date", models.DateField(blank=True, null=True)),
                ("shelter_release_end_date", models.DateField(blank=True, null=True)),
                ("social_distancing", models.BooleanField(default=True)),
                ("social_distancing_end_date", models.DateField(blank=True, null=True)),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Attempts",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("scope", models.CharField(max_length=32)),
                ("key", models.CharField(max_length=64)),
                ("window", models.BigIntegerField()),
                ("count", models.PositiveIntegerField(default=0)),
            ],
            options={
                "verbose_name_plural": "attempts",
                "constraints": [
                    models.UniqueConstraint(fields=("scope", "key", "window"), name="attempts_once_a_window")
                ],
            },
        ),
        migrations.CreateModel(
            name="HashFile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("confirmed", "Confirmed cases"), ("deaths", "Deaths")], max_length=16
                    ),
                ),
                ("file", models.FileField(max_length=200, storage=covid.models.data_files, upload_to="")),
                ("sha256", models.CharField(max_length=64)),
                ("size", models.PositiveBigIntegerField()),
                (
                    "hash",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="files",
                        to="covid.hashvalue",
                    ),
                ),
            ],
            options={
                "ordering": ("hash", "kind"),
                "constraints": [models.UniqueConstraint(fields=("hash", "kind"), name="file_once_a_hash")],
            },
        ),
        migrations.CreateModel(
            name="SimulationRun",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("input_hash", models.CharField(max_length=64)),
                ("replicate", models.PositiveIntegerField(default=0)),
                ("model_input", models.JSONField()),
                (
                    "state",
                    models.CharField(db_index=True, help_text="Of model_input, for filters.", max_length=64),
                ),
                (
                    "compute",
                    models.CharField(
                        choices=[
                            ("fargate", "Fargate"),
                            ("fargate-spot", "Fargate Spot"),
                            ("onboard", "Onboard"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("interrupted", "Interrupted"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                        ],
                        default="queued",
                        max_length=16,
                    ),
                ),
                (
                    "progress",
                    models.FloatField(
                        default=0,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(1),
                        ],
                    ),
                ),
                ("attempt", models.PositiveIntegerField(default=0, help_text="0 until one has begun.")),
                ("interruptions", models.PositiveIntegerField(default=0)),
                (
                    "reason",
                    models.TextField(
                        blank=True, default="", help_text="Why it failed, was interrupted or waits."
                    ),
                ),
                ("history", models.JSONField(blank=True, default=list)),
                ("output", models.JSONField(blank=True, null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("completed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "started_at",
                    models.DateTimeField(
                        blank=True, help_text="When its request was handed over.", null=True
                    ),
                ),
                (
                    "tried_at",
                    models.DateTimeField(blank=True, help_text="When that was last tried.", null=True),
                ),
                ("refreshed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "retried_attempt",
                    models.PositiveIntegerField(default=0, help_text="The failed attempt being retried."),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        help_text="Who asked first; empty: an operator's command.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="runs",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at", "id"),
                "indexes": [
                    models.Index(fields=["-created_at", "id"], name="run_newest"),
                    models.Index(fields=["status", "-created_at"], name="run_by_status"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("input_hash", "replicate"), name="run_once_an_input")
                ],
            },
        ),
        migrations.CreateModel(
            name="County",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=64)),
                ("population", models.PositiveIntegerField()),
                ("hospital_beds", models.PositiveIntegerField(blank=True, null=True)),
                ("icu_beds", models.PositiveIntegerField(blank=True, null=True)),
                ("ventilators", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "state",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="counties", to="covid.state"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "counties",
                "ordering": ("state__name", "name"),
                "constraints": [
                    models.UniqueConstraint(fields=("state", "name"), name="county_once_a_state")
                ],
            },
        ),
    )
