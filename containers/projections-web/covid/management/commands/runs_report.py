"""``manage.py runs_report``: what was asked for lately, as CSV."""

import csv
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from covid.models import SimulationRun
from covid.runner.document import stamp

HEADER = ("created_at", "run_id", "user", "state", "counties", "compute", "status", "attempts", "minutes")


class Command(BaseCommand):
    help = "Runs of the last days as CSV on standard output."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["days"] <= 3660:
            raise CommandError(f"--days is {options['days']}; allowed: 1 to 3660")
        since = timezone.now() - timedelta(days=options["days"])
        runs = SimulationRun.objects.filter(created_at__gte=since).select_related("user").defer("output")
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow(HEADER)
        for run in runs.order_by("created_at", "id").iterator():
            minutes = f"{run.duration.total_seconds() / 60:.1f}" if run.duration else ""
            counties = "; ".join(run.model_input["county"])
            user = run.user.get_username() if run.user else "operator"
            who = (stamp(run.created_at), run.pk, user, run.state, counties)
            writer.writerow((*who, run.compute, run.status, run.attempt, minutes))
