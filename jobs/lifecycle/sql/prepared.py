"""Statements that PostgreSQL plans once per connection instead of at each execution.

Planning a claim costs more than a small claim does. `PREPARE` and `EXECUTE` are sent as plain
texts, so that the settings a statement needs travel with it in one round trip. Behind a pooler
that gives each transaction another server connection, a prepared statement may not be there:
seen once, and this process sends its statements in full from then on.

A plan that was made while a table was small joins by reading all of it, since that costs nothing
then, and would go on doing so while the table fills. Statements are therefore prepared only while the
tables are not (nearly) empty, and anew when one of them has doubled or halved.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from weakref import WeakKeyDictionary

from django.db import Error as DatabaseError
from psycopg import errors, pq

from core.clock import is_stopped

logger = logging.getLogger(__name__)

_STRANGERS = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)

SMALL_BYTES = 16 * 8192  # some hundred rows
LOOK_SECONDS = 0.5  # how often each connection looks at the sizes

_SIZES = "SELECT pg_relation_size('jobs_job'), pg_relation_size('jobs_execution')"


@dataclass(slots=True)
class _State:
    """Of one connection of the driver."""

    names: set[str] = field(default_factory=set)  # what it has prepared
    sizes: tuple[int, int] = (0, 0)  # of the tables when it began to
    looked_at: float = -LOOK_SECONDS
    small: bool = True


_states: WeakKeyDictionary[Any, _State] = WeakKeyDictionary()
_pooled = False


def execute(sql: Any, settings: str, text: str, values: Mapping[str, Any]) -> None:
    """Execute `text` under `settings` (a SELECT of set_config, local to the transaction) and stop at its rows.

    `text` has placeholders `%(name)s` and no other percent sign. Inside a transaction a pooler's first
    strange answer is raised, since it has ended that transaction; the next call goes through.
    """
    if not _pooled and not is_stopped() and not _are_small(sql):
        try:
            name = _prepared(sql, text, values)
            slots = ", ".join(f"%({value})s" for value in values)
            sql.execute(f"{settings} EXECUTE {name}" + (f"({slots})" if slots else ""), values)
        except DatabaseError as error:
            if not isinstance(error.__cause__, _STRANGERS):
                raise
            _go_without()
            if sql.connection.info.transaction_status != pq.TransactionStatus.IDLE:
                raise
        else:
            sql.nextset()
            return
    sql.execute(f"{settings} {text}", values)
    sql.nextset()


def _are_small(sql: Any) -> bool:
    """Whether the tables are (nearly) empty, looked at lately; what was prepared for others is forgotten."""
    state, now = _states.setdefault(sql.connection, _State()), time.monotonic()
    if now - state.looked_at < LOOK_SECONDS:
        return state.small
    sql.execute(_SIZES)
    sizes = sql.fetchone()
    state.looked_at, state.small = now, min(sizes) < SMALL_BYTES
    alike = all(before / 2 <= size <= before * 2 for before, size in zip(state.sizes, sizes, strict=True))
    if state.small or not alike:
        if state.names:
            sql.execute("; ".join(f"DEALLOCATE {name}" for name in sorted(state.names)))
            state.names.clear()
        state.sizes = sizes
    return state.small


def _prepared(sql: Any, text: str, values: Mapping[str, Any]) -> str:
    """The statement's name in this connection, prepared if it was not."""
    name = f"ductape_{blake2b(text.encode(), digest_size=8).hexdigest()}"
    names = _states[sql.connection].names
    if name not in names:
        slots = {value: f"${number}" for number, value in enumerate(values, start=1)}
        sql.execute(f"PREPARE {name} AS {text % slots}")
        names.add(name)
    return name


def _go_without() -> None:
    global _pooled
    _pooled = True
    logger.info("the database is behind a pooler without prepared statements: they are sent in full")
