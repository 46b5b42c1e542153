"""Stored runs for the row P9: N runs of ninety days with their jobs and events, as the system would have left them.

`python -m benchmarks.stored_runs N` with the project's environment variables, on PostgreSQL: it makes the places and
writes all rows within the database, minutes for ten millions. Four fifths are one-offs (most completed, some after a
retry, some failed, some cancelled before they began), a tenth belongs to recurring jobs that go on or are paused, a
tenth to one recurring job that has reached its limit, whose id is printed. Nothing falls due within an hour.
"""

from __future__ import annotations

import sys
from typing import Any
from uuid import UUID

PLACES = (("bench", "prd"), ("bench", "snd"), ("stored-1", "prd"), ("stored-2", "prd"))  # the first has seven tenths
LONGEST_HISTORY = 100_000  # runs of the one job
RUNS_OF_SERIES = 100  # occurrences of each of the other recurring jobs
TABLES = ("jobs_job", "jobs_execution", "jobs_jobevent")
COUNTED = ("jobs_runslot", "jobs_runtally", "jobs_tallyposition")

# Every run as it will be, in the order of time, which is that of its id. `pick` is a number that looks random.
_PLAN = """
CREATE TEMPORARY TABLE stored_run ON COMMIT DROP AS
WITH place AS (
  SELECT row_number() OVER (ORDER BY id) - 1 AS place, id, product_id FROM tenancy_environment WHERE id = ANY(%(places)s)
),
once AS (
  SELECT 'once' AS kind, i, i AS job, 1 AS k, NULL::bigint AS every, (hashint8(i) & 2147483647) AS pick,
         now() - interval '5 minutes' - interval '90 days' * (1 - i / %(once)s::float8) AS at
  FROM generate_series(1, %(once)s) AS i
),
series AS (
  SELECT 'series' AS kind, %(once)s + (s - 1) * %(each)s + k AS i, -s AS job, k, 77760000 AS every,
         (hashint8(s) & 2147483647) AS pick,
         now() + interval '1 hour' + interval '20 hours' * ((s - 0.5) / %(series)s)
           - interval '77760 seconds' * (%(each)s + 1 - k) AS at
  FROM generate_series(1, %(series)s) AS s, generate_series(1, %(each)s) AS k
),
long AS (
  SELECT 'long' AS kind, %(once)s + %(series)s * %(each)s + k AS i, 0 AS job, k, 60000 AS every, 0 AS pick,
         now() - interval '1 day' - interval '1 minute' * (%(long)s - k) AS at
  FROM generate_series(1, %(long)s) AS k
),
run AS (
  SELECT *, CASE WHEN kind = 'series' AND k %% 20 = 7 THEN 'skipped' WHEN kind <> 'once' THEN 'completed'
                 WHEN pick %% 100 < 96 THEN 'completed' WHEN pick %% 100 < 99 THEN 'failed' ELSE 'cancelled' END AS status,
         kind = 'once' AND pick %% 100 IN (93, 94, 95) AS retried,
         interval '1 millisecond' * (5 + i %% 40) AS late, interval '1 millisecond' * (20 + i * 7 %% 400) AS takes
  FROM (SELECT * FROM once UNION ALL SELECT * FROM series UNION ALL SELECT * FROM long) AS each
)
SELECT row_number() OVER (ORDER BY at) + %(last_run)s AS id, run.kind, run.job, run.k, run.every, run.pick, run.at,
       run.status, run.retried, run.at + late AS began,
       CASE WHEN run.status = 'skipped' THEN at WHEN retried THEN at + interval '30 seconds' + late + takes
            ELSE at + late + takes END AS ended,
       CASE WHEN run.status IN ('skipped', 'cancelled') THEN NULL
            WHEN kind = 'series' THEN k - (k + 13) / 20 ELSE k END AS number,
       CASE WHEN kind <> 'once' THEN NULL
            ELSE (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(i %% 4096), 3, '0')
                  || '8' || left(md5(i::text), 15))::uuid END AS job_id,
       place.id AS environment_id, place.product_id,
       (ARRAY['actions', 'actions', 'actions', 'notifications', 'storage'])[1 + run.pick / 7 %% 5] AS namespace
FROM run JOIN place ON place.place = CASE WHEN run.pick / 1000 %% 10 < 7 THEN 0 ELSE 1 + run.pick / 1000 %% 3 END
ORDER BY at
"""

