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
from typing import Protocol
from uuid import UUID

from django.db import Error as DatabaseError

from jobs.lifecycle.lease import ABORT_SECONDS, BEAT_SECONDS, Beat, beat, register_worker, stop_worker
from jobs.lifecycle.reap import hand_back
from jobs.models import Execution
from jobs.runner.database import DatabaseThread

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
RETRY_SECONDS = 1.0
EXIT_STUCK = 70  # EX_SOFTWARE: the loop is stuck in code that never yields


class Flight(Protocol):
    """What the keeper needs to know of the runs in flight."""

    def known(self) -> dict[int, UUID]:
        """Runs this process holds or is about to settle: run id → job id."""

    def generation(self) -> tuple[int, bool]:
        """How many claims were made so far, and whether one is being made right now."""

    def stop(self, run_ids: set[int], why: str) -> None:
        """Stop these runs and drop what they return."""

    def abort(self, why: str) -> list[tuple[int, UUID]]:
        """Stop every run in flight; what was stopped."""


class Keeper:
    """Owns the worker's row and the answer to "may I still claim?"."""

    def __init__(
        self, database: DatabaseThread, flight: Flight, *, host: str, queues: list[str], concurrency: int
    ) -> None:
        self._database = database
        self._flight = flight
        self._host, self._queues, self._concurrency = host, queues, concurrency
        self.worker_id = 0
        self.valid = asyncio.Event()  # set while the lease is good: claims wait for it
        self.draining = False
        self._beaten = time.monotonic()
        self._turned = time.monotonic()
        self._aborted: list[tuple[int, UUID]] = []
        self._closed = False
        threading.Thread(target=self._guard, name="loop-guard", daemon=True).start()

    async def run(self) -> None:
        """Register, then beat until the task is cancelled."""
        watch = asyncio.create_task(self._watch())
        try:
            await self._register()
            while True:
                await asyncio.sleep(BEAT_SECONDS)
                try:
                    await self.beat()
                except DatabaseError as error:
                    logger.warning("no beat: %s", str(error).strip())
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
            self._beaten = sent
            self.valid.set()
            logger.info("worker %d serves %s, %d at once", self.worker_id, ", ".join(self._queues), self._concurrency)
            return

    async def beat(self) -> None:
        """One beat and what follows from its answer. Raises DatabaseError when it did not get through."""
        sent = time.monotonic()
        known = self._flight.known()
        claims = self._flight.generation()
        answer = await self._database.run(beat, self.worker_id, running=len(known), draining=self.draining)
        if not answer.alive:
            logger.error("worker %d was taken for dead; its runs were taken back, it begins anew", self.worker_id)
            self.valid.clear()
            self._flight.abort("the lease was lost")
            self._aborted.clear()
            await self._register()
            return
        self._beaten = sent
        await self._compare(known, claims, answer)
        if not self.draining:
            self.valid.set()

    async def _compare(self, known: dict[int, UUID], claims: tuple[int, bool], answer: Beat) -> None:
        gone = known.keys() - answer.runs.keys()
        if gone:
            self._flight.stop(gone, "taken away")
        back = [(run, job) for run, job in self._aborted if run in answer.runs]
        if back:
            await self._database.run(hand_back, self.worker_id, back)
        self._aborted.clear()
        # A claim that was being made meanwhile may own rows that are not known here yet.
        if claims[1] or self._flight.generation() != claims:
            return
        strange = answer.runs.keys() - known.keys() - self._flight.known().keys() - {run for run, _ in back}
        if strange:
            logger.warning("%d runs were claimed but their claim's answer was lost: handed back", len(strange))
            await self._database.run(_hand_back_ids, self.worker_id, strange)

    async def _watch(self) -> None:
        """Stop everything in time when no beat gets through."""
        while True:
            self._turned = time.monotonic()
            if self.valid.is_set() and self._turned - self._beaten > ABORT_SECONDS:
                self.valid.clear()
                self._aborted += self._flight.abort("no beat for too long: the lease may be lost")
            await asyncio.sleep(WATCH_SECONDS)

    def _guard(self) -> None:
        """In a thread: end the process when the loop itself hangs."""
        while not self._closed:
            time.sleep(WATCH_SECONDS)
            if time.monotonic() - self._turned > ABORT_SECONDS and not self._closed:
                logger.critical(
                    "the run loop has not turned for %d s: exiting, its runs will be taken back", ABORT_SECONDS
                )
                logging.shutdown()
                os._exit(EXIT_STUCK)

    async def hand_back(self, runs: list[tuple[int, UUID]]) -> None:
        """Return runs that were stopped by a drain."""
        await self._database.run(hand_back, self.worker_id, runs)

    async def close(self) -> None:
        """End the lease in order."""
        self._closed = True
        if self.worker_id:
            await self._database.run(stop_worker, self.worker_id)


def _hand_back_ids(worker_id: int, run_ids: set[int]) -> None:
    hand_back(worker_id, list(Execution.objects.filter(pk__in=run_ids).values_list("id", "job_id")))
