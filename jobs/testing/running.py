"""`run_due`: what the scheduler and the workers would do until a moment, done in the caller's thread and transaction.

Owns the order in which things come due. The steps themselves are the system's own: it promotes, claims, makes the
attempt and settles as they do, with the clock stopped at the moment at which each would.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from django.db.models import Max

from core import clock
from core.clock import database_now
from core.errors import Invalid
from core.shortcache import forget_everything
from core.times import parse_time
from jobs.lifecycle.lease import register_worker
from jobs.lifecycle.promote import next_due
from jobs.models import Execution, Worker
from jobs.states import RunStatus
from jobs.testing.driver import Driver
from jobs.testing.results import Ran
from jobs.testing.standins import Answer, check_names

MOST = 100_000  # attempts of one call: every 100 ms for a year is a mistake in a test
LOCKED_SECONDS = 5.0  # the longest wait for a job that another connection has locked
LOOK_SECONDS = 0.01


@contextmanager
def clock_at(at: datetime | str | int) -> Iterator[None]:
    """Stop the clock at a moment: what is dispatched inside is dispatched then, and `run_due` goes on from there."""
    with clock.stopped(_moment(at)):
        yield


def run_due(
    at: datetime | str | int | None = None,
    *,
    answer: Answer = None,
    executors: Mapping[str, Answer] | None = None,
    most: int = MOST,
) -> list[Ran]:
    """Let time pass until `at` (none: now), and do all that comes due: the attempts that were made, in their order.

    Each is made at its own time, occurrence by occurrence, back-offs included; nothing is late, so nothing is
    missed. The clock stands still at that time for whoever reads it here, and is afterwards what it was before.
    `answer` stands in for every executor; `executors` for those that they name, "actions" or "actions/mail/welcome":
    a result, Failed, or a function of the Call. What a function raises besides AttemptFailed is raised here.

    Raises Invalid for a moment that is past, or a name of no namespace; TooManyRuns after `most` attempts.
    """
    now = database_now()
    until = now if at is None else _moment(at)
    if until < now:
        raise Invalid.field(
            "at",
            f"{until.isoformat()} is before now, {now.isoformat()}: time only passes. Begin the test in the past, "
            "`with clock_at(…):` around the dispatch and this",
        )
    check_names(executors or {})
    is_told = clock.is_stopped()
    with clock.stopped(now) as move:
        forget_everything()  # what this process knows of the catalog is of another moment
        worker_id = register_worker(host="run_due", pid=os.getpid(), queues=[], concurrency=1)
        driver = Driver(worker_id=worker_id, move=move, answer=answer, named=executors or {}, most=most)
        try:
            _begin(driver, is_told=is_told)
            _pass(driver, until)
        finally:
            driver.close()
            Worker.objects.filter(pk=worker_id).delete()
        return driver.ran


def _begin(driver: Driver, *, is_told: bool) -> None:
    """Do what waits already. Where nobody has told the time, what was dispatched at an earlier one, in `clock_at`, is
    done at that; then time goes on from the first thing that is due, however long ago: nothing is late."""
    if not is_told:
        waiting = Execution.objects.filter(status=RunStatus.QUEUED).aggregate(at=Max("due_at"))["at"]
        if waiting is not None and waiting < database_now():
            driver.move(waiting)
    driver.work()
    first = next_due().first
    if first is not None and first < database_now():
        driver.move(first)


def _pass(driver: Driver, until: datetime) -> None:
    """Go from one thing that comes due to the next."""
    patience = time.monotonic() + LOCKED_SECONDS
    while True:
        driver.promote()
        if driver.work() or driver.stretch(until):
            continue
        following = next_due().first
        if following is None or following > until:
            break
        if following > database_now():
            driver.move(following)
            patience = time.monotonic() + LOCKED_SECONDS
        elif time.monotonic() > patience:
            raise RuntimeError(f"what is due at {following.isoformat()} is locked by another connection")
        else:
            time.sleep(LOOK_SECONDS)
    if until > database_now():
        driver.move(until)


def _moment(at: object) -> datetime:
    """A time as a dispatch takes it, or a datetime; a naive one is UTC."""
    if isinstance(at, datetime):
        return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
    try:
        return parse_time(at)
    except ValueError as error:
        raise Invalid.field("at", str(error)) from None
