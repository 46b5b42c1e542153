"""Workers and schedulers: which processes are there, and whether they are alive."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from core.backoffice.pages import ReadOnlyAdmin
from core.backoffice.words import badge_like, moment
from core.clock import database_now
from jobs.models import Scheduler, Worker
from jobs.scheduler import SEEN_SECONDS

SCHEDULER_LATE_SECONDS = 3 * SEEN_SECONDS  # unseen for longer: taken for dead


def worker_state(worker: Worker, now: datetime) -> SafeString:
    """alive, draining, stopped; dead: it did not stop by itself and its lease is over."""
    if worker.stopped_at is not None:
        return badge_like("cancelled", "stopped")
    if worker.lease_until <= now:
        return badge_like("dead", "dead", title="its lease ran out: its runs are taken back")
    return badge_like("draining", "draining") if worker.draining else badge_like("alive", "alive")


def live_workers(now: datetime) -> QuerySet[Worker]:
    return Worker.objects.filter(settled=False, stopped_at__isnull=True, lease_until__gt=now)


def live_schedulers(now: datetime) -> QuerySet[Scheduler]:
    return Scheduler.objects.filter(seen_at__gt=now - timedelta(seconds=SCHEDULER_LATE_SECONDS))


class _ProcessAdmin(ReadOnlyAdmin):
    ordering = ("-id",)
    list_display_links = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        self._now = database_now()
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows

    @admin.display(description="process")
    def process(self, row: Worker | Scheduler) -> str:
        return f"{row.host}:{row.pid}"

    @admin.display(description="started")
    def started(self, row: Worker | Scheduler) -> SafeString | str:
        return moment(row.started_at, now=self._now)


@admin.register(Worker)
class WorkerAdmin(_ProcessAdmin):
    list_display = ("process", "state", "serves", "load", "beaten", "lease", "started")

    @admin.display(description="state")
    def state(self, worker: Worker) -> SafeString:
        return worker_state(worker, self._now)

    @admin.display(description="queues")
    def serves(self, worker: Worker) -> str:
        return ", ".join(worker.queues)

    @admin.display(description="running")
    def load(self, worker: Worker) -> str:
        return f"{worker.running} of {worker.concurrency}"

    @admin.display(description="last beat")
    def beaten(self, worker: Worker) -> SafeString | str:
        return moment(worker.beaten_at, now=self._now)

    @admin.display(description="lease until")
    def lease(self, worker: Worker) -> SafeString | str:
        return moment(worker.lease_until, now=self._now)


@admin.register(Scheduler)
class SchedulerAdmin(_ProcessAdmin):
    list_display = ("process", "state", "seen", "started")

    @admin.display(description="state")
    def state(self, scheduler: Scheduler) -> SafeString:
        late = (self._now - scheduler.seen_at).total_seconds() > SCHEDULER_LATE_SECONDS
        return badge_like("dead", "not seen") if late else badge_like("alive", "alive")

    @admin.display(description="last seen")
    def seen(self, scheduler: Scheduler) -> SafeString | str:
        return moment(scheduler.seen_at, now=self._now)
