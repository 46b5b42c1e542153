"""`manage.py prune`: deletes what ended long ago, and idempotency keys that have expired."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from jobs.lifecycle.prune import prune
from jobs.operations import idempotency


class Command(BaseCommand):
    help = (
        "Delete final jobs with their history, old runs and events of the others, and idempotency keys that have "
        "expired. Safe at any time."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days", type=float, help="jobs, runs and events that ended longer ago than so many days (RETENTION_DAYS)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days = settings.RETENTION_DAYS if options["days"] is None else options["days"]
        if days < 0:
            raise CommandError(f"--days is {days:g}: it must be at least 0")
        keys = idempotency.prune(batches=None)
        self.stdout.write(f"deleted {keys} idempotency keys that had expired")
        if days == 0 and options["days"] is None:
            self.stdout.write("kept all jobs, runs and events: RETENTION_DAYS is 0 (--days deletes them all the same)")
            return
        done = prune(timedelta(days=days))
        self.stdout.write(
            f"deleted {done.jobs} jobs, {done.runs} runs and {done.events} events older than {days:g} days"
        )
