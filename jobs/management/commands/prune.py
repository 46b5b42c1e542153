"""`manage.py prune`: deletes what ended long ago."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from jobs.lifecycle.prune import prune


class Command(BaseCommand):
    help = "Delete final jobs with their history, and old runs and events of the others. Safe at any time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=float, help="that ended longer ago than so many days (RETENTION_DAYS)")

    def handle(self, *args: Any, **options: Any) -> None:
        days = settings.RETENTION_DAYS if options["days"] is None else options["days"]
        if days < 0 or (days == 0 and options["days"] is None):
            raise CommandError("RETENTION_DAYS is 0, so everything is kept: say --days to delete all the same")
        done = prune(timedelta(days=days))
        self.stdout.write(f"deleted {done.jobs} jobs, {done.runs} runs and {done.events} events older than {days} days")
