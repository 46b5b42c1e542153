"""Runs that ended, read by the order in which they did: for statistics and for metrics.

Every run that completes or fails leaves one event in the outbox, and the ids of events grow with
time. So a window of time is a range of the outbox's primary key, found by a few probes; no table
is scanned and no column that a run changes is indexed for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Max

from core.times import later
from jobs.models import JobEvent

ORDER_SLACK = timedelta(minutes=1)  # ids are given before the commit: two neighbours may be so far out of order


class EndedRun(NamedTuple):
    """How a run ended. `lateness_ms` is from when it was due to its first attempt; None where that is not
    known any more (`Execution.first_due_at`)."""

    event_id: int
    product_id: int
    environment_id: int
    namespace: str
    status: str
    attempt: int
    retry_count: int
    losses: int
    duration_ms: int
    lateness_ms: int | None
    ended_ms: int


# A run is found by its event, never events by their run: for each run of a job with a long history, all of its events
# would be read. No index knows `coalesce`, so that the database cannot choose to.
_WHICH = """
FROM jobs_jobevent v JOIN jobs_execution e ON e.job_id = coalesce(v.job_id, v.job_id) AND e.number = v.number
WHERE v.id > %s AND v.id <= %s AND v.number IS NOT NULL AND v.type IN ('job.completed', 'job.failed')
  AND e.status IN ('completed', 'failed') AND e.run_started_at IS NOT NULL AND e.finished_at IS NOT NULL
"""
_ENDED = """
SELECT v.id, e.product_id, e.environment_id, e.namespace, e.status, e.attempt, e.retry_count, e.losses,
       {duration}, CASE WHEN {is_known} THEN {lateness} END, {ended}
{which} {where}
ORDER BY v.id {direction} LIMIT %s
"""
_COUNTED = "SELECT ({ended} - %s) / %s AS place, e.status, count(*) {which} {where} GROUP BY place, e.status"
# No row names the recursive table but its own FROM, so that both databases take it.
_OLDER = "(SELECT at FROM jobs_jobevent WHERE id >= (low + high) / 2 ORDER BY id LIMIT 1) < %s"
_FIRST_AT = """
WITH RECURSIVE half(low, high) AS (
  SELECT min(id), max(id) + 1 FROM jobs_jobevent
  UNION ALL
  SELECT CASE WHEN {older} THEN (low + high) / 2 + 1 ELSE low END, CASE WHEN {older} THEN high ELSE (low + high) / 2 END
  FROM half WHERE low < high
)
SELECT low FROM half WHERE low >= high
"""
_IS_KNOWN = "e.trigger <> 'retry' AND e.due_at <= e.run_started_at"  # as Execution.first_due_at


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedFilter:
    """Which of them: `since` ≤ their end < `before`; what is left out does not matter."""

    environment_ids: frozenset[int] | None = None
    namespace: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    def sql(self) -> tuple[str, list[Any]]:
        """Conditions, each with its AND, and their values."""
        conditions: list[str] = []
        values: list[Any] = []
        if self.environment_ids is not None:
            wanted = sorted(self.environment_ids)
            conditions.append(f"e.environment_id IN ({', '.join(['%s'] * len(wanted)) or 'NULL'})")
            values += wanted
        for condition, value in (
            ("e.namespace = %s", self.namespace),
            ("e.finished_at >= %s", _adapted(self.since)),
            ("e.finished_at < %s", _adapted(self.before)),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        return "".join(f" AND {condition}" for condition in conditions), values


def ended_runs(
    after: int,
    until: int,
    *,
    limit: int,
    newest_first: bool = False,
    every: int = 1,
    wanted: EndedFilter = EndedFilter(),
) -> list[EndedRun]:
    """The runs whose final event is in (after, until], at most `limit` of them; of `every` so many events one."""
    where, values = wanted.sql()
    if every > 1:
        where += f" AND v.id %% {every:d} = 0"
    sql = _ENDED.format(
        duration=_milliseconds("e.run_started_at", "e.finished_at"),
        is_known=_IS_KNOWN,
        lateness=_milliseconds("e.due_at", "e.run_started_at"),
        ended=_since_epoch("e.finished_at"),
        which=_WHICH,
        where=where,
        direction="DESC" if newest_first else "ASC",
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [after, until, *values, limit])
        return [EndedRun(*row) for row in cursor.fetchall()]


def ended_counts(
    after: int, until: int, *, start_ms: int, interval: int, wanted: EndedFilter
) -> dict[tuple[int, str], int]:
    """How many of them ended in each interval (counted from `start_ms`, which none is before), by how."""
    where, values = wanted.sql()
    sql = _COUNTED.format(ended=_since_epoch("e.finished_at"), which=_WHICH, where=where)
    with connection.cursor() as cursor:
        cursor.execute(sql, [start_ms, interval, after, until, *values])
        return {(place, status): count for place, status, count in cursor.fetchall()}


def events_between(since: datetime | None, before: datetime | None) -> tuple[int, int]:
    """A range (after, until] of event ids that holds every event of that time, and some around it."""
    first = 0 if since is None else first_event_at(since - ORDER_SLACK) - 1
    last = last_event() if before is None else first_event_at(later(before, ORDER_SLACK))
    return first, last


def last_event() -> int:
    return JobEvent.objects.aggregate(last=Max("id"))["last"] or 0


def first_event_at(moment: datetime) -> int:
    """The id from which on events are not older than the moment: a search by halves within the database."""
    with connection.cursor() as cursor:
        cursor.execute(_FIRST_AT.format(older=_OLDER), [_adapted(moment)] * 2)
        found = cursor.fetchone()
    return found[0] if found else 1


def _milliseconds(start: str, end: str) -> str:
    """The SQL for the whole milliseconds between two columns, never below zero."""
    if connection.vendor == "postgresql":
        return f"greatest((extract(epoch FROM {end} - {start}) * 1000)::bigint, 0)"
    return f"max(CAST(round((julianday({end}) - julianday({start})) * 86400000) AS integer), 0)"


def _since_epoch(column: str) -> str:
    """The SQL for a column as whole milliseconds since the epoch, rounded down as everywhere else."""
    if connection.vendor == "postgresql":
        return f"floor(extract(epoch FROM {column}) * 1000)::bigint"
    fraction = f"CAST(substr({column} || '.000', 21, 3) AS integer)"  # Django leaves out a fraction of none
    return f"(CAST(strftime('%%s', {column}) AS integer) * 1000 + {fraction})"


def _adapted(moment: datetime | None) -> Any:
    return None if moment is None else connection.ops.adapt_datetimefield_value(moment)
