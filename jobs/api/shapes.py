"""Jobs, runs and holds as the API shows them: the contract's names, times in ms, nothing secret.

A field that is not set is left out where the contract says `?`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from core.ids import encode
from core.times import to_ms, to_ms_or_none
from jobs.lifecycle.steps import CACHED
from jobs.load import QueueLoad
from jobs.models import Execution, Hold, Job, Scheduler, Worker
from jobs.queries import Page, results_of
from jobs.states import NEVER_RAN, OPEN_RUN, RunStatus

_MILLISECOND = timedelta(milliseconds=1)


def job_shape(job: Job, result: Any = None) -> dict[str, Any]:
    """S4's IJob and what this API adds; `result` is the one of its last run."""
    shape: dict[str, Any] = {
        "id": encode("job", job.pk),
        "status": job.status,
        "namespace": job.namespace,
        "product": job.product.tag,
        "env": job.environment.slug,
        "target": job.target,
        "scheduled_at": to_ms(job.scheduled_at),
        "recurring": job.recurring,
        "execution_count": job.execution_count,
        "successful_executions": job.successful_executions,
        "failed_executions": job.failed_executions,
        "retries": job.retries,
        "retry_count": job.retry_count,
        "timeout": job.timeout,
        "priority": job.priority,
        "queue": job.queue,
        "labels": job.labels,
        "input": job.input,
        "schedule": job.schedule,
        "consecutive_failures": job.consecutive_failures,
        "created_at": to_ms(job.created_at),
        "updated_at": to_ms(job.updated_at),
    }
    shape.update(
        _given(
            started_at=to_ms_or_none(job.started_at),
            completed_at=to_ms_or_none(job.completed_at),
            start_at=to_ms_or_none(job.start_at),
            next_run_at=to_ms_or_none(job.next_run_at),
            next_attempt_at=to_ms_or_none(job.next_attempt_at),
            cron=job.cron or None,
            every=job.every,
            limit=job.limit,
            end_date=to_ms_or_none(job.end_date),
            last_error=job.last_error or None,
            last_run_status=job.last_run_status or None,
            result=result,
            cancelled_at=to_ms_or_none(job.cancelled_at),
            cancel_reason=job.cancel_reason or None,
            paused_at=to_ms_or_none(job.paused_at) if job.cancelled_at is None else None,
            pause_note=job.pause_note or None,
            definition=job.definition,
            unique_key=job.unique_key or None,
            concurrency_key=job.concurrency_key or None,
            concurrency_limit=job.concurrency_limit if job.concurrency_key else None,
            retryConfig=job.retry_config or None,
            cache=job.cache or None,
        )
    )
    if job.recurring:
        shape.update(tz=job.tz, overlap=job.overlap, misfire=job.misfire)
    return shape


def job_with_result(job: Job) -> dict[str, Any]:
    """One job, its result looked up."""
    return job_shape(job, results_of([job]).get(job.last_run_id or 0))


def page_shape(page: Page) -> dict[str, Any]:
    """`jobs` and `next_cursor`."""
    results = results_of(page.jobs)
    return {
        "jobs": [job_shape(job, results.get(job.last_run_id or 0)) for job in page.jobs],
        "next_cursor": cursor_of(page),
    }


def cursor_of(page: Page) -> str | None:
    return None if page.next_after is None else encode("cur", page.next_after)


def history_shape(job: Job, runs: Iterable[Execution]) -> dict[str, Any]:
    """S4's IJobHistory; the counts are of runs that started, whatever rows are shown."""
    return {
        "job_id": encode("job", job.pk),
        "total_executions": job.execution_count,
        "successful_executions": job.successful_executions,
        "failed_executions": job.failed_executions,
        "executions": [run_shape(run) for run in runs],
    }


def run_shape(run: Execution) -> dict[str, Any]:
    """S4's IJobExecution and what this API adds. A run between two attempts shows as running."""
    if run.number is None:
        return _never_began(run)
    ended = run.finished_at is not None
    shape: dict[str, Any] = {
        "number": run.number,
        "status": str(RunStatus.RUNNING) if run.status in OPEN_RUN else run.status,
        "trigger": run.trigger,
        "scheduled_at": to_ms(run.scheduled_at),
        "started_at": to_ms(run.run_started_at or run.created_at),
        "attempts": _attempts(run),
    }
    shape.update(
        _given(
            completed_at=to_ms_or_none(run.finished_at),
            duration_ms=_between(run.run_started_at, run.finished_at),
            lateness_ms=_between(run.first_due_at, run.run_started_at),
            next_attempt_at=to_ms(run.due_at) if run.status == RunStatus.WAITING else None,
            error=run.error or None,
            code=run.code or None,
            retryable=run.retryable,
            result=run.result if ended else None,
            cached=_is_cached(run) or None,
            steps=[step for step in run.steps or () if step["step"] != CACHED] or None,
        )
    )
    return shape


