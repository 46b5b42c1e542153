"""A job, its runs and their attempts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from ductape.reading import Result

JobStatus = Literal["scheduled", "queued", "running", "completed", "failed", "cancelled", "paused"]
RunStatus = Literal["running", "completed", "failed", "cancelled", "skipped", "missed"]
FINAL = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, kw_only=True)
class JobData(Result):
    """A dispatched event of a product and when it runs. `every` and `timeout` are ms; `result` is its last run's."""

    id: str
    status: JobStatus
    namespace: str
    product: str
    env: str
    target: Mapping[str, Any]
    scheduled_at: datetime
    recurring: bool
    execution_count: int
    successful_executions: int
    failed_executions: int
    consecutive_failures: int
    retries: int
    retry_count: int
    timeout: int
    priority: int
    queue: str
    labels: Mapping[str, str]
    input: Mapping[str, Any]
    schedule: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    start_at: datetime | None = None
    next_run_at: datetime | None = None
    next_attempt_at: datetime | None = None
    cron: str | None = None
    every: int | None = None
    tz: str | None = None
    limit: int | None = None
    end_date: datetime | None = None
    overlap: str | None = None
    misfire: str | None = None
    last_error: str | None = None
    last_run_status: Literal["completed", "failed", "cancelled"] | None = None
    result: Any = None
    cancelled_at: datetime | None = None
    cancel_reason: str | None = None
    paused_at: datetime | None = None
    pause_note: str | None = None
    definition: str | None = None
    unique_key: str | None = None
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    retry_config: Mapping[str, Any] | None = field(default=None, metadata={"wire": "retryConfig"})
    cache: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether it does nothing more unless it is asked to."""
        return self.status in FINAL

    @property
    def runs_ended(self) -> int:
        """How many of its runs have completed or failed."""
        return self.successful_executions + self.failed_executions


@dataclass(frozen=True, kw_only=True)
class DispatchData(Result):
    """What a dispatch answers. `status` is scheduled or queued, of a job that was just made."""

    job_id: str
    status: JobStatus
    scheduled_at: datetime
    recurring: bool
    next_run_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt(Result):
    """One attempt of a run."""

    attempt: int
    status: Literal["running", "completed", "failed", "cancelled", "lost"]
    started_at: datetime
    completed_at: datetime | None = None
    duration_ms: int | None = None
    code: str | None = None
    error: str | None = None
    retryable: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Execution(Result):
    """One run of a job; or occurrences that never ran, which have no number and a `count`."""

    number: int | None
    status: RunStatus
    trigger: str
    scheduled_at: datetime
    started_at: datetime
    attempts: tuple[Attempt, ...]
    completed_at: datetime | None = None
    duration_ms: int | None = None
    lateness_ms: int | None = None
    next_attempt_at: datetime | None = None
    result: Any = None
    cached: bool | None = None
    steps: tuple[Mapping[str, Any], ...] = ()
    skip_reason: str | None = None
    count: int | None = None
    last_scheduled_at: datetime | None = None
    code: str | None = None
    error: str | None = None
    retryable: bool | None = None


@dataclass(frozen=True, kw_only=True)
class JobHistory(Result):
    """The runs of a job, the newest first; the counts are of all its runs. Iterating it gives the shown ones."""

    job_id: str
    total_executions: int
    successful_executions: int
    failed_executions: int
    executions: tuple[Execution, ...]

    def __iter__(self) -> Iterator[Execution]:
        return iter(self.executions)
