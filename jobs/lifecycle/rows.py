"""Locked rows and guarded writes: what every transition outside `sql` is made of.

Owns the locking of jobs, the projection of a job's status and the outbox row. Never opens
a transaction: the caller does, and everything here is called inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from core import failpoints, strictjson
from core.errors import NotFound
from core.ids import encode
from jobs.lifecycle.errors import IllegalTransition
from jobs.lifecycle.sql import events
from jobs.listening import Ears, ring
from jobs.models import Execution, Job
from jobs.states import OPEN_RUN, TRANSITIONS, EventType, JobStatus, RunStatus, project

OPEN = sorted(OPEN_RUN)
_WAITING = [RunStatus.QUEUED, RunStatus.WAITING, RunStatus.FROZEN]  # as execution_open_of_job says it
ATTEMPT_ERROR_CHARACTERS = 2_000  # an error kept in history is for reading, not a dump


def lock_job(job_id: UUID) -> Job:
    """The job, its row locked until the transaction ends. NotFound if there is none."""
    job = Job.objects.select_for_update(no_key=True).filter(pk=job_id).first()
    if job is None:
        raise NotFound(f"there is no job {encode('job', job_id)}", code="job_not_found")
    failpoints.reach("intervene:locked")
    return job


def lock_jobs(ids: Iterable[UUID], *, without: Sequence[str] = ()) -> dict[UUID, Job]:
    """Those jobs, locked in the order of their ids, so that two callers never wait in a circle. `without` the fields
    that are large and not needed."""
    locked = Job.objects.select_for_update(no_key=True).filter(pk__in=list(ids)).defer(*without)
    return {job.pk: job for job in locked.order_by("pk")}


def open_runs(job_ids: Sequence[UUID]) -> dict[UUID, list[Execution]]:
    """The runs of those jobs that have not ended, oldest first. Read it after locking the jobs."""
    runs: dict[UUID, list[Execution]] = {}
    for run in open_among(Execution.objects.filter(job_id__in=job_ids)).order_by("id"):
        runs.setdefault(run.job_id, []).append(run)
    return runs


def open_among(runs: QuerySet[Execution]) -> QuerySet[Execution]:
    """Those of some jobs' runs that have not ended: however long the histories are, they are not read.

    Two parts, since two partial indexes hold them; a condition for all the states would fit neither.
    """
    return runs.filter(status__in=_WAITING).union(runs.filter(status=RunStatus.RUNNING), all=True)


def move_run(run: Execution, status: RunStatus, **changes: Any) -> None:
    """Write a run's new state, guarded by the state and the fence it was read with."""
    matched = Execution.objects.filter(pk=run.pk, status=run.status, fence=run.fence).update(status=status, **changes)
    if matched != 1:
        raise RuntimeError(f"run {run.pk} changed under the lock of its job")
    run.status = status
    for name, value in changes.items():
        setattr(run, name, value)


def move_job(job: Job, verb: str, runs: Sequence[Execution], *, now: datetime, **changes: Any) -> JobStatus:
    """Write what is new about a locked job, and the status that follows from it.

    `runs` are the runs as they are after the transition. The write is guarded by the status
    that was read; a change that is not in the table of transitions raises IllegalTransition.
    """
    for name, value in changes.items():
        setattr(job, name, value)
    turn = sorted((run for run in runs if run.status in OPEN_RUN), key=lambda run: run.pk)
    job.behind = changes["behind"] = str(turn[1].status) if len(turn) > 1 else ""
    found = JobStatus(job.status)
    status = project(
        cancelled=job.cancelled_at is not None,
        paused=job.paused_at is not None,
        open_run=RunStatus(turn[0].status) if turn else None,
        schedule_left=job.next_run_at is not None,
        last_run=RunStatus(job.last_run_status) if job.last_run_status else None,
    )
    if status is not found and status not in TRANSITIONS[found]:
        raise IllegalTransition(verb, found)
    failpoints.reach("intervene:before_write")
    matched = Job.objects.filter(pk=job.pk, status=found).update(status=status, updated_at=now, **changes)
    if matched != 1:
        raise IllegalTransition(verb, found, "somebody else changed the job at the same moment")
    job.status = status
    job.updated_at = now
    return status


def record_event(
    job: Job,
    type: EventType,
    *,
    now: datetime,
    actor: str = "",
    number: int | None = None,
    data: Mapping[str, Any] | None = None,
    error: str = "",
) -> None:
    """Append to the outbox, in the transaction of the transition: the next `seq` of the job. It is wanted where
    somebody listens. `error`: why the run that it is about failed.

    The job's own counter is written with it; the job must be locked. What it is about is read of the job's row,
    but for the status: the caller may write that later.
    """
    job.event_seq += 1
    Job.objects.filter(pk=job.pk).update(event_seq=job.event_seq)
    events.record(connection, type, [_event(job, now=now, actor=actor, number=number, data=data, error=error)])
    transaction.on_commit(ring)


def record_events(
    jobs: Sequence[Job], type: EventType, *, now: datetime, actor: str, data: Callable[[Job], Mapping[str, Any] | None]
) -> None:
    """`record_event` of several locked jobs, whose counters the caller writes: they are one higher after it."""
    for job in jobs:
        job.event_seq += 1
    if jobs:
        events.record(connection, type, [_event(job, now=now, actor=actor, data=data(job)) for job in jobs])
        transaction.on_commit(ring)


def _event(
    job: Job,
    *,
    now: datetime,
    actor: str,
    number: int | None = None,
    data: Mapping[str, Any] | None = None,
    error: str = "",
) -> dict[str, Any]:
    """The row of the outbox; the job's counter is at its number."""
    return {
        "job_id": job.pk,
        "seq": job.event_seq,
        "status": str(job.status),
        "number": number,
        "actor": actor,
        "data": None if data is None else strictjson.dumps(data).decode(),
        "at": now,
        "error": error,
    }


def tell(
    ears: Ears,
    job: Job,
    type: EventType,
    *,
    now: datetime,
    number: int | None = None,
    data: Mapping[str, Any] | None = None,
    error: str = "",
) -> None:
    """`record_event` for what is told only where somebody listens; else nothing is written."""
    if ears.hear(type, job.product_id):
        record_event(job, type, now=now, number=number, data=data, error=error)


def ended_attempt(
    run: Execution, status: str, *, now_ms: int, started_ms: int, code: str, error: str
) -> dict[str, Any]:
    """The history entry of an attempt that ended while its run goes on; times in ms."""
    return {
        "attempt": run.attempt,
        "status": status,
        "started_at": started_ms,
        "completed_at": now_ms,
        "code": code,
        "error": error[:ATTEMPT_ERROR_CHARACTERS],
    }
