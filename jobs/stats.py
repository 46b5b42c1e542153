"""Statistics of jobs and of runs, for one call of the API. Reads only.

Jobs are counted by state, exactly up to MOST_JOBS of an environment, or of a window with at most MOST_WINDOW_EVENTS;
beyond that the answer is an estimate, and says so. What is said about runs is of those that ended in the window. They
have been counted by slots of time (`jobs.slots`), so that the answer costs the same however long the history is; a few
thousand runs are read themselves, and so is what has not been counted yet and the edges of the window, at most the
newest MOST_RUNS (`runs_sampled` says where there were more).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, F, Q, QuerySet
from django.db.models.expressions import RawSQL

from core.times import from_ms, later, to_ms
from jobs import slots
from jobs.ended import EndedFilter, EndedRun, ended_counts, ended_runs, events_between, last_event
from jobs.models import RARE_STATUSES, Execution, Job, JobEvent, RunSlot
from jobs.queries import JobFilter, matching
from jobs.states import FINAL, EventType, JobStatus, RunStatus

MOST_RUNS = 100_000  # that are read themselves
MOST_EXACT = 2_000  # runs of a window that are read although they are counted, for the sake of exact percentiles
MOST_EVENTS = 20_000  # among which they may be
_NEAR = 5_000  # events not counted yet: reading them costs less than finding those of a window
MOST_JOBS = 100_000  # that are counted one by one; of more, the database's statistics tell how many
MOST_WINDOW_EVENTS = 10_000  # by which the jobs of a window are found, all of them
SAMPLED_EVENTS = 3_000  # of a window that has more: each stands for as many
PERCENTILES = (50, 95, 99)
_Part = tuple[EndedFilter, int, int]  # runs that match, of events in (after, until]
_ENDS = [EventType.CANCELLED, EventType.COMPLETED, EventType.FAILED]
_COUNT = "(SELECT count(*) FROM (SELECT 1 {part} {most}) AS counted)"
_THROUGH_RUNS = """
FROM jobs_job WHERE status = '{status}' AND {where}
  AND id IN (SELECT job_id FROM jobs_execution WHERE status = '{status}' AND {where})
"""


def job_stats(wanted: JobFilter) -> dict[str, Any]:
    """S4's fields and ours. The window is of the jobs as in a list, and of the ends of the runs."""
    counts, estimated = counted_jobs(wanted)
    runs = _runs_of(_ended(wanted))
    return {
        "total": sum(counts.values()),
        **counts,
        "jobs_estimated": estimated,
        **runs.told(),
        "runs_sampled": runs.sampled,
        "percentiles_rounded": runs.rounded,
    }


@dataclass(kw_only=True, slots=True)
class RunSums:
    """Runs added up; durations and lateness as how often each value occurred."""

    runs: Counter[str] = field(default_factory=Counter)  # by how they ended
    first_try: int = 0  # of those that completed
    retries: int = 0
    durations: Counter[int] = field(default_factory=Counter)
    lateness: Counter[int] = field(default_factory=Counter)
    sampled: bool = False  # not all were looked at
    rounded: bool = False  # some values are those of their bucket

    def add_run(self, run: EndedRun) -> None:
        """Add one that was read itself."""
        self.runs.update((run.status,))
        self.first_try += run.status == RunStatus.COMPLETED and run.attempt == 1
        self.retries += run.retry_count
        self.add_times(run)

    def add_times(self, run: EndedRun, weight: int = 1) -> None:
        """Its duration and lateness, for as many runs."""
        self.durations[run.duration_ms] += weight
        if run.lateness_ms is not None:
            self.lateness[run.lateness_ms] += weight

    def add_slot(self, slot: RunSlot) -> None:
        """Add the runs of a slot."""
        self.runs[slot.outcome] += slot.runs
        self.first_try += slot.first_try if slot.outcome == RunStatus.COMPLETED else 0
        self.retries += slot.retries
        self.rounded = True
        for values, buckets in ((self.durations, slot.durations), (self.lateness, slot.lateness)):
            for bucket, count in buckets.items():
                values[slots.middle_of(int(bucket))] += count

    def told(self) -> dict[str, Any]:
        """As the API tells it; null where there is no run."""
        completed, runs = self.runs[RunStatus.COMPLETED], self.runs.total()
        return {
            **self.outcomes(),
            "completed_first_try": self.first_try,
            "completed_after_retry": completed - self.first_try,
            "avg_retry_count": round(self.retries / runs, 3) if runs else None,
            **self.times(),
        }

    def outcomes(self) -> dict[str, Any]:
        completed, failed = self.runs[RunStatus.COMPLETED], self.runs[RunStatus.FAILED]
        return {
            "runs": completed + failed,
            "runs_completed": completed,
            "runs_failed": failed,
            "success_rate": round(100 * completed / (completed + failed), 2) if completed + failed else None,
        }

    def times(self) -> dict[str, Any]:
        return {"duration_ms": percentiles(self.durations), "lateness_ms": percentiles(self.lateness)}


