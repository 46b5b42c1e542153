"""The clock: the one place where the time is read.

Occurrences, leases and deadlines are measured by the *database's* clock, so that machines
that disagree neither run things twice nor early. Hot SQL statements read it themselves
(`sql_now`); Python asks `database_now`, which measures the database's clock every few
seconds and carries it forward with the monotonic clock in between.

A test moves time with `shift`, or stops it with `stopped`; a whole process is moved with CLOCK_OFFSET_MS (local only).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection

REMEASURE_SECONDS = 10.0  # how far two clocks drift apart in that time is far below a millisecond
STEP_SECONDS = 0.05  # a wall clock that moved so far against the monotonic one was set, or the machine slept

_lock = threading.Lock()
_measured: tuple[float, datetime, float] | None = None  # monotonic seconds, then: database time, wall minus monotonic
_offset = timedelta(milliseconds=int(os.environ.get("CLOCK_OFFSET_MS", "0")))
_stopped_at: datetime | None = None


def offset() -> timedelta:
    """How far this process pretends to be from the real time; zero outside tests."""
    return _offset if settings.ENVIRONMENT != "production" else timedelta(0)


def machine_now() -> datetime:
    """This machine's time, aware UTC. For logs and for the embedded database, whose clock it is."""
    if _stopped_at is not None:
        return _stopped_at
    return datetime.now(UTC) + offset()


def database_now() -> datetime:
    """The database's time, aware UTC; at most one query every REMEASURE_SECONDS.

    Measured anew at once where the machine slept or its clock was set: the database may be on it.

    Raises django.db.OperationalError when it has to measure and the database is away.
    """
    if _stopped_at is not None or connection.vendor != "postgresql":
        return machine_now()
    global _measured
    at = time.monotonic()
    measured = _measured
    if measured is None or at - measured[0] > REMEASURE_SECONDS or abs(time.time() - at - measured[2]) > STEP_SECONDS:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            (now,) = cursor.fetchone()
        at = time.monotonic()
        with _lock:
            _measured = measured = (at, now, time.time() - at)
    return measured[1] + timedelta(seconds=at - measured[0]) + offset()


def sql_now(vendor: str) -> str:
    """The SQL expression that reads the clock inside a statement.

    PostgreSQL: its own clock at the start of the statement. Elsewhere the placeholder
    `%(now)s`, which the caller binds to `machine_now()`.
    """
    if vendor != "postgresql":
        return "%(now)s"
    if _stopped_at is not None:
        return f"'{_stopped_at.isoformat()}'::timestamptz"
    moved = offset()
    if not moved:
        return "statement_timestamp()"
    return f"(statement_timestamp() + interval '{moved // timedelta(microseconds=1)} microseconds')"


@contextmanager
def shift(by: timedelta) -> Iterator[None]:
    """Move this process's idea of the time, in Python and in SQL alike (tests only)."""
    global _offset
    before = _offset
    _offset = before + by
    try:
        yield
    finally:
        _offset = before


def is_stopped() -> bool:
    """Whether this process's clock stands still: each moment of it is a text of its own in SQL."""
    return _stopped_at is not None


@contextmanager
def stopped(at: datetime) -> Iterator[Callable[[datetime], None]]:
    """Stop this process's clock at `at`, in Python and in SQL alike; the value moves it on, or back (tests only).

    RuntimeError in production, where other processes would go on by the true time.
    """
    global _stopped_at
    if settings.ENVIRONMENT == "production":
        raise RuntimeError("the clock is not stopped in production: ENVIRONMENT says that this is no test")
    before = _stopped_at

    def move(to: datetime) -> None:
        global _stopped_at
        _stopped_at = to.astimezone(UTC)

    move(at)
    try:
        yield move
    finally:
        _stopped_at = before
