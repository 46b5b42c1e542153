"""Requests carried out by a relational database, each in one transaction. Blocks: it runs in a thread.

Owns an engine with a small pool, and what its tables look like, looked at again after a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    Connection,
    CursorResult,
    MetaData,
    Result,
    Table,
    exc,
    func,
    insert,
    inspect,
    select,
    tuple_,
)
from sqlalchemy.sql.elements import quoted_name

from core.fields import suggestion
from executors.base import SERVICE_UNAVAILABLE, VALIDATION_ERROR, AttemptFailed
from executors.providers.database.attempts import Attempt
from executors.providers.database.columns import WrongValue
from executors.providers.database.dialect import Dialect
from executors.providers.database.raw_sql import take_apart
from executors.providers.database.requests import WRITING, Conflict, Request
from executors.providers.database.shown import Kept, shown
from executors.providers.database.statements import Statements

T = TypeVar("T")

TABLE_SECONDS = 30.0  # that the look of a table is kept
_STREAMED = {"stream_results": True}  # a cursor of the server's: no answer is held here as a whole
_FETCHED = 200  # rows at once
_VALUES = 5000  # that are bound in one insert: every database takes 32 766
_KEYS = 200  # rows that are looked up at once


class Relational:
    """One database. Its methods raise AttemptFailed."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._engine = dialect.engine()
        self._closed = False
        self._tables: dict[str, tuple[Table, float]] = {}

    def run(self, request: Request, attempt: Attempt) -> dict[str, Any]:
        if request.verb == "raw":
            return self._transaction(attempt, lambda connection: self._raw(connection, request))
        fresh = request.table not in self._tables
        try:
            return self._on_table(request, attempt)
        except AttemptFailed as error:
            if fresh or error.failed.code != VALIDATION_ERROR or not self._has_changed(request.table, attempt):
                raise
            return self._on_table(request, attempt)

    def told(self, attempt: Attempt) -> str:
        """What it is, after asking it."""
        version = self._transaction(attempt, self._dialect.version)
        location = self._dialect.location
        return f"{version}, " + (f"database {location.database}" if location.host else f"file {location.path}")

    def close(self) -> None:
        self._closed = True  # a thread may still use a connection: it is closed then
        self._engine.dispose()

    def _transaction(self, attempt: Attempt, work: Callable[[Connection], T], *, writes: bool = False) -> T:
        """Commits what `work` did, unless it raises or the attempt was ended meanwhile."""
        try:
            attempt.left()
            with self._engine.connect() as connection:
                driver = connection.connection.dbapi_connection
                try:
                    with attempt.may_abort(lambda: self._dialect.abort(driver)):
                        with connection.begin():
                            self._dialect.begin(connection, attempt.left(), writes=writes)
                            answer = work(connection)
                            attempt.left()
                finally:
                    if attempt.aborted or self._closed:
                        connection.invalidate()  # an abort that arrives late would hit whoever uses it next
                return answer
        except WrongValue as error:
            raise AttemptFailed(VALIDATION_ERROR, str(error)) from None
        except (OverflowError, UnicodeError):
            detail = "a value cannot be sent to the database: a number too large, or half a character"
            raise AttemptFailed(VALIDATION_ERROR, detail) from None
        except exc.TimeoutError:
            detail = "every connection to the database is in use by other runs"
            raise AttemptFailed(SERVICE_UNAVAILABLE, detail, retryable=True) from None
        except exc.DBAPIError as error:
            raise self._dialect.failed(error.orig if isinstance(error.orig, Exception) else error) from None
        except exc.SQLAlchemyError as error:
            raise AttemptFailed(VALIDATION_ERROR, f"the database cannot do this: {str(error)[:500]}") from None

    def _on_table(self, request: Request, attempt: Attempt) -> dict[str, Any]:
        def work(connection: Connection) -> dict[str, Any]:
            table = self._table(connection, request.table)
            return _VERBS[request.verb](self, connection, Statements(self._dialect, table), request)

        return self._transaction(attempt, work, writes=request.verb in WRITING)

    def _has_changed(self, name: str, attempt: Attempt) -> bool:
        """Whether a table has other columns than when it was looked at."""
        known = self._tables.pop(name, None)
        now = self._transaction(attempt, lambda connection: self._table(connection, name))
        return known is None or {*known[0].columns.keys()} != {*now.columns.keys()}

    def _table(self, connection: Connection, name: str) -> Table:
        table, at = self._tables.get(name, (None, 0.0))
        if table is not None and time.monotonic() - at < TABLE_SECONDS:
            return table
        schema, _, plain = name.rpartition(".")
        try:
            table = Table(
                quoted_name(plain, quote=True), MetaData(), autoload_with=connection, resolve_fks=False,
                schema=quoted_name(schema, quote=True) if schema else None,
            )  # fmt: skip
        except exc.NoSuchTableError:
            looker = inspect(connection)
            names = [*looker.get_table_names(), *looker.get_view_names()]
            raise WrongValue(f"there is no table {name[:120]!r}: {suggestion(name, names[:200])}") from None
        self._dialect.prepare(table, connection)
        self._tables[name] = (table, time.monotonic())
        return table

    def _find(self, connection: Connection, statements: Statements, request: Request) -> dict[str, Any]:
        columns = statements.columns(request.select)
        with closing(connection.execute(statements.find(request), execution_options=_STREAMED)) as result:
            kept = Kept(request.limit).fill(self._rows(result, columns))
        if request.one:
            return {"data": kept.rows[0] if kept.rows else None, "count": len(kept.rows)}
        return kept.result()

    def _insert(self, connection: Connection, statements: Statements, request: Request) -> dict[str, Any]:
        table = statements.table
        if request.conflict is not None:
            return self._upsert(connection, statements, request)
        keys = list(table.primary_key.columns)
        kept, ids, count = Kept(len(request.rows)), [], 0
        columns = _returned(statements, request)
        for rows in _alike([statements.row(row) for row in request.rows]):
            if "insert" not in self._dialect.returns:
                for row in rows:
                    result = connection.execute(insert(table), row)
                    ids += [_id([row.get(key.name, result.lastrowid) for key in keys])] if keys else []
            elif keys or columns:
                found = connection.execute(insert(table).values(rows).returning(*keys, *columns)).all()
                ids += [_id(row[: len(keys)]) for row in found] if keys else []
                kept.fill(self._named(columns, (row[len(keys) :] for row in found)) if columns else ())
            else:
                connection.execute(insert(table).values(rows))
            count += len(rows)
        return {**kept.result(), "count": count, "insertedIds": ids}

    def _upsert(self, connection: Connection, statements: Statements, request: Request) -> dict[str, Any]:
        """Which rows are there already is looked up first, in the same transaction."""
        conflict = request.conflict
        assert conflict is not None
        statements.unique(conflict.columns)
        columns = _returned(statements, request)
        there, kept = 0, Kept(len(request.rows))
        for rows in _alike([statements.row(row) for row in request.rows]):
            there += self._existing(connection, statements, conflict, rows)
            keys = [statements.column(name).name for name in conflict.columns]
            update = [] if conflict.ignore else list(conflict.update or [name for name in rows[0] if name not in keys])
            for name in update:
                if name not in rows[0]:
                    raise WrongValue(f"the column {name[:60]!r} is to be updated, but a row has no value for it")
            statement = self._dialect.upsert(statements.table, keys, update)
            if columns:
                result = connection.execute(statement.values(rows).returning(*columns))
                kept.fill(self._rows(result, columns))
            else:
                connection.execute(statement.values(rows))
        new = len(request.rows) - there
        if request.verb == "insert":
            return {**kept.result(), "count": new if conflict.ignore else len(request.rows), "insertedIds": []}
        word = "inserted" if not there else "updated" if not new else "mixed"
        told = {"operation": word, "inserted": new, "updated": there}
        return {**kept.result(), "count": len(request.rows), **told}

    def _existing(
        self, connection: Connection, statements: Statements, conflict: Conflict, rows: Sequence[Mapping[str, Any]]
    ) -> int:
        keys = [statements.column(name) for name in conflict.columns]
        wanted = [[row.get(key.name) for key in keys] for row in rows]
        count = 0
        for at in range(0, len(wanted), _KEYS):
            some = wanted[at : at + _KEYS]
            condition = keys[0].in_([values[0] for values in some]) if len(keys) == 1 else tuple_(*keys).in_(some)
            count += connection.execute(
                select(func.count()).select_from(statements.table).where(condition)
            ).scalar_one()
        return count

    def _update(self, connection: Connection, statements: Statements, request: Request) -> dict[str, Any]:
        return self._written(connection, statements, request, statements.update(request))

    def _delete(self, connection: Connection, statements: Statements, request: Request) -> dict[str, Any]:
        written = self._written(connection, statements, request, statements.delete(request))
        return written if request.returning else {"count": written["count"]}

    def _written(
        self, connection: Connection, statements: Statements, request: Request, statement: Any
    ) -> dict[str, Any]:
        columns = _returned(statements, request)
        if not columns:
            return {"data": [], "count": connection.execute(statement).rowcount}
        result = connection.execute(statement.returning(*columns))
        count, kept = 0, Kept(request.limit)
        for row in self._rows(result, columns):
            count += 1
            kept.add(row)
        return {**kept.result(), "count": count}

    def _figure(self, connection: Connection, statements: Statements, request: Request) -> dict[str, Any]:
        value: Any = connection.execute(statements.figure(request)).scalar_one()
        if request.verb == "avg" and isinstance(value, Decimal):
            value = float(value)
        return {request.verb: shown(value)}

    def _aggregate(self, connection: Connection, statements: Statements, request: Request) -> dict[str, Any]:
        names = [*request.groups, *(each.alias for each in request.aggregates)]
        averages = {each.alias for each in request.aggregates if each.function == "$avg"}
        lists = {each.alias for each in request.aggregates if each.function == "$arrayAgg"}
        rows = []
        for row in connection.execute(statements.aggregate(request)):
            named = dict(zip(names, row, strict=True))
            for name in averages & {name for name, value in named.items() if isinstance(value, Decimal)}:
                named[name] = float(named[name])
            for name in lists:
                named[name] = self._dialect.listed(named[name])
            rows.append(named)
        if request.verb == "aggregate":
            return {name: shown(value) for name, value in rows[0].items()} if rows else dict.fromkeys(names)
        return Kept(request.limit).fill(rows).result()

    def _raw(self, connection: Connection, request: Request) -> dict[str, Any]:
        statement = take_apart(request.query, self._dialect.type)
        values = tuple(self._dialect.parameter(request.params[position]) for position in statement.order)
        written = statement.written(self._dialect.text, lambda _: self._dialect.mark)
        result: CursorResult[Any] = connection.exec_driver_sql(
            written, values, execution_options={"stream_results": statement.reads}
        )
        with closing(result):
            if not result.returns_rows:
                return {"data": [], "count": max(0, result.rowcount), "fields": []}
            fields, kept = [column[0] for column in result.cursor.description], Kept(request.limit)
            for rows in result.partitions(_FETCHED):  # to the end: a function that it calls for each row is called
                kept.fill(dict(zip(fields, row, strict=True)) for row in rows)
        return kept.result(fields=fields)

    def _rows(self, result: Result[Any], columns: Sequence[Column[Any]]) -> Iterator[dict[str, Any]]:
        for rows in result.partitions(_FETCHED):
            yield from self._named(columns, rows)

    def _named(self, columns: Sequence[Column[Any]], rows: Any) -> Iterator[dict[str, Any]]:
        for row in rows:
            yield {column.name: self._dialect.shown(column, value) for column, value in zip(columns, row, strict=True)}


def _returned(statements: Statements, request: Request) -> list[Column[Any]]:
    return statements.columns(request.returning_columns) if request.returning else []


def _id(values: Sequence[Any]) -> Any:
    return shown(values[0]) if len(values) == 1 else [shown(value) for value in values]


def _alike(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The rows in their order, in runs for one statement: of the same columns, since what a row leaves out keeps
    its default, and not of too many values."""
    run: list[dict[str, Any]] = []
    for row in rows:
        if run and (run[0].keys() != row.keys() or len(run) * len(row) >= _VALUES):
            yield run
            run = []
        run.append(row)
    if run:
        yield run


_VERBS: dict[str, Callable[[Relational, Connection, Statements, Request], dict[str, Any]]] = {
    "find": Relational._find, "insert": Relational._insert, "update": Relational._update, "delete": Relational._delete,
    "upsert": Relational._upsert, "aggregate": Relational._aggregate, "groupBy": Relational._aggregate,
    **dict.fromkeys(("count", "sum", "avg", "min", "max"), Relational._figure),
}  # fmt: skip
