"""Statistics of jobs and runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ductape.reading import Result


@dataclass(frozen=True, kw_only=True)
class Percentiles(Result):
    """In ms; None where there was no run."""

    p50: int | None
    p95: int | None
    p99: int | None


@dataclass(frozen=True, kw_only=True)
class JobStats(Result):
    """Jobs by state, and the runs that ended in the window. `success_rate` is 0 to 100, None without a run."""

    total: int
    scheduled: int
    queued: int
    running: int
    completed: int
    failed: int
    cancelled: int
    paused: int
    jobs_estimated: bool
    runs: int
    runs_completed: int
    runs_failed: int
    success_rate: float | None
    completed_first_try: int
    completed_after_retry: int
    avg_retry_count: float | None
    duration_ms: Percentiles
    lateness_ms: Percentiles
    runs_sampled: bool
    percentiles_rounded: bool


@dataclass(frozen=True, kw_only=True)
class Bucket(Result):
    """The runs that ended in one interval, from `start` on."""

    start: datetime
    runs: int
    runs_completed: int
    runs_failed: int
    success_rate: float | None
    duration_ms: Percentiles
    lateness_ms: Percentiles


@dataclass(frozen=True, kw_only=True)
class JobSeries(Result):
    """Runs over time. `interval` is ms."""

    start: datetime = field(metadata={"wire": "from"})
    end: datetime = field(metadata={"wire": "to"})
    interval: int
    buckets: tuple[Bucket, ...]
    runs_sampled: bool
    percentiles_rounded: bool
