"""Interventions: cancel, pause, resume, reschedule, retry, trigger, delete (semantics §4).

Each takes the job's row, checks what is true, and writes once: a claim that comes at the same
moment is either before it (the intervention finds `running`) or after it (the claim finds nothing).
Where the state does not allow it: IllegalTransition, with the state that was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from core.clock import database_now
from core.errors import Invalid
from core.times import MICROSECOND, to_ms
from core.zones import TZDATA_VERSION
from jobs.lifecycle.create import build_run, schedule_columns, schedule_of
from jobs.lifecycle.errors import IllegalTransition, NotRecurring
from jobs.lifecycle.promote import give_up, promote_locked
from jobs.lifecycle.reap import end_run
from jobs.lifecycle.rows import lock_job, move_job, move_run, open_runs, record_event
from jobs.models import Execution, Job
from jobs.schedule import Schedule, due_at, first_occurrence, next_occurrence
from jobs.states import ALLOWED, EventType, JobStatus, RunStatus, Trigger, Verb

PAUSED = "paused before it was made up for"
RESCHEDULED = "rescheduled before it was made up for"
_GRID = ("start_at", "cron", "every", "tz", "anchor_at", "dst_gap", "dst_overlap")  # what makes the occurrences


@dataclass(frozen=True, slots=True)
class Intervened:
    """The job after an intervention, the runs a worker must stop, and whether a queue has new work."""

    job: Job
    stopped_runs: tuple[int, ...] = ()
    woken: bool = False


@transaction.atomic
def cancel(job_id: UUID, *, reason: str = "", actor: str = "") -> Intervened:
    """scheduled | queued | running | paused → cancelled, at once.

    A running attempt loses its fence: what it still returns is discarded.
    """
    job, runs = _take(job_id, Verb.CANCEL)
    now = database_now()
    return Intervened(job, _cancel(job, runs, reason=reason, actor=actor, now=now))


def _cancel(job: Job, runs: list[Execution], *, reason: str, actor: str, now: datetime) -> tuple[int, ...]:
    stopped = []
    changes: dict[str, Any] = {}
    for run in runs:
        if run.status == RunStatus.RUNNING:
            stopped.append(run.pk)
        if run.attempt:
            changes = {"last_run_status": str(RunStatus.CANCELLED), "last_run_id": run.pk}
        move_run(
            run,
            RunStatus.CANCELLED,
            fence=run.fence + 1,
            owner_id=None,
            deadline_at=None,
            finished_at=now,
            code="CANCELLED",
            error=reason,
            retryable=False,
        )
    move_job(
        job,
        Verb.CANCEL,
        runs,
        now=now,
        cancelled_at=now,
        completed_at=now,
        cancel_reason=reason,
        next_run_at=None,
        next_due_at=None,
        next_attempt_at=None,
        **changes,
    )
    record_event(job, EventType.CANCELLED, now=now, actor=actor, data={"reason": reason} if reason else None)
    return tuple(stopped)


@transaction.atomic
def pause(job_id: UUID, *, note: str = "", actor: str = "") -> Intervened:
    """scheduled | queued | running → paused. A running run goes on and is recorded; one that has
    not begun, or waits in a back-off, is frozen until `resume`."""
    job = lock_job(job_id)
    if not job.recurring:
        raise NotRecurring("only a recurring job can be paused; cancel or reschedule a one-off")
    now = database_now()
    if job.next_run_at is not None and job.next_run_at <= now:  # also what only waits for its jitter
        promote_locked(job, open_runs([job.pk]).get(job.pk, []), now=now, jittered=False)
    runs = _allowed(job, Verb.PAUSE)
    give_up(job, PAUSED, now=now)
    for run in runs:
        if run.status in {RunStatus.QUEUED, RunStatus.WAITING}:
            move_run(run, RunStatus.FROZEN)
    move_job(job, Verb.PAUSE, runs, now=now, paused_at=now, pause_note=note, next_run_at=None, next_due_at=None)
    record_event(job, EventType.PAUSED, now=now, actor=actor, data={"note": note} if note else None)
    return Intervened(job)


@transaction.atomic
def resume(job_id: UUID, *, note: str = "", actor: str = "") -> Intervened:
    """paused → scheduled at the next occurrence after now on the same grid (running, while the
    run that the pause let go on still runs; completed or failed, when the schedule ended)."""
    job, runs = _take(job_id, Verb.RESUME)
    now = database_now()
    schedule = schedule_of(job)
    upcoming = next_occurrence(schedule, after=now) if _room(job) else None
    for run in runs:
        if run.status == RunStatus.FROZEN:
            move_run(run, RunStatus.WAITING, due_at=max(now, run.due_at))
    ends = upcoming is None and not runs
    waiting = [run.due_at for run in runs if run.status == RunStatus.WAITING and run.attempt]
    move_job(
        job,
        Verb.RESUME,
        runs,
        now=now,
        paused_at=None,
        pause_note="",
        next_run_at=upcoming,
        next_due_at=due_at(schedule, job.pk, upcoming) if upcoming else None,
        next_attempt_at=min(waiting, default=None),
        scheduled_at=job.scheduled_at if runs or upcoming is None else upcoming,
        tzdata_version=TZDATA_VERSION if job.cron else "",
        completed_at=job.completed_at or now if ends else job.completed_at,
    )
    record_event(job, EventType.RESUMED, now=now, actor=actor, data={"note": note} if note else None)
    return Intervened(job, woken=True)


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
    if job.recurring and job.next_due_at is not None and job.next_due_at <= now:
        promote_locked(job, open_runs([job.pk]).get(job.pk, []), now=now)
    runs = _allowed(job, Verb.RESCHEDULE)
    if job.status == JobStatus.RUNNING and not job.recurring:
        raise IllegalTransition(Verb.RESCHEDULE, JobStatus.RUNNING, "a one-off that is running has no next run")
    if schedule.limit is not None and job.occurrences_opened - _unstarted(runs) >= schedule.limit:
        raise Invalid.field("limit", f"{job.occurrences_opened} runs have started already: it must be more than that")
    goes_on = job.recurring and all(getattr(job, name) == getattr(schedule, name) for name in _GRID)
    if not goes_on:
        give_up(job, RESCHEDULED, now=now)
        runs = _give_way(job, runs, now=now)
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
            upcoming = next_occurrence(schedule, after=first) if _room(job) else None
    move_job(
        job,
        Verb.RESCHEDULE,
        runs,
        now=now,
        **schedule_columns(schedule),
        schedule=as_given or {},
        occurrences_opened=job.occurrences_opened,
        retry_count=job.retry_count,
        paused_at=job.paused_at if paused else None,
        next_run_at=None if paused else upcoming,
        next_due_at=None if paused or upcoming is None else due_at(schedule, job.pk, upcoming),
        next_attempt_at=job.next_attempt_at if goes_on else None,
        scheduled_at=job.scheduled_at if runs or first is None else first,
    )
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


def _give_way(job: Job, runs: list[Execution], *, now: datetime) -> list[Execution]:
    """Take a job's runs that are not running out of its way; those that remain."""
    left = [run for run in runs if run.status == RunStatus.RUNNING]
    for run in runs:
        if run in left:
            continue
        if run.attempt:  # a back-off: the run ends with the outcome of its last attempt
            move_run(run, RunStatus.FAILED, finished_at=now, fence=run.fence + 1)
            end_run(job, run, [other for other in runs if other.pk != run.pk], now=now)
        else:
            deleted, _ = Execution.objects.filter(pk=run.pk, status=run.status, fence=run.fence, attempt=0).delete()
            if deleted != 1:
                raise RuntimeError(f"run {run.pk} changed under the lock of its job")
            if run.trigger == Trigger.SCHEDULE and job.recurring:
                job.occurrences_opened -= 1
    return left


