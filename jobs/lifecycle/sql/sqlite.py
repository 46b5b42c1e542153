"""Claim, finish and the scheduler's statements on SQLite: a few statements in one IMMEDIATE transaction.

One writer at a time is what makes them exact here; batches stay small so that other writers
wait milliseconds. Same effects as `postgresql`, held together by the conformance suite.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction

from core.clock import machine_now
from core.times import to_ms
from core.zones import TZDATA_VERSION
from jobs.lifecycle.sql.events import COLUMNS, about_job, heard
from jobs.models import Job
from jobs.states import EventType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

    from jobs.lifecycle.claim import KeyCursor
    from jobs.lifecycle.promote import Moved
    from jobs.lifecycle.settle import Finished

BATCH = 200  # rows in one transaction: other writers wait for as long as it takes

_CANDIDATES = """
SELECT id, job_id, count FROM (
  SELECT e.id, e.job_id, j.execution_count AS count, e.priority, e.due_at, e.concurrency_key, e.concurrency_limit,
         j.timeout,
         CASE WHEN e.concurrency_key IS NULL THEN 0
              ELSE row_number() OVER (PARTITION BY e.concurrency_key ORDER BY e.priority DESC, e.due_at, e.id)
                   + (SELECT count(*) FROM jobs_execution r
                      WHERE r.status = 'running' AND r.concurrency_key = e.concurrency_key)
         END AS place
  FROM jobs_execution e JOIN jobs_job j ON j.id = e.job_id
  WHERE e.queue = %(queue)s AND e.status = 'queued'
    AND (NOT j.recurring AND j.behind = ''
         OR (NOT EXISTS (SELECT 1 FROM jobs_execution o WHERE o.job_id = e.job_id AND o.status = 'running')
             AND NOT EXISTS (SELECT 1 FROM jobs_execution o WHERE o.job_id = e.job_id AND o.id < e.id
                             AND o.status IN ('queued', 'waiting', 'frozen'))))
    AND NOT EXISTS (SELECT 1 FROM jobs_hold h WHERE h.product_id = e.product_id
                    AND (h.environment_id IS NULL OR h.environment_id = e.environment_id)
                    AND (h.namespace = '' OR h.namespace = e.namespace))
)
WHERE place <= concurrency_limit
ORDER BY priority DESC, due_at, id
LIMIT %(room)s
"""

# Without a key in the queue the window above is never needed, and the index gives the order.
_CANDIDATES_WITHOUT_KEYS = """
SELECT e.id, e.job_id, j.execution_count
FROM jobs_execution e JOIN jobs_job j ON j.id = e.job_id
WHERE e.queue = %(queue)s AND e.status = 'queued'
  AND (NOT j.recurring AND j.behind = ''
       OR (NOT EXISTS (SELECT 1 FROM jobs_execution o WHERE o.job_id = e.job_id AND o.status = 'running')
           AND NOT EXISTS (SELECT 1 FROM jobs_execution o WHERE o.job_id = e.job_id AND o.id < e.id
                           AND o.status IN ('queued', 'waiting', 'frozen'))))
  AND NOT EXISTS (SELECT 1 FROM jobs_hold h WHERE h.product_id = e.product_id
                  AND (h.environment_id IS NULL OR h.environment_id = e.environment_id)
                  AND (h.namespace = '' OR h.namespace = e.namespace))
ORDER BY e.priority DESC, e.due_at, e.id
LIMIT %(room)s
"""

_ANY_KEY = """
SELECT EXISTS (SELECT 1 FROM jobs_execution
               WHERE queue = %(queue)s AND status = 'queued' AND concurrency_key IS NOT NULL)
"""

_ALIVE = "SELECT EXISTS (SELECT 1 FROM jobs_worker WHERE id = %(worker)s AND stopped_at IS NULL)"

_TAKE_RUNS = """
UPDATE jobs_execution
SET status = 'running', fence = fence + 1, attempt = attempt + 1,
    number = coalesce(number, c.count + 1), owner_id = %(worker)s,
    started_at = %(now)s, run_started_at = coalesce(run_started_at, %(now)s), deadline_at = c.deadline
FROM (SELECT value ->> 0 AS id, value ->> 1 AS count, value ->> 2 AS deadline FROM json_each(%(runs)s)) AS c
WHERE jobs_execution.id = c.id AND status = 'queued'
"""

_HEARD = f"(x.attempt = 1 AND {heard(EventType.STARTED, 'x.product_id')})"

_TAKE_JOBS = f"""
UPDATE jobs_job AS j
SET status = CASE WHEN j.paused_at IS NOT NULL THEN 'paused' ELSE 'running' END,
    started_at = x.run_started_at, completed_at = NULL, scheduled_at = x.scheduled_at,
    execution_count = max(j.execution_count, x.number), retry_count = x.retry_count,
    next_attempt_at = NULL, event_seq = j.event_seq + {_HEARD}, updated_at = %(now)s