# The recurring jobs, each with the last of its runs; a twentieth of those that go on are paused.
_RECURRING = """
CREATE TEMPORARY TABLE stored_recurring ON COMMIT DROP AS
SELECT r.job, (lpad(to_hex((extract(epoch FROM min(r.at) - interval '10 seconds') * 1000)::bigint), 12, '0')
               || '7fff9' || left(md5(r.job::text), 15))::uuid AS job_id,
       min(r.kind) AS kind, min(r.every) AS every, min(r.pick) AS pick, min(r.namespace) AS namespace,
       min(r.environment_id) AS environment_id, min(r.product_id) AS product_id, min(r.at) AS first, max(r.at) AS last,
       count(*) AS opened, count(r.number) AS runs, max(r.id) FILTER (WHERE r.number IS NOT NULL) AS last_run,
       max(r.began) FILTER (WHERE r.number IS NOT NULL) AS began, max(r.ended) AS ended,
       CASE WHEN min(r.kind) = 'long' THEN 'completed' WHEN min(r.pick) %% 20 = 0 THEN 'paused' ELSE 'scheduled' END AS status
FROM stored_run r WHERE r.kind <> 'once' GROUP BY r.job
"""
_TARGET = "jsonb_build_object('app', 'app-' || r.pick %% 20, 'event', 'event-' || r.pick %% 50)"
_INPUT = """'{"body": {"userId": "user_123", "email": "a@example.com"}}'::jsonb"""
_TEXT = "CASE WHEN r.status = 'failed' THEN 'the upstream answered 422' ELSE '' END"
_ONCE = {
    "id": "r.job_id", "product_id": "r.product_id", "environment_id": "r.environment_id", "namespace": "r.namespace",
    "target": _TARGET, "input": _INPUT, "status": "r.status", "scheduled_at": "r.at",
    "started_at": "CASE WHEN r.number IS NOT NULL THEN r.began END", "completed_at": "r.ended",
    "cancelled_at": "CASE WHEN r.status = 'cancelled' THEN r.ended END", "retries": "3",
    "retry_count": "r.retried::int", "last_error": _TEXT,
    "last_run_status": "r.status", "last_run_id": "r.id",
    "consecutive_failures": "(r.status = 'failed')::int", "execution_count": "(r.number IS NOT NULL)::int",
    "successful_executions": "(r.status = 'completed')::int", "failed_executions": "(r.status = 'failed')::int",
    "event_seq": "1", "created_at": "r.at", "updated_at": "r.ended",
}  # fmt: skip
_NEXT = "r.last + r.every * interval '1 millisecond'"
_AGAIN = {
    "id": "r.job_id", "product_id": "r.product_id", "environment_id": "r.environment_id", "namespace": "r.namespace",
    "target": _TARGET, "input": _INPUT, "status": "r.status", "recurring": "true",
    "schedule": "jsonb_build_object('every', r.every)", "every": "r.every", "anchor_at": "r.first",
    "limit": "CASE WHEN r.status = 'completed' THEN r.opened END",
    "scheduled_at": f"CASE WHEN r.status = 'completed' THEN r.last ELSE {_NEXT} END",
    "started_at": "r.began", "completed_at": "r.ended",
    "paused_at": "CASE WHEN r.status = 'paused' THEN r.ended + interval '1 second' END",
    "next_run_at": f"CASE WHEN r.status <> 'completed' THEN {_NEXT} END",
    "next_due_at": f"CASE WHEN r.status = 'scheduled' THEN {_NEXT} END",
    "occurrences_opened": "r.opened", "last_run_status": "'completed'", "last_run_id": "r.last_run",
    "execution_count": "r.runs", "successful_executions": "r.runs",
    "event_seq": "r.runs + (r.status = 'paused')::int",
    "created_at": "r.first - interval '10 seconds'", "updated_at": "r.ended",
}  # fmt: skip
_ATTEMPT = """
CASE WHEN r.retried THEN jsonb_build_array(jsonb_build_object(
  'attempt', 1, 'status', 'failed', 'started_at', (extract(epoch FROM r.began) * 1000)::bigint,
  'completed_at', (extract(epoch FROM r.began) * 1000)::bigint + 12, 'code', 'UPSTREAM_ERROR',
  'error', 'the upstream answered 503', 'retryable', true)) END
"""
_HAS_RUN = "r.number IS NOT NULL"
_RUN = {
    "id": "r.id", "job_id": "coalesce(r.job_id, j.job_id)", "number": "r.number", "trigger": "'schedule'",
    "status": "r.status", "scheduled_at": "r.at",
    "due_at": "CASE WHEN r.retried THEN r.at + interval '30 seconds' ELSE r.at END",
    "product_id": "r.product_id", "environment_id": "r.environment_id", "namespace": "r.namespace",
    "queue": "'default'", "priority": "5", "fence": f"CASE WHEN {_HAS_RUN} THEN 1 ELSE 0 END + r.retried::int",
    "attempt": f"({_HAS_RUN})::int + r.retried::int", "retry_count": "r.retried::int", "attempts": _ATTEMPT,
    "created_at": "r.at", "run_started_at": f"CASE WHEN {_HAS_RUN} THEN r.began END",
    "started_at": f"CASE WHEN r.retried THEN r.began + interval '30 seconds' WHEN {_HAS_RUN} THEN r.began END",
    "finished_at": "r.ended", "result": """CASE WHEN r.status = 'completed' THEN '{"status": 200}'::jsonb END""",
    "code": "CASE WHEN r.status = 'failed' THEN 'UPSTREAM_ERROR' ELSE '' END", "error": _TEXT,
    "skip_reason": "CASE WHEN r.status = 'skipped' THEN 'previous run still running' ELSE '' END",
}  # fmt: skip
_EVENTS = """
INSERT INTO jobs_jobevent (job_id, seq, type, status, number, actor, at)
SELECT job_id, seq, type, status, number, actor, at FROM (
  SELECT coalesce(r.job_id, j.job_id) AS job_id, coalesce(r.number, 1) AS seq, 'job.' || r.status AS type,
         CASE WHEN r.kind = 'once' OR j.status = 'completed' AND r.number = j.runs THEN r.status ELSE 'scheduled' END AS status,
         r.number, CASE WHEN r.status = 'cancelled' THEN 'an operator' ELSE '' END AS actor, r.ended AS at
  FROM stored_run r LEFT JOIN stored_recurring j ON j.job = r.job WHERE r.status <> 'skipped'
  UNION ALL
  SELECT job_id, runs + 1, 'job.paused', 'paused', NULL, 'an operator', ended + interval '1 second'
  FROM stored_recurring WHERE status = 'paused'
) AS event ORDER BY at
"""


