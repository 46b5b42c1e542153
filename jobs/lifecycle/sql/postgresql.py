"""Claim, finish and the scheduler's statements on PostgreSQL; the first two one statement and one commit each.

Hazards that shaped them:

* A queue table lies to the planner: statistics are from a moment when it was empty or full.
  Rows are found by primary key alone; guards on the status are written as `status || ''`, so
  that no partial index on the status can be chosen to drive the statement, and scans and joins
  that read more than the rows in hand are switched off for it (`_PLAN`, in the same round trip
  and transaction, so that nothing of it stays on a pooled connection).
* `UPDATE … WHERE id IN (SELECT … LIMIT n FOR UPDATE SKIP LOCKED)` may exceed its LIMIT; a
  MATERIALIZED list does not.
* The snapshot of a statement is taken before its locks. What is read of a job after locking
  it is fresh (the row is read again); what is read of other rows is not. Concurrency keys are
  therefore locked in a statement of their own, and counted in the next.
* A choice that is made before its rows are locked is made alike by everybody: of twenty workers
  one gets the rows and nineteen nothing. Runs without a key are therefore locked as they are
  chosen; runs with one are safe behind the lock on their key.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.db import transaction

from core.clock import sql_now
from core.zones import TZDATA_VERSION
from jobs.lifecycle.sql.events import COLUMNS, about_job, heard
from jobs.lifecycle.sql.inserts import run_columns
from jobs.lifecycle.sql.prepared import execute
from jobs.models import Job
from jobs.states import EventType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from django.db.backends.base.base import BaseDatabaseWrapper

    from jobs.lifecycle.claim import KeyCursor
    from jobs.lifecycle.promote import Moved
    from jobs.lifecycle.settle import Finished

KEYS_AT_ONCE = 1_000  # concurrency keys looked at by one claim; more get their turn in the next
LOCK_CLASS = 0x64756374  # of the advisory locks on concurrency keys

_PLAN = """
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
       set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true);
"""

# The worker was not taken for dead, nothing older of the same job is open, and no hold covers the run.
_MAY_RUN = """
  EXISTS (SELECT 1 FROM jobs_worker w WHERE w.id = %(worker)s AND w.stopped_at IS NULL)
  AND (NOT j.recurring AND j.behind = ''
   OR (NOT EXISTS (SELECT 1 FROM jobs_execution o WHERE o.job_id = e.job_id AND o.status = 'running')
       AND NOT EXISTS (SELECT 1 FROM jobs_execution o WHERE o.job_id = e.job_id AND o.id < e.id
                       AND o.status IN ('queued', 'waiting', 'frozen'))))
  AND NOT EXISTS (SELECT 1 FROM jobs_hold h WHERE h.product_id = e.product_id
                  AND (h.environment_id IS NULL OR h.environment_id = e.environment_id)
                  AND (h.namespace = '' OR h.namespace = e.namespace))
