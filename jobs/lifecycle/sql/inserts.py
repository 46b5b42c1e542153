"""Inserts of jobs and their first runs, per dialect with the same effect.

Django's own insert names every column in every row, and plans and composes them anew: for a
thousand jobs that costs six times as much as COPY does, and for a few jobs twice as much as the one
statement here, which PostgreSQL plans once per connection. The columns that are the same for every
new row are taken from the models' defaults, so that a new column needs no change here unless a
dispatch sets it.

Where somebody is to be told that a job was made, its first event is counted and written with it.

Values are UUIDs, aware datetimes, numbers, text and JSON texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from json.encoder import encode_basestring as _quoted
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.fields.json import JSONField

from core import strictjson
from jobs.lifecycle.sql import events
from jobs.lifecycle.sql.prepared import execute
from jobs.listening import Ears
from jobs.models import Execution, Job
from jobs.states import EventType

Values = tuple[Any, ...]

EVENT_SEQ = "event_seq"  # of a new job: 1 where somebody is to be told of it
FEW = 8  # jobs; of more, COPY and its round trips cost less than the one statement with their JSON

JOB_COLUMNS = (
    "id", "product_id", "environment_id", "namespace", "target", "input", "session", "cache", "labels", "status",
    "scheduled_at", "recurring", "schedule", "start_at", "cron", "every", "tz", "anchor_at", "limit", "end_date",
    "overlap", "misfire", "misfire_grace", "dst_gap", "dst_overlap", "jitter", "next_run_at", "next_due_at",
    "occurrences_opened", "tzdata_version", "retries", "retry_config", "on_lost", "timeout", "priority", "queue",
    "concurrency_key", "concurrency_limit", "unique_key", "definition", "created_at", "updated_at",
)  # fmt: skip
RUN_COLUMNS = (
    "job_id", "trigger", "status", "scheduled_at", "due_at", "product_id", "environment_id", "namespace", "queue",
    "priority", "concurrency_key", "concurrency_limit", "created_at",
)  # fmt: skip

# What a first run has from its job, whose names are the same, and what is its own.
_OF_JOB = (
    "scheduled_at", "product_id", "environment_id", "namespace", "queue", "priority", "concurrency_limit", "created_at",
)  # fmt: skip
_OF_EVENT = ("id", "status", "product_id", "environment_id", "namespace", "labels", "scheduled_at", "execution_count",
             "created_at", EVENT_SEQ)  # fmt: skip
_PRODUCT = JOB_COLUMNS.index("product_id")
_OWN = [index for index, name in enumerate(RUN_COLUMNS) if name not in {"job_id", *_OF_JOB}]

# The constraint job_one_unfinished_per_unique_key.
_CONFLICT = "ON CONFLICT (product_id, environment_id, open_unique_key) WHERE open_unique_key IS NOT NULL DO NOTHING"


def insert_one(connection: BaseDatabaseWrapper, job: Values, run: Values | None) -> bool:
    """Store a job and its first run, both or (False) neither: an unfinished job has its unique key.

    Outside of a transaction this is one. On PostgreSQL it is one statement, where nobody is to be told.
    """
    with transaction.atomic(using=connection.alias, savepoint=False), connection.cursor() as sql:
        values = (*job, job[_PRODUCT])
        if connection.vendor == "postgresql":
            own = () if run is None else tuple(run[index] for index in _OWN)
            sql.execute(_one(run is not None), values + own)
            (stored, told) = sql.fetchone() or (None, 0)
        else:
            sql.execute(f"{_insert(Job)} {_CONFLICT} RETURNING id, {EVENT_SEQ}", _bound(connection, values))
            (stored, told) = sql.fetchone() or (None, 0)
            if stored and run is not None:
                sql.execute(_insert(Execution), _bound(connection, run))
        if told:
            _tell(connection, sql, [job])
        return bool(stored)


@cache
def run_columns() -> tuple[str, str]:
    """The columns of a run in an INSERT, and what a SELECT of `r` with RUN_COLUMNS' names puts there."""
    names, values = _columns(Execution)
    taken = [f"r.{name}" for name in RUN_COLUMNS]
    return ", ".join(names), ", ".join(taken + values[len(taken) :])


