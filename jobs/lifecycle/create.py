"""Create: a job, and its first run when that is due at once. (nothing) → scheduled | queued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.ids import new_uuid
from core.zones import TZDATA_VERSION
from jobs.models import Execution, Job
from jobs.schedule import Schedule, due_at, first_occurrence, next_occurrence
from jobs.states import JobStatus, RunStatus, Trigger


@dataclass(frozen=True, kw_only=True, slots=True)
class NewJob:
    """What a dispatch asks for, validated. Durations in ms; `start_at` in `schedule`."""

    product_id: int
    environment_id: int
    namespace: str
    target: Mapping[str, Any]
    input: Mapping[str, Any]
    schedule: Schedule
    schedule_as_given: Mapping[str, Any] = field(default_factory=dict)
    session: str = ""
    cache: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    retries: int = 0
    retry_config: Mapping[str, Any] = field(default_factory=dict)
    on_lost: str = "retry"
    timeout: int = 60_000
    priority: int = 5
    queue: str = "default"
    concurrency_key: str = ""
    concurrency_limit: int = 1
    unique_key: str | None = None


def create_jobs(requests: Sequence[NewJob], *, now: datetime) -> list[Job]:
    """Store jobs, and the runs of those that are due: one insert for the jobs, one for the runs.

    Inside the caller's transaction; the caller wakes the queues after its commit.
    """
    jobs, runs = [], []
    for request in requests:
        job, run = _build(request, now)
        jobs.append(job)
        if run is not None:
            runs.append(run)
    Job.objects.bulk_create(jobs)
    if runs:
        Execution.objects.bulk_create(runs)
    return jobs


def _build(request: NewJob, now: datetime) -> tuple[Job, Execution | None]:
    schedule = request.schedule
    first = first_occurrence(schedule, now=now) or now
    job_id = new_uuid()
    due = due_at(schedule, job_id, first)
    queued = due <= now
    upcoming: datetime | None = first
    if queued:
        more = schedule.recurring and (schedule.limit is None or schedule.limit > 1)
        upcoming = next_occurrence(schedule, after=first) if more else None
    job = Job(
        id=job_id,
        product_id=request.product_id,
        environment_id=request.environment_id,
        namespace=request.namespace,
        target=dict(request.target),
        input=dict(request.input),
        session=request.session,
        cache=request.cache,
        labels=dict(request.labels),
        status=JobStatus.QUEUED if queued else JobStatus.SCHEDULED,
        scheduled_at=first,
        schedule=dict(request.schedule_as_given),
        **schedule_columns(schedule),
        next_run_at=upcoming,
        next_due_at=due_at(schedule, job_id, upcoming) if upcoming else None,
        occurrences_opened=int(queued and schedule.recurring),
        retries=request.retries,
        retry_config=dict(request.retry_config),
        on_lost=request.on_lost,
        timeout=request.timeout,
        priority=request.priority,
        queue=request.queue,
        concurrency_key=request.concurrency_key,
        concurrency_limit=request.concurrency_limit,
        unique_key=request.unique_key,
        created_at=now,
        updated_at=now,
    )
    run = build_run(job, scheduled_at=first, due=due, trigger=Trigger.SCHEDULE, now=now) if queued else None
    return job, run


def schedule_columns(schedule: Schedule) -> dict[str, Any]:
    """The columns of a job that hold its schedule."""
    return {
        "recurring": schedule.recurring,
        "start_at": schedule.start_at,
        "cron": schedule.cron,
        "every": schedule.every,
        "tz": schedule.tz,
        "anchor_at": schedule.anchor_at,
        "limit": schedule.limit,
        "end_date": schedule.end_date,
        "overlap": schedule.overlap,
        "misfire": schedule.misfire,
        "misfire_grace": schedule.misfire_grace,
        "dst_gap": schedule.dst_gap,
        "dst_overlap": schedule.dst_overlap,
        "jitter": schedule.jitter,
        "tzdata_version": TZDATA_VERSION if schedule.cron else "",
    }


def schedule_of(job: Job) -> Schedule:
    """The schedule that a job's columns hold."""
    return Schedule(
        start_at=job.start_at,
        cron=job.cron,
        every=job.every,
        tz=job.tz,
        anchor_at=job.anchor_at,
        limit=job.limit,
        end_date=job.end_date,
        overlap=job.overlap,
        misfire=job.misfire,
        misfire_grace=job.misfire_grace,
        dst_gap=job.dst_gap,
        dst_overlap=job.dst_overlap,
        jitter=job.jitter,
    )


def build_run(
    job: Job,
    *,
    scheduled_at: datetime,
    due: datetime,
    trigger: Trigger,
    now: datetime,
    status: RunStatus = RunStatus.QUEUED,
) -> Execution:
    """A run of `job`, not stored yet."""
    return Execution(
        job_id=job.pk,
        trigger=trigger,
        status=status,
        scheduled_at=scheduled_at,
        due_at=due,
        product_id=job.product_id,
        environment_id=job.environment_id,
        namespace=job.namespace,
        queue=job.queue,
        priority=job.priority,
        concurrency_key=scoped_key(job.product_id, job.environment_id, job.concurrency_key),
        concurrency_limit=job.concurrency_limit,
        created_at=now,
    )


def scoped_key(product_id: int, environment_id: int, key: str) -> str | None:
    """A concurrency key with its scope in it; None where the job has none."""
    return f"{product_id}:{environment_id}:{key}" if key else None
