"""Rows of the outbox, as parts of the statements that make a transition; per dialect with the same effect.

Whether somebody listens is asked inside the statement itself. An event that is wanted carries what those who are
told of it later have to know of its job (`about`, which `jobs.outbox.Account` reads): by then the job may have moved
on, or be gone. Of an event that nobody wants nothing is looked up or kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from jobs.states import EventType

OF_FAILURES = frozenset({str(EventType.FAILED), str(EventType.RETRYING)})
COLUMNS = "job_id, seq, type, status, number, actor, data, at, wanted, about"


def heard(type: EventType | str, product: str) -> str:
    """The SQL for whether somebody listens to events of that type (or of one that is given as SQL) and product (SQL)."""
    of_type = f"'{type}'" if isinstance(type, EventType) else type
    return f"EXISTS (SELECT 1 FROM jobs_listener h WHERE h.type = {of_type} AND h.product_id IN (0, {product}))"  # noqa: S608 - our own texts


def about_job(vendor: str, *, error: str = "NULL") -> str:
    """The SQL for `about` of the job `j`: as it is in that row; `error` is SQL, too."""
    if vendor == "postgresql":
        made, labels = "jsonb_build_object", "j.labels"
        scheduled_at = "floor(extract(epoch FROM j.scheduled_at) * 1000)::bigint"
    else:  # whose driver takes a doubled percent sign for one; Django leaves out a fraction of none
        made, labels = "json_object", "json(j.labels)"
        fraction = "CAST(substr(j.scheduled_at || '.000', 21, 3) AS integer)"
        scheduled_at = f"CAST(strftime('%%s', j.scheduled_at) AS integer) * 1000 + {fraction}"
    return (
        f"{made}('product_id', j.product_id, 'environment_id', j.environment_id, 'namespace', j.namespace, "
        f"'labels', {labels}, 'scheduled_at', {scheduled_at}, 'execution_count', j.execution_count, 'error', {error})"
    )


def scheduled(vendor: str, jobs: str) -> str:
    """The statement that tells of those new jobs of which somebody is to be told: of `jobs` (a table, or a part of
    the statement with the columns of a job) those whose first event is counted already. More conditions may follow."""
    return (
        f"INSERT INTO jobs_jobevent ({COLUMNS}) "  # noqa: S608 - our own texts
        f"SELECT j.id, 1, 'job.scheduled', j.status, NULL, '', NULL, j.created_at, true, "
        f"{about_job(vendor)} FROM {jobs} j WHERE j.event_seq = 1"
    )


def record(connection: BaseDatabaseWrapper, type: EventType, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append events of one type, of jobs that are there. Rows: job_id, seq, status, number, actor, data (a JSON text),
    at, and error: empty is the job's last one, where the type tells of a failure."""
    is_postgresql = connection.vendor == "postgresql"
    failure = f"coalesce(nullif({'%(error)s::text' if is_postgresql else '%(error)s'}, ''), nullif(j.last_error, ''))"
    error = failure if type in OF_FAILURES else "NULL"
    about = f"CASE WHEN {heard(type, 'j.product_id')} THEN {about_job(connection.vendor, error=error)} END"
    text = (
        f"INSERT INTO jobs_jobevent ({COLUMNS}) "  # noqa: S608 - our own texts
        f"SELECT e.id, %(seq)s, '{type}', %(status)s, %(number)s, %(actor)s, %(data)s, %(at)s, "
        f"e.about IS NOT NULL, e.about FROM (SELECT j.id, {about} AS about FROM jobs_job j WHERE j.id = %(job_id)s) e"
    )
    if not is_postgresql:
        adapt = connection.ops.adapt_datetimefield_value
        rows = [{**row, "job_id": row["job_id"].hex, "at": adapt(row["at"])} for row in rows]
    with connection.cursor() as sql:
        if len(rows) == 1:
            sql.execute(text, rows[0])
        else:
            sql.executemany(text, rows)
        if sql.rowcount != len(rows):
            raise RuntimeError(f"one of the jobs {[row['job_id'] for row in rows]} to tell of is not there")
