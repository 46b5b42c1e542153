"""Waiting for a run to end: many requests, one thread and one database connection for all of them.

A request that waits gives its own connection back first. One watcher a process reads the few
columns that decide for every waiting job in one query by primary key, every few milliseconds
while somebody has just begun to wait, then less often; without waiters it sleeps and holds nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from core.errors import ApiError
from jobs.models import Job
from jobs.states import FINAL, JobStatus

logger = logging.getLogger(__name__)

EAGER_SECONDS = 0.02  # between two looks while a waiter is young
CALM_SECONDS = 0.2
YOUNG_SECONDS = 2.0
AT_REST = FINAL | {JobStatus.PAUSED}


class TooManyWaiting(ApiError):
    """Every place for a waiting request of this process is taken."""

    status, code, title = 429, "too_many_waiting", "Too many requests are waiting"


@dataclass(slots=True)
class _Waiter:
    job_id: UUID
    last_run_id: int | None  # of the job when the wait began
    since: float = field(default_factory=time.monotonic)
    ended: threading.Event = field(default_factory=threading.Event)

    def is_answered(self, seen: dict[UUID, tuple[str, int | None]]) -> bool:
        """Its job is at rest or gone, or a run of it has ended."""
        if self.job_id not in seen:
            return True
        status, last_run_id = seen[self.job_id]
        return status in AT_REST or last_run_id != self.last_run_id


class Watcher:
    """Tells waiters that a run of their job has ended. Safe between threads."""

    def __init__(self) -> None:
        self._waiters: list[_Waiter] = []
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._resting = True

    def wait(self, job: Job, seconds: float) -> None:
        """Return when the run that is open, or the next one, has ended, the job is at rest or gone,
        or the time is over. Raises TooManyWaiting."""
        if job.status in AT_REST or seconds <= 0:
            return
        with self._place(_Waiter(job.pk, job.last_run_id)) as waiter:
            if not connection.in_atomic_block:  # else it is a test's, or the caller's own
                connection.close()
            waiter.ended.wait(seconds)

    def waiting(self) -> int:
        """How many wait in this process."""
        return len(self._waiters)

    def rests(self) -> bool:
        """Nobody waits, and nothing is read any more for somebody who did."""
        return self._resting or self._thread is None or not self._thread.is_alive()

    @contextmanager
    def _place(self, waiter: _Waiter) -> Iterator[_Waiter]:
        with self._change:
            if len(self._waiters) >= settings.MOST_WAITING:
                raise TooManyWaiting(
                    f"{settings.MOST_WAITING} requests wait here already: ask again in a second, or without `wait`",
                    retry_after=1,
                )
            self._waiters.append(waiter)
            self._resting = False
            if self._thread is None or not self._thread.is_alive():  # also in the child of a fork
                self._thread = threading.Thread(target=self._watch, name="waiting", daemon=True)
                self._thread.start()
            self._change.notify()
        try:
            yield waiter
        finally:
            with self._change:
                self._waiters.remove(waiter)

    def _watch(self) -> None:
        try:
            while True:
                self._look_once()
        finally:
            connection.close()

    def _look_once(self) -> None:
        with self._change:
            if not self._waiters:
                connection.close()
                self._resting = True
                self._change.wait()
            waiters = list(self._waiters)
        try:
            self._look(waiters)
        except DatabaseError as error:
            logger.warning("waiting requests: the database does not answer: %s", str(error).strip())
            connection.close()
            time.sleep(CALM_SECONDS)
        young = any(time.monotonic() - waiter.since < YOUNG_SECONDS for waiter in waiters)
        time.sleep(EAGER_SECONDS if young else CALM_SECONDS)

    def _look(self, waiters: list[_Waiter]) -> None:
        ids = {waiter.job_id for waiter in waiters}
        rows = Job.objects.filter(pk__in=ids).values_list("pk", "status", "last_run_id")
        seen = {job_id: (status, last_run_id) for job_id, status, last_run_id in rows}
        for waiter in waiters:
            if waiter.is_answered(seen):
                waiter.ended.set()


watcher = Watcher()