"""

_CANDIDATES_WITHOUT_KEYS = f"""
keyed AS MATERIALIZED (
  SELECT EXISTS (SELECT 1 FROM jobs_execution
                 WHERE queue = %(queue)s AND status = 'queued' AND concurrency_key IS NOT NULL) AS waiting
),
c AS MATERIALIZED (
  SELECT e.id, j.execution_count, j.timeout
  FROM jobs_execution e JOIN jobs_job j ON j.id = e.job_id
  WHERE e.queue = %(queue)s AND e.status = 'queued' AND NOT (SELECT waiting FROM keyed)
    AND {_MAY_RUN}
  ORDER BY e.priority DESC, e.due_at, e.id
  LIMIT %(room)s
  FOR NO KEY UPDATE OF j SKIP LOCKED
)
"""  # noqa: S608 - made of texts of this module

_CANDIDATES_WITH_KEYS = f"""
keyed AS MATERIALIZED (SELECT true AS waiting),
unkeyed AS MATERIALIZED (
  SELECT e.id, e.priority, e.due_at
  FROM jobs_execution e JOIN jobs_job j ON j.id = e.job_id
  WHERE e.queue = %(queue)s AND e.status = 'queued' AND e.concurrency_key IS NULL
    AND {_MAY_RUN}
  ORDER BY e.priority DESC, e.due_at, e.id
  LIMIT %(room)s
  FOR NO KEY UPDATE OF j SKIP LOCKED
),
best AS MATERIALIZED (
  SELECT id FROM (
    SELECT id, priority, due_at FROM unkeyed
    UNION ALL
    SELECT p.id, p.priority, p.due_at
    FROM unnest(%(keys)s::text[]) AS k(name)
    CROSS JOIN LATERAL (
      SELECT count(*) AS running FROM jobs_execution r
      WHERE r.concurrency_key = k.name AND r.status = 'running') r
    CROSS JOIN LATERAL (
      SELECT f.*, row_number() OVER (ORDER BY f.priority DESC, f.due_at, f.id) AS place
      FROM (SELECT e.id, e.priority, e.due_at, e.concurrency_limit
            FROM jobs_execution e JOIN jobs_job j ON j.id = e.job_id
            WHERE e.queue = %(queue)s AND e.status = 'queued' AND e.concurrency_key = k.name
              AND {_MAY_RUN}
            ORDER BY e.priority DESC, e.due_at, e.id
            LIMIT %(room)s) f) p
    WHERE p.place <= p.concurrency_limit - r.running
  ) AS either
  ORDER BY priority DESC, due_at, id
  LIMIT %(room)s
),
c AS MATERIALIZED (
  SELECT e.id, j.execution_count, j.timeout
  FROM best JOIN jobs_execution e ON e.id = best.id JOIN jobs_job j ON j.id = e.job_id
  ORDER BY e.priority DESC, e.due_at, e.id
  FOR NO KEY UPDATE OF j SKIP LOCKED
)
"""  # noqa: S608 - the same

_TAKE = f"""
e AS (
  UPDATE jobs_execution x
  SET status = 'running', fence = x.fence + 1, attempt = x.attempt + 1,
      number = coalesce(x.number, c.execution_count + 1), owner_id = %(worker)s,
      started_at = {{now}}, run_started_at = coalesce(x.run_started_at, {{now}}),
      deadline_at = {{now}} + (c.timeout + 30000) * interval '1 millisecond'
  FROM c
  WHERE x.id = c.id AND x.status || '' = 'queued'
  RETURNING x.id, x.fence, x.number, x.attempt, x.retry_count, x.scheduled_at, x.run_started_at,
            x.job_id, x.priority, x.due_at, x.namespace, x.target,
            x.attempt = 1 AND {heard(EventType.STARTED, "x.product_id")} AS heard
),
j AS (
  UPDATE jobs_job j
  SET status = CASE WHEN j.paused_at IS NOT NULL THEN 'paused' ELSE 'running' END,
      started_at = e.run_started_at, completed_at = NULL, scheduled_at = e.scheduled_at,
      execution_count = greatest(j.execution_count, e.number),
      retry_count = e.retry_count, next_attempt_at = NULL, event_seq = j.event_seq + e.heard::int,
      updated_at = {{now}}
  FROM e
  WHERE j.id = e.job_id
  RETURNING e.id AS run_id, e.fence, e.number, e.attempt, e.retry_count, e.scheduled_at,
            j.id, j.product_id, j.environment_id, e.namespace, coalesce(e.target, j.target) AS target, j.input, j.session,
            j.cache, j.retries, j.retry_config, j.timeout, e.priority, e.due_at, j.status, j.event_seq,
            CASE WHEN e.heard THEN {about_job("postgresql")} END AS about
),
o AS (
  INSERT INTO jobs_jobevent ({COLUMNS})
  SELECT id, event_seq, 'job.started', status, number, '', NULL, {{now}}, true, about FROM j WHERE about IS NOT NULL
)
SELECT keyed.waiting, j.run_id, j.fence, j.number, j.attempt, j.retry_count,
       (extract(epoch FROM j.scheduled_at) * 1000)::bigint, j.id, j.product_id, j.environment_id, j.namespace, j.target, j.input, j.session,
       j.cache, j.retries, j.retry_config, j.timeout,
       (SELECT p.catalog_version FROM tenancy_product p WHERE p.id = j.product_id)
