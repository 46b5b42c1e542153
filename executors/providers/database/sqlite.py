"""SQLite files, where LOCAL_PATHS_ALLOW names their folder. No statement leaves its file.

A file has no types that hold: what a column declares decides how a value is stored and shown, and a
stored value of another kind is shown as it is.
"""

from __future__ import annotations

import json
import sqlite3
import time
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import Column, Connection, Engine, Table, create_engine, types
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.pool import QueuePool

from executors.base import (
    FORBIDDEN,
    NOT_FOUND,
    SERVICE_UNAVAILABLE,
    TIMEOUT,
    VALIDATION_ERROR,
    AttemptFailed,
)
from executors.expressions import Moment
from executors.providers.database.columns import moment
from executors.providers.database.dialect import CONNECT_SECONDS, POOLED, Dialect
from executors.reach.paths import wrong_path

BUSY_SECONDS = 5.0  # that a statement waits for another process's transaction
_STEPS = 10_000  # of its machine, between two looks at the clock
_CODES = {
    sqlite3.SQLITE_BUSY: (SERVICE_UNAVAILABLE, True), sqlite3.SQLITE_LOCKED: (SERVICE_UNAVAILABLE, True),
    sqlite3.SQLITE_IOERR: (SERVICE_UNAVAILABLE, True), sqlite3.SQLITE_FULL: (SERVICE_UNAVAILABLE, True),
    sqlite3.SQLITE_INTERRUPT: (TIMEOUT, True), sqlite3.SQLITE_READONLY: (FORBIDDEN, False),
    sqlite3.SQLITE_PERM: (FORBIDDEN, False), sqlite3.SQLITE_AUTH: (FORBIDDEN, False),
    sqlite3.SQLITE_CANTOPEN: (NOT_FOUND, False),
}  # fmt: skip
_PRAGMAS = {"table_info", "table_xinfo", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
_PRAGMAS_READ = {*_PRAGMAS, "table_list", "read_uncommitted"}
_FUNCTIONS = {"regexp", "load_extension"}  # the first is Python's own, which does not stop at a deadline


class SQLite(Dialect):
    type = "sqlite"
    mark = "?"

    def engine(self) -> Engine:
        return create_engine(
            "sqlite://", creator=self._connect, poolclass=QueuePool, pool_size=POOLED, max_overflow=0,
            pool_timeout=CONNECT_SECONDS,
        )  # fmt: skip

    def begin(self, connection: Connection, seconds: float, *, writes: bool) -> None:
        driver: Any = connection.connection.dbapi_connection
        until = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
        # One that has read is refused at once when it would write beside another writer: it would not even wait.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    def abort(self, connection: Any) -> None:
        connection.interrupt()

    def failed(self, error: Exception) -> AttemptFailed:
        number = getattr(error, "sqlite_errorcode", 0) or 0
        code, retryable = _CODES.get(number & 0xFF, (VALIDATION_ERROR, False))
        if code == TIMEOUT:
            return AttemptFailed(code, "SQLite: the statement had not ended by the run's deadline", retryable=True)
        return AttemptFailed(code, f"SQLite: {str(error)[:1000]}", retryable=retryable)

    def version(self, connection: Connection) -> str:
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()  # it is a database at all
        return f"SQLite {sqlite3.sqlite_version}"

    def upsert(self, table: Table, keys: list[str], update: list[str]) -> Any:
        statement = insert(table)
        if not update:
            return statement.on_conflict_do_nothing(index_elements=keys)
        return statement.on_conflict_do_update(
            index_elements=keys, set_={name: statement.excluded[name] for name in update}
        )

    def parameter(self, value: Any) -> Any:
        return stored(moment(value, aware=False)) if isinstance(value, Moment) else stored(value)

    def prepare(self, table: Table, connection: Connection) -> None:
        for column in table.columns:
            column.info["declared"] = column.type
            column.type = types.NullType()
        # What `UNIQUE` beside a column makes: reflection of constraints reads SQL, and misses some.
        indexes = connection.dialect.get_indexes(connection, table.name, schema=table.schema, include_auto_indexes=True)
        table.info["unique"] = [
            set(index["column_names"])
            for index in indexes
            if index["unique"] and "sqlite_where" not in index.get("dialect_options", {})
        ]

    def bound(self, column: Column[Any], value: Any, *, comparing: bool = False) -> Any:
        return stored(super().bound(column, value, comparing=comparing))

    def shown(self, column: Column[Any], value: Any) -> Any:
        declared = column.info["declared"]
        if isinstance(declared, types.Boolean) and value in (0, 1):
            return bool(value)
        if isinstance(declared, types.JSON) and isinstance(value, str):
            try:
                return json.loads(value)
            except ValueError:
                return value
        return value

    def text(self, piece: str) -> str:
        return piece

    def _connect(self) -> sqlite3.Connection:
        location = self.location
        wrong = wrong_path(location.path)  # again: a link may have been put there since
        if wrong is not None:
            raise AttemptFailed(FORBIDDEN, wrong)
        connection = sqlite3.connect(
            f"file:{quote(location.path)}?mode={location.options.get('mode', 'rw')}", uri=True, timeout=BUSY_SECONDS,
            check_same_thread=False, isolation_level=None,
        )  # fmt: skip
        connection.execute("PRAGMA foreign_keys = ON")
        connection.set_authorizer(_authorized)
        return connection


def stored(value: Any) -> Any:
    """A value as a file holds it: times as SQLite's own functions write them."""
    match value:
        case datetime():
            return value.replace(tzinfo=None).isoformat(" ")
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal():
            return int(value) if value == value.to_integral_value() and abs(value) < 2**63 else float(value)
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case UUID():
            return str(value)
        case bool():
            return int(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def _authorized(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """No other file is attached, nothing of the file's own settings is changed, and no pattern stalls this process."""
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() not in (_PRAGMAS if second else _PRAGMAS_READ):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
