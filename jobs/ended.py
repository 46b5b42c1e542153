"""Runs that ended, read by the order in which they did: for statistics and for metrics.

Every run that completes or fails leaves one event in the outbox, and the ids of events grow with
time. So a window of time is a range of the outbox's primary key, found by a few probes; no table
is scanned and no column that a run changes is indexed for it.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    namespace: str
    status: str
    attempt: int
    retry_count: int
    losses: int
    duration_ms: int
    lateness_ms: int | None


_ENDED = """
SELECT v.id, e.product_id, e.namespace, e.status, e.attempt, e.retry_count, e.losses,
       {duration}, CASE WHEN {is_known} THEN {lateness} END
FROM jobs_jobevent v JOIN jobs_execution e ON e.job_id = v.job_id AND e.number = v.number
WHERE v.id > %s AND v.id <= %s AND v.number IS NOT NULL AND v.type IN ('job.completed', 'job.failed')
  AND e.status IN ('completed', 'failed') AND e.run_started_at IS NOT NULL AND e.finished_at IS NOT NULL
  {where}
ORDER BY v.id {direction} LIMIT %s
"""
_IS_KNOWN = "e.trigger <> 'retry' AND e.due_at <= e.run_started_at"  # as Execution.first_due_at


def ended_runs(
    after: int,
    until: int,
    *,
    limit: int,
    newest_first: bool = False,
    environment_ids: Sequence[int] | None = None,
    namespace: str | None = None,
    since: datetime | None = None,
    before: datetime | None = None,
) -> list[EndedRun]:
    """The runs whose final event is in (after, until], at most `limit` of them; `since` ≤ their end < `before`."""
    conditions: list[str] = []
    values: list[Any] = []
    if environment_ids is not None:
        if not environment_ids:
            return []
        conditions.append(f"e.environment_id IN ({', '.join(['%s'] * len(environment_ids))})")
        values += environment_ids
    for condition, value in (
        ("e.namespace = %s", namespace),
        ("e.finished_at >= %s", _adapted(since)),
        ("e.finished_at < %s", _adapted(before)),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    sql = _ENDED.format(
        duration=_milliseconds("e.run_started_at", "e.finished_at"),
        is_known=_IS_KNOWN,
        lateness=_milliseconds("e.due_at", "e.run_started_at"),
        where="".join(f" AND {condition}" for condition in conditions),
        direction="DESC" if newest_first else "ASC",
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [after, until, *values, limit])
        return [EndedRun(*row) for row in cursor.fetchall()]


def events_between(since: datetime | None, before: datetime | None) -> tuple[int, int]:
    """A range (after, until] of event ids that holds every event of that time, and some around it."""
    first = 0 if since is None else first_event_at(since - ORDER_SLACK) - 1
    last = last_event() if before is None else first_event_at(later(before, ORDER_SLACK))
    return first, last


def last_event() -> int:
    return JobEvent.objects.aggregate(last=Max("id"))["last"] or 0


def first_event_at(moment: datetime) -> int:
    """The id from which on events are not older than the moment: a search by halves, a probe each."""
    low = JobEvent.objects.order_by("id").values_list("id", flat=True).first()
    if low is None:
        return 1
    high = last_event() + 1
    while low < high:
        middle = (low + high) // 2
        probe = JobEvent.objects.filter(id__gte=middle).order_by("id").values_list("id", "at").first()
        if probe is None or probe[1] >= moment:
            high = middle
        else:
            low = probe[0] + 1
    return low


def _milliseconds(start: str, end: str) -> str:
    """The SQL for the whole milliseconds between two columns, never below zero."""
    if connection.vendor == "postgresql":
        return f"greatest((extract(epoch FROM {end} - {start}) * 1000)::bigint, 0)"
    return f"max(CAST(round((julianday({end}) - julianday({start})) * 86400000) AS integer), 0)"


def _adapted(moment: datetime | None) -> Any:
    return None if moment is None else connection.ops.adapt_datetimefield_value(moment)
