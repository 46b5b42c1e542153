"""Prune: what ended long ago is deleted, in bounded batches. Final jobs go with their history;
of jobs that go on, old runs and events go, and the last of each stays.

Nothing here changes a status, and nothing that is open is touched. Events that webhooks are told
of must be handed out before they are that old (`webhooks` needs seconds, not months).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef

from core.clock import database_now
from core.times import to_ms
from jobs.models import Execution, Job, JobEvent
from jobs.states import ENDED_RUN, FINAL, NEVER_RAN

BATCH = 500  # rows looked at in one transaction
LONGEST_DAYS = 36_500  # a hundred years: what is to be kept longer is kept for ever
BREATH_SECONDS = 0.02  # between two batches, so that other writers get their turn

_FINAL, _ENDED = sorted(FINAL), sorted(ENDED_RUN | NEVER_RAN)
_FIRST_ID = UUID(int=0)


@dataclass(slots=True)
class Pruned:
    """How much was deleted; `finished` is False where the time was over first."""

    jobs: int = 0
    runs: int = 0
    events: int = 0
    finished: bool = True


def prune(older_than: timedelta, *, seconds: float | None = None) -> Pruned:
    """Delete what ended longer ago than that. It may be called at any time, also twice at once.

    `seconds`: begin no further batch after so long; the next call goes on. ValueError for an age below
    zero: everything has ended before tomorrow.
    """
    if older_than < timedelta():
        raise ValueError(f"an age of {older_than} is below zero")
    ended_before = database_now() - older_than
    until = None if seconds is None else time.monotonic() + seconds
    pruned = Pruned()
    # Jobs last: then each has only its last run and event left, and a batch of jobs is small.
    for batches in (_events, _runs, _jobs):
        if not batches(ended_before, pruned, lambda: until is not None and time.monotonic() > until):
            pruned.finished = False
            break
    return pruned


def _events(ended_before: datetime, pruned: Pruned, time_is_over: Callable[[], bool]) -> bool:
    """Old events but the last of each job, so that `seq` counts on; all of jobs that are gone.

    A job's events are numbered in the order of their ids: what is deleted is the beginning of them.
    """
    after = 0
    last_of_its_job = Job.objects.filter(pk=OuterRef("job_id"), event_seq=OuterRef("seq"))
    while not time_is_over():
        rows = list(JobEvent.objects.filter(pk__gt=after).order_by("pk").values_list("pk", "at")[:BATCH])
        old = [pk for pk, at in rows if at < ended_before]
        if old:
            pruned.events += JobEvent.objects.filter(~Exists(last_of_its_job), pk__in=old).delete()[0]
        if len(old) < len(rows) or len(rows) < BATCH:
            return True
        after = old[-1]
        time.sleep(BREATH_SECONDS)
    return False


def _runs(ended_before: datetime, pruned: Pruned, time_is_over: Callable[[], bool]) -> bool:
    """Runs that ended, but the last that ended of each job: the job's result is there."""
    after = 0
    last_of_its_job = Job.objects.filter(pk=OuterRef("job_id"), last_run_id=OuterRef("pk"))
    while not time_is_over():
        rows = list(Execution.objects.filter(pk__gt=after).order_by("pk").values_list("pk", "created_at")[:BATCH])
        old = [pk for pk, created_at in rows if created_at < ended_before]
        if old:
            ended = Execution.objects.filter(
                ~Exists(last_of_its_job), pk__in=old, status__in=_ENDED, finished_at__lt=ended_before
            )
            pruned.runs += ended.delete()[0]
        if len(old) < len(rows) or len(rows) < BATCH:
            return True
        after = old[-1]
        time.sleep(BREATH_SECONDS)
    return False


def _jobs(ended_before: datetime, pruned: Pruned, time_is_over: Callable[[], bool]) -> bool:
    """Final jobs, with what is left of their history. Their ids tell when they were made: no index is needed."""
    after, made_before = _FIRST_ID, UUID(int=to_ms(ended_before) << 80)
    while not time_is_over():
        with transaction.atomic():
            ids = list(
                Job.objects.filter(pk__gt=after, pk__lt=made_before).order_by("pk").values_list("pk", flat=True)[:BATCH]
            )
            # Locked first: a retry that comes now finds the job gone, or keeps it.
            final = Job.objects.filter(pk__in=ids, status__in=_FINAL, completed_at__lt=ended_before)
            gone = list(final.select_for_update(skip_locked=True).values_list("pk", flat=True))
            if gone:
                pruned.events += JobEvent.objects.filter(job_id__in=gone).delete()[0]
                pruned.runs += Execution.objects.filter(job_id__in=gone).delete()[0]
                Job.objects.filter(pk__in=gone).delete()
                pruned.jobs += len(gone)
        if len(ids) < BATCH:
            return True
        after = ids[-1]
        time.sleep(BREATH_SECONDS)
    return False