FROM keyed LEFT JOIN j ON true
ORDER BY j.priority DESC, j.due_at, j.run_id
"""  # noqa: S608 - made of our own texts

_LOCK_KEYS = """
WITH RECURSIVE k(name) AS (
  (SELECT concurrency_key FROM jobs_execution
   WHERE queue = %(queue)s AND status = 'queued' AND concurrency_key IS NOT NULL AND concurrency_key > %(after)s
   ORDER BY concurrency_key LIMIT 1)
  UNION ALL
  SELECT (SELECT concurrency_key FROM jobs_execution
          WHERE queue = %(queue)s AND status = 'queued' AND concurrency_key IS NOT NULL AND concurrency_key > k.name
          ORDER BY concurrency_key LIMIT 1)
  FROM k WHERE k.name IS NOT NULL
),
names AS MATERIALIZED (SELECT name FROM k WHERE name IS NOT NULL LIMIT %(keys)s)
SELECT name, pg_try_advisory_xact_lock(%(class)s, hashtext(name)) FROM names
"""


def claim(
    connection: BaseDatabaseWrapper, worker_id: int, queue: str, room: int, cursor: KeyCursor
) -> list[tuple[Any, ...]]:
    """See `jobs.lifecycle.claim.claim`. Two statements only where runs with a key are waiting."""
    now = sql_now("postgresql")
    values: dict[str, Any] = {"queue": queue, "room": room, "worker": worker_id}
    if not cursor.keyed:
        with connection.cursor() as sql:
            execute(sql, _PLAN, f"WITH {_CANDIDATES_WITHOUT_KEYS}, {_TAKE.format(now=now)}", values)
            rows = sql.fetchall()
        if not rows[0][0]:
            return [row[1:] for row in rows if row[1] is not None]
        cursor.keyed = True
    with transaction.atomic(using=connection.alias), connection.cursor() as sql:
        sql.execute(_LOCK_KEYS, {**values, "after": cursor.after, "keys": KEYS_AT_ONCE, "class": LOCK_CLASS})
        seen = sql.fetchall()
        cursor.keyed = bool(seen) or bool(cursor.after)
        cursor.after = seen[-1][0] if len(seen) == KEYS_AT_ONCE else ""
        keys = [name for name, locked in seen if locked]
        execute(sql, _PLAN, f"WITH {_CANDIDATES_WITH_KEYS}, {_TAKE.format(now=now)}", {**values, "keys": keys})
        return [row[1:] for row in sql.fetchall() if row[1] is not None]


_FINISH = f"""
WITH d AS MATERIALIZED (
  SELECT (o ->> 0)::bigint AS id, (o ->> 1)::uuid AS job_id, (o ->> 2)::bigint AS fence, o ->> 3 AS status,
         (o ->> 4)::jsonb AS result, o ->> 5 AS code, o ->> 6 AS error, (o ->> 7)::boolean AS retryable
  FROM json_array_elements(%(outcomes)s::json) AS o
),
l AS MATERIALIZED (
  SELECT d.* FROM d JOIN jobs_job j ON j.id = d.job_id ORDER BY j.id FOR NO KEY UPDATE OF j
),
e AS (
  UPDATE jobs_execution x
  SET status = l.status, finished_at = {{now}}, owner_id = NULL, deadline_at = NULL,
      result = l.result, code = l.code, error = l.error, retryable = l.retryable
  FROM l
  WHERE x.id = l.id AND x.fence = l.fence AND x.status || '' = 'running'
  RETURNING x.id, x.job_id, x.number, x.status, x.error, x.retry_count
),
j AS (
  UPDATE jobs_job j
  SET status = CASE WHEN j.paused_at IS NOT NULL THEN 'paused'
                    WHEN j.behind = 'queued' THEN 'queued'
                    WHEN j.behind <> '' OR j.next_run_at IS NOT NULL THEN 'scheduled'
                    ELSE e.status END,
      behind = '', completed_at = {{now}}, last_run_status = e.status, last_run_id = e.id,
      last_error = e.error, retry_count = e.retry_count,
      successful_executions = j.successful_executions + (e.status = 'completed')::int,
      failed_executions = j.failed_executions + (e.status = 'failed')::int,
      consecutive_failures = CASE WHEN e.status = 'failed' THEN j.consecutive_failures + 1 ELSE 0 END,
      scheduled_at = coalesce(j.next_run_at, j.scheduled_at),
      event_seq = j.event_seq + 1, updated_at = {{now}}
  FROM e
  WHERE j.id = e.job_id
  RETURNING j.id, j.event_seq, j.status, e.number, e.status AS run_status,
            CASE WHEN {heard("'job.' || e.status", "j.product_id")}
                 THEN {about_job("postgresql", error="nullif(e.error, '')")} END AS about
),
o AS (
  INSERT INTO jobs_jobevent ({COLUMNS})
  SELECT id, event_seq, 'job.' || run_status, status, number, '', NULL, {{now}}, about IS NOT NULL, about FROM j
)
SELECT id FROM e
"""  # noqa: S608 - made of our own texts


def finish(connection: BaseDatabaseWrapper, outcomes: Sequence[Finished]) -> set[int]:
    """See `jobs.lifecycle.settle.settle`: the ids of the runs that were still the caller's."""
    # One text instead of eight arrays: composing arrays costs this process more than the
    # database pays for reading JSON.
    text = json.dumps(
        [(o.run_id, o.job_id.hex, o.fence, o.status, o.result, o.code, o.error, o.retryable) for o in outcomes]
    )
    with connection.cursor() as sql:
        execute(sql, _PLAN, _FINISH.format(now=sql_now("postgresql")), {"outcomes": text})
        return {row[0] for row in sql.fetchall()}