def insert_many(connection: BaseDatabaseWrapper, jobs: Sequence[Values], runs: Sequence[Values]) -> None:
    """Store jobs and first runs, all or none. IntegrityError for a unique key that is taken.

    Outside of a transaction this is one; on PostgreSQL, of a few jobs, it is one statement.
    """
    if connection.vendor == "postgresql" and len(jobs) <= FEW and not connection.in_atomic_block:
        with connection.cursor() as sql:
            execute(sql, "", _few(), {"jobs": _recordset(Job, jobs), "runs": _recordset(Execution, runs)})
        return
    with transaction.atomic(using=connection.alias, savepoint=False), connection.cursor() as sql:
        _insert_jobs(connection, sql, jobs)
        _insert_rows(connection, sql, runs)


def insert_runs(connection: BaseDatabaseWrapper, runs: Sequence[Values]) -> None:
    """Store runs of jobs that are there, in the caller's transaction."""
    with connection.cursor() as sql:
        _insert_rows(connection, sql, runs)


def _insert_jobs(connection: BaseDatabaseWrapper, sql: Any, jobs: Sequence[Values]) -> None:
    if not jobs:
        return
    if connection.vendor != "postgresql":
        _insert_jobs_each(connection, sql, jobs)
        return
    heard = Ears()  # COPY takes values alone
    told = [heard.hear(EventType.SCHEDULED, job[_PRODUCT]) for job in jobs]
    rows = [(*job, int(each)) for job, each in zip(jobs, told, strict=True)]
    _copy(connection, sql, Job, (*JOB_COLUMNS, EVENT_SEQ), _constants(Job), rows)
    if any(told):
        _tell(connection, sql, jobs)


def _insert_jobs_each(connection: BaseDatabaseWrapper, sql: Any, jobs: Sequence[Values]) -> None:
    """On SQLite: of a few jobs each row says whether it is to be told; of many a look at all of them costs less."""
    rows = [_bound(connection, (*job, job[_PRODUCT])) for job in jobs]
    told = len(jobs) > FEW
    if told:
        sql.executemany(_insert(Job), rows)
    else:
        for row in rows:
            sql.execute(f"{_insert(Job)} RETURNING {EVENT_SEQ}", row)
            told = bool(sql.fetchone()[0]) or told
    if told:
        _tell(connection, sql, jobs)


def _insert_rows(connection: BaseDatabaseWrapper, sql: Any, runs: Sequence[Values]) -> None:
    if not runs:
        return
    if connection.vendor == "postgresql":
        _copy(connection, sql, Execution, RUN_COLUMNS, _constants(Execution), runs)
    else:
        sql.executemany(_insert(Execution), [_bound(connection, run) for run in runs])


def _tell(connection: BaseDatabaseWrapper, sql: Any, jobs: Sequence[Values]) -> None:
    """Write the first events of jobs that were stored in this transaction, where somebody is to be told."""
    told = events.scheduled(connection.vendor, "jobs_job")
    if connection.vendor == "postgresql":
        sql.execute(f"{told} AND j.id = ANY(%s)", [[job[0] for job in jobs]])
    else:
        among = "j.id IN (SELECT value FROM json_each(%s))"
        sql.execute(f"{told} AND {among}", [json.dumps([job[0].hex for job in jobs])])


