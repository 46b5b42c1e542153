"""The interventions of `intervene` for a chunk of jobs whose rows are written together: a …-many call takes a few
statements for all of them instead of some ten for each.

Owns which jobs can go together: those of which nothing has to be opened, skipped or missed first. The others are
`left` for the caller to ask one by one. What becomes of a job is what `intervene` makes of it; a test holds the two
together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from core.clock import database_now
from core.errors import ApiError, NotFound
from core.ids import encode
from core.zones import TZDATA_VERSION
from jobs.lifecycle.create import schedule_of
from jobs.lifecycle.errors import IllegalTransition, NotRecurring
from jobs.lifecycle.intervene import RUNNING, UNPAUSED, Intervened
from jobs.lifecycle.promote import has_room
from jobs.lifecycle.rows import OPEN, lock_jobs, open_runs, record_events
from jobs.lifecycle.sql import columns
from jobs.models import Execution, Job
from jobs.outbox import what_it_was
from jobs.schedule import due_at, next_occurrence
from jobs.states import ALLOWED, TRANSITIONS, EventType, JobStatus, RunStatus, Verb

LARGE = ("input", "session")  # of a job: a megabyte each, and nothing of it is asked here


@dataclass(slots=True)
class Together:
    """What became of the jobs of a chunk."""

    done: list[Intervened] = field(default_factory=list)
    gone: int = 0  # jobs that are no more
    refused: list[ApiError] = field(default_factory=list)
    left: list[UUID] = field(default_factory=list)

    def take(self, verb: Verb, ids: Sequence[UUID]) -> list[Job]:
        """The jobs, locked, that are in a state that allows the verb."""
        found = lock_jobs(ids, without=LARGE)
        taken = []
        for job_id in ids:
            job = found.get(job_id)
            if job is None:
                self.refused.append(NotFound(f"there is no job {encode('job', job_id)}", code="job_not_found"))
            elif verb is Verb.PAUSE and not job.recurring:
                self.refused.append(NotRecurring(UNPAUSED))
            elif job.status not in ALLOWED[verb]:
                self.refused.append(IllegalTransition(verb, JobStatus(job.status)))
            else:
                taken.append(job)
        return taken

    def leave(self, jobs: Sequence[Job], kept: Sequence[Job]) -> None:
        """All but those that are kept are the caller's."""
        keys = {job.pk for job in kept}
        self.left += [job.pk for job in jobs if job.pk not in keys]


@transaction.atomic
def cancel(ids: Sequence[UUID], *, reason: str, actor: str) -> Together:
    """scheduled | queued | running | paused → cancelled, all of them."""
    told = Together()
    jobs = told.take(Verb.CANCEL, ids)
    now = database_now()
    runs = open_runs([job.pk for job in jobs])
    begun: dict[UUID, int] = {}
    stopped: dict[UUID, list[int]] = {}
    for run in (run for job in jobs for run in runs.get(job.pk, [])):
        if run.status == RunStatus.RUNNING:
            stopped.setdefault(run.job_id, []).append(run.pk)
        if run.attempt:
            begun[run.job_id] = run.pk
    _cancel_runs([run for each in runs.values() for run in each], reason=reason, now=now)
    _move(
        jobs,
        JobStatus.CANCELLED,
        now=now,
        cancelled_at=now,
        completed_at=now,
        cancel_reason=reason,
        next_run_at=None,
        next_due_at=None,
        next_attempt_at=None,
    )
    for job_id, run_id in begun.items():
        Job.objects.filter(pk=job_id).update(last_run_status=RunStatus.CANCELLED, last_run_id=run_id)
    _tell(jobs, EventType.CANCELLED, now=now, actor=actor, data={"reason": reason} if reason else None)
    told.done = [Intervened(job, tuple(stopped.get(job.pk, ()))) for job in jobs]
    return told


@transaction.atomic
def pause(ids: Sequence[UUID], *, note: str, actor: str, pause_id: UUID | None) -> Together:
    """scheduled → paused, where no run is open and nothing is due."""
    told = Together()
    jobs = told.take(Verb.PAUSE, ids)
    now = database_now()
    runs = open_runs([job.pk for job in jobs])
    waiting = [job for job in jobs if job.pk not in runs and job.next_run_at is not None and job.next_run_at > now]
    told.leave(jobs, waiting)
    _move(
        waiting,
        JobStatus.PAUSED,
        now=now,
        paused_at=now,
        pause_note=note,
        pause_id=pause_id,
        next_run_at=None,
        next_due_at=None,
    )
    _tell(waiting, EventType.PAUSED, now=now, actor=actor, data={"note": note} if note else None)
    told.done = [Intervened(job) for job in waiting]
    return told


