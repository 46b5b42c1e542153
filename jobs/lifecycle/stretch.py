"""Stretch: many runs of recurring jobs, each begun when it is due and ended at once, recorded together.

What promote, claim and settle write of a run that nothing holds up, for thousands of them in a few statements.
For `jobs.testing` alone, which knows that nobody else works: the conformance suite holds each row that is written
here to what the three would have written.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, Min, OuterRef

from core.tenancy.models import Product
from core.times import to_ms
from core.zones import TZDATA_VERSION
from jobs.lifecycle.claim import Claim
from jobs.lifecycle.create import schedule_of
from jobs.lifecycle.promote import has_room
from jobs.lifecycle.rows import OPEN
from jobs.lifecycle.settle import Finished
from jobs.lifecycle.sql.inserts import Values, insert_rows
from jobs.models import Execution, Hold, Job, JobEvent, Listener
from jobs.schedule import Schedule, due_at, next_occurrence
from jobs.states import JobStatus, RunStatus, Trigger

MOST = 1_000  # jobs in one stretch

_RUN_COLUMNS = (
    "job_id", "number", "trigger", "status", "scheduled_at", "due_at", "product_id", "environment_id", "namespace",
    "queue", "priority", "concurrency_key", "concurrency_limit", "fence", "owner_id", "deadline_at", "attempt",
    "retry_count", "losses", "attempts", "created_at", "run_started_at", "started_at", "finished_at", "result", "steps",
    "code", "error", "retryable", "skip_reason", "count", "last_scheduled_at",
)  # fmt: skip
_EVENT_COLUMNS = ("job_id", "seq", "type", "status", "number", "actor", "data", "at")


@dataclass(slots=True, eq=False)
class Stretch:
    """A recurring job that waits for its next occurrence, moved on in memory; `job` is as it would be now."""

    job: Job
    schedule: Schedule
    claimed: Claim  # of its next run: without an id, since there is no row
    due: datetime
    found: int  # its last event that is written

    @property
    def occurrence(self) -> datetime:
        assert self.job.next_run_at is not None  # it has one to come
        return self.job.next_run_at


class Stretches:
    """Jobs that go on by themselves, and what has run of them and is not written yet."""

    def __init__(self, jobs: Collection[Job]) -> None:
        products = Product.objects.filter(pk__in={job.product_id for job in jobs})
        versions = dict(products.values_list("pk", "catalog_version"))
        self.all = [_begin(job, versions[job.product_id]) for job in jobs]
        self._runs: list[Values] = []
        self._events: list[Values] = []
        self._moved: dict[UUID, Stretch] = {}

    def __len__(self) -> int:
        """Runs that are not written yet."""
        return len(self._runs)

    def record(self, stretch: Stretch, ended: Finished) -> bool:
        """The next run of the job began and ended now. Whether it has another occurrence."""
        job, now = stretch.job, stretch.due
        occurrence, failed = stretch.occurrence, ended.status == RunStatus.FAILED
        job.occurrences_opened += 1
        upcoming = next_occurrence(stretch.schedule, after=occurrence) if has_room(job) else None
        job.next_run_at, job.next_due_at = upcoming, upcoming and due_at(stretch.schedule, job.pk, upcoming)
        job.execution_count += 1
        job.successful_executions += not failed
        job.failed_executions += failed
        job.consecutive_failures = job.consecutive_failures + 1 if failed else 0
        job.status = ended.status if upcoming is None else JobStatus.SCHEDULED
        job.scheduled_at, job.started_at, job.completed_at = upcoming or occurrence, now, now
        job.last_run_status, job.last_error, job.retry_count = ended.status, ended.error, 0
        job.event_seq += 1
        job.updated_at = now
        number = job.execution_count
        self._runs.append(
            (
                job.pk, number, _SCHEDULE, ended.status, occurrence, stretch.due, job.product_id, job.environment_id,
                job.namespace, job.queue, job.priority, None, job.concurrency_limit, 1, None, None, 1, 0, 0, None, now, now,
                now, now, ended.result, None, ended.code, ended.error, ended.retryable, "", 1, None,
            )
        )  # fmt: skip
        self._events.append((job.pk, job.event_seq, "job." + ended.status, str(job.status), number, "", None, now))
        self._moved[job.pk] = stretch
        if job.next_due_at is None or upcoming is None:
            return False
        stretch.due = job.next_due_at
        stretch.claimed = stretch.claimed._replace(number=number + 1, scheduled_at_ms=to_ms(upcoming))
        return True

    def write(self) -> None:
        """Write what has run since the last time. RuntimeError where somebody else has changed a job meanwhile."""
        if not self._runs:
            return
        with transaction.atomic():
            insert_rows(connection, Execution, _RUN_COLUMNS, self._runs)
            insert_rows(connection, JobEvent, _EVENT_COLUMNS, self._events)
            for stretch in self._moved.values():
                _write_job(stretch)
        self._runs.clear()
        self._events.clear()
        self._moved.clear()


_SCHEDULE = str(Trigger.SCHEDULE)


def jobs_on_time(until: datetime) -> list[Job]:
    """Recurring jobs that are due by then and that nothing holds up: no run of theirs is open, nothing else of the
    database decides what their next run is. At most MOST, those that are due first. None while somebody listens:
    each run is then told as it happens."""
    if Hold.objects.exists() or Listener.objects.exists():
        return []
    open_of_job = Execution.objects.filter(job_id=OuterRef("pk"), status__in=OPEN)
    found = Job.objects.filter(
        ~Exists(open_of_job), recurring=True, status=JobStatus.SCHEDULED, next_due_at__lte=until, behind="",
        concurrency_key="", session="", cache="",
    ).order_by("next_due_at", "pk")  # fmt: skip
    return [job for job in found[:MOST] if _is_on_time(job)]


def _is_on_time(job: Job) -> bool:
    """Whether the job waits for its next occurrence alone: not for another look, nor put off."""
    return job.next_run_at is not None and job.next_due_at == due_at(schedule_of(job), job.pk, job.next_run_at)


def first_beside(jobs: Collection[UUID]) -> datetime | None:
    """When something comes due that is none of these jobs' next occurrence."""
    firsts = (
        Job.objects.filter(next_due_at__isnull=False).exclude(pk__in=jobs).aggregate(at=Min("next_due_at"))["at"],
        Execution.objects.filter(status=RunStatus.WAITING).aggregate(at=Min("due_at"))["at"],
    )
    return min((at for at in firsts if at is not None), default=None)


