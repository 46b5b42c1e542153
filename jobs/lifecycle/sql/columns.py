"""Columns of several locked jobs that differ from one to the other; the same statement in both dialects."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from jobs.models import Job


def write(connection: BaseDatabaseWrapper, jobs: Sequence[Job], names: Sequence[str]) -> None:
    """These columns as they stand in the objects. One statement, prepared once; a CASE for each column costs more."""
    known = {field.name: field for field in Job._meta.concrete_fields}
    fields, key = [known[name] for name in names], known["id"]
    assigned = ", ".join(f'"{field.column}" = %s' for field in fields)
    rows = [
        [
            *(field.get_db_prep_save(getattr(job, field.attname), connection) for field in fields),
            key.get_db_prep_value(job.pk, connection),
        ]
        for job in jobs
    ]
    with connection.cursor() as sql:
        sql.executemany(f'UPDATE jobs_job SET {assigned} WHERE "id" = %s', rows)  # noqa: S608 - our own names