_NEXT_DUE = """
SELECT (SELECT next_due_at FROM jobs_job WHERE next_due_at IS NOT NULL ORDER BY next_due_at LIMIT 1),
       (SELECT due_at FROM jobs_execution WHERE status = 'waiting' ORDER BY due_at LIMIT 1)
"""


def next_due(connection: BaseDatabaseWrapper) -> tuple[datetime | None, datetime | None]:
    """See `jobs.lifecycle.promote.next_due`."""
    with connection.cursor() as sql:
        execute(sql, _PLAN, _NEXT_DUE, {})
        occurrence, backoff = sql.fetchone()
    return occurrence, backoff


# What a promotion in Python reads of a job; reading all 60 columns costs a small batch more than all else.
_PROMOTED = {
    "id", "product_id", "environment_id", "namespace", "status", "paused_at", "scheduled_at", "completed_at",
    "recurring", "start_at", "cron", "every", "tz", "anchor_at", "limit", "end_date", "overlap", "misfire",
    "misfire_grace", "dst_gap", "dst_overlap", "jitter", "next_run_at", "next_due_at", "occurrences_opened",
    "last_run_status", "retry_count", "behind", "event_seq", "priority", "queue", "concurrency_key",
    "concurrency_limit",
}  # fmt: skip
PROMOTED_COLUMNS = [field.attname for field in Job._meta.concrete_fields if field.attname in _PROMOTED]