@cache
def _few() -> str:
    """The statement that stores jobs and runs, each given as a JSON array of rows."""
    jobs, values = _columns(Job, product="r.product_id")
    taken = [f'r."{name}"' for name in JOB_COLUMNS]
    runs, run_values = run_columns()
    return (
        f"WITH j AS (INSERT INTO jobs_job ({', '.join(jobs)}) SELECT {', '.join(taken + values[len(taken) :])} "  # noqa: S608 - the models' own columns
        f"FROM json_populate_recordset(NULL::jobs_job, %(jobs)s) r RETURNING {', '.join(_OF_EVENT)}), "
        f"o AS ({events.scheduled('postgresql', 'j')}) "
        f"INSERT INTO jobs_execution ({runs}) SELECT {run_values} "
        f"FROM json_populate_recordset(NULL::jobs_execution, %(runs)s) r"
    )


@cache
def _one(with_run: bool) -> str:
    """The statement that stores a job, and its run where it has one; a row comes back if it did: the job's id, and
    the number of its events.

    A run takes from its job's new row what is the same there (where there is no job, there is no
    run): psycopg takes a statement with more than 50 values apart again at each execution.
    """
    job = f"{_insert(Job)} {_CONFLICT} RETURNING id, {EVENT_SEQ}"
    if not with_run:
        return job
    names, values = _columns(Execution)
    taken = [f"j.{name}" if name in _OF_JOB else value for name, value in zip(RUN_COLUMNS, values, strict=False)]
    taken[0] = "j.id"
    run = f"INSERT INTO jobs_execution ({', '.join(names)}) SELECT {', '.join(taken + values[len(taken) :])} FROM j"  # noqa: S608 - the models' own columns
    return f"WITH j AS ({job}, {', '.join(_OF_JOB)}) {run} RETURNING job_id, (SELECT {EVENT_SEQ} FROM j)"  # noqa: S608 - the same


@cache
def _insert(model: type[models.Model]) -> str:
    """The INSERT of a row. That of a job takes its product once more, behind its values: whether somebody listens."""
    names, values = _columns(model)
    return f"INSERT INTO {model._meta.db_table} ({', '.join(names)}) VALUES ({', '.join(values)})"  # noqa: S608 - the models' own columns


def _columns(model: type[models.Model], *, product: str = "%s") -> tuple[list[str], list[str]]:
    """The columns of a new row and what is put there: a placeholder, or the constant. `product`: that of a new job."""
    given, constants = _given(model), _constants(model)
    names = [f'"{name}"' for name in (*given, *constants)]
    values = ["%s"] * len(given) + [_literal(value) for value in constants.values()]
    if model is Job:
        names.append(EVENT_SEQ)
        values.append(f"CASE WHEN {events.heard(EventType.SCHEDULED, product)} THEN 1 ELSE 0 END")
    return names, values


def _given(model: type[models.Model]) -> tuple[str, ...]:
    return JOB_COLUMNS if model is Job else RUN_COLUMNS


@cache
def _constants(model: type[models.Model]) -> dict[str, Any]:
    """The other columns that are not null, each with its field's default; not the number of a job's events."""
    given = frozenset({*_given(model), EVENT_SEQ})
    constants: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        column = str(field.column)
        if column in given or field.generated or isinstance(field, models.AutoField):
            continue
        value = field.get_default()
        if value is not None:
            constants[column] = strictjson.dumps(value).decode() if isinstance(field, JSONField) else value
    return constants