@transaction.atomic
def resume(ids: Sequence[UUID], *, note: str, actor: str) -> Together:
    """paused → scheduled at the next occurrence after now, where one is left and no run is open."""
    told = Together()
    jobs = told.take(Verb.RESUME, ids)
    now = database_now()
    runs = open_runs([job.pk for job in jobs])
    going_on = [job for job in jobs if job.pk not in runs and has_room(job) and _goes_on(job, now)]
    told.leave(jobs, going_on)
    _move(going_on, JobStatus.SCHEDULED, now=now, paused_at=None, pause_note="", pause_id=None, next_attempt_at=None)
    if going_on:
        columns.write(connection, going_on, ["next_run_at", "next_due_at", "scheduled_at", "tzdata_version"])
    _tell(going_on, EventType.RESUMED, now=now, actor=actor, data={"note": note} if note else None)
    told.done = [Intervened(job, woken=True) for job in going_on]
    return told


@transaction.atomic
def delete(ids: Sequence[UUID], *, force: bool, actor: str) -> Together:
    """The jobs and their histories are gone; of those that run only `force` takes any, one by one."""
    told = Together()
    jobs = told.take(Verb.DELETE, ids)
    now = database_now()
    runs = open_runs([job.pk for job in jobs])
    running = {run.job_id for each in runs.values() for run in each if run.status == RunStatus.RUNNING}
    if not force:
        told.refused += [
            IllegalTransition(Verb.DELETE, JobStatus(job.status), RUNNING) for job in jobs if job.pk in running
        ]
        jobs = [job for job in jobs if job.pk not in running]
    at_rest = [job for job in jobs if job.pk not in running]
    told.leave(jobs, at_rest)
    record_events(at_rest, EventType.DELETED, now=now, actor=actor, data=what_it_was)
    keys = [job.pk for job in at_rest]
    executions = Execution.objects.filter(job_id__in=keys)
    executions._raw_delete(executions.db)  # no row refers to an execution: spare the collector
    Job.objects.filter(pk__in=keys).delete()
    told.gone = len(at_rest)
    return told


def _goes_on(job: Job, now: datetime) -> bool:
    """Set where the job's grid goes on; False where it has ended."""
    schedule = schedule_of(job)
    upcoming = next_occurrence(schedule, after=now)
    if upcoming is None:
        return False
    job.next_run_at, job.next_due_at = upcoming, due_at(schedule, job.pk, upcoming)
    job.scheduled_at, job.tzdata_version = upcoming, TZDATA_VERSION if job.cron else ""
    return True


def _cancel_runs(runs: Sequence[Execution], *, reason: str, now: datetime) -> None:
    matched = Execution.objects.filter(pk__in=[run.pk for run in runs], status__in=OPEN).update(
        status=RunStatus.CANCELLED,
        fence=F("fence") + 1,
        owner_id=None,
        deadline_at=None,
        finished_at=now,
        code="CANCELLED",
        error=reason,
        retryable=False,
    )
    if matched != len(runs):
        raise RuntimeError("a run changed under the lock of its job")


def _move(jobs: Sequence[Job], status: JobStatus, *, now: datetime, **changes: Any) -> None:
    """Write what is new about locked jobs that have no open run any more, and their next event's number."""
    found = {JobStatus(job.status) for job in jobs}
    if any(status not in TRANSITIONS[each] for each in found):
        raise RuntimeError(f"not every one of {sorted(found)} may become {status}")
    matched = Job.objects.filter(pk__in=[job.pk for job in jobs], status__in=sorted(found)).update(
        status=status, updated_at=now, behind="", event_seq=F("event_seq") + 1, **changes
    )
    if matched != len(jobs):
        raise RuntimeError("a job changed under its lock")
    for job in jobs:
        job.status = status


def _tell(jobs: Sequence[Job], type: EventType, *, now: datetime, actor: str, data: Mapping[str, Any] | None) -> None:
    record_events(jobs, type, now=now, actor=actor, data=lambda job: data)
