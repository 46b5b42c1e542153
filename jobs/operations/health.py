"""Is everything there? Database, broker, a scheduler and a worker seen lately.

Answers within two seconds whatever hangs: each look at the database is made by a thread of its
own, and one that does not come back counts as missing. A database that hangs holds two threads, not more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

import redis
from django.db import Error as DatabaseError
from django.db import connection

from core.clock import database_now
from jobs import load, wakeup

PATIENCE_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be there; `detail` says what is missing and the way out."""

    name: str
    ok: bool
    detail: str = ""


def readiness() -> list[Check]:
    """database, broker, scheduler, worker: in this order."""
    database = _asked.ask(_look_at_database)
    return [database[0], _broker(), *database[1:]]


def _look_at_database() -> list[Check]:
    now = database_now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    scheduler = load.schedulers(now).exists()
    worker = load.working(now).exists()
    return [
        Check("database", ok=True),
        Check("scheduler", scheduler, "" if scheduler else "no scheduler was seen lately: start `manage.py scheduler`"),
        Check("worker", worker, "" if worker else "no worker holds a lease: start `manage.py worker`"),
    ]


def _unknown(why: str) -> list[Check]:
    unknown = "not known while the database does not answer"
    return [Check("database", False, why), Check("scheduler", False, unknown), Check("worker", False, unknown)]


def _broker() -> Check:
    try:
        wakeup.client().ping()
    except (redis.RedisError, OSError) as error:
        return Check("broker", False, f"Redis does not answer ({type(error).__name__}): jobs run on, some seconds late")
    return Check("broker", ok=True)


class _Asked:
    """At most two looks at a time, each waited for at most PATIENCE_SECONDS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._pending: list[Future[list[Check]]] = []

    def ask(self, look: Callable[[], list[Check]]) -> list[Check]:
        with self._lock:
            self._pending = [future for future in self._pending if not future.done()]
            if len(self._pending) >= 2:
                return _unknown("the database does not answer")
            if self._pool is None:
                self._pool = ThreadPoolExecutor(2, thread_name_prefix="readyz")
            future = self._pool.submit(_once, look)
            self._pending.append(future)
        try:
            return future.result(PATIENCE_SECONDS)
        except FutureTimeout:
            return _unknown(f"the database did not answer within {PATIENCE_SECONDS} s")
        except DatabaseError as error:
            return _unknown(f"the database does not answer ({type(error).__name__})")


def _once(look: Callable[[], list[Check]]) -> list[Check]:
    try:
        return look()
    finally:
        connection.close()  # of this thread: a database that comes back finds no dead one


_asked = _Asked()