def _literal(value: Any) -> str:
    """A constant in SQL; ours, from the models, never a caller's."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''").replace("%", "%%") + "'"


def insert_rows(
    connection: BaseDatabaseWrapper, model: type[models.Model], columns: Sequence[str], rows: Sequence[Values]
) -> None:
    """Store rows of any model in their order, in the caller's transaction: `columns` are all that it has, but its id and
    what the database has a value for."""
    if not rows:
        return
    with connection.cursor() as sql:
        if connection.vendor == "postgresql":
            _copy(connection, sql, model, columns, {}, rows)
        else:
            names, slots = ", ".join(f'"{name}"' for name in columns), ", ".join(["%s"] * len(columns))
            text = f"INSERT INTO {model._meta.db_table} ({names}) VALUES ({slots})"  # noqa: S608 - the model's own columns
            known: dict[datetime, Any] = {}
            sql.executemany(text, [_bound(connection, row, known) for row in rows])


def _copy(
    connection: BaseDatabaseWrapper,
    sql: Any,
    model: type[models.Model],
    given: Sequence[str],
    constants: Mapping[str, Any],
    rows: Sequence[Values],
) -> None:
    """COPY, as text written here: psycopg's own adaptation of 55 values a row takes many times as long.

    Most columns have one value in all rows of a batch: these are written once, into the form of a row.
    """
    names = ", ".join(f'"{name}"' for name in (*given, *constants))
    known: dict[Any, str] = {}  # texts of moments, of which a batch has few
    fields: list[str] = []
    differing: list[list[str]] = []
    for column in zip(*rows, strict=True):
        if column.count(column[0]) == len(column):
            fields.append(_copied(column[0], known).replace("%", "%%"))
        else:
            fields.append("%s")
            differing.append([_copied(value, known) for value in column])
    fields += [_copied(value, known).replace("%", "%%") for value in constants.values()]
    form = "\t".join(fields) + "\n"
    lines = [form % values for values in zip(*differing, strict=True)] if differing else [form % ()] * len(rows)
    # Django gives its own errors to what is executed, and not to a COPY.
    with connection.wrap_database_errors, sql.copy(f"COPY {model._meta.db_table} ({names}) FROM STDIN") as copy:
        copy.write("".join(lines))


def _recordset(model: type[models.Model], rows: Sequence[Values]) -> str:
    """The rows as a JSON array of objects; what is null is left out."""
    names = _json_names(model)
    return "[" + ",".join(["{" + ",".join(_members(names, row)) + "}" for row in rows]) + "]"


def _members(names: Sequence[tuple[str, bool]], row: Values) -> Iterator[str]:
    for (name, is_json), value in zip(names, row, strict=True):
        if value is None:
            continue
        kind = value.__class__
        if is_json:
            yield name + value
        elif kind is bool:
            yield name + ("true" if value else "false")
        elif kind is int:
            yield f"{name}{value}"
        elif kind is datetime:
            yield f'{name}"{value.isoformat()}"'
        elif kind is UUID:
            yield f'{name}"{value.int:032x}"'
        else:
            yield name + _quoted(value)


@cache
def _json_names(model: type[models.Model]) -> list[tuple[str, bool]]:
    """Of each given column: how its member of an object begins, and whether its value is JSON already."""
    json_columns = {field.column for field in model._meta.concrete_fields if isinstance(field, JSONField)}
    return [(f'"{name}":', name in json_columns) for name in _given(model)]


def _copied(value: Any, known: dict[Any, str]) -> str:
    """A value in COPY's text format (PostgreSQL's manual, COPY, "Text Format")."""
    kind = value.__class__
    if kind is str:
        if "\\" in value or "\n" in value or "\t" in value or "\r" in value:
            value = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
        return str(value)
    if value is None:
        return "\\N"
    if kind is bool:
        return "t" if value else "f"
    if kind is datetime:
        text = known.get(value)
        if text is None:
            text = known[value] = value.isoformat()
        return text
    if kind is UUID:
        return f"{value.int:032x}"
    return str(value) if kind is int else _copied(str(value), known)  # a subclass of text is text


def _bound(connection: BaseDatabaseWrapper, row: Values, known: dict[datetime, Any] | None = None) -> Values:
    """The values as the driver takes them; psycopg takes them as they are. `known` are moments that were told before."""
    if connection.vendor == "postgresql":
        return row
    adapt, known = connection.ops.adapt_datetimefield_value, {} if known is None else known
    values = list(row)
    for index, value in enumerate(row):
        kind = value.__class__
        if kind is UUID:
            values[index] = value.hex
        elif kind is datetime:
            bound = known.get(value)
            values[index] = bound if bound is not None else known.setdefault(value, adapt(value))
    return tuple(values)