def store(runs: int) -> UUID:
    """Write so many runs (1 000 or more) in one transaction; the id of the job with the long history.

    Indexes and foreign keys are made anew after the rows, which takes a quarter of the time of keeping them.
    """
    from django.db import connection, transaction

    from jobs.models import Execution, Job

    long = min(LONGEST_HISTORY, runs // 10)
    series = max(1, runs // 10 // RUNS_OF_SERIES)
    with transaction.atomic(), connection.cursor() as sql:
        sql.execute("SET LOCAL work_mem = '256MB'")
        sql.execute("SET LOCAL maintenance_work_mem = '512MB'")
        sql.execute("SELECT coalesce(max(id), 0) FROM jobs_execution")
        values = {
            "places": places(), "once": runs - long - series * RUNS_OF_SERIES, "series": series, "long": long,
            "each": RUNS_OF_SERIES, "last_run": sql.fetchone()[0],
        }  # fmt: skip
        sql.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table with checks to come cannot be altered
        sql.execute(_PLAN, values)
        sql.execute(_RECURRING, values)
        sql.execute("ANALYZE stored_run, stored_recurring")
        later = [statement for table in TABLES for statement in _put_away(sql, table)]
        _insert(sql, Job, _ONCE, "stored_run r WHERE r.kind = 'once' ORDER BY r.id")
        _insert(sql, Job, _AGAIN, "stored_recurring r")
        _insert(sql, Execution, _RUN, "stored_run r LEFT JOIN stored_recurring j ON j.job = r.job ORDER BY r.id")
        sql.execute(_EVENTS)
        sql.execute("SELECT setval(pg_get_serial_sequence('jobs_execution', 'id'), max(id)) FROM jobs_execution")
        for statement in later:
            sql.execute(statement)
        sql.execute(f"ANALYZE {', '.join(TABLES)}")
        sql.execute("SELECT job_id FROM stored_recurring WHERE kind = 'long'")
        job_id: UUID = sql.fetchone()[0]
    return job_id


def places() -> list[int]:
    """The environments that runs are stored in, made where they are missing."""
    from core.tenancy.models import Environment, Product

    found = []
    for tag, slug in PLACES:
        product, _ = Product.objects.get_or_create(tag=tag, defaults={"name": tag})
        environment, _ = Environment.objects.get_or_create(product=product, slug=slug, defaults={"name": slug})
        found.append(environment.pk)
    return found


def _insert(sql: Any, model: Any, given: dict[str, str], source: str) -> None:
    """Rows of a model: `given` says what is in a column, the others have their field's default."""
    from django.db import connection

    values: dict[str, Any] = {}
    columns = dict(given)
    for field in model._meta.concrete_fields:
        if field.column not in given and not field.generated and (default := field.get_default()) is not None:
            values[field.column] = field.get_db_prep_save(default, connection)
            columns[field.column] = f"%({field.column})s"
    names = ", ".join(f'"{name}"' for name in columns)
    sql.execute(
        f"INSERT INTO {model._meta.db_table} ({names}) SELECT {', '.join(columns.values())} FROM {source}", values
    )


def _put_away(sql: Any, table: str) -> list[str]:
    """Drop the indexes of a table but its primary key's, its unique constraints and foreign keys; how to make them again."""
    sql.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('u', 'f')",
        [table],
    )
    again = []
    for name, definition in sql.fetchall():
        sql.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        again.append(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
    sql.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
        "WHERE indrelid = %s::regclass AND NOT indisprimary",
        [table],
    )
    for name, definition in sql.fetchall():
        sql.execute(f"DROP INDEX {name}")
        again.insert(0, definition)  # what a foreign key refers to is there before it
    return again


def count() -> None:
    """Count the runs as the scheduler does, all of them at once."""
    from jobs import tally

    while tally.bring_up_to_date():
        pass


def _vacuum() -> None:
    """As autovacuum would have done long ago."""
    from django.db import connection

    with connection.cursor() as sql:
        sql.execute(f"VACUUM (ANALYZE) {', '.join((*TABLES, *COUNTED))}")


def main() -> None:
    import django

    django.setup()
    job_id = store(int(sys.argv[1]))
    count()
    _vacuum()
    print(job_id)


if __name__ == "__main__":
    main()