# A one-off has no schedule left to think about: it is promoted here, as `_open_runs_of` would. One whose last
# run is open still (it recurred, and was rescheduled while it ran) is left to the caller.
_TAKE_DUE = """
WITH d AS MATERIALIZED (
  SELECT {columns} FROM jobs_job
  WHERE next_due_at <= %(now)s::timestamptz{only}
  ORDER BY next_due_at
  LIMIT %(room)s
  FOR NO KEY UPDATE SKIP LOCKED
),
o AS MATERIALIZED (
  SELECT d.id FROM d
  WHERE NOT d.recurring
    AND NOT EXISTS (SELECT 1 FROM jobs_execution x WHERE x.job_id = d.id
                    AND x.status IN ('queued', 'running', 'waiting', 'frozen'))
),
r AS (
  SELECT d.id AS job_id, 'schedule' AS trigger, 'queued' AS status, d.next_run_at AS scheduled_at,
         d.next_due_at AS due_at, d.product_id, d.environment_id, d.namespace, d.queue, d.priority,
         CASE WHEN d.concurrency_key <> ''
              THEN d.product_id || ':' || d.environment_id || ':' || d.concurrency_key END AS concurrency_key,
         d.concurrency_limit, %(now)s::timestamptz AS created_at
  FROM d JOIN o ON o.id = d.id
),
e AS (INSERT INTO jobs_execution ({run_names}) SELECT {run_values} FROM r),
j AS (
  UPDATE jobs_job j
  SET status = 'queued', scheduled_at = d.next_run_at, next_run_at = NULL, next_due_at = NULL, retry_count = 0,
      updated_at = %(now)s::timestamptz
  FROM d JOIN o ON o.id = d.id
  WHERE j.id = d.id AND j.status || '' = d.status
  RETURNING j.id
)
SELECT o.id IS NOT NULL, j.id IS NOT NULL, {d_columns} FROM d LEFT JOIN o ON o.id = d.id LEFT JOIN j ON j.id = d.id
"""


def take_due(
    connection: BaseDatabaseWrapper, now: datetime, room: int, only: UUID | None = None
) -> tuple[list[Job], list[str]]:
    """Lock up to `room` jobs that are due and that nobody has locked, and promote the one-offs without an open run.

    With `only`, no other job than that.
    The others, with PROMOTED_COLUMNS, for the caller to promote; the queue of each run that was opened here.
    In the caller's transaction.
    """
    columns, of_d = (", ".join(f'{prefix}"{name}"' for name in PROMOTED_COLUMNS) for prefix in ("", "d."))
    run_names, run_values = run_columns()
    values: dict[str, Any] = {"now": now, "room": room}
    if only is not None:
        values["only"] = only
    text = _TAKE_DUE.format(
        columns=columns, d_columns=of_d, run_names=run_names, run_values=run_values,
        only="" if only is None else " AND id = %(only)s::uuid",
    )  # fmt: skip
    with connection.cursor() as sql:
        execute(sql, _PLAN, text, values)
        rows = sql.fetchall()
    queue = PROMOTED_COLUMNS.index("queue") + 2
    jobs = [Job.from_db(connection.alias, PROMOTED_COLUMNS, row[2:]) for row in rows if not row[0]]
    queues = [row[queue] for row in rows if row[1]]
    if len(jobs) + len(queues) != len(rows):
        raise RuntimeError(f"{len(rows) - len(jobs) - len(queues)} of {len(rows)} jobs changed under their lock")
    return jobs, queues


# The jobs are locked by this transaction.
_ADVANCE = """
UPDATE jobs_job j
SET status = o ->> 2, scheduled_at = (o ->> 3)::timestamptz, completed_at = (o ->> 4)::timestamptz,
    next_run_at = (o ->> 5)::timestamptz, next_due_at = (o ->> 6)::timestamptz,
    occurrences_opened = (o ->> 7)::int, retry_count = (o ->> 8)::int, behind = o ->> 9,
    tzdata_version = CASE WHEN j.cron = '' THEN '' ELSE %(tzdata)s::text END,
    updated_at = %(now)s::timestamptz
FROM json_array_elements(%(moved)s::json) AS o
WHERE j.id = (o ->> 0)::uuid AND j.status || '' = o ->> 1
"""


def advance(connection: BaseDatabaseWrapper, moved: Sequence[Moved], now: datetime) -> int:
    """Write the columns that a promotion moved; how many of the jobs still had the status they were read with."""
    with connection.cursor() as sql:
        execute(sql, _PLAN, _ADVANCE, {"moved": json.dumps(moved, default=str), "now": now, "tzdata": TZDATA_VERSION})
        return int(sql.rowcount)
