"""Recompute: schedules whose next occurrence was computed with older time-zone data.

A zone's rules change by decree. A scheduler that starts with newer data moves what the old data put
elsewhere, and says so. A job of which no occurrence is left before its end date ends here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction

from core.clock import database_now
from core.ids import encode
from core.zones import TZDATA_VERSION, version_key
from jobs.lifecycle.create import schedule_of
from jobs.lifecycle.promote import tell_end
from jobs.lifecycle.rows import move_job, open_runs
from jobs.models import Job
from jobs.schedule import due_at, next_occurrence

logger = logging.getLogger(__name__)

BATCH = 200


@dataclass(frozen=True, slots=True)
class Moved:
    """A job whose next occurrence is another moment under the newer data."""

    job_id: UUID
    tz: str
    cron: str
    before: datetime
    after: datetime | None  # None: no occurrence is left, the end date is before it

    @property
    def to(self) -> str:
        return self.after.isoformat() if self.after is not None else "no occurrence: its end date is before it"


def recompute(batch: int = BATCH) -> Iterator[Moved]:
    """Bring every waiting cron job to this version of the data, in bounded batches; what moved.

    Rows computed with the same or newer data are left alone, so that of an old scheduler and a new
    one beside each other the new one wins. An occurrence that is due already stays: it is promoted.
    One that the newer data puts into the past is not made up for: nobody could know it.
    """
    last: UUID | None = None
    while True:
        with transaction.atomic():
            found = Job.objects.select_for_update(skip_locked=True, no_key=True).filter(
                next_run_at__isnull=False, next_due_at__isnull=False, recurring=True
            )
            found = found.exclude(cron="").exclude(tzdata_version=TZDATA_VERSION)
            if last is not None:
                found = found.filter(pk__gt=last)
            jobs = list(found.order_by("pk")[:batch])
            now = database_now()
            moved = [change for job in jobs if (change := _recompute_alone(job, now)) is not None]
        yield from moved
        if len(jobs) < batch:
            return
        last = jobs[-1].pk


def _recompute_alone(job: Job, now: datetime) -> Moved | None:
    """One job under a savepoint of its own: one that cannot be computed stays as it is and keeps no other from it."""
    try:
        with transaction.atomic():
            return _recompute_one(job, now)
    except (OperationalError, InterfaceError):  # the database is away
        raise
    except Exception:
        logger.exception("%s cannot be recomputed: it stays as it is", encode("job", job.pk))
        return None


def _recompute_one(job: Job, now: datetime) -> Moved | None:
    before = job.next_run_at
    if before is None or version_key(job.tzdata_version) > version_key(TZDATA_VERSION):
        return None
    schedule = schedule_of(job)
    after = before if before <= now else next_occurrence(schedule, after=now)
    if after is None:  # its end date has come to be before it
        runs = open_runs([job.pk]).get(job.pk, [])
        ended_at = job.completed_at or (None if runs else now)
        move_job(job, "recompute", runs, now=now, next_run_at=None, next_due_at=None, completed_at=ended_at)
        if not runs:
            tell_end(job, now=now)
    elif after != before:
        changes = {"next_run_at": after, "next_due_at": due_at(schedule, job.pk, after)}
        if job.scheduled_at == before:
            changes["scheduled_at"] = after
        Job.objects.filter(pk=job.pk).update(**changes)
    Job.objects.filter(pk=job.pk).update(tzdata_version=TZDATA_VERSION)
    return Moved(job.pk, job.tz, job.cron, before, after) if after != before else None
