"""One worker and one scheduler in the caller's thread: what is due at this moment, and what goes on by itself.

Where the caller is in a transaction, outcomes are gathered and written together, before the first statement of a
stand-in that could see the difference. Outside of one each is committed at once, as it would be in a worker.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction

from core.clock import database_now
from core.ids import encode
from core.times import from_ms
from executors.base import TIMEOUT, Failed, Outcome
from executors.isolated import Died
from jobs.lifecycle.claim import Claim, KeyCursor, claim
from jobs.lifecycle.promote import promote_due
from jobs.lifecycle.reap import Reaped, hand_back, lose
from jobs.lifecycle.settle import Finished, Postponed, Settlement, settle
from jobs.lifecycle.stretch import Stretch, Stretches, first_beside, jobs_on_time
from jobs.models import Execution
from jobs.runner.attempt import Attempts, Execute
from jobs.runner.database import DatabaseThread
from jobs.runner.flights import Flying
from jobs.runner.outcome import decide
from jobs.runner.steps import RunSteps
from jobs.scheduler import waiting_queues
from jobs.states import RunStatus
from jobs.testing.results import Ran
from jobs.testing.standins import Answer, StandIns
from jobs.testing.stepping import SameThread, Stepping, Watch

AT_ONCE = 200  # runs in one claim
TOGETHER = 1_000  # runs that are written together


class TooManyRuns(RuntimeError):
    """More attempts than one call may make."""


class Driver:
    """Makes attempts as a worker does; `move` sets the stopped clock, `ran` is what was made, in order."""

    def __init__(
        self,
        *,
        worker_id: int,
        move: Callable[[datetime], None],
        answer: Answer,
        named: Mapping[str, Answer],
        most: int,
    ) -> None:
        self.ran: list[Ran] = []
        self._worker_id = worker_id
        self.move = move
        self._most = most
        self._stepping = Stepping()
        self._watch = Watch()
        self._standins = StandIns(self._stepping, answer, named)
        self._attempts = Attempts(
            reading=SameThread(self._stepping, self._watch),
            writing=SameThread(self._stepping),
            isolated=1,
            steps=lambda database, taken: _Steps(database, taken, self._as_written),
        )
        self._random = random.Random(0)  # noqa: S311 - the jitter of back-offs, the same in each test
        self._together = connection.in_atomic_block
        self._cursors: dict[str, KeyCursor] = {}
        self._settlements: list[tuple[Settlement, Ran]] = []
        self._looked = False  # somebody has, or may have, changed what was claimed
        self._in_hand: Claim | None = None  # of a run in a stretch that had to be written before its end
        self._write_it: Callable[[], None] = lambda: None  # how that is done

    def close(self) -> None:
        """End what executors have kept open."""
        self._attempts.close()
        self._stepping.close()

    # --- what is due now ----------------------------------------------------------------------

    def promote(self) -> None:
        """Open what is due now."""
        while promote_due().full:
            pass

    def work(self) -> bool:
        """Make the attempts that may be claimed now; whether there were any."""
        worked = False
        with connection.execute_wrapper(self._watch):
            for queue in waiting_queues():
                while taken := self._claim(queue):
                    worked = True
                    self._make_each(taken, isolated=queue in settings.ISOLATED_QUEUES)
                    self._raise()
        return worked

    def _claim(self, queue: str) -> list[Claim]:
        cursor = self._cursors.setdefault(queue, KeyCursor())
        while True:
            taken = claim(self._worker_id, queue, AT_ONCE, cursor)
            if taken or not cursor.after:
                return taken

    def _make_each(self, taken: Sequence[Claim], *, isolated: bool = False) -> None:
        self._looked = False
        for place, each in enumerate(taken, start=1):
            if self._looked and not _is_held(each):
                continue  # cancelled by what ran before it
            if self._is_too_much(each):
                place -= 1
            else:
                self._end(each, self._attempt(each, self._look, isolated=isolated))
            if self._standins.raised is not None:
                hand_back(self._worker_id, [(left.run_id, left.job_id) for left in taken[place:]])
                break
        self._write()

    def _look(self) -> None:
        """Whoever asks the database now is to see what has ended."""
        self._looked = True
        self._write()

    def _end(self, taken: Claim, outcome: Outcome | Died) -> None:
        if isinstance(outcome, Died):
            self._write()
            lose(
                [(taken.run_id, taken.job_id)], error=outcome.text, counted=True, reaped=Reaped(),
                owner_id=self._worker_id, fence=taken.fence,
            )  # fmt: skip
            return
        settlement = decide(taken, outcome, random=self._random.random())
        self._settlements.append((settlement, _told(taken, settlement)))
        if not self._together:
            self._write()

    def _write(self) -> None:
        if not self._settlements:
            return
        ended, self._settlements = self._settlements, []
        matched = settle([settlement for settlement, _ in ended])
        self.ran += [
            ran if settlement.run_id in matched else replace(ran, status="cancelled") for settlement, ran in ended
        ]

    def _raise(self) -> None:
        """What a stand-in has raised that is no failure of its run."""
        raised, self._standins.raised = self._standins.raised, None
        if raised is not None:
            raise raised

    def _is_too_much(self, following: Claim) -> bool:
        """Whether no other attempt may be made; then that is what is raised."""
        if len(self.ran) + len(self._settlements) < self._most:
            return False
        self._standins.raised = TooManyRuns(
            f"{self._most} attempts were made by {database_now().isoformat()}, and {encode('job', following.job_id)} "
            "has another one: ask for a nearer moment, or allow more with `most`"
        )
        return True

    # --- one attempt --------------------------------------------------------------------------

    def _attempt(self, taken: Claim, heard: Callable[[], None], *, isolated: bool = False) -> Outcome | Died:
        instead = self._standins.of(taken.namespace, taken.target)
        self._watch.heard = heard
        try:
            return self._stepping.run(self._make(taken, instead, isolated=isolated))
        finally:
            self._watch.heard = None

    async def _make(self, taken: Claim, instead: Execute | None, *, isolated: bool) -> Outcome | Died:
        flying = Flying(taken, "", time.monotonic() + taken.timeout / 1000)
        if instead is not None:  # a function of the test's own, which has no deadline but that of what it awaits
            return await self._attempts.make(flying, isolated=isolated, instead=instead)
        try:
            async with asyncio.timeout(taken.timeout / 1000):
                return await self._attempts.make(flying, isolated=isolated)
        except TimeoutError:
            return Failed(code=TIMEOUT, message=f"no answer within {taken.timeout} ms", retryable=True)

    # --- what goes on by itself ---------------------------------------------------------------

    def stretch(self, until: datetime) -> bool:
        """Let the jobs that nothing holds up go on, until something else comes due; whether one of them had to be
        written in the middle of a run, so that what is due now is to be looked at again."""
        jobs = [job for job in jobs_on_time(until) if job.queue not in settings.ISOLATED_QUEUES]
        if not self._together:  # a remote system may be this database: no run of an executor within a transaction
            jobs = [job for job in jobs if self._standins.of(job.namespace, json.dumps(job.target)) is not None]
        beside = first_beside([job.pk for job in jobs]) if jobs else None
        written = False
        with nullcontext() if self._together else transaction.atomic(), connection.execute_wrapper(self._watch):
            stretches = Stretches(jobs)
            waiting = [_Waiting(one.due, one.job.queue, -one.job.priority, at) for at, one in enumerate(stretches.all)]
            heapq.heapify(waiting)
            while waiting and not written and self._standins.raised is None:
                first = waiting[0]
                if first.due > until or (beside is not None and first.due >= beside):
                    break
                one = stretches.all[first.place]
                self.move(one.due)
                if self._is_too_much(one.claimed):
                    break
                written, went_on = self._run_next(stretches, one)
                if went_on:
                    heapq.heapreplace(waiting, first._replace(due=one.due))
                else:
                    heapq.heappop(waiting)
                if len(stretches) >= TOGETHER:
                    stretches.write()
            stretches.write()
        self._raise()
        return written

    def _run_next(self, stretches: Stretches, one: Stretch) -> tuple[bool, bool]:
        """Make the next run of a job. Whether it had to be written in the middle; whether it is recorded here and
        the job has another one."""
        others: list[Claim] = []

        def write() -> None:
            stretches.write()
            self.promote()
            self._in_hand = self._take(one, others)

        self._take_up(write)
        outcome = self._attempt(one.claimed, write)
        settlement = None if isinstance(outcome, Died) else decide(one.claimed, outcome, random=0.0)
        if not self._is_written() and isinstance(settlement, Finished):
            self.ran.append(_told(one.claimed, settlement))
            return False, stretches.record(one, settlement)
        if not self._is_written():
            write()
        assert self._in_hand is not None  # `write` has claimed it
        self._end(self._in_hand, outcome)
        self._write()
        self._make_each(others)
        return True, False

    def _take_up(self, write: Callable[[], None]) -> None:
        self._in_hand, self._write_it = None, write

    def _is_written(self) -> bool:
        return self._in_hand is not None

    def _take(self, one: Stretch, others: list[Claim]) -> Claim:
        """Claim the next run of a job, which has been written. What comes with it goes to the `others`."""
        while taken := self._claim(one.job.queue):
            others += [each for each in taken if each.job_id != one.job.pk]
            for each in taken:
                if each.job_id == one.job.pk:
                    return each
        raise RuntimeError(f"the next run of {one.job} cannot be claimed")

    def _as_written(self, taken: Claim) -> Claim:
        """The claim of a run that has a row: it gets one, where it has none."""
        if taken.run_id:
            return taken
        if self._in_hand is None:
            self._watch.heard = None
            self._write_it()
        assert self._in_hand is not None  # `_write_it` has claimed it
        return self._in_hand


class _Waiting(NamedTuple):
    """A job's place in the order of a stretch: by time, then as claims would take them."""

    due: datetime
    queue: str
    less_urgent: int
    place: int


