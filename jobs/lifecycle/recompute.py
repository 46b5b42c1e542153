"""Recompute: schedules whose next occurrence was computed with older time-zone data.

A zone's rules change by decree. A scheduler that starts with newer data moves what the old data put
elsewhere, and says so; a state is never changed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from core.clock import database_now
from core.zones import TZDATA_VERSION, version_key
from jobs.lifecycle.create import schedule_of
from jobs.models import Job
from jobs.schedule import due_at, next_occurrence

BATCH = 200


@dataclass(frozen=True, slots=True)
class Moved:
    """A job whose next occurrence is another moment under the newer data."""

    job_id: UUID
    tz: str
    cron: str
    before: datetime
    after: datetime


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
            moved = [change for job in jobs if (change := _recompute_one(job, now)) is not None]
        yield from moved
        if len(jobs) < batch:
            return
        last = jobs[-1].pk


def _recompute_one(job: Job, now: datetime) -> Moved | None:
    before = job.next_run_at
    if before is None or version_key(job.tzdata_version) > version_key(TZDATA_VERSION):
        return None
    # None only under an end date: the scheduler ends the job when it comes due.
    after = before if before <= now else next_occurrence(schedule_of(job), after=now) or before
    changes: dict[str, object] = {"tzdata_version": TZDATA_VERSION}
    if after != before:
        changes |= {"next_run_at": after, "next_due_at": due_at(schedule_of(job), job.pk, after)}
        if job.scheduled_at == before:
            changes["scheduled_at"] = after
    Job.objects.filter(pk=job.pk, next_run_at=before).update(**changes)
    return Moved(job.pk, job.tz, job.cron, before, after) if after != before else None
