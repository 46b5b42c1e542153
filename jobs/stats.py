"""Statistics of jobs and of runs, for one call of the API. Reads only.

Jobs are counted by state, exactly. What is said about runs comes from those that ended in the
window, at most the newest MOST_RUNS of them, so that the answer costs the same however long the
history is; `runs_sampled` says where there were more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Q, QuerySet

from core.times import later, to_ms
from jobs.ended import EndedFilter, EndedRun, ended_counts, ended_runs, events_between
from jobs.models import RARE_STATUSES, Execution, Job, JobEvent
from jobs.queries import JobFilter, matching
from jobs.states import FINAL, EventType, JobStatus, RunStatus

MOST_RUNS = 100_000
PERCENTILES = (50, 95, 99)
_ENDS = [EventType.CANCELLED, EventType.COMPLETED, EventType.FAILED]
_THROUGH_RUNS = """
FROM jobs_job WHERE status = '{status}' AND {where}
  AND id IN (SELECT job_id FROM jobs_execution WHERE status = '{status}' AND {where})
"""


def job_stats(wanted: JobFilter) -> dict[str, Any]:
    """S4's fields and ours. The window is of the jobs as in a list, and of the ends of the runs."""
    counts = jobs_by_state(wanted)
    ended = _ended(wanted)
    after, until = events_between(ended.since, ended.before)
    runs = ended_runs(after, until, limit=MOST_RUNS + 1, newest_first=True, wanted=ended)
    return {
        "total": sum(counts.values()),
        **counts,
        **run_stats(runs[:MOST_RUNS]),
        "runs_sampled": len(runs) > MOST_RUNS,
    }


def jobs_by_state(wanted: JobFilter) -> dict[str, int]:
    """How many jobs are in each state. Where only environments are asked for, by indexes alone."""
    if wanted == JobFilter(environment_ids=wanted.environment_ids):
        return _counted_by_indexes(wanted.environment_ids)
    jobs = matching(wanted)
    parts = [jobs] if wanted.since is None else _parts_of_window(wanted, jobs)
    counts = dict.fromkeys(map(str, JobStatus), 0)
    first, *others = [part.values_list("status").annotate(Count("pk")).order_by() for part in parts]
    for status, count in first.union(*others, all=True) if others else first:
        counts[status] += count
    return counts


def _parts_of_window(wanted: JobFilter, jobs: QuerySet[Job]) -> list[QuerySet[Job]]:
    """The same jobs in parts that are found without reading those outside of the window, none of them twice.

    A job that is final is told of by an event of the moment at which it, or its last run, ended.
    """
    after, until = events_between(wanted.since, _end(wanted))
    ends = JobEvent.objects.filter(id__gt=after, id__lte=until).filter(Q(type__in=_ENDS) | Q(status__in=sorted(FINAL)))
    parts = [
        jobs.filter(status__in=sorted(FINAL), pk__in=ends.values("job_id")),
        jobs.filter(rare_status__in=[JobStatus.PAUSED, JobStatus.SCHEDULED]),
    ]
    for status, run_status in ((JobStatus.QUEUED, RunStatus.QUEUED), (JobStatus.RUNNING, RunStatus.RUNNING)):
        runs = Execution.objects.filter(status=run_status)
        parts.append(jobs.filter(status=status, pk__in=runs.values("job_id")))
    return parts


def _counted_by_indexes(environment_ids: frozenset[int] | None) -> dict[str, int]:
    """In one statement, so that all counts are of one moment. No index knows `completed`: it is what is left."""
    where = "TRUE" if environment_ids is None else f"environment_id IN ({_marks(environment_ids) or 'NULL'})"
    parts = {"total": f"FROM jobs_job WHERE {where}"}
    for status in RARE_STATUSES:
        parts[status] = f"FROM jobs_job WHERE {where} AND rare_status = '{status}'"
    for status in (JobStatus.QUEUED, JobStatus.RUNNING):
        parts[status] = _THROUGH_RUNS.format(status=status, where=where)
    values = sorted(environment_ids or ()) * (len(parts) + 2)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'(SELECT count(*) {part})' for part in parts.values())}", values)
        found = dict(zip(parts, cursor.fetchone(), strict=True))
    completed = found.pop("total") - sum(found.values())
    return {str(status): found.get(status, completed) for status in JobStatus}


def _marks(values: Collection[object]) -> str:
    return ", ".join(["%s"] * len(values))


def run_series(wanted: JobFilter, *, since: datetime, until: datetime, interval: int) -> dict[str, Any]:
    """The runs that ended in a window (both ends inclusive), in intervals of so many ms, whole ones since the epoch.

    They are counted exactly; percentiles are of about MOST_RUNS of them, taken evenly from the whole window.
    """
    ended = _ended(replace(wanted, since=since, until=until))
    after, last = events_between(ended.since, ended.before)
    start, end = series_bounds(since, until, interval)
    counts = ended_counts(after, last, start_ms=start, interval=interval, wanted=ended)
    every = -(-(last - after) // MOST_RUNS)
    runs: dict[int, list[EndedRun]] = defaultdict(list)
    for run in ended_runs(after, last, limit=MOST_RUNS, every=every, wanted=ended):
        runs[(run.ended_ms - start) // interval].append(run)
    return {
        "from": to_ms(since),
        "to": to_ms(until),
        "interval": interval,
        "runs_sampled": every > 1,
        "buckets": [
            {"start": start + place * interval, **_bucket(counts, place, runs.get(place, []))}
            for place in range((end - start) // interval)
        ],
    }


def series_bounds(since: datetime, until: datetime, interval: int) -> tuple[int, int]:
    """Where the first interval begins and the last one ends, in ms."""
    return to_ms(since) // interval * interval, (to_ms(until) // interval + 1) * interval


def _bucket(counts: Mapping[tuple[int, str], int], place: int, runs: Sequence[EndedRun]) -> dict[str, Any]:
    completed, failed = (counts.get((place, str(status)), 0) for status in (RunStatus.COMPLETED, RunStatus.FAILED))
    return {
        "runs": completed + failed,
        "runs_completed": completed,
        "runs_failed": failed,
        "success_rate": round(100 * completed / (completed + failed), 2) if completed + failed else None,
        **_times(runs),
    }


def _ended(wanted: JobFilter) -> EndedFilter:
    """The runs that a filter of jobs means; the API speaks in milliseconds, so what ends within the last one counts."""
    return EndedFilter(
        environment_ids=wanted.environment_ids,
        namespace=wanted.namespace,
        since=wanted.since,
        before=_end(wanted),
    )


def _end(wanted: JobFilter) -> datetime | None:
    return None if wanted.until is None else later(wanted.until, timedelta(milliseconds=1))


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
        **_times(runs),
    }


def _times(runs: Sequence[EndedRun]) -> dict[str, Any]:
    return {
        "duration_ms": percentiles([run.duration_ms for run in runs]),
        "lateness_ms": percentiles([run.lateness_ms for run in runs if run.lateness_ms is not None]),
    }


def percentiles(values: Sequence[int]) -> dict[str, int | None]:
    """p50, p95 and p99 by nearest rank: always a value that occurred."""
    ordered = sorted(values)
    return {
        f"p{percent}": ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None for percent in PERCENTILES
    }
