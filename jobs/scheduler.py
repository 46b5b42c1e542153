"""The scheduler: promotes what is due, takes back lost claims, wakes queues with waiting work.

Any number of schedulers may run at once; each takes other rows. It lives in a thread of the
`celery beat` process (`jobs.beat`), needs only the database to promote, and survives losing it.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from datetime import timedelta

from django.db import DataError, IntegrityError, InterfaceError, OperationalError, ProgrammingError, connection
from django.db import Error as DatabaseError

from core.clock import database_now
from core.ids import encode
from core.zones import TZDATA_VERSION
from jobs import background, extensions, notices, wakeup
from jobs.lifecycle.lease import LEASE_SECONDS
from jobs.lifecycle.promote import Due, Promoted, next_due, promote_due
from jobs.lifecycle.reap import reap
from jobs.lifecycle.recompute import recompute
from jobs.models import Execution, Scheduler
from jobs.states import RunStatus

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1.0  # the longest sleep
BUSY_SECONDS = 0.2  # the longest sleep right after something was promoted
REAP_SECONDS = 1.0
WAKE_SECONDS = 1.0  # how often queues with unclaimed work are woken
SEEN_SECONDS = 5.0  # how often the scheduler shows that it is there
GAP_SECONDS = 5.0  # without an answer from the database for so long: it was away, or we were
REFUSALS = (DataError, IntegrityError, ProgrammingError)  # the database is there and says no
BREATH_SECONDS = 0.005  # between two batches: other writers get their turn, and what comes due meanwhile joins
RECOMPUTE_AGAIN_SECONDS = 60.0  # after the first time; rows that were locked then are free
RECOMPUTE_SECONDS = 3600.0
CROWDED_SECONDS = 0.2  # the longest sleep while others hold what is due


class SchedulerThread(threading.Thread):
    """The scheduler's loop. `stop` ends it between two batches."""

    def __init__(self) -> None:
        super().__init__(name="scheduler", daemon=True)
        self._stopped = threading.Event()
        self._look = threading.Event()
        self._ear = notices.Ear(notices.DUE, lambda _: self._look.set())
        self._reap_from = time.monotonic() + LEASE_SECONDS
        self._answered = time.monotonic()  # when the database last answered
        self._next_reap = self._next_wake = self._next_seen = 0.0
        self._due: Due | None = None  # as last looked up; None: not known
        self._in_vain = 0  # batches in a row that found everything due in other hands

    def run(self) -> None:
        self._ear.start()
        threading.Thread(target=recompute_now_and_then, args=[self._stopped], name="recompute", daemon=True).start()
        threading.Thread(target=background.go_on, args=[self._stopped], name="operations", daemon=True).start()
        threading.Thread(target=background.count_runs, args=[self._stopped], name="tally", daemon=True).start()
        logger.info("scheduler started")
        while not self._stopped.is_set():
            try:
                pause = self.step()
            except DatabaseError as error:
                self._wait_a_lease()
                logger.warning("the database does not answer, trying again: %s", str(error).strip())
                connection.close()
                pause = IDLE_SECONDS
            except Exception:
                # A scheduler that dies quietly is worse than one that tries the same again.
                logger.exception("a round has failed, trying again")
                connection.close()
                pause = IDLE_SECONDS
            if pause > 0 and self._look.wait(pause):
                self._look.clear()
                self._due = None
        self._ear.close()
        connection.close()
        logger.info("scheduler stopped")

    def stop(self) -> None:
        """End the loop; returns when the batch in progress is committed."""
        self._stopped.set()
        self._look.set()
        self.join(timeout=10)

    def step(self) -> float:
        """One round of everything; seconds to sleep until the next."""
        due, self._due = self._due, None
        promoted = self._promote(due)
        self._database_answered()
        if promoted.queues:
            wakeup.wake(sorted(promoted.queues))
        at = time.monotonic()
        if at >= self._next_reap and at >= self._reap_from:
            self._next_reap = at + REAP_SECONDS
            self._take_back()
        if at >= self._next_wake:
            self._next_wake = at + WAKE_SECONDS
            wakeup.wake(waiting_queues())
        if at >= self._next_seen:
            self._next_seen = at + SEEN_SECONDS
            show_up()
        if promoted.full:
            return BREATH_SECONDS
        return self._sleep_seconds(busy=promoted.runs > 0)

    def _promote(self, due: Due | None) -> Promoted:
        """A batch; where the database refuses it, nothing, and the rest of the round goes on."""
        try:
            return promote_due(due)
        except DatabaseError as error:
            if not isinstance(error, REFUSALS):
                raise
            logger.exception("due jobs cannot be promoted")
        except Exception:
            logger.exception("due jobs cannot be promoted")
        return Promoted()

    def _database_answered(self) -> None:
        """Note it. After a gap (it hung, or this process was stopped) workers may have been without it
        too, and what they sent before is only now being done."""
        at = time.monotonic()
        if at - self._answered > GAP_SECONDS:
            self._wait_a_lease()
        self._answered = at

    def _wait_a_lease(self) -> None:
        """Who was without the database cannot tell a dead worker from one that was without it too:
        a whole lease passes before anything is taken back."""
        self._reap_from = time.monotonic() + LEASE_SECONDS

    def _take_back(self) -> None:
        reaped = reap()
        if reaped.returned or reaped.ended:
            logger.warning("took back %d runs of lost workers, ended %d", reaped.returned, reaped.ended)
            wakeup.wake(sorted(reaped.queues))
        for reap_others in extensions.loaded("reap"):
            reap_others()

    def _sleep_seconds(self, *, busy: bool) -> float:
        """Until something is due. What is due by now is in other hands, or came just now: a breath, a longer
        one each time that it was in vain."""
        self._due = next_due()
        longest = BUSY_SECONDS if busy else IDLE_SECONDS
        first = self._due.first
        left = longest if first is None else (first - database_now()) / timedelta(seconds=1)
        if left > 0 or busy:
            self._in_vain = 0
            return min(longest, max(BREATH_SECONDS if busy else 0.0, left))
        self._in_vain += 1
        longest = min(CROWDED_SECONDS, BREATH_SECONDS * 2.0 ** min(self._in_vain, 10))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def recompute_now_and_then(stopped: threading.Event) -> None:
    """Beside the promoting: at the start, and again for what somebody held or an older scheduler moved on since."""
    pause = RECOMPUTE_AGAIN_SECONDS
    while True:
        try:
            recompute_schedules()
        except (OperationalError, InterfaceError):  # the database is away: it is waited for elsewhere
            wait = IDLE_SECONDS
        except Exception:
            # Dying quietly, this would leave schedules on old data until the next start.
            logger.exception("schedules cannot be recomputed, trying again")
            wait = RECOMPUTE_AGAIN_SECONDS
        else:
            wait, pause = pause, RECOMPUTE_SECONDS
        connection.close()
        if stopped.wait(wait):
            return