@transaction.atomic
def retry(job_id: UUID, *, delay: timedelta = timedelta(0), actor: str = "") -> Intervened:
    """failed (or recurring, its last run failed) → queued; with a delay → scheduled.

    A new run of the same occurrence; the grid of a recurring job is untouched.
    """
    job, runs = _take(job_id, Verb.RETRY)
    if runs:
        raise IllegalTransition(Verb.RETRY, JobStatus(job.status), "a run of this job is still open")
    if job.last_run_status != RunStatus.FAILED:
        raise IllegalTransition(Verb.RETRY, JobStatus(job.status), "the last run of this job did not fail")
    now = database_now()
    failed = Execution.objects.filter(pk=job.last_run_id).first() if job.last_run_id is not None else None
    run = build_run(
        job,
        scheduled_at=failed.scheduled_at if failed is not None else job.scheduled_at,
        due=now + delay,
        trigger=Trigger.RETRY,
        now=now,
        status=RunStatus.WAITING if delay else RunStatus.QUEUED,
    )
    run.save(force_insert=True)
    move_job(
        job,
        Verb.RETRY,
        [run],
        now=now,
        retry_count=0,
        scheduled_at=run.scheduled_at,
        next_attempt_at=now + delay if delay else None,
    )
    record_event(job, EventType.RETRYING, now=now, actor=actor)
    return Intervened(job, woken=True)


@transaction.atomic
def trigger(job_id: UUID, *, actor: str = "") -> Intervened:
    """One extra run of a recurring job now; the grid is untouched, a paused job stays paused."""
    job = lock_job(job_id)
    if not job.recurring:
        raise NotRecurring("only a recurring job can be triggered; dispatch a one-off again")
    runs = _allowed(job, Verb.TRIGGER)
    if runs:
        raise IllegalTransition(Verb.TRIGGER, JobStatus(job.status), "a run of this job is still open")
    now = database_now()
    run = build_run(job, scheduled_at=now, due=now, trigger=Trigger.TRIGGER, now=now)
    run.save(force_insert=True)
    move_job(job, Verb.TRIGGER, [run], now=now, retry_count=0, scheduled_at=now)
    return Intervened(job, woken=True)


@transaction.atomic
def delete(job_id: UUID, *, force: bool = False, actor: str = "") -> tuple[int, ...]:
    """The job and its history are gone; its events stay. Refused while a run is running, unless
    `force`, which cancels first. The runs that a worker must stop."""
    job, runs = _take(job_id, Verb.DELETE)
    now = database_now()
    stopped: tuple[int, ...] = ()
    if any(run.status == RunStatus.RUNNING for run in runs):
        if not force:
            raise IllegalTransition(Verb.DELETE, JobStatus(job.status), "it is running: cancel it first, or force")
        stopped = _cancel(job, runs, reason="deleted", actor=actor, now=now)
    record_event(job, EventType.DELETED, now=now, actor=actor)
    executions = Execution.objects.filter(job_id=job.pk)
    executions._raw_delete(executions.db)  # no row refers to an execution: spare the collector
    Job.objects.filter(pk=job.pk).delete()
    return stopped


def _take(job_id: UUID, verb: Verb) -> tuple[Job, list[Execution]]:
    job = lock_job(job_id)
    return job, _allowed(job, verb)


def _allowed(job: Job, verb: Verb) -> list[Execution]:
    """The open runs of a locked job in a state that allows the verb, else IllegalTransition."""
    found = JobStatus(job.status)
    if found not in ALLOWED[verb]:
        raise IllegalTransition(verb, found)
    return open_runs([job.pk]).get(job.pk, [])


def _room(job: Job) -> bool:
    return job.limit is None or job.occurrences_opened < job.limit