def _begin(job: Job, catalog_version: int) -> Stretch:
    assert job.next_run_at is not None  # it was read for being due
    assert job.next_due_at is not None
    claimed = Claim(
        run_id=0, fence=1, number=job.execution_count + 1, attempt=1, retry_count=0,
        scheduled_at_ms=to_ms(job.next_run_at), job_id=job.pk, product_id=job.product_id,
        environment_id=job.environment_id, namespace=job.namespace, target=json.dumps(job.target),
        input=json.dumps(job.input), session="", cache="", retries=job.retries,
        retry_config=json.dumps(job.retry_config), timeout=job.timeout, catalog_version=catalog_version,
    )  # fmt: skip
    return Stretch(job, schedule_of(job), claimed, job.next_due_at, job.event_seq)


def _write_job(stretch: Stretch) -> None:
    job = stretch.job
    columns: dict[str, Any] = {name: getattr(job, name) for name in _MOVED}
    last = Execution.objects.filter(job_id=job.pk, number=job.execution_count).values("pk")
    matched = Job.objects.filter(pk=job.pk, event_seq=stretch.found, status=JobStatus.SCHEDULED).update(
        **columns,
        status=job.status,
        last_run_id=last[0]["pk"],
        tzdata_version=TZDATA_VERSION if job.cron else "",
    )
    if matched != 1:
        raise RuntimeError(f"{job} was changed by somebody else while its runs were made")
    stretch.found = job.event_seq


_MOVED = (
    "scheduled_at", "started_at", "completed_at", "next_run_at", "next_due_at", "occurrences_opened", "retry_count",
    "last_error", "last_run_status", "consecutive_failures", "execution_count", "successful_executions",
    "failed_executions", "event_seq", "updated_at",
)  # fmt: skip
