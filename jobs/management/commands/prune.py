"""`manage.py prune`: deletes what ended long ago, and idempotency keys that have expired."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from jobs.lifecycle.prune import LONGEST_DAYS, prune
from jobs.operations import idempotency


class Command(BaseCommand):
    help = (
        "Delete final jobs with their history, old runs and events of the others, and idempotency keys that have "
        "expired. Safe at any time."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        age = parser.add_mutually_exclusive_group()
        age.add_argument("--days", type=float, help="that ended longer ago than so many days (RETENTION_DAYS)")
        age.add_argument("--everything", action="store_true", help="that ended, however lately")

    def handle(self, *args: Any, **options: Any) -> None:
        days = 0.0 if options["everything"] else _days(options["days"])
        keys = idempotency.prune(batches=None)
        self.stdout.write(f"deleted {keys} idempotency keys that had expired")
        if days is None:
            self.stdout.write(
                "kept all jobs, runs and events: RETENTION_DAYS is 0 (--days or --everything deletes them all the same)"
            )
            return
        done = prune(timedelta(days=days))
        older = "" if options["everything"] else f" older than {days:g} days"
        self.stdout.write(f"deleted {done.jobs} jobs, {done.runs} runs and {done.events} events{older}")


def _days(asked: float | None) -> float | None:
    """The age to delete from; None where everything is kept."""
    name, days = ("RETENTION_DAYS", settings.RETENTION_DAYS) if asked is None else ("--days", asked)
    if not 0 <= days <= LONGEST_DAYS:
        raise CommandError(f"{name} is {days:g}: it must be from 0 to {LONGEST_DAYS}")
    if days == 0 and asked is None:
        return None
    if days == 0:
        raise CommandError("--days 0 would delete all finished jobs: say --everything if that is meant")
    return float(days)
