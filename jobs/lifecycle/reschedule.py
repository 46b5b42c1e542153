"""Reschedule: a new time or grid for a job that exists (semantics §4).

What is running goes on. What has not begun gives way to the new schedule, unless only a limit, an
end date or a policy of the same grid is new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from core.clock import database_now
from core.errors import Invalid
from core.times import MICROSECOND, to_ms
from jobs.lifecycle.create import build_run, schedule_columns
from jobs.lifecycle.errors import IllegalTransition
from jobs.lifecycle.intervene import Intervened, allowed, promote_what_is_due
from jobs.lifecycle.promote import give_up, has_room
from jobs.lifecycle.reap import ended_by
from jobs.lifecycle.rows import lock_job, move_job, move_run, record_event
from jobs.models import Execution, Job
from jobs.schedule import Schedule, due_at, first_occurrence, next_occurrence
from jobs.states import EventType, JobStatus, RunStatus, Trigger, Verb

RESCHEDULED = "rescheduled before it was made up for"
_GRID = ("start_at", "cron", "every", "tz", "anchor_at", "dst_gap", "dst_overlap")  # what makes the occurrences


@transaction.atomic
def reschedule(
    job_id: UUID, schedule: Schedule, *, as_given: dict[str, Any] | None = None, actor: str = ""
) -> Intervened:
    """A new time or grid. scheduled | queued | paused → scheduled (paused stays paused; queued, where an
    interval begins in the past); a recurring job that is running changes from its next run on.

    A run that has not begun gives way; a back-off in progress is dropped, its run ends as failed. Where
    the grid stays what it is (only `limit`, `endDate` or a policy is new), nothing gives way.
    """
    job = lock_job(job_id)
    now = database_now()
    if job.recurring:
        promote_what_is_due(job, now=now)
    runs = allowed(job, Verb.RESCHEDULE)
    if job.status == JobStatus.RUNNING and not job.recurring:
        raise IllegalTransition(Verb.RESCHEDULE, JobStatus.RUNNING, "a one-off that is running has no next run")
    if schedule.limit is not None and job.occurrences_opened - _unstarted(runs) >= schedule.limit:
        raise Invalid.field("limit", f"{job.occurrences_opened} runs have started already: it must be more than that")
    goes_on = job.recurring and all(getattr(job, name) == getattr(schedule, name) for name in _GRID)
    gone = _GaveWay(list(runs))
    if not goes_on:
        give_up(job, RESCHEDULED, now=now)
        gone = _give_way(job, runs, now=now)
        runs = gone.left
    paused = job.paused_at is not None and schedule.recurring
    upcoming = _on_the_same_grid(job, schedule, now) if goes_on else _on_a_new_grid(job, schedule, paused, runs, now)
    if upcoming is None and not (goes_on and runs):
        raise Invalid.field("endDate", "no occurrence is left before it", code="no_occurrence")
    first = upcoming
    for name, value in schedule_columns(schedule).items():
        setattr(job, name, value)
    if first is not None and first <= now and schedule.recurring and not goes_on and not paused:
        run = _open_at_once(job, schedule, first, now)
        if run is not None:
            runs = [run]
            upcoming = next_occurrence(schedule, after=first) if has_room(job) else None
    move_job(
        job,
        Verb.RESCHEDULE,
        runs,
        now=now,
        **{
            **gone.changes,
            **schedule_columns(schedule),
            "schedule": as_given or {},
            "occurrences_opened": job.occurrences_opened,
            "retry_count": job.retry_count,
            "paused_at": job.paused_at if paused else None,
            "next_run_at": None if paused else upcoming,
            "next_due_at": None if paused or upcoming is None else due_at(schedule, job.pk, upcoming),
            "next_attempt_at": job.next_attempt_at if goes_on else None,
            "scheduled_at": job.scheduled_at if runs or first is None else first,
        },
    )
    for run in gone.ended:
        record_event(job, EventType.FAILED, now=now, number=run.number, error=run.error)
    record_event(
        job, EventType.RESCHEDULED, now=now, actor=actor, data={"first": to_ms(first)} if first is not None else None
    )
    return Intervened(job, woken=True)


def _on_the_same_grid(job: Job, schedule: Schedule, now: datetime) -> datetime | None:
    """The next occurrence of a grid that goes on, under what is new of the schedule."""
    if schedule.limit is not None and job.occurrences_opened >= schedule.limit:
        return None
    if job.next_run_at is None:  # its end had been reached, or it is paused
        return next_occurrence(schedule, after=now)
    return next_occurrence(schedule, after=job.next_run_at - MICROSECOND)


def _on_a_new_grid(
    job: Job, schedule: Schedule, paused: bool, runs: Sequence[Execution], now: datetime
) -> datetime | None:
    """The first occurrence of a grid that begins. In the past only where it runs at once and has not run yet."""
    first = first_occurrence(schedule, now=now)
    if first is None or first > now or not schedule.recurring:
        return first
    return next_occurrence(schedule, after=now) if paused or runs or _is_told(job, first) else first


def _open_at_once(job: Job, schedule: Schedule, first: datetime, now: datetime) -> Execution | None:
    """The run of a grid that began in the past, as a dispatch has it: not late by what was before it was asked
    for. None while its jitter lasts."""
    due = due_at(schedule, job.pk, first)
    if due > now:
        return None
    run = build_run(job, scheduled_at=first, due=now, trigger=Trigger.SCHEDULE, now=now)
    run.save(force_insert=True)
    job.occurrences_opened += 1
    job.scheduled_at, job.retry_count = first, 0
    return run


def _unstarted(runs: Sequence[Execution]) -> int:
    """Occurrences that count against the limit only because they were about to run."""
    return sum(1 for run in runs if not run.attempt and run.trigger == Trigger.SCHEDULE)


def _is_told(job: Job, occurrence: datetime) -> bool:
    """Whether the history has that occurrence: it ran, was skipped or was missed, and does not come again."""
    of_schedule = Execution.objects.filter(job_id=job.pk, trigger=Trigger.SCHEDULE, scheduled_at__lte=occurrence)
    return of_schedule.filter(Q(scheduled_at=occurrence) | Q(last_scheduled_at__gte=occurrence)).exists()


@dataclass(frozen=True, slots=True)
class _GaveWay:
    """The runs that remain, those that ended as failed, and what their end means for the job's columns."""

    left: list[Execution]
    ended: Sequence[Execution] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)


def _give_way(job: Job, runs: Sequence[Execution], *, now: datetime) -> _GaveWay:
    """Take a job's runs that are not running out of its way."""
    left, ended = [], []
    changes: dict[str, Any] = {}
    for run in runs:
        if run.status == RunStatus.RUNNING:
            left.append(run)
        elif run.attempt:  # a back-off, or about to begin again: the run ends with the outcome of its last attempt
            code, error = (run.code, run.error) if run.code else ("LOST", job.last_error)
            move_run(run, RunStatus.FAILED, finished_at=now, fence=run.fence + 1, code=code, error=error)
            changes |= ended_by(job, run, now=now)
            ended.append(run)
        else:
            deleted, _ = Execution.objects.filter(pk=run.pk, status=run.status, fence=run.fence, attempt=0).delete()
            if deleted != 1:
                raise RuntimeError(f"run {run.pk} changed under the lock of its job")
            if run.trigger == Trigger.SCHEDULE and job.recurring:
                job.occurrences_opened -= 1
    return _GaveWay(left, ended, changes)
