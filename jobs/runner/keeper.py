"""The keeper of a worker's lease: beats, compares, and gives up what it cannot keep.

* Each beat reads back which runs are still this process's: those that are not (cancelled,
  taken back) are stopped, those it does not know (a claim whose answer was lost) are handed back.
* A process that could not beat for ABORT_SECONDS stops all its I/O, 3 s before the lease ends.
* A loop that no longer turns cannot stop its I/O: then the process kills itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from django.db import Error as DatabaseError

from jobs.lifecycle.lease import ABORT_SECONDS, BEAT_SECONDS, Beat, beat, register_worker, stop_worker
from jobs.lifecycle.reap import hand_back
from jobs.models import Execution
from jobs.runner.database import DatabaseThread
from jobs.runner.flights import Held

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
RETRY_SECONDS = 1.0
EXIT_STUCK = 70  # EX_SOFTWARE: the loop is stuck in code that never yields


class Runs(Protocol):
    """What the keeper needs to know of the runs of its process."""

    def known(self) -> Mapping[int, Held]:
        """Runs this process holds or is about to settle."""

    def claims_begun(self) -> int:
        """How many claims were begun so far."""

    def claims_ended(self, until: int) -> bool:
        """Whether the first `until` claims have all been answered, and their runs are known."""

    def stop(self, runs: Mapping[int, int | None], why: str) -> None:
        """Stop these runs (id → fence) and drop what they return."""

    def abort(self, why: str) -> list[Held]:
        """Stop every run in flight; what was stopped."""


class Keeper:
    """Owns the worker's row and the answer to "may I still claim?"."""

    def __init__(self, database: DatabaseThread, runs: Runs, *, host: str, queues: list[str], concurrency: int) -> None:
        self._database = database
        self._runs = runs
        self._host, self._queues, self._concurrency = host, queues, concurrency
        self.worker_id = 0
        self.valid = asyncio.Event()  # set while the lease is good: claims wait for it
        self.draining = False
        self._beaten = time.monotonic()
        self._turns = 0
        self._aborted: list[Held] = []
        self._strange: dict[int, tuple[int, int]] = {}  # run → (fence, claims begun when it was first seen)
        self._closed = False
        threading.Thread(target=self._guard, name="loop-guard", daemon=True).start()

    async def run(self) -> None:
        """Register, then beat until the task is cancelled."""
        watch = asyncio.create_task(self._watch())
        try:
            await self._register()
            pause = BEAT_SECONDS
            while True:
                await asyncio.sleep(pause)
                sent = time.monotonic()
                try:
                    await self.beat()
                    # An answer that took long renewed a lease that is half over: beat again soon.
                    pause = BEAT_SECONDS if time.monotonic() - sent < RETRY_SECONDS else 0.0
                except DatabaseError as error:
                    logger.warning("no beat: %s", str(error).strip())
                    pause = RETRY_SECONDS
        finally:
            watch.cancel()

    async def _register(self) -> None:
        while True:
            sent = time.monotonic()
            try:
                self.worker_id = await self._database.run(
                    register_worker,
                    host=self._host,
                    pid=os.getpid(),
                    queues=self._queues,
                    concurrency=self._concurrency,
                )
            except DatabaseError as error:
                logger.warning("waiting for the database: %s", str(error).strip())
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._renewed(sent)
            logger.info("worker %d serves %s, %d at once", self.worker_id, ", ".join(self._queues), self._concurrency)
            return

    async def beat(self) -> None:
        """One beat and what follows from its answer. Raises DatabaseError when it did not get through."""
        sent = time.monotonic()
        known = dict(self._runs.known())
        answer = await self._database.run(beat, self.worker_id, running=len(known), draining=self.draining)
        if not answer.alive:
            logger.error("worker %d was taken for dead; its runs were taken back, it begins anew", self.worker_id)
            self.valid.clear()
            self._runs.abort("the lease was lost")
            self._aborted.clear()
            self._strange.clear()
            await self._register()
            return
        self._beaten = sent
        await self._compare(known, answer)
        self._renewed(sent)

    def _renewed(self, sent: float) -> None:
        """The lease was renewed by a statement sent at that time: valid, unless that is long ago."""
        self._beaten = sent
        if not self.draining and time.monotonic() - sent <= ABORT_SECONDS:
            self.valid.set()

    async def _compare(self, known: Mapping[int, Held], answer: Beat) -> None:
        gone: dict[int, int | None] = {
            run_id: held.fence for run_id, held in known.items() if answer.runs.get(run_id) != held.fence
        }
        if gone:
            self._runs.stop(gone, "taken away")
        back = [held for held in self._aborted if answer.runs.get(held.run_id) == held.fence]
        if back:
            await self.hand_back(back)
        self._aborted.clear()
        await self._hand_back_strange(known, answer, {held.run_id for held in back})

    async def _hand_back_strange(self, known: Mapping[int, Held], answer: Beat, back: set[int]) -> None:
        """Return the runs of claims whose answer was lost: owned at two beats and known at neither,
        while every claim that had begun by the first of them has been answered."""
        now_known = self._runs.known()
        strange = {
            run_id: (fence, self._runs.claims_begun())
            for run_id, fence in answer.runs.items()
            if run_id not in known and run_id not in now_known and run_id not in back
        }
        for run_id, (fence, seen) in self._strange.items():
            if run_id in strange and strange[run_id][0] == fence:
                strange[run_id] = (fence, seen)
        lost = {
            run_id
            for run_id, (fence, seen) in strange.items()
            if self._strange.get(run_id) == (fence, seen) and self._runs.claims_ended(seen)
        }
        self._strange = {run_id: sighting for run_id, sighting in strange.items() if run_id not in lost}
        if lost:
            logger.warning("%d runs were claimed but their claim's answer was lost: handed back", len(lost))
            await self._database.run(_hand_back_ids, self.worker_id, lost)

    def still_valid(self) -> bool:
        """Whether the lease is good at this moment, by the clock and not by when it was last looked at: a process
        that was stopped and goes on finds its own thoughts of before. If not, everything in flight is stopped."""
        if self.valid.is_set() and time.monotonic() - self._beaten > ABORT_SECONDS:
            self.valid.clear()
            self._aborted += self._runs.abort("no beat for too long: the lease may be lost")
        return self.valid.is_set()

    async def _watch(self) -> None:
        """Stop everything in time when no beat gets through."""
        while True:
            self._turns += 1
            self.still_valid()
            await asyncio.sleep(WATCH_SECONDS)

    def _guard(self) -> None:
        """In a thread: end the process when the loop itself hangs.

        Counts its own looks, not the time: after a SIGSTOP the loop gets the chance to go on.
        """
        turns, looks = -1, 0
        while not self._closed:
            time.sleep(WATCH_SECONDS)
            turns, looks = self._turns, looks + 1 if turns == self._turns else 0
            if looks * WATCH_SECONDS > ABORT_SECONDS and not self._closed:
                logger.critical(
                    "the run loop has not turned for %d s: exiting, its runs will be taken back", ABORT_SECONDS
                )
                logging.shutdown()
                os._exit(EXIT_STUCK)

    async def hand_back(self, runs: Sequence[Held]) -> None:
        """Return runs that were stopped by this process itself."""
        await self._database.run(hand_back, self.worker_id, [(held.run_id, held.job_id) for held in runs])

    async def close(self) -> None:
        """End the lease in order."""
        self._closed = True
        if self.worker_id:
            await self._database.run(stop_worker, self.worker_id)


def _hand_back_ids(worker_id: int, run_ids: set[int]) -> None:
    hand_back(worker_id, list(Execution.objects.filter(pk__in=run_ids).values_list("id", "job_id")))
