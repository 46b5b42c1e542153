"""`manage.py recompute_schedules`: move what older time-zone data put elsewhere, and say what moved."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from core.ids import encode
from core.zones import TZDATA_VERSION
from jobs.lifecycle.recompute import recompute


class Command(BaseCommand):
    help = "Recompute the next occurrences of cron jobs with this version's time-zone data (a scheduler does it too)."

    def handle(self, *args: Any, **options: Any) -> None:
        count = 0
        for moved in recompute():
            count += 1
            self.stdout.write(
                f"{encode('job', moved.job_id)}  {moved.cron} in {moved.tz}: {moved.before.isoformat()} → {moved.to}"
            )
        self.stdout.write(f"tzdata {TZDATA_VERSION}: {count} schedules moved")