FROM (SELECT e.* FROM json_each(%(runs)s) AS c JOIN jobs_execution e ON e.id = c.value ->> 0) AS x
WHERE j.id = x.job_id
"""  # noqa: S608 - made of our own texts

_TAKE_EVENTS = f"""
INSERT INTO jobs_jobevent ({COLUMNS})
SELECT j.id, j.event_seq, 'job.started', j.status, x.number, '', NULL, %(now)s, 1, {about_job("sqlite")}
FROM json_each(%(runs)s) AS c JOIN jobs_execution x ON x.id = c.value ->> 0 JOIN jobs_job j ON j.id = x.job_id
WHERE {_HEARD}
"""  # noqa: S608 - the same

_TAKEN = """
SELECT e.id, e.fence, e.number, e.attempt, e.retry_count, e.scheduled_at,
       j.id, j.product_id, j.environment_id, e.namespace, coalesce(e.target, j.target), j.input, j.session, j.cache,
       j.retries, j.retry_config, j.timeout, p.catalog_version
FROM json_each(%(runs)s) AS c JOIN jobs_execution e ON e.id = c.value ->> 0 JOIN jobs_job j ON j.id = e.job_id
     JOIN tenancy_product p ON p.id = j.product_id
ORDER BY e.priority DESC, e.due_at, e.id
"""

_TIMEOUTS = """
SELECT id, timeout FROM jobs_job WHERE id IN (SELECT value FROM json_each(%(jobs)s))
"""


def claim(
    connection: BaseDatabaseWrapper, worker_id: int, queue: str, room: int, cursor: KeyCursor
) -> list[tuple[Any, ...]]:
    """See `jobs.lifecycle.claim.claim`."""
    adapt = connection.ops.adapt_datetimefield_value
    values: dict[str, Any] = {"queue": queue, "room": min(room, BATCH), "worker": worker_id}
    with connection.cursor() as sql:
        # A look without a write lock: an idle worker's poll must not queue up behind writers.
        sql.execute(
            "SELECT EXISTS (SELECT 1 FROM jobs_execution WHERE queue = %(queue)s AND status = 'queued')", values
        )
        if not sql.fetchone()[0]:
            return []
    with transaction.atomic(using=connection.alias), connection.cursor() as sql:
        now = machine_now()
        values["now"] = adapt(now)
        sql.execute(_ALIVE, values)
        if not sql.fetchone()[0]:
            return []
        sql.execute(_ANY_KEY, values)
        sql.execute(_CANDIDATES if sql.fetchone()[0] else _CANDIDATES_WITHOUT_KEYS, values)
        candidates = sql.fetchall()
        if not candidates:
            return []
        sql.execute(_TIMEOUTS, {"jobs": json.dumps([job for _, job, _ in candidates])})
        timeouts = dict(sql.fetchall())
        values["runs"] = json.dumps(
            [
                [run, count, adapt(now + timedelta(milliseconds=timeouts[job] + 30_000))]
                for run, job, count in candidates
            ]
        )
        sql.execute(_TAKE_RUNS, values)
        sql.execute(_TAKE_JOBS, values)
        sql.execute(_TAKE_EVENTS, values)
        sql.execute(_TAKEN, values)
        rows = sql.fetchall()
    return [(*row[:5], to_ms(row[5].replace(tzinfo=UTC)), UUID(row[6]), *row[7:]) for row in rows]


_FINISH_RUNS = """
UPDATE jobs_execution
SET status = d.status, finished_at = %(now)s, owner_id = NULL, deadline_at = NULL,
    result = d.result, code = d.code, error = d.error, retryable = d.retryable
FROM (SELECT value ->> 0 AS id, value ->> 1 AS fence, value ->> 2 AS status, value ->> 3 AS result,
             value ->> 4 AS code, value ->> 5 AS error, value ->> 6 AS retryable
      FROM json_each(%(outcomes)s)) AS d
