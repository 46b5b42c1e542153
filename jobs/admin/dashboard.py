"""The first page: is it running, what waits, what failed. Every number is counted with a bound.

A figure that stopped at its bound says so ("10000+"). Reads indexes and the newest rows only, so
that the page costs the same on a database of ten million jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Min, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from core.backoffice.words import moment, span
from core.clock import database_now
from jobs import extensions
from jobs.admin.filters import known_queues
from jobs.admin.job_page import run_url
from jobs.admin.processes import live_schedulers, live_workers, worker_state
from jobs.admin.shown import target_name
from jobs.extensions import Overview
from jobs.models import RARE_STATUSES, Execution, Hold, Job, Worker
from jobs.scheduler import waiting_queues
from jobs.states import JobStatus, RunStatus

MOST_COUNTED = 10_000
NEWEST_RUNS = 20_000  # among which the last day's outcomes are counted
FAILURES_SHOWN = 10
WINDOW = timedelta(hours=24)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's hook for the index page; who may not see jobs sees the plain index."""
    may_look = request.user.has_perm("jobs.view_job") or request.user.has_perm("jobs.change_job")
    context["may_look"] = may_look
    if not may_look:
        return context
    now = database_now()
    others = {queue: tell(request, now, MOST_COUNTED) for queue, tell in extensions.overviews().items()}
    workers = list(Worker.objects.filter(settled=False).order_by("-id")[:20])
    schedulers = live_schedulers(now).count()
    context.update(
        title="Overview",
        states=[_state(status) for status in JobStatus],
        queues=queues(now, others),
        workers=[(worker, worker_state(worker, now), moment(worker.beaten_at, now=now)) for worker in workers],
        schedulers=schedulers,
        warnings=[
            *_warnings(live_workers(now).exists(), schedulers),
            *(warning for other in others.values() for warning in other.warnings),
        ],
        held=Hold.objects.count(),
        **_last_day(now),
    )
    return context


def _state(status: JobStatus) -> dict[str, Any]:
    count, is_more = count_of(status)
    return {
        "status": str(status),
        "count": f"{count}+" if is_more else str(count),
        "url": reverse("admin:jobs_job_changelist") + f"?status={status}",
    }


def count_of(status: JobStatus) -> tuple[int, bool]:
    """How many jobs are in a state, and whether there are more than were counted."""
    jobs: QuerySet[Any]
    if status in RARE_STATUSES:
        jobs = Job.objects.filter(rare_status=status)
    elif status in (JobStatus.QUEUED, JobStatus.RUNNING):
        open_runs = Execution.objects.filter(status=status)[: MOST_COUNTED + 1].values("job_id")
        jobs = Job.objects.filter(pk__in=open_runs, status=status)
    else:  # in no index: of the newest jobs
        newest = Job.objects.order_by("-id").values_list("status", flat=True)[: MOST_COUNTED + 1]
        found = [found == status for found in newest]
        return sum(found[:MOST_COUNTED]), len(found) > MOST_COUNTED
    count = jobs.order_by()[: MOST_COUNTED + 1].count()
    return min(count, MOST_COUNTED), count > MOST_COUNTED


def queues(now: datetime, others: Mapping[str, Overview]) -> list[dict[str, Any]]:
    """Each queue, how many runs (or what else it is for) wait in it, and for how long the oldest does."""
    waiting = waiting_queues()
    rows = []
    for queue in sorted({*waiting, *known_queues()}):
        depth, oldest = 0, None
        if queue in others:
            depth, oldest = others[queue].waiting, others[queue].oldest
        elif queue in waiting:
            due = Execution.objects.filter(status=RunStatus.QUEUED, queue=queue, due_at__lte=now)
            depth = due.order_by()[: MOST_COUNTED + 1].count()
            oldest = _oldest(due, exact=depth <= MOST_COUNTED)
        rows.append(
            {
                "queue": queue,
                "depth": f"{MOST_COUNTED}+" if depth > MOST_COUNTED else depth,
                "age": span((now - oldest).total_seconds()) if oldest else "",
            }
        )
    return rows


def _oldest(due: QuerySet[Execution], *, exact: bool) -> datetime | None:
    if exact:
        found: datetime | None = due.aggregate(oldest=Min("due_at"))["oldest"]
        return found
    # A long queue: the head of each priority, one probe of the index each.
    heads = [
        due.filter(priority=priority).order_by("due_at").values_list("due_at", flat=True).first()
        for priority in range(10)
    ]
    return min((head for head in heads if head is not None), default=None)


def _last_day(now: datetime) -> dict[str, Any]:
    """Outcomes of the last 24 hours among the newest runs, and the newest failures."""
    newest = Execution.objects.aggregate(newest=Max("pk"))["newest"] or 0
    recent = Execution.objects.filter(pk__gt=newest - NEWEST_RUNS, finished_at__gte=now - WINDOW)
    outcomes = Counter(recent.filter(status__in=["completed", "failed"]).values_list("status", flat=True))
    codes = Counter(recent.filter(status=RunStatus.FAILED).values_list("code", flat=True))
    failures = (
        recent.filter(status=RunStatus.FAILED)
        .select_related("job")
        .only("job__target", "job_id", "number", "code", "error", "finished_at")
        .order_by("-id")[:FAILURES_SHOWN]
    )
    finished = outcomes["completed"] + outcomes["failed"]
    first = Execution.objects.filter(pk__gt=newest - NEWEST_RUNS).order_by("pk").values_list("created_at").first()
    return {
        "completed": outcomes["completed"],
        "failed": outcomes["failed"],
        "success_rate": f"{100 * outcomes['completed'] / finished:.1f} %" if finished else "–",
        "partial": newest > NEWEST_RUNS and first is not None and first[0] > now - WINDOW,
        "newest_runs": NEWEST_RUNS,
        "codes": codes.most_common(5),
        "failures": [
            {
                "url": run_url(run),
                "target": target_name(run.job.target),
                "number": run.number,
                "code": run.code,
                "error": run.error[:160],
                "at": moment(run.finished_at, now=now),
            }
            for run in failures
        ],
    }


def _warnings(has_workers: bool, schedulers: int) -> list[str]:
    warnings = []
    if not has_workers:
        warnings.append("No worker is alive: nothing runs. Start one with `manage.py worker`.")
    if not schedulers:
        warnings.append("No scheduler is alive: nothing becomes due. Start one with `manage.py scheduler`.")
    return warnings
