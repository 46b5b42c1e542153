"""Why a job ran, waits or did not run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ductape.reading import Result
from ductape.results.job import Execution, JobStatus
from ductape.results.product import Hold


@dataclass(frozen=True, kw_only=True)
class Explanation(Result):
    """One sentence, and the same as data: `reason` is stable."""

    job_id: str
    status: JobStatus
    reason: str
    sentence: str
    at: datetime | None = None
    occurrence: datetime | None = None
    execution: Execution | None = None
    since: datetime | None = None
    until: datetime | None = None
    note: str | None = None
    by: str | None = None
    hold: Hold | None = None
    queue: str | None = None
    concurrency_key: str | None = None
    previous: datetime | None = None
    next: datetime | None = None
    instead: datetime | None = None
