"""Statements that PostgreSQL plans once per connection instead of at each execution.

Planning a claim costs more than a small claim does. `PREPARE` and `EXECUTE` are sent as plain
texts, so that the settings a statement needs travel with it in one round trip. Behind a pooler
that gives each transaction another server connection, a prepared statement may not be there:
seen once, and this process sends its statements in full from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any
from weakref import WeakKeyDictionary

from django.db import Error as DatabaseError
from psycopg import errors, pq

logger = logging.getLogger(__name__)

_STRANGERS = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)

_known: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()  # a driver's connection → what it has prepared
_pooled = False


def execute(sql: Any, settings: str, text: str, values: Mapping[str, Any]) -> None:
    """Execute `text` under `settings` (a SELECT of set_config, local to the transaction) and stop at its rows.

    `text` has placeholders `%(name)s` and no other percent sign. Inside a transaction a pooler's first
    strange answer is raised, since it has ended that transaction; the next call goes through.
    """
    if not _pooled:
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


def _prepared(sql: Any, text: str, values: Mapping[str, Any]) -> str:
    """The statement's name in this connection, prepared if it was not."""
    name = f"ductape_{blake2b(text.encode(), digest_size=8).hexdigest()}"
    known = _known.setdefault(sql.connection, set())
    if name not in known:
        slots = {value: f"${number}" for number, value in enumerate(values, start=1)}
        sql.execute(f"PREPARE {name} AS {text % slots}")
        known.add(name)
    return name


def _go_without() -> None:
    global _pooled
    _pooled = True
    logger.info("the database is behind a pooler without prepared statements: they are sent in full")
