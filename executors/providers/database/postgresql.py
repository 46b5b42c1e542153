"""PostgreSQL through psycopg. The address is checked and pinned; the name stays what TLS is told."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import Column, ColumnElement, Connection, Engine, Table, case, cast, create_engine, func, text, types
from sqlalchemy.dialects.postgresql import JSONB, insert

from executors.base import (
    CONNECTION_ERROR,
    FORBIDDEN,
    NOT_FOUND,
    SERVICE_UNAVAILABLE,
    TIMEOUT,
    UNAUTHORIZED,
    VALIDATION_ERROR,
    AttemptFailed,
)
from executors.expressions import Moment
from executors.providers.database.columns import WrongValue, moment
from executors.providers.database.dialect import CONNECT_SECONDS, POOLED, Dialect
from executors.providers.database.requests import Change
from executors.reach.addresses import checked

# SQLSTATE, the longest beginning that is known counts: → code, retryable
# (https://www.postgresql.org/docs/current/errcodes-appendix.html)
_CODES = {
    "08": (CONNECTION_ERROR, True), "28": (UNAUTHORIZED, False), "3D": (NOT_FOUND, False), "40": (SERVICE_UNAVAILABLE, True),
    "42501": (FORBIDDEN, False), "25006": (FORBIDDEN, False), "53": (SERVICE_UNAVAILABLE, True), "55P03": (SERVICE_UNAVAILABLE, True),
    "57014": (TIMEOUT, True), "57P": (SERVICE_UNAVAILABLE, True), "58": (SERVICE_UNAVAILABLE, True), "XX": (SERVICE_UNAVAILABLE, True),
}  # fmt: skip
# Before there is a connection, the driver has no SQLSTATE, only the server's sentence.
_SENTENCES = (
    ("password authentication failed", UNAUTHORIZED, False), ("no password supplied", UNAUTHORIZED, False),
    ("authentication failed", UNAUTHORIZED, False), ("no pg_hba.conf entry", FORBIDDEN, False),
    ("permission denied for database", FORBIDDEN, False),
    ("role \"", UNAUTHORIZED, False), ("does not exist", NOT_FOUND, False),
    ("too many clients", SERVICE_UNAVAILABLE, True), ("too many connections", SERVICE_UNAVAILABLE, True),
    ("remaining connection slots", SERVICE_UNAVAILABLE, True), ("starting up", SERVICE_UNAVAILABLE, True),
    ("shutting down", SERVICE_UNAVAILABLE, True),
)  # fmt: skip


class PostgreSQL(Dialect):
    type = "postgresql"

    def engine(self) -> Engine:
        return create_engine(
            "postgresql+psycopg://", creator=self._connect, pool_size=POOLED, max_overflow=0, pool_pre_ping=True,
            pool_timeout=CONNECT_SECONDS,
        )  # fmt: skip

    def begin(self, connection: Connection, seconds: float, *, writes: bool) -> None:
        connection.execute(
            text("SELECT set_config('statement_timeout', :ms, true)"), {"ms": str(max(1, round(seconds * 1000)))}
        )

    def abort(self, connection: Any) -> None:
        connection.cancel_safe(timeout=CONNECT_SECONDS)

    def failed(self, error: Exception) -> AttemptFailed:
        state = getattr(error, "sqlstate", None)
        told = " ".join(str(error).split())[:1000]
        if state is None:
            return self._unconnected(error, told)
        code, retryable = next(
            (_CODES[state[:size]] for size in (5, 4, 3, 2) if state[:size] in _CODES), (VALIDATION_ERROR, False)
        )
        return AttemptFailed(code, f"PostgreSQL: {told} ({state})", retryable=retryable)

    def version(self, connection: Connection) -> str:
        return f"PostgreSQL {str(connection.execute(text('SHOW server_version')).scalar_one()).partition(' ')[0]}"

    def upsert(self, table: Table, keys: list[str], update: list[str]) -> Any:
        statement = insert(table)
        if not update:
            return statement.on_conflict_do_nothing(index_elements=keys)
        return statement.on_conflict_do_update(
            index_elements=keys, set_={name: statement.excluded[name] for name in update}
        )

    def parameter(self, value: Any) -> Any:
        if isinstance(value, Moment):
            return moment(value, aware=True)
        return Jsonb(value) if isinstance(value, dict) else value

    def contains(self, column: Column[Any], value: Any) -> ColumnElement[bool]:
        if isinstance(column.type, types.ARRAY):
            return column.contains(self.bound(column, value if isinstance(value, list) else [value]))
        if isinstance(column.type, types.JSON):
            return cast(column, JSONB).contains(value)
        return super().contains(column, value)

    def compared(self, column: Column[Any], operator: str, value: Any) -> Any:
        if isinstance(column.type, types.ARRAY):
            values = self.bound(column, value)
            return column.contained_by(values) if operator == "$containedBy" else column.overlap(values)
        if isinstance(column.type, types.JSON) and operator == "$containedBy":
            return cast(column, JSONB).contained_by(value)
        raise WrongValue(f"{operator} needs a column that is an array: {column.name!r} is {column.type}")

    def changed(self, column: Column[Any], change: Change) -> Any:
        if not isinstance(column.type, types.ARRAY):
            raise WrongValue(f"{change.operator} needs a column that is an array: {column.name!r} is {column.type}")
        if change.operator == "$pop":
            size = func.cardinality(column)
            ends = (1, size - 1) if change.value == 1 else (2, size)
            return column[slice(*ends)]
        (member,) = self.bound(column, [change.value])
        value = cast(member, column.type.item_type)
        if change.operator == "$push":
            return func.array_append(column, value)
        if change.operator == "$pull":
            return func.array_remove(column, value)
        there = func.array_position(column, value).is_not(None)
        return case((there, column), else_=func.array_append(column, value))

    def _connect(self) -> Any:
        location = self.location
        options: dict[str, Any] = {"application_name": "ductape-jobs", **location.options}
        return psycopg.connect(
            host=location.host, hostaddr=checked(location.host, location.port), port=location.port,
            dbname=location.database, user=location.user or None, password=location.password or None,
            connect_timeout=round(CONNECT_SECONDS), **options,
        )  # fmt: skip

    def _unconnected(self, error: Exception, told: str) -> AttemptFailed:
        where = f"{self.location.host}:{self.location.port}"
        if isinstance(error, psycopg.OperationalError):
            lowered = told.lower()
            for words, code, retryable in _SENTENCES:
                if words in lowered:
                    return AttemptFailed(code, f"PostgreSQL at {where}: {told}", retryable=retryable)
            return AttemptFailed(CONNECTION_ERROR, f"PostgreSQL at {where}: {told}", retryable=True)
        return AttemptFailed(VALIDATION_ERROR, f"PostgreSQL: {told}")