def _runs_of(ended: EndedFilter) -> RunSums:
    """All runs of a window added up."""
    sums = RunSums()
    tallied = slots.of_window(ended.environment_ids, ended.namespace, *_bounds(ended))
    exact = _read_anyway(tallied, ended)
    for slot in tallied.whole if exact is None else ():
        sums.add_slot(slot)
    left = MOST_RUNS
    for part, after, until in (*_uncounted(tallied, ended), *(_edges(tallied, ended) if exact is None else ())):
        runs = ended_runs(after, until, limit=left + 1, newest_first=True, wanted=part)
        sums.sampled |= len(runs) > left
        for run in runs[:left]:
            sums.add_run(run)
        left -= min(len(runs), left)
    for run in exact or ():
        sums.add_run(run)
    return sums


def _read_anyway(tallied: slots.Tallied, ended: EndedFilter) -> list[EndedRun] | None:
    """The counted runs themselves, where they are few and all still there; those at the edges, too."""
    rows = [*tallied.whole, *tallied.edges]
    counted = sum(slot.runs for slot in tallied.whole)
    if not 0 < counted <= sum(slot.runs for slot in rows) <= MOST_EXACT:
        return None
    first, last = min(slot.first_event for slot in rows), max(slot.last_event for slot in rows)
    if last - first >= MOST_EVENTS:
        return None
    runs = ended_runs(first - 1, last, limit=MOST_EXACT, wanted=ended)
    edges = {slot.start for slot in tallied.edges}
    return runs if sum(run.ended_ms // slots.SLOT * slots.SLOT not in edges for run in runs) == counted else None


def _edges(tallied: slots.Tallied, ended: EndedFilter) -> list[_Part]:
    """What is to be read of the slots at the edges of the window, the newest first."""
    since, before = _bounds(ended)
    parts = []
    for start in sorted({slot.start for slot in tallied.edges}, reverse=True):
        rows = [slot for slot in tallied.edges if slot.start == start]
        end = start + slots.SLOT
        part = replace(
            ended,
            since=from_ms(start if since is None else max(since, start)),
            before=from_ms(end if before is None else min(before, end)),
        )
        parts.append((part, min(slot.first_event for slot in rows) - 1, max(slot.last_event for slot in rows)))
    return parts


def _uncounted(tallied: slots.Tallied, ended: EndedFilter) -> list[_Part]:
    """Where runs of the window may be that stand in no slot yet, the newest first."""
    newest = last_event()
    if tallied.after == 0 and newest - tallied.upto <= _NEAR:
        ranges = [(tallied.upto, newest)]
    else:
        after, until = events_between(ended.since, ended.before)
        ranges = [(max(after, tallied.upto), until), (after, min(until, tallied.after))]
    return [(ended, after, until) for after, until in ranges if after < until]


def _bounds(ended: EndedFilter) -> tuple[int | None, int | None]:
    """since ≤ end < before, in ms."""
    since, before = (None if moment is None else to_ms(moment) for moment in (ended.since, ended.before))
    return since, before


def jobs_by_state(wanted: JobFilter) -> dict[str, int]:
    """How many jobs are in each state."""
    return counted_jobs(wanted)[0]


def counted_jobs(wanted: JobFilter) -> tuple[dict[str, int], bool]:
    """How many jobs are in each state, and whether some of it is an estimate. Where only environments are asked for,
    by indexes alone."""
    if wanted == JobFilter(environment_ids=wanted.environment_ids):
        return _counted_by_indexes(wanted.environment_ids)
    jobs = matching(wanted)
    parts, every = ([jobs], 1) if wanted.since is None else _parts_of_window(wanted, jobs)
    counts = dict.fromkeys(map(str, JobStatus), 0)
    first, *others = [part.values_list("status").annotate(Count("pk")).order_by() for part in parts]
    for status, count in first.union(*others, all=True) if others else first:
        counts[status] += count * every if status in FINAL else count
    return counts, every > 1


def _parts_of_window(wanted: JobFilter, jobs: QuerySet[Job]) -> tuple[list[QuerySet[Job]], int]:
    """The same jobs in parts that are found without reading those outside of the window, none of them twice; and of how
    many that are final one is among them.

    A job that is final is told of by an event of the moment at which it, or its last run, ended.
    """
    after, until = events_between(wanted.since, _end(wanted))
    events = until - after
    every = 1 if events <= MOST_WINDOW_EVENTS else -(-events // SAMPLED_EVENTS)
    ends = JobEvent.objects.filter(id__gt=after, id__lte=until).filter(Q(type__in=_ENDS) | Q(status__in=sorted(FINAL)))
    if every > 1:
        ends = _sampled(ends, after, until, every)
    parts = [
        jobs.filter(status__in=sorted(FINAL), pk__in=ends.values("job_id")),
        jobs.filter(rare_status__in=[JobStatus.PAUSED, JobStatus.SCHEDULED]),
    ]
    for status, run_status in ((JobStatus.QUEUED, RunStatus.QUEUED), (JobStatus.RUNNING, RunStatus.RUNNING)):
        runs = Execution.objects.filter(status=run_status)
        parts.append(jobs.filter(status=status, pk__in=runs.values("job_id")))
    return parts, every


def _sampled(events: QuerySet[JobEvent], after: int, until: int, every: int) -> QuerySet[JobEvent]:
    """One of so many events. PostgreSQL reads no others."""
    if connection.vendor == "postgresql":
        return events.filter(id__in=RawSQL("SELECT generate_series(%s::bigint, %s, %s)", (after + every, until, every)))
    return events.annotate(place=F("id") % every).filter(place=0)


def _counted_by_indexes(environment_ids: frozenset[int] | None) -> tuple[dict[str, int], bool]:
    """In one statement, so that all counts are of one moment. No index knows `completed`: it is what is left.

    On PostgreSQL, where tables grow large, at most MOST_JOBS of each are counted; of more, its statistics tell how many.
    """
    where = "TRUE" if environment_ids is None else f"environment_id IN ({_marks(environment_ids) or 'NULL'})"
    parts = {"total": f"FROM jobs_job WHERE {where}"}
    for status in RARE_STATUSES:
        parts[status] = f"FROM jobs_job WHERE {where} AND rare_status = '{status}'"
    for status in (JobStatus.QUEUED, JobStatus.RUNNING):
        parts[status] = _THROUGH_RUNS.format(status=status, where=where)
    values = sorted(environment_ids or ())
    bounded = connection.vendor == "postgresql"
    most = f"LIMIT {MOST_JOBS + 1}" if bounded else ""
    with connection.cursor() as cursor:
        counts = ", ".join(_COUNT.format(part=part, most=most) for part in parts.values())
        cursor.execute(f"SELECT {counts}", values * (len(parts) + 2))
        found = dict(zip(parts, cursor.fetchone(), strict=True))
        more = [name for name, count in found.items() if bounded and count > MOST_JOBS]
        for name in more:
            part = parts[name]
            cursor.execute(f"EXPLAIN (FORMAT JSON) SELECT 1 {part}", values * part.count(where))
            found[name] = max(MOST_JOBS + 1, round(cursor.fetchone()[0][0]["Plan"]["Plan Rows"]))
    completed = max(found.pop("total") - sum(found.values()), 0)
    return {str(status): found.get(status, completed) for status in JobStatus}, bool(more)


def _marks(values: Collection[object]) -> str:
    return ", ".join(["%s"] * len(values))


def run_series(wanted: JobFilter, *, since: datetime, until: datetime, interval: int) -> dict[str, Any]:
    """The runs that ended in a window (both ends inclusive), in intervals of so many ms, whole ones since the epoch.

    They are counted exactly; where more than MOST_RUNS events have to be read, percentiles are of an even sample.
    """
    ended = _ended(replace(wanted, since=since, until=until))
    start, end = series_bounds(since, until, interval)
    buckets: dict[int, RunSums] = defaultdict(RunSums)
    sampled = False
    for part, after, last in _into_buckets(buckets, ended, start, interval):
        every = -(-(last - after) // MOST_RUNS)
        sampled |= every > 1
        runs = ended_runs(after, last, limit=MOST_RUNS, every=every, wanted=part)
        for run in runs:
            bucket = buckets[(run.ended_ms - start) // interval]
            if every > 1:
                bucket.add_times(run, every)
            else:
                bucket.add_run(run)
        if every > 1:
            counts = ended_counts(after, last, start_ms=start, interval=interval, wanted=part)
            for (place, status), count in counts.items():
                buckets[place].runs[status] += count
    return {
        "from": to_ms(since),
        "to": to_ms(until),
        "interval": interval,
        "runs_sampled": sampled,
        "percentiles_rounded": any(sums.rounded for sums in buckets.values()),
        "buckets": [
            {"start": start + place * interval, **buckets[place].outcomes(), **buckets[place].times()}
            for place in range((end - start) // interval)
        ],
    }


def _into_buckets(buckets: dict[int, RunSums], ended: EndedFilter, start: int, interval: int) -> list[_Part]:
    """Add what is counted to its buckets; what is left to be read. Slots fit into whole numbers of them only."""
    if interval % slots.SLOT:
        after, until = events_between(ended.since, ended.before)
        return [(ended, after, until)] if after < until else []
    tallied = slots.of_window(ended.environment_ids, ended.namespace, *_bounds(ended), within=interval)
    exact = _read_anyway(tallied, ended)
    if exact is None:
        for slot in tallied.whole:
            buckets[(slot.start - start) // interval].add_slot(slot)
        return [*_uncounted(tallied, ended), *_edges(tallied, ended)]
    for run in exact:
        buckets[(run.ended_ms - start) // interval].add_run(run)
    return _uncounted(tallied, ended)


def series_bounds(since: datetime, until: datetime, interval: int) -> tuple[int, int]:
    """Where the first interval begins and the last one ends, in ms."""
    return to_ms(since) // interval * interval, (to_ms(until) // interval + 1) * interval


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


def percentiles(values: Mapping[int, int]) -> dict[str, int | None]:
    """p50, p95 and p99 by nearest rank, of values by how often they occurred: always one of them."""
    ordered, total = sorted(values), sum(values.values())
    found: dict[str, int | None] = {}
    seen, place = 0, -1
    for percent in PERCENTILES:
        rank = -(-total * percent // 100)
        while seen < rank:
            place += 1
            seen += values[ordered[place]]
        found[f"p{percent}"] = ordered[place] if total else None
    return found
