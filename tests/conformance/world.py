"""Jobs brought into a state by the operations themselves, and the claims and outcomes around them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from core.clock import database_now
from core.tenancy.models import Environment, Product
from jobs.lifecycle import intervene
from jobs.lifecycle.claim import Claim, claim
from jobs.lifecycle.create import NewJob, create_jobs
from jobs.lifecycle.lease import register_worker
from jobs.lifecycle.promote import promote_due
from jobs.lifecycle.settle import Finished, Postponed, settle
from jobs.models import Execution, Job
from jobs.schedule import parse_schedule

HOUR = timedelta(hours=1)


def environment() -> Environment:
    product, _ = Product.objects.get_or_create(tag="shop", defaults={"name": "Shop"})
    return Environment.objects.get_or_create(product=product, slug="prd", defaults={"name": "Production"})[0]


def new_job(schedule: dict[str, Any] | None = None, **changes: Any) -> Job:
    """A dispatched job; without a schedule it is queued."""
    place, now = environment(), database_now()
    fields: dict[str, Any] = {
        "product_id": place.product_id,
        "environment_id": place.pk,
        "namespace": "noop",
        "target": {"event": "nothing"},
        "input": {},
        "schedule": parse_schedule(schedule, now=now),
        "schedule_as_given": schedule or {},
        **changes,
    }
    with transaction.atomic():
        made = create_jobs([NewJob(**fields)], now=now)[0]
    return Job.objects.get(pk=made.job_id)


def worker(queue: str = "default") -> int:
    return register_worker(host="test", pid=1, queues=[queue], concurrency=500)


def claim_one(job: Job | None = None, *, worker_id: int | None = None) -> Claim:
    claims = claim(worker_id or worker(), "default", 1)
    assert len(claims) == 1
    assert job is None or claims[0].job_id == job.pk
    return claims[0]


def complete(taken: Claim, result: str = "{}") -> bool:
    return bool(settle([Finished.completed(taken.run_id, taken.job_id, taken.fence, result)]))


def fail(taken: Claim, *, code: str = "VALIDATION_ERROR", error: str = "no") -> bool:
    return bool(
        settle([Finished.failed(taken.run_id, taken.job_id, taken.fence, code=code, error=error, retryable=False)])
    )


def postpone(taken: Claim, *, delay_ms: float = 3_600_000, code: str = "TIMEOUT", error: str = "late") -> bool:
    return bool(settle([Postponed(taken.run_id, taken.job_id, taken.fence, delay_ms, code, error)]))


def make_due(job: Job) -> None:
    """Move a job's next occurrence to now, as if its time had come."""
    now = database_now()
    Job.objects.filter(pk=job.pk).update(next_run_at=now, next_due_at=now)
    promote_due()


RECURRING = {"every": 3_600_000}


def _recurring() -> Job:
    return new_job(RECURRING)


def _later(now_plus: timedelta = HOUR, **schedule: Any) -> Job:
    return new_job({"start_at": int((database_now() + now_plus).timestamp() * 1000), **schedule})


def _ended(job: Job, end: Callable[[Claim], bool]) -> Job:
    assert end(claim_one(job))
    return job


def _paused(job: Job) -> Job:
    intervene.pause(job.pk)
    return job


def _cancelled(job: Job) -> Job:
    intervene.cancel(job.pk, reason="enough")
    return job


# How a job comes to be in each state: (name of the state, recurring) → a job in it.
STATES: dict[tuple[str, bool], Callable[[], Job]] = {
    ("scheduled", False): _later,
    ("scheduled", True): lambda: _later(every=3_600_000),
    ("queued", False): new_job,
    ("queued", True): _recurring,
    ("running", False): lambda: _running(new_job()),
    ("running", True): lambda: _running(_recurring()),
    ("completed", False): lambda: _ended(new_job(), complete),
    ("completed", True): lambda: _ended(new_job({"every": 3_600_000, "limit": 1}), complete),
    ("failed", False): lambda: _ended(new_job(), fail),
    ("failed", True): lambda: _ended(new_job({"every": 3_600_000, "limit": 1}), fail),
    ("cancelled", False): lambda: _cancelled(new_job()),
    ("cancelled", True): lambda: _cancelled(_recurring()),
    ("paused", True): lambda: _paused(_later(every=3_600_000)),
}


def _running(job: Job) -> Job:
    claim_one(job)
    return job


def fresh(job: Job | UUID) -> Job:
    return Job.objects.get(pk=job.pk if isinstance(job, Job) else job)


def runs_of(job: Job) -> list[Execution]:
    return list(Execution.objects.filter(job=job).order_by("id"))


def snapshot(job: Job) -> tuple[object, ...]:
    """Everything the database knows about a job and its runs."""
    return (
        list(Job.objects.filter(pk=job.pk).values()),
        list(Execution.objects.filter(job_id=job.pk).order_by("id").values()),
    )