WHERE jobs_execution.id = d.id AND jobs_execution.fence = d.fence AND jobs_execution.status = 'running'
RETURNING jobs_execution.id
"""

_FINISH_JOBS = """
UPDATE jobs_job AS j
SET status = CASE WHEN j.paused_at IS NOT NULL THEN 'paused'
                  WHEN j.behind = 'queued' THEN 'queued'
                  WHEN j.behind <> '' OR j.next_run_at IS NOT NULL THEN 'scheduled'
                  ELSE e.status END,
    behind = '', completed_at = %(now)s, last_run_status = e.status, last_run_id = e.id,
    last_error = e.error, retry_count = e.retry_count,
    successful_executions = j.successful_executions + (e.status = 'completed'),
    failed_executions = j.failed_executions + (e.status = 'failed'),
    consecutive_failures = CASE WHEN e.status = 'failed' THEN j.consecutive_failures + 1 ELSE 0 END,
    scheduled_at = coalesce(j.next_run_at, j.scheduled_at),
    event_seq = j.event_seq + 1, updated_at = %(now)s
FROM (SELECT x.* FROM json_each(%(runs)s) AS c JOIN jobs_execution x ON x.id = c.value) AS e
WHERE j.id = e.job_id
"""

_FINISH_EVENTS = f"""
INSERT INTO jobs_jobevent ({COLUMNS})
SELECT o.id, o.event_seq, o.type, o.status, o.number, '', NULL, %(now)s, o.about IS NOT NULL, o.about
FROM (SELECT j.id, j.event_seq, 'job.' || e.status AS type, j.status, e.number,
             CASE WHEN {heard("'job.' || e.status", "j.product_id")}
                  THEN {about_job("sqlite", error="nullif(e.error, '')")} END AS about
      FROM json_each(%(runs)s) AS c JOIN jobs_execution e ON e.id = c.value JOIN jobs_job j ON j.id = e.job_id) AS o
"""  # noqa: S608 - made of our own texts


def finish(connection: BaseDatabaseWrapper, outcomes: Sequence[Finished]) -> set[int]:
    """See `jobs.lifecycle.settle.settle`: the ids of the runs that were still the caller's."""
    rows = [
        [o.run_id, o.fence, o.status, o.result, o.code, o.error, None if o.retryable is None else int(o.retryable)]
        for o in outcomes
    ]
    with transaction.atomic(using=connection.alias), connection.cursor() as sql:
        values = {"now": connection.ops.adapt_datetimefield_value(machine_now()), "outcomes": json.dumps(rows)}
        sql.execute(_FINISH_RUNS, values)
        matched = {row[0] for row in sql.fetchall()}
        if matched:
            values["runs"] = json.dumps(sorted(matched))
            sql.execute(_FINISH_JOBS, values)
            sql.execute(_FINISH_EVENTS, values)
    return matched


_NEXT_DUE = """
SELECT (SELECT min(next_due_at) FROM jobs_job WHERE next_due_at IS NOT NULL),
       (SELECT min(due_at) FROM jobs_execution WHERE status = 'waiting')
"""


def next_due(connection: BaseDatabaseWrapper) -> tuple[datetime | None, datetime | None]:
    """See `jobs.lifecycle.promote.next_due`."""
    with connection.cursor() as sql:
        sql.execute(_NEXT_DUE)
        occurrence, backoff = (text and datetime.fromisoformat(text).replace(tzinfo=UTC) for text in sql.fetchone())
    return occurrence, backoff


def take_due(
    connection: BaseDatabaseWrapper, now: datetime, room: int, only: UUID | None = None
) -> tuple[list[Job], list[str]]:
    """Up to `room` jobs that are due (with `only`, no other than that), all for the caller to promote.

    In the caller's transaction, which is alone.
    """
    due = Job.objects.using(connection.alias).filter(next_due_at__lte=now).order_by("next_due_at")
    if only is not None:
        due = due.filter(pk=only)
    return list(due[:room]), []


_ADVANCE = """
UPDATE jobs_job
SET status = %s, scheduled_at = %s, completed_at = %s, next_run_at = %s, next_due_at = %s,
    occurrences_opened = %s, retry_count = %s, behind = %s,
    tzdata_version = CASE WHEN cron = '' THEN '' ELSE %s END, updated_at = %s
WHERE id = %s AND status = %s
"""


def advance(connection: BaseDatabaseWrapper, moved: Sequence[Moved], now: datetime) -> int:
    """Write the columns that a promotion moved; how many of the jobs still had the status they were read with."""
    time = connection.ops.adapt_datetimefield_value
    rows = [
        (
            job.status, time(job.scheduled_at), time(job.completed_at), time(job.next_run_at), time(job.next_due_at),
            job.occurrences_opened, job.retry_count, job.behind, TZDATA_VERSION, time(now),
            job.job_id.hex, job.found,
        )
        for job in moved
    ]  # fmt: skip
    with connection.cursor() as sql:
        sql.executemany(_ADVANCE, rows)
        return int(sql.rowcount)