class _Steps(RunSteps):
    """Steps of a run that may have no row yet: it gets one when they are asked for."""

    def __init__(self, database: DatabaseThread, taken: Claim, as_written: Callable[[Claim], Claim]) -> None:
        super().__init__(database, taken)
        self._as_written = as_written

    async def all(self) -> Mapping[str, Mapping[str, Any]]:
        await self._be_written()
        return await super().all()

    async def record(self, name: str, value: Mapping[str, Any]) -> None:
        await self._be_written()
        await super().record(name, value)

    async def was_cancelled(self) -> bool:
        await self._be_written()
        return await super().was_cancelled()

    async def _be_written(self) -> None:
        self._claim = await self._database.run(self._as_written, self._claim)


def _is_held(taken: Claim) -> bool:
    return Execution.objects.filter(pk=taken.run_id, fence=taken.fence, status=RunStatus.RUNNING).exists()


@lru_cache(maxsize=1_000)
def _target(text: str) -> Mapping[str, str]:
    target: dict[str, str] = json.loads(text)
    return target


def _told(taken: Claim, settlement: Settlement) -> Ran:
    finished = settlement if isinstance(settlement, Finished) else None
    completed = finished is not None and finished.status == RunStatus.COMPLETED
    return Ran(
        job_id=encode("job", taken.job_id),
        namespace=taken.namespace,
        target=dict(_target(taken.target)),
        number=taken.number,
        attempt=taken.attempt,
        scheduled_at=from_ms(taken.scheduled_at_ms),
        at=database_now(),
        status="completed" if completed else "retrying" if isinstance(settlement, Postponed) else "failed",
        result=json.loads(finished.result) if finished is not None and finished.result is not None else None,
        code=settlement.code,
        error=settlement.error,
    )
