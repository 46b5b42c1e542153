"""Create: a job, and its first run when that is due at once. (nothing) → scheduled | queued.

Two steps, so that an answer can be known before it is stored: `draft` computes everything about
a new job, `store` and `store_many` write it. Nothing in between reads the clock again.

`job.scheduled` is neither an intervention nor an end, so it is written only where somebody listens (as are
`job.started`, `job.skipped` and the like): the statements that insert the job decide that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from core import crypto, strictjson
from core.ids import new_uuid
from core.zones import TZDATA_VERSION
from jobs.lifecycle.sql.inserts import Values, insert_many, insert_one
from jobs.listening import ring
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
    input_text: str = ""  # `input` as JSON, where the caller has it already
    schedule: Schedule
    schedule_as_given: Mapping[str, Any] = field(default_factory=dict)
    session: str = field(default="", repr=False)  # what `executors.sessions` made of it; sealed where it is stored
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
    definition: str | None = None


class Draft(NamedTuple):
    """A new job as it will be, not stored yet."""

    job_id: UUID
    product_id: int
    environment_id: int
    status: JobStatus
    scheduled_at: datetime
    recurring: bool
    next_run_at: datetime | None  # on the grid; of a one-off its start, while that is to come
    next_due_at: datetime | None  # when the scheduler has to look at it
    queue: str
    job: Values  # in the order of JOB_COLUMNS
    run: Values | None  # in the order of RUN_COLUMNS


def create_jobs(requests: Iterable[NewJob], *, now: datetime) -> list[Draft]:
    """Store jobs and the runs of those that are due, inside the caller's transaction.

    The caller wakes the queues after its commit. IntegrityError for a unique key that is taken.
    """
    drafts = [draft(request, now=now) for request in requests]
    store_many(drafts)
    return drafts


def store(new: Draft) -> bool:
    """Store one job, and its run when that is due. False, and nothing is stored, while another
    job with its unique key has not ended.

    Outside of a transaction this is one.
    """
    stored = insert_one(connection, new.job, new.run)
    transaction.on_commit(ring)
    return stored


def store_many(drafts: Sequence[Draft]) -> None:
    """Store jobs and their runs, all or none. Outside of a transaction this is one."""
    insert_many(connection, [new.job for new in drafts], [new.run for new in drafts if new.run is not None])
    transaction.on_commit(ring)


def draft(request: NewJob, *, now: datetime) -> Draft:
    """The job that `request` makes at `now`, and its first run if it is due by then."""
    schedule = request.schedule
    first = first_occurrence(schedule, now=now) or now
    job_id = new_uuid()
    session = request.session and crypto.seal(
        request.session, session_place(request.product_id, request.environment_id, job_id)
    )
    due = due_at(schedule, job_id, first)
    queued = due <= now
    upcoming: datetime | None = first
    if queued:
        more = schedule.recurring and (schedule.limit is None or schedule.limit > 1)
        upcoming = next_occurrence(schedule, after=first) if more else None
    upcoming_due = due_at(schedule, job_id, upcoming) if upcoming else None
    status = JobStatus.QUEUED if queued else JobStatus.SCHEDULED
    job = (
        job_id, request.product_id, request.environment_id, request.namespace, _json(request.target),
        request.input_text or _json(request.input), session, request.cache, _json(request.labels), str(status),
        first, schedule.recurring, _json(request.schedule_as_given), schedule.start_at, schedule.cron, schedule.every,
        schedule.tz, schedule.anchor_at, schedule.limit, schedule.end_date, schedule.overlap, schedule.misfire,
        schedule.misfire_grace, schedule.dst_gap, schedule.dst_overlap, schedule.jitter, upcoming, upcoming_due,
        int(queued and schedule.recurring), TZDATA_VERSION if schedule.cron else "", request.retries,
        _json(request.retry_config), request.on_lost, request.timeout, request.priority, request.queue,
        request.concurrency_key, request.concurrency_limit, request.unique_key, request.definition, now, now,
    )  # fmt: skip
    run: Values | None = None
    if queued:
        run = (
            # Of a grid that began in the past: the run cannot be late by what was before it was asked for.
            job_id, str(Trigger.SCHEDULE), str(RunStatus.QUEUED), first, max(due, now), request.product_id,
            request.environment_id, request.namespace, request.queue, request.priority,
            scoped_key(request.product_id, request.environment_id, request.concurrency_key),
            request.concurrency_limit, now,
        )  # fmt: skip
    return Draft(
        job_id, request.product_id, request.environment_id, status, first, schedule.recurring, upcoming, upcoming_due,
        request.queue, job, run,
    )  # fmt: skip


def session_place(product_id: int, environment_id: int, job_id: UUID) -> str:
    """The place that a job's session is bound to (`core.crypto`)."""
    return crypto.context("product", product_id, "env", environment_id, "session of job", job_id)


def _json(value: Mapping[str, Any]) -> str:
    return strictjson.dumps(value).decode() if value else "{}"


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
