"""Redefine: the definition that an unfinished recurring job was scheduled by has changed (api.md §3).

The grid keeps its anchor; what is open goes on, so that nothing runs at once that would not have. A job that
has had all its runs under the new limit ends here, or with its last open run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from core.clock import database_now
from core.times import to_ms
from jobs.lifecycle.create import schedule_columns, schedule_of
from jobs.lifecycle.intervene import Intervened, promote_what_is_due
from jobs.lifecycle.promote import give_up, has_room, tell_end
from jobs.lifecycle.rows import lock_job, move_job, open_runs, record_event
from jobs.models import Execution, Job
from jobs.schedule import Schedule, due_at, next_occurrence
from jobs.states import FINAL, OPEN_RUN, EventType

REDEFINED = "its definition changed before it was made up for"


@dataclass(frozen=True, kw_only=True, slots=True)
class Redefined:
    """What is new of a definition; None stays as the job has it."""

    every: int | None = None  # ms
    executions: int | None = None  # 0: without a limit
    namespace: str | None = None
    target: Mapping[str, Any] | None = None


@transaction.atomic
def redefine(job_id: UUID, new: Redefined, *, actor: str = "") -> Intervened | None:
    """scheduled | queued | running → the same with another next occurrence, or completed | failed where none is
    left. A paused one stays paused, unless it ends. None: it has ended already, or recurs no more."""
    job = lock_job(job_id)
    now = database_now()
    if job.status in FINAL or not job.recurring:
        return None
    promote_what_is_due(job, now=now)
    if job.status in FINAL:
        return None
    runs = open_runs([job.pk]).get(job.pk, [])
    if new.namespace is not None:
        _keep_what_has_begun(job, new.namespace)
    schedule = _changed(job, new, now)
    other_grid = new.every is not None
    if other_grid:
        give_up(job, REDEFINED, now=now)
    job.limit = schedule.limit
    upcoming = _upcoming(job, schedule, other_grid, now)
    paused = job.paused_at is not None and not (not has_room(job) and not runs)
    ends = upcoming is None and not runs and not paused
    target = dict(new.target) if new.target is not None else job.target
    move_job(
        job,
        "redefine",
        runs,
        now=now,
        **{
            **schedule_columns(schedule),
            "schedule": _as_given(job, new),
            "namespace": new.namespace or job.namespace,
            "target": target,
            "paused_at": job.paused_at if paused else None,
            "next_run_at": None if paused else upcoming,
            "next_due_at": None if paused or upcoming is None else due_at(schedule, job.pk, upcoming),
            "scheduled_at": job.scheduled_at if runs or upcoming is None else upcoming,
            "completed_at": job.completed_at or now if ends else job.completed_at,
        },
    )
    data = {"definition": job.definition, **({"first": to_ms(upcoming)} if upcoming is not None else {})}
    record_event(job, EventType.RESCHEDULED, now=now, actor=actor, data=data)
    if ends:
        tell_end(job, now=now)
    return Intervened(job, woken=job.status not in FINAL)


def _keep_what_has_begun(job: Job, namespace: str) -> None:
    """A run that has begun goes on, in all its attempts, with what it began with; what has not is of the new event."""
    of_job = Execution.objects.filter(job_id=job.pk, status__in=sorted(OPEN_RUN))
    of_job.filter(run_started_at__isnull=False, target__isnull=True).update(target=job.target)
    of_job.filter(run_started_at__isnull=True).update(namespace=namespace)  # what a claim and a hold look at


def _changed(job: Job, new: Redefined, now: datetime) -> Schedule:
    """The job's schedule after the change. A limit that is passed already is as many as there were."""
    schedule = schedule_of(job)
    if new.every is not None:
        anchor = job.anchor_at or job.start_at or now
        schedule = replace(schedule, every=new.every, anchor_at=anchor, cron="", tz="UTC")
    if new.executions is not None:
        limit = max(new.executions, job.occurrences_opened) if new.executions else None
        schedule = replace(schedule, limit=limit)
    return schedule


def _upcoming(job: Job, schedule: Schedule, other_grid: bool, now: datetime) -> datetime | None:
    """The next occurrence, whether or not a pause holds it back."""
    if not has_room(job):
        return None
    if other_grid or job.next_run_at is None:
        return next_occurrence(schedule, after=now)
    return job.next_run_at


def _as_given(job: Job, new: Redefined) -> dict[str, Any]:
    """The schedule as it reads when written out."""
    given = dict(job.schedule)
    if new.every is not None:
        given = {name: value for name, value in given.items() if name not in {"cron", "tz", "timezone"}}
        given["every"] = new.every
    if new.executions is not None:
        given.pop("limit", None)
        if new.executions:
            given["limit"] = new.executions
    return given
