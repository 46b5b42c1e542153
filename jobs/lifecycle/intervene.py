"""Interventions: cancel, pause, resume, retry, trigger, delete (semantics §4); `reschedule` has a file of its own.

Each takes the job's row, checks what is true, and writes once: a claim that comes at the same
moment is either before it (the intervention finds `running`) or after it (the claim finds nothing).
Where the state does not allow it: IllegalTransition, with the state that was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from core.clock import database_now
from core.zones import TZDATA_VERSION
from jobs.lifecycle.create import build_run, schedule_of
from jobs.lifecycle.errors import IllegalTransition, NotRecurring
from jobs.lifecycle.promote import give_up, has_room, promote_locked
from jobs.lifecycle.rows import lock_job, move_job, move_run, open_runs, record_event
from jobs.models import Execution, Job
from jobs.outbox import what_it_was
from jobs.schedule import due_at, next_occurrence
from jobs.states import ALLOWED, EventType, JobStatus, RunStatus, Trigger, Verb

PAUSED = "paused before it was made up for"
UNPAUSED = "only a recurring job can be paused; cancel or reschedule a one-off"
RUNNING = "it is running: cancel it first, or force"


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
def pause(job_id: UUID, *, note: str = "", actor: str = "", pause_id: UUID | None = None) -> Intervened:
    """scheduled | queued | running → paused. A running run goes on and is recorded; one that has
    not begun, or waits in a back-off, is frozen until `resume`. `pause_id`: by which many are found again."""
    job = lock_job(job_id)
    if not job.recurring:
        raise NotRecurring(UNPAUSED)
    now = database_now()
    promote_what_is_due(job, now=now, jittered=False)  # also what only waits for its jitter
    runs = allowed(job, Verb.PAUSE)
    give_up(job, PAUSED, now=now)
    for run in runs:
        if run.status in {RunStatus.QUEUED, RunStatus.WAITING}:
            move_run(run, RunStatus.FROZEN)
    move_job(
        job,
        Verb.PAUSE,
        runs,
        now=now,
        paused_at=now,
        pause_note=note,
        pause_id=pause_id,
        next_run_at=None,
        next_due_at=None,
    )
    record_event(job, EventType.PAUSED, now=now, actor=actor, data={"note": note} if note else None)
    return Intervened(job)


@transaction.atomic
def resume(job_id: UUID, *, note: str = "", actor: str = "") -> Intervened:
    """paused → scheduled at the next occurrence after now on the same grid (running, while the
    run that the pause let go on still runs; completed or failed, when the schedule ended)."""
    job, runs = _take(job_id, Verb.RESUME)
    now = database_now()
    schedule = schedule_of(job)
    upcoming = next_occurrence(schedule, after=now) if has_room(job) else None
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
        pause_id=None,
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
def retry(job_id: UUID, *, delay: timedelta = timedelta(0), actor: str = "") -> Intervened:
    """failed (or recurring, its last run failed) → queued; with a delay → scheduled.

    A new run of the same occurrence; the grid of a recurring job is untouched.
    """
    job = lock_job(job_id)
    now = database_now()
    promote_what_is_due(job, now=now)
    if allowed(job, Verb.RETRY):
        raise IllegalTransition(Verb.RETRY, JobStatus(job.status), "a run of this job is still open")
    if job.last_run_status != RunStatus.FAILED:
        raise IllegalTransition(Verb.RETRY, JobStatus(job.status), "the last run of this job did not fail")
    failed = Execution.objects.filter(pk=job.last_run_id).first() if job.last_run_id is not None else None
    run = build_run(
        job,
        scheduled_at=failed.scheduled_at if failed is not None else job.scheduled_at,
        due=now + delay,
        trigger=Trigger.RETRY,
        now=now,
        status=RunStatus.WAITING if delay else RunStatus.QUEUED,
    )
    _reopen(
        job,
        Verb.RETRY,
        run,
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
    now = database_now()
    promote_what_is_due(job, now=now)
    if allowed(job, Verb.TRIGGER):
        raise IllegalTransition(Verb.TRIGGER, JobStatus(job.status), "a run of this job is still open")
    run = build_run(job, scheduled_at=now, due=now, trigger=Trigger.TRIGGER, now=now)
    _reopen(job, Verb.TRIGGER, run, now=now, retry_count=0, scheduled_at=now)
    return Intervened(job, woken=True)


def _reopen(job: Job, verb: Verb, run: Execution, *, now: datetime, **changes: Any) -> None:
    """Store a run of a job that has none open, and move the job with it: it may have ended before."""
    run.save(force_insert=True)
    try:
        with transaction.atomic():
            move_job(job, verb, [run], now=now, **changes)
    except IntegrityError as error:
        if job.unique_key is None:
            raise
        raise IllegalTransition(
            verb,
            JobStatus(job.status),
            f"another job that has not ended has its unique key {job.unique_key!r}",
            code="unique_key_taken",
        ) from error


@transaction.atomic
def delete(job_id: UUID, *, force: bool = False, actor: str = "") -> tuple[int, ...]:
    """The job and its history are gone; its events stay. Refused while a run is running, unless
    `force`, which cancels first. The runs that a worker must stop."""
    job, runs = _take(job_id, Verb.DELETE)
    now = database_now()
    stopped: tuple[int, ...] = ()
    if any(run.status == RunStatus.RUNNING for run in runs):
        if not force:
            raise IllegalTransition(Verb.DELETE, JobStatus(job.status), RUNNING)
        stopped = _cancel(job, runs, reason="deleted", actor=actor, now=now)
    record_event(job, EventType.DELETED, now=now, actor=actor, data=what_it_was(job))
    executions = Execution.objects.filter(job_id=job.pk)
    executions._raw_delete(executions.db)  # no row refers to an execution: spare the collector
    Job.objects.filter(pk=job.pk).delete()
    return stopped


def _take(job_id: UUID, verb: Verb) -> tuple[Job, list[Execution]]:
    job = lock_job(job_id)
    return job, allowed(job, verb)


def allowed(job: Job, verb: Verb) -> list[Execution]:
    """The open runs of a locked job in a state that allows the verb, else IllegalTransition."""
    found = JobStatus(job.status)
    if found not in ALLOWED[verb]:
        raise IllegalTransition(verb, found)
    return open_runs([job.pk]).get(job.pk, [])


def promote_what_is_due(job: Job, *, now: datetime, jittered: bool = True) -> None:
    """What a locked job should have run by now is opened, skipped or missed before anything is asked of it.

    Not `jittered`: also what only waits for its jitter.
    """
    due = job.next_due_at if jittered else job.next_run_at
    if due is not None and due <= now:
        promote_locked(job, open_runs([job.pk]).get(job.pk, []), now=now, jittered=jittered)
