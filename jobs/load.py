"""What waits and who works: queues, worker processes, schedulers, as they are now. Reads only.

Costs what is open, not what there ever was: open runs stand in partial indexes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet

from jobs import extensions
from jobs.models import Execution, Hold, Scheduler, Worker
from jobs.states import RunStatus

GONE_AFTER = timedelta(hours=1)  # a worker that stopped stays in the list for so long
SCHEDULER_SEEN_WITHIN = timedelta(seconds=15)  # it shows up every five


@dataclass(slots=True)
class QueueLoad:
    """A queue that has open runs, or a worker that serves it. `held` are of the `depth` ones under a hold."""

    name: str
    depth: int = 0
    oldest_due_at: datetime | None = None
    running: int = 0
    held: int = 0
    workers: int = 0


def queue_loads(environment_ids: Iterable[int] | None, now: datetime) -> list[QueueLoad]:
    """By name; with `environment_ids` only the runs there. `depth` counts runs that are due and unclaimed, and in a queue
    that is for something else what that is."""
    places = None if environment_ids is None else list(environment_ids)
    loads: dict[str, QueueLoad] = {}
    queued = _in(places, Execution.objects.filter(status=RunStatus.QUEUED))
    for name, depth, oldest in queued.values_list("queue").annotate(Count("id"), Min("due_at")).order_by():
        loads[name] = QueueLoad(name, depth=depth, oldest_due_at=oldest)
    running = _in(places, Execution.objects.filter(status=RunStatus.RUNNING))
    for name, count in running.values_list("queue").annotate(Count("id")).order_by():
        loads.setdefault(name, QueueLoad(name)).running = count
    if Hold.objects.exists():
        for name, count in queued.filter(Exists(_holds())).values_list("queue").annotate(Count("id")).order_by():
            loads.setdefault(name, QueueLoad(name)).held = count
    for load_of in extensions.loaded("load"):
        other: QueueLoad = load_of(places, now)
        if other.depth or other.running:
            loads[other.name] = other
    for worker in working(now):
        for name in worker.queues:
            loads.setdefault(name, QueueLoad(name)).workers += 1
    return sorted(loads.values(), key=lambda load: load.name)


def working(now: datetime) -> QuerySet[Worker]:
    """The worker processes that hold a lease."""
    return Worker.objects.filter(settled=False, stopped_at__isnull=True, lease_until__gte=now).order_by("pk")


def workers(now: datetime) -> QuerySet[Worker]:
    """Those, and the ones that were lost or stopped lately."""
    return Worker.objects.filter(Q(stopped_at__isnull=True) | Q(stopped_at__gt=now - GONE_AFTER)).order_by("-pk")


def lost(now: datetime) -> int:
    """How many have let their lease run out and were not taken for dead yet."""
    return Worker.objects.filter(settled=False, stopped_at__isnull=True, lease_until__lt=now).count()


def schedulers(now: datetime) -> QuerySet[Scheduler]:
    """The schedulers seen lately."""
    return Scheduler.objects.filter(seen_at__gt=now - SCHEDULER_SEEN_WITHIN).order_by("pk")


def _in(environment_ids: list[int] | None, runs: QuerySet[Execution]) -> QuerySet[Execution]:
    return runs if environment_ids is None else runs.filter(environment_id__in=environment_ids)


def _holds() -> QuerySet[Hold]:
    return Hold.objects.filter(
        Q(environment__isnull=True) | Q(environment_id=OuterRef("environment_id")),
        Q(namespace="") | Q(namespace=OuterRef("namespace")),
        product_id=OuterRef("product_id"),
    )
