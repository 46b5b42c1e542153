"""Statistics of jobs and of runs, for one call of the API. Reads only.

Jobs are counted by state, exactly. What is said about runs comes from those that ended in the
window, at most the newest MOST_RUNS of them, so that the answer costs the same however long the
history is; `runs_sampled` says where there were more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db.models import Count

from core.times import later
from jobs.ended import EndedRun, ended_runs, events_between
from jobs.queries import JobFilter, matching
from jobs.states import JobStatus, RunStatus

MOST_RUNS = 100_000
PERCENTILES = (50, 95, 99)


def job_stats(wanted: JobFilter) -> dict[str, Any]:
    """S4's fields and ours. The window is of the jobs as in a list, and of the ends of the runs."""
    counts = dict.fromkeys(map(str, JobStatus), 0)
    counts.update(matching(wanted).values_list("status").annotate(Count("pk")).order_by())
    before = None if wanted.until is None else later(wanted.until, timedelta(milliseconds=1))
    after, until = events_between(wanted.since, before)
    runs = ended_runs(
        after,
        until,
        limit=MOST_RUNS + 1,
        newest_first=True,
        environment_ids=None if wanted.environment_ids is None else sorted(wanted.environment_ids),
        namespace=wanted.namespace,
        since=wanted.since,
        before=before,
    )
    return {
        "total": sum(counts.values()),
        **counts,
        **run_stats(runs[:MOST_RUNS]),
        "runs_sampled": len(runs) > MOST_RUNS,
    }


def run_stats(runs: Sequence[EndedRun]) -> dict[str, Any]:
    """What a set of runs has in common; null where there is none."""
    completed = [run for run in runs if run.status == RunStatus.COMPLETED]
    return {
        "runs": len(runs),
        "runs_completed": len(completed),
        "runs_failed": len(runs) - len(completed),
        "success_rate": round(100 * len(completed) / len(runs), 2) if runs else None,
        "completed_first_try": sum(run.attempt == 1 for run in completed),
        "completed_after_retry": sum(run.attempt > 1 for run in completed),
        "avg_retry_count": round(sum(run.retry_count for run in runs) / len(runs), 3) if runs else None,
        "duration_ms": percentiles([run.duration_ms for run in runs]),
        "lateness_ms": percentiles([run.lateness_ms for run in runs if run.lateness_ms is not None]),
    }


def percentiles(values: Sequence[int]) -> dict[str, int | None]:
    """p50, p95 and p99 by nearest rank: always a value that occurred."""
    ordered = sorted(values)
    return {
        f"p{percent}": ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None for percent in PERCENTILES
    }
