"""Reap: runs whose worker is gone are taken back. running → queued, or failed as POISON or LOST.

Every run that is taken back has its fence raised, so that its late worker cannot write any more.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, OuterRef

from core.clock import database_now
from core.times import to_ms
from jobs.lifecycle.rows import ended_attempt, move_job, move_run, open_runs, record_event
from jobs.lifecycle.settle import tell_retrying
from jobs.listening import Ears
from jobs.models import Execution, Job, Worker
from jobs.states import EventType, RunStatus

logger = logging.getLogger(__name__)

BATCH = 200
MAX_LOSSES = 3  # the third time a run loses its worker, it is taken to be the reason
SETTLED_AFTER = timedelta(seconds=60)  # a claim that was on its way when its worker was stopped has come by then
KEEP_WORKERS = timedelta(days=1)  # rows of stopped workers stay readable for so long

GONE = "the worker that ran it is gone"
HANDED_BACK = "handed back by its worker"
OVERDUE = "still running 30 s after its time-out"


@dataclass(slots=True)
class Reaped:
    """What a look found: the queues with work again, how many runs came back, how many ended."""

    queues: set[str] = field(default_factory=set)
    returned: int = 0
    ended: int = 0

    def add(self, other: Reaped) -> None:
        self.queues |= other.queues
        self.returned += other.returned
        self.ended += other.ended


def reap() -> Reaped:
    """Take back the runs of workers whose lease ran out or who stopped, and overdue runs.

    In bounded batches. Call it only while the database was reachable for a whole lease:
    a worker that could not reach it either must get the chance to renew.
    """
    reaped = Reaped()
    now = database_now()
    expired = Worker.objects.filter(settled=False, stopped_at__isnull=True, lease_until__lt=now)
    for worker_id in expired.values_list("id", flat=True)[:BATCH]:
        # The guard is the lease itself: a beat that comes first keeps the worker alive.
        Worker.objects.filter(pk=worker_id, stopped_at__isnull=True, lease_until__lt=now).update(stopped_at=now)
    stopped = Worker.objects.filter(settled=False, stopped_at__isnull=False)
    for worker_id in stopped.values_list("id", flat=True):
        _take_back_all(worker_id, reaped)
    owns = Execution.objects.filter(owner_id=OuterRef("pk"), status=RunStatus.RUNNING)
    stopped.filter(~Exists(owns), stopped_at__lt=now - SETTLED_AFTER).update(settled=True, running=0)
    overdue = Execution.objects.filter(status=RunStatus.RUNNING, deadline_at__lt=now).values_list("id", "job_id")
    found = list(overdue[:BATCH])
    if found:
        _lose_each(found, error=OVERDUE, reaped=reaped, overdue_at=now)
    Worker.objects.filter(settled=True, stopped_at__lt=now - KEEP_WORKERS).delete()
    return reaped


def _take_back_all(worker_id: int, reaped: Reaped) -> None:
    """Everything that a stopped worker still owns, batch after batch; what is locked by somebody
    else at this moment, or cannot be taken back, is left for the next look."""
    after = 0
    while found := list(
        Execution.objects.filter(owner_id=worker_id, status=RunStatus.RUNNING, id__gt=after)
        .order_by("id")
        .values_list("id", "job_id")[:BATCH]
    ):
        after = found[-1][0]
        _lose_each(found, error=GONE, reaped=reaped, owner_id=worker_id)


def _lose_each(
    found: Sequence[tuple[int, UUID]],
    *,
    error: str,
    reaped: Reaped,
    owner_id: int | None = None,
    overdue_at: datetime | None = None,
) -> int:
    """`lose` in one transaction; one by one where that fails, so that one bad row never stalls the rest."""

    def take_back(some: Sequence[tuple[int, UUID]]) -> int:
        return lose(
            some, error=error, counted=True, reaped=reaped, owner_id=owner_id, overdue_at=overdue_at, skip_locked=True
        )

    try:
        return take_back(found)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("a batch of %d lost runs could not be taken back: trying each", len(found))
    lost = 0
    for pair in found:
        try:
            lost += take_back([pair])
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            logger.exception("run %d cannot be taken back: it contradicts its job", pair[0])
    return lost


def hand_back_ids(worker_id: int, run_ids: Collection[int]) -> Reaped:
    """`hand_back` of runs that are known by their ids."""
    return hand_back(worker_id, list(Execution.objects.filter(pk__in=run_ids).values_list("id", "job_id")))


def hand_back(worker_id: int, runs: Sequence[tuple[int, UUID]]) -> Reaped:
    """A worker returns runs that it stopped by itself: they run again at once and do not count
    towards POISON. With `on_lost: fail` they end as LOST."""
    reaped = Reaped()
    for start in range(0, len(runs), BATCH):
        lose(runs[start : start + BATCH], error=HANDED_BACK, counted=False, reaped=reaped, owner_id=worker_id)
    return reaped


def lose(
    found: Sequence[tuple[int, UUID]],
    *,
    error: str,
    counted: bool,
    reaped: Reaped,
    owner_id: int | None = None,
    fence: int | None = None,
    overdue_at: datetime | None = None,
    skip_locked: bool = False,
) -> int:
    """End the running attempts of those (run, job) pairs as `lost`, where they are still running
    and (still that owner's | under that fence | still overdue); how many that were.

    Waits for jobs that somebody else has locked, or passes them over with `skip_locked`.
    """
    wanted = {run_id for run_id, _ in found}
    taken = Reaped()
    with transaction.atomic():
        locked = (
            Job.objects.select_for_update(no_key=True, skip_locked=skip_locked)
            .filter(pk__in={job_id for _, job_id in found})
            .order_by("pk")
        )
        jobs = {job.pk: job for job in locked}
        now, ears = database_now(), Ears()
        for job_id, runs in open_runs(list(jobs)).items():
            for run in runs:
                if run.pk not in wanted or run.status != RunStatus.RUNNING:
                    continue
                if owner_id is not None and run.owner_id != owner_id:
                    continue
                if fence is not None and run.fence != fence:
                    continue
                if overdue_at is not None and (run.deadline_at is None or run.deadline_at >= overdue_at):
                    continue
                _lose_one(jobs[job_id], run, runs, ears, now=now, error=error, counted=counted, reaped=taken)
    reaped.add(taken)
    return taken.returned + taken.ended


def _lose_one(
    job: Job,
    run: Execution,
    runs: Sequence[Execution],
    ears: Ears,
    *,
    now: datetime,
    error: str,
    counted: bool,
    reaped: Reaped,
) -> None:
    losses = run.losses + int(counted)
    ends = job.on_lost == "fail" or losses >= MAX_LOSSES
    assert run.started_at is not None  # a constraint: it was running
    if ends:
        code = "LOST" if job.on_lost == "fail" else "POISON"
        text = error if code == "LOST" else f"{error}: lost its worker {losses} times"
        move_run(
            run,
            RunStatus.FAILED,
            fence=run.fence + 1,
            owner_id=None,
            deadline_at=None,
            finished_at=now,
            losses=losses,
            code=code,
            error=text,
            retryable=False,
        )
        move_job(job, "end", runs, now=now, **ended_by(job, run, now=now))
        record_event(job, EventType.FAILED, now=now, number=run.number)
        reaped.ended += 1
        return
    lost = ended_attempt(run, "lost", now_ms=to_ms(now), started_ms=to_ms(run.started_at), code="LOST", error=error)
    back = RunStatus.FROZEN if job.paused_at is not None and run.created_at <= job.paused_at else RunStatus.QUEUED
    move_run(
        run,
        back,
        fence=run.fence + 1,
        owner_id=None,
        deadline_at=None,
        due_at=now,
        losses=losses,
        attempts=[*(run.attempts or ()), lost],
    )
    move_job(job, "take back", runs, now=now, last_error=error)
    again_at = None if back is RunStatus.FROZEN else now
    tell_retrying(ears, job, run, now=now, code="LOST", next_attempt_at=again_at)
    reaped.queues.add(run.queue)
    reaped.returned += 1


def ended_by(job: Job, run: Execution, *, now: datetime) -> dict[str, Any]:
    """The columns of a job that say that a run of it ended as failed outside `settle`."""
    return {
        "completed_at": now,
        "last_run_status": str(run.status),
        "last_run_id": run.pk,
        "last_error": run.error,
        "retry_count": run.retry_count,
        "next_attempt_at": None,
        "failed_executions": job.failed_executions + 1,
        "consecutive_failures": job.consecutive_failures + 1,
        "scheduled_at": job.next_run_at or job.scheduled_at,
    }