def recompute_schedules() -> None:
    """Move what older time-zone data put elsewhere, and log each move."""
    moved = 0
    for change in recompute():
        moved += 1
        logger.warning(
            "time-zone data %s moved %s (%s in %s) from %s to %s",
            TZDATA_VERSION, encode("job", change.job_id), change.cron, change.tz, change.before.isoformat(), change.to,
        )  # fmt: skip
    if moved:
        logger.warning("time-zone data %s moved %d schedules", TZDATA_VERSION, moved)


def waiting_queues() -> list[str]:
    """The queues in which a run waits to be claimed, by a walk over the index (one probe a queue)."""
    queues: list[str] = []
    after = ""
    while True:
        found = (
            Execution.objects.filter(status=RunStatus.QUEUED, queue__gt=after)
            .order_by("queue")
            .values_list("queue", flat=True)
            .first()
        )
        if found is None:
            return queues
        queues.append(found)
        after = found


def show_up() -> None:
    """Write that this scheduler is alive, and forget those that are long gone."""
    now = database_now()
    Scheduler.objects.update_or_create(
        host=socket.gethostname(),
        pid=os.getpid(),
        defaults={"seen_at": now},
        create_defaults={"seen_at": now, "started_at": now},
    )
    Scheduler.objects.filter(seen_at__lt=now - timedelta(hours=1)).delete()
