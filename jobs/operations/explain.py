"""Explain: gathers what is known of a job and a moment, for `jobs.explaining` to decide.

Reads only, each part by an index: a job of ten million runs costs some twenty-five looks at one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Max, Min, Q

from core.clock import database_now
from core.times import later
from jobs import load
from jobs.explaining import Explanation, Facts, Intervention, Load
from jobs.explaining import explain as decide
from jobs.explaining.model import MILLISECOND
from jobs.lifecycle.rows import open_among
from jobs.models import INTERVENTIONS, Execution, Hold, Job, JobEvent
from jobs.states import NEVER_RAN, JobStatus, RunStatus, Trigger

MOST_INTERVENTIONS = 1_000  # of a job, the newest; what was before is not known
MOST_DROPPED = 3
LOOKED_THROUGH = 64  # runs: fewer than that are looked at together


def explain(job: Job, at: datetime | None) -> Explanation:
    """Why the job ran, waits or did not run at that moment; without one, how it is now."""
    return decide(facts_of(job, at, now=database_now()))


def facts_of(job: Job, at: datetime | None, *, now: datetime) -> Facts:
    """Everything that decides, as it is stored."""
    current = at is None
    at = now if at is None else at
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    end = later(at, MILLISECOND)
    runs = Execution.objects.filter(job_id=job.pk)
    of_schedule = runs.filter(trigger=Trigger.SCHEDULE)
    open_now = list(open_among(runs).order_by("id"))
    begun, following, complete = _runs_around(job, end)
    dropped = _dropped(job)
    latest = of_schedule.filter(scheduled_at__lt=end).order_by("-scheduled_at").first()
    candidates = [latest, begun, following, *open_now, *dropped]
    row = next((run for run in candidates if run is not None and at <= run.scheduled_at < end), None)
    since, paused_before, interventions = _interventions(job)
    return Facts(
        job=job,
        at=at,
        now=now,
        current=current,
        row=row,
        latest=latest,
        begun=begun,
        following=following,
        runs_complete=complete,
        open=open_now,
        dropped=dropped,
        opened_last=of_schedule.exclude(status__in=sorted(NEVER_RAN)).order_by("-scheduled_at").first(),
        events_since=since,
        paused_before=paused_before,
        interventions=interventions,
        load=_load(job, open_now, now),
    )


def _runs_around(job: Job, end: datetime) -> tuple[Execution | None, Execution | None, bool]:
    """The latest run that had begun before the end of the moment, the one after it, and whether no other can have been there.

    Runs of a job begin in the order of their numbers, each after the one before has ended.
    """
    numbered = Execution.objects.filter(job_id=job.pk, number__isnull=False)
    ends = numbered.aggregate(first=Min("number"), last=Max("number"))
    if ends["first"] is None:
        return None, None, job.execution_count == 0
    low, high = ends["first"], ends["last"] + 1
    while high - low > LOOKED_THROUGH:  # low ≤ the first number that begins later ≤ high
        middle = (low + high) // 2
        began = numbered.filter(number__gte=middle).order_by("number").values_list("run_started_at", flat=True)[0]
        low, high = (middle, high) if began is not None and began < end else (low, middle)
    numbers = numbered.filter(number__gte=low, number__lt=high, run_started_at__lt=end).values_list("number", flat=True)
    last = numbers.order_by("-number").first()
    at = low if last is None else last
    found = {run.number: run for run in numbered.filter(number__gte=at).order_by("number")[:2]}
    begun = found.pop(last, None)
    following = next(iter(found.values()), None)
    return begun, following, _number(begun, 0) + 1 == _number(following, job.execution_count + 1)


def _number(run: Execution | None, otherwise: int) -> int:
    return otherwise if run is None or run.number is None else run.number


def _dropped(job: Job) -> list[Execution]:
    """Runs that were cancelled, with their job, before they began: two at most."""
    if job.status != JobStatus.CANCELLED:
        return []
    dropped = Execution.objects.filter(job_id=job.pk, number__isnull=True, status=RunStatus.CANCELLED)
    return list(dropped.order_by("-id")[:MOST_DROPPED])


def _interventions(job: Job) -> tuple[datetime, bool, list[Intervention]]:
    """From when on the job's events are complete, whether it was paused then, and its interventions since."""
    events = JobEvent.objects.filter(job_id=job.pk)
    newest_first = events.filter(type__in=INTERVENTIONS).order_by("-seq")[:MOST_INTERVENTIONS]
    told = [_intervention(event) for event in newest_first][::-1]
    oldest = events.order_by("seq").first()
    if len(told) == MOST_INTERVENTIONS:
        return told[0].at, told[0].paused, told
    if oldest is None:
        return (job.created_at if job.event_seq == 0 else database_now()), False, told
    if oldest.seq == 1:
        return job.created_at, False, told
    return oldest.at, oldest.status == JobStatus.PAUSED, told


def _intervention(event: JobEvent) -> Intervention:
    data: dict[str, Any] = event.data or {}
    note = str(data.get("note") or data.get("reason") or "")
    paused = event.status == JobStatus.PAUSED
    return Intervention(type=event.type, at=event.at, actor=event.actor, note=note, paused=paused)


def _load(job: Job, open_now: list[Execution], now: datetime) -> Load:
    """What stands in the way of the job's runs and occurrences now; nothing is looked for where none of them waits."""
    if not open_now and (job.next_run_at is None or job.next_run_at > now):
        return Load(hold=None, key_in_use=0, served=True, scheduler=True)
    holds = Hold.objects.select_related("product", "environment").filter(
        Q(environment__isnull=True) | Q(environment_id=job.environment_id),
        namespace__in=["", job.namespace],
        product_id=job.product_id,
    )
    queued = next((run for run in open_now if run.status == RunStatus.QUEUED), None)
    key = queued.concurrency_key if queued is not None else None
    running = Execution.objects.filter(status=RunStatus.RUNNING, concurrency_key=key) if key is not None else None
    queue = queued.queue if queued is not None else job.queue
    return Load(
        hold=holds.order_by("pk").first(),
        key_in_use=running.count() if running is not None else 0,
        served=any(queue in worker.queues and not worker.draining for worker in load.working(now)),
        scheduler=load.schedulers(now).exists(),
    )