def _is_cached(run: Execution) -> bool:
    """Whether its last attempt was answered from a cache."""
    noted = (step for step in run.steps or () if step["step"] == CACHED)
    return run.finished_at is not None and any(step["attempt"] == run.attempt for step in noted)


def _never_began(run: Execution) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "number": None,
        "status": run.status,
        "trigger": run.trigger,
        "scheduled_at": to_ms(run.scheduled_at),
        "started_at": to_ms(run.scheduled_at),
        "duration_ms": 0,
        "attempts": [],
    }
    shape.update(_given(error=run.error or None, code=run.code or None, skip_reason=run.skip_reason or None))
    if run.status in NEVER_RAN:
        shape.update(count=run.count, last_scheduled_at=to_ms(run.last_scheduled_at or run.scheduled_at))
    return shape


def _attempts(run: Execution) -> list[dict[str, Any]]:
    """Every attempt in order: those that ended before, then the current or last one."""
    attempts = [_attempt(entry) for entry in run.attempts or ()]
    noted = attempts and attempts[-1]["attempt"] == run.attempt  # the run ended, or waits, between two attempts
    if run.started_at is not None and not noted:
        status = run.status if run.status not in OPEN_RUN else str(RunStatus.RUNNING)
        attempts.append(
            _attempt(
                {
                    "attempt": run.attempt,
                    "status": status,
                    "started_at": to_ms(run.started_at),
                    "completed_at": to_ms_or_none(run.finished_at),
                    "code": run.code,
                    "error": run.error,
                    "retryable": run.retryable,
                }
                if run.status != RunStatus.RUNNING
                else {"attempt": run.attempt, "status": status, "started_at": to_ms(run.started_at)}
            )
        )
    return attempts


def _attempt(entry: Mapping[str, Any]) -> dict[str, Any]:
    shape = {key: value for key, value in entry.items() if value not in (None, "")}
    if "completed_at" in shape:
        shape["duration_ms"] = max(shape["completed_at"] - shape["started_at"], 0)
    return shape


def _between(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else max(to_ms(end) - to_ms(start), 0)  # as their ms differ


def hold_shape(hold: Hold) -> dict[str, Any]:
    return {
        "product": hold.product.tag,
        "since": to_ms(hold.created_at),
        **_given(
            env=hold.environment.slug if hold.environment is not None else None,
            namespace=hold.namespace or None,
            note=hold.note or None,
            actor=hold.actor or None,
        ),
    }


def worker_shape(worker: Worker, now: datetime) -> dict[str, Any]:
    """A worker process; `status` is alive, draining, lost (its lease ran out) or stopped."""
    if worker.stopped_at is not None:
        status = "stopped"
    elif worker.lease_until < now:
        status = "lost"
    else:
        status = "draining" if worker.draining else "alive"
    return {
        "id": worker.pk,
        "host": worker.host,
        "pid": worker.pid,
        "status": status,
        "queues": worker.queues,
        "concurrency": worker.concurrency,
        "running": worker.running,
        "started_at": to_ms(worker.started_at),
        "beaten_at": to_ms(worker.beaten_at),
        "lease_until": to_ms(worker.lease_until),
        **_given(stopped_at=to_ms_or_none(worker.stopped_at)),
    }


def scheduler_shape(scheduler: Scheduler) -> dict[str, Any]:
    return {
        "host": scheduler.host,
        "pid": scheduler.pid,
        "started_at": to_ms(scheduler.started_at),
        "seen_at": to_ms(scheduler.seen_at),
    }


def queue_shape(queue: QueueLoad, now: datetime) -> dict[str, Any]:
    return {
        "name": queue.name,
        "depth": queue.depth,
        "oldest_age_ms": _between(queue.oldest_due_at, now),
        "running": queue.running,
        "held": queue.held,
        "workers": queue.workers,
    }


def _given(**fields: Any) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}
