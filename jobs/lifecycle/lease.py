"""Leases of worker processes: one row a process, beaten with one update however many runs it has.

A running execution is valid while its owner's lease is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from core.clock import database_now
from jobs.models import Execution, Worker
from jobs.states import RunStatus

LEASE_SECONDS = 15.0  # a crash costs this, and the reaper's next look
BEAT_SECONDS = 5.0  # two beats may fail before the lease is in danger
ABORT_SECONDS = 12.0  # without a beat for so long a process stops its own I/O: 3 s before the lease ends


def register_worker(*, host: str, pid: int, queues: Sequence[str], concurrency: int) -> int:
    """Begin a lease; the worker's id."""
    now = database_now()
    worker = Worker.objects.create(
        host=host,
        pid=pid,
        queues=list(queues),
        concurrency=concurrency,
        started_at=now,
        beaten_at=now,
        lease_until=now + timedelta(seconds=LEASE_SECONDS),
    )
    return worker.pk


def renew(worker_id: int, *, running: int, draining: bool = False) -> bool:
    """Renew the lease, also one that ran out and was not reaped; False where the reaper was there first."""
    now = database_now()
    renewed = Worker.objects.filter(pk=worker_id, stopped_at__isnull=True).update(
        lease_until=now + timedelta(seconds=LEASE_SECONDS), beaten_at=now, running=running, draining=draining
    )
    return renewed == 1


def owned_runs(worker_id: int) -> dict[int, int]:
    """The runs that are this worker's: id → fence."""
    return dict(Execution.objects.filter(owner_id=worker_id, status=RunStatus.RUNNING).values_list("id", "fence"))


def stop_worker(worker_id: int) -> None:
    """End a lease in order. What the worker still owns is taken back by the next reaper."""
    Worker.objects.filter(pk=worker_id, stopped_at__isnull=True).update(stopped_at=database_now(), running=0)
