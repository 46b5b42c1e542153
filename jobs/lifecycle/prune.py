"""Prune: what ended long ago is deleted, in bounded batches. Final jobs go with their history;
of jobs that go on, old runs and events go, and the last of each stays.

Nothing here changes a status, and nothing that is open is touched. An event that somebody listens to stays until
it is taken, however old it is, and with it the events after it, so that a job's `seq` keeps no gap. Its job may go.

Each call begins at the oldest rows. Those that stay cost it little: the database passes over them
within one statement, which names the id where the young ones begin.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from core.clock import database_now
from core.times import to_ms
from jobs.models import Execution, Job, JobEvent
from jobs.states import ENDED_RUN, FINAL, NEVER_RAN

BATCH = 500  # rows of one kind deleted in one transaction
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

    `seconds`: begin no further batch after so long. Events, runs and jobs each have an equal share of
    the time, and what one does not need is the next one's: none waits for another to be finished. The
    next call goes on. ValueError for an age below zero: everything has ended before tomorrow.
    """
    if older_than < timedelta():
        raise ValueError(f"an age of {older_than} is below zero")
    ended_before = database_now() - older_than
    until = None if seconds is None else time.monotonic() + seconds
    pruned = Pruned()
    # Jobs last: then most have only their last run and event left.
    kinds = (_events, _runs, _jobs)
    for number, batches in enumerate(kinds):
        if not batches(ended_before, pruned, _share_of(until, kinds_left=len(kinds) - number)):
            pruned.finished = False
    return pruned


def _share_of(until: float | None, *, kinds_left: int) -> Callable[[], bool]:
    """Tells whether the time of the next kind is over: its part of what is left now."""
    if until is None:
        return lambda: False
    now = time.monotonic()
    ends = now + (until - now) / kinds_left
    return lambda: time.monotonic() > ends


def _events(ended_before: datetime, pruned: Pruned, time_is_over: Callable[[], bool]) -> bool:
    old = _old_events(ended_before).filter(pk__lt=_first_young(JobEvent.objects.all(), "at", ended_before))
    deleted, finished = _in_batches(old, time_is_over)
    pruned.events += deleted
    return finished


def _runs(ended_before: datetime, pruned: Pruned, time_is_over: Callable[[], bool]) -> bool:
    old = _old_runs(ended_before).filter(pk__lt=_first_young(Execution.objects.all(), "created_at", ended_before))
    deleted, finished = _in_batches(old, time_is_over)
    pruned.runs += deleted
    return finished


def _jobs(ended_before: datetime, pruned: Pruned, time_is_over: Callable[[], bool]) -> bool:
    """Final jobs, with what is left of their history. Their ids tell when they were made: no index is needed."""
    after, made_before = _FIRST_ID, UUID(int=to_ms(ended_before) << 80)
    old = Job.objects.filter(pk__lt=made_before, status__in=_FINAL, completed_at__lt=ended_before)
    while not time_is_over():
        ids = list(old.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:BATCH])
        if not _histories(ids, ended_before, pruned, time_is_over):
            return False
        with transaction.atomic():
            # Locked first: a retry that comes now finds the job gone, or keeps it.
            gone = list(old.filter(pk__in=ids).select_for_update(skip_locked=True).values_list("pk", flat=True))
            if gone:
                pruned.events += JobEvent.objects.filter(job_id__in=gone, wanted=False).delete()[0]
                pruned.runs += Execution.objects.filter(job_id__in=gone).delete()[0]
                Job.objects.filter(pk__in=gone).delete()
                pruned.jobs += len(gone)
        if len(ids) < BATCH:
            return True
        after = ids[-1]
        time.sleep(BREATH_SECONDS)
    return False


def _histories(ids: list[UUID], ended_before: datetime, pruned: Pruned, time_is_over: Callable[[], bool]) -> bool:
    """All but the last run and event of these jobs, however many there are: what goes with a job is then little."""
    events, events_finished = _in_batches(_old_events(ended_before).filter(job_id__in=ids), time_is_over, by="job_id")
    runs, runs_finished = _in_batches(_old_runs(ended_before).filter(job_id__in=ids), time_is_over, by="job_id")
    pruned.events += events
    pruned.runs += runs
    return events_finished and runs_finished


def _old_events(ended_before: datetime) -> QuerySet[JobEvent]:
    """Old events but the last of each job, so that `seq` counts on; all of jobs that are gone. None from the first on
    that waits to be taken."""
    last_of_its_job = Job.objects.filter(pk=OuterRef("job_id"), event_seq=OuterRef("seq"))
    old = JobEvent.objects.filter(~Exists(last_of_its_job), at__lt=ended_before)
    waiting = JobEvent.objects.filter(wanted=True).order_by("pk").values_list("pk", flat=True).first()
    return old if waiting is None else old.filter(pk__lt=waiting)


def _old_runs(ended_before: datetime) -> QuerySet[Execution]:
    """Runs that ended, but the last that ended of each job: the job's result is there."""
    last_of_its_job = Job.objects.filter(pk=OuterRef("job_id"), last_run_id=OuterRef("pk"))
    return Execution.objects.filter(~Exists(last_of_its_job), status__in=_ENDED, finished_at__lt=ended_before)


def _in_batches(rows: QuerySet[Any], time_is_over: Callable[[], bool], *, by: str = "pk") -> tuple[int, bool]:
    """Delete these rows: how many went, and whether that was all.

    By `pk` each batch begins behind the one before, else at the index of another column, where what
    was deleted before is not found again.
    """
    deleted, left = 0, rows
    while not time_is_over():
        ids = list(left.order_by(by).values_list("pk", flat=True)[:BATCH])
        if ids:
            deleted += rows.filter(pk__in=ids).delete()[0]
        if len(ids) < BATCH:
            return deleted, True
        if by == "pk":
            left = rows.filter(pk__gt=ids[-1])
        time.sleep(BREATH_SECONDS)
    return deleted, False


def _first_young(rows: QuerySet[Any], column: str, moment: datetime) -> int:
    """The id at which rows of that moment or later begin, in some forty looks at the primary key.

    Ids are given in the order of time, but for transactions that were open side by side: what stands
    on the wrong side for that waits for the next call, or is too young to be taken.
    """
    found = rows.order_by("-pk").values_list("pk", flat=True).first()
    low, high = 0, 0 if found is None else found + 1
    while low < high:
        middle = (low + high) // 2
        row = rows.filter(pk__gte=middle).order_by("pk").values_list("pk", column).first()
        if row is not None and row[1] < moment:
            low = row[0] + 1
        else:
            high = middle
    return high
