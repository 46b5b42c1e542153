"""The keeper of a worker's lease: beats, compares, and gives up what it cannot keep.

* Each beat reads back what is still this process's: what is not (cancelled, taken back) is stopped,
  what it does not know (a claim whose answer was lost) is handed back.
* A process that could not beat for ABORT_SECONDS stops all its I/O, 3 s before the lease ends.
* A loop that no longer turns cannot stop its I/O: then the process kills itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Protocol

from django.db import Error as DatabaseError

from jobs.lifecycle.lease import ABORT_SECONDS, BEAT_SECONDS, register_worker, renew, stop_worker
from jobs.runner.database import DatabaseThread

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
RETRY_SECONDS = 1.0
EXIT_STUCK = 70  # EX_SOFTWARE: the loop is stuck in code that never yields


class Holding(Protocol):
    """Claims of one kind that a process holds under its lease: runs, or another app's (`jobs.runner.crew`)."""

    def known(self) -> Mapping[Hashable, int]:
        """What this process holds or is about to settle: key → fence."""

    def claims_begun(self) -> int:
        """How many claims were begun so far."""

    def claims_ended(self, until: int) -> bool:
        """Whether the first `until` claims have all been answered, and what they took is known."""

    def stop(self, claims: Mapping[Hashable, int | None], why: str) -> None:
        """Stop these (key → fence) and drop what they return."""

    def abort(self, why: str) -> Mapping[Hashable, int]:
        """Stop everything in flight; what was stopped: key → fence."""

    def owned(self, worker_id: int) -> Mapping[Hashable, int]:
        """What the database says is this worker's: key → fence. Blocks; called in the lease's thread."""

    def hand_back(self, worker_id: int, keys: Collection[Hashable]) -> None:
        """Return those that are still this worker's, so that another attempt begins. Blocks, as `owned`."""


class _Account:
    """A holding, and what is still to be cleared up about it."""

    def __init__(self, holding: Holding) -> None:
        self.holding = holding
        self.aborted: dict[Hashable, int] = {}
        self.strange: dict[Hashable, tuple[int, int]] = {}  # key → (fence, claims begun when it was first seen)


class Keeper:
    """Owns the worker's row and the answer to "may I still claim?"."""

    def __init__(
        self,
        database: DatabaseThread,
        holdings: Sequence[Holding],
        *,
        host: str,
        queues: list[str],
        concurrency: int,
    ) -> None:
        self._database = database
        self._accounts = [_Account(holding) for holding in holdings]
        self._host, self._queues, self._concurrency = host, queues, concurrency
        self.worker_id = 0
        self.valid = asyncio.Event()  # set while the lease is good: claims wait for it
        self.draining = False
        self._beaten = time.monotonic()
        self._turns = 0
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
        known = [dict(account.holding.known()) for account in self._accounts]
        running = sum(map(len, known))
        owned = await self._database.run(self._ask, self.worker_id, running=running, draining=self.draining)
        if owned is None:
            logger.error("worker %d was taken for dead; its runs were taken back, it begins anew", self.worker_id)
            self.valid.clear()
            for account in self._accounts:
                account.holding.abort("the lease was lost")
                account.aborted.clear()
                account.strange.clear()
            await self._register()
            return
        self._beaten = sent
        for account, known_before, its_own in zip(self._accounts, known, owned, strict=True):
            await self._compare(account, known_before, its_own)
        self._renewed(sent)

    def _ask(self, worker_id: int, *, running: int, draining: bool) -> list[Mapping[Hashable, int]] | None:
        """Renew the lease and read back what is owned, in this order; None where the reaper was there first."""
        if not renew(worker_id, running=running, draining=draining):
            return None
        return [account.holding.owned(worker_id) for account in self._accounts]

    def _renewed(self, sent: float) -> None:
        """The lease was renewed by a statement sent at that time: valid, unless that is long ago."""
        self._beaten = sent
        if not self.draining and time.monotonic() - sent <= ABORT_SECONDS:
            self.valid.set()

    async def _compare(self, account: _Account, known: Mapping[Hashable, int], owned: Mapping[Hashable, int]) -> None:
        gone: dict[Hashable, int | None] = {key: fence for key, fence in known.items() if owned.get(key) != fence}
        if gone:
            account.holding.stop(gone, "taken away")
        back = {key for key, fence in account.aborted.items() if owned.get(key) == fence}
        if back:
            await self.hand_back(account.holding, back)
        account.aborted.clear()
        await self._hand_back_strange(account, known, owned, back)

    async def _hand_back_strange(
        self, account: _Account, known: Mapping[Hashable, int], owned: Mapping[Hashable, int], back: set[Hashable]
    ) -> None:
        """Return what was claimed by a claim whose answer was lost: owned at two beats and known at neither,
        while every claim that had begun by the first of them has been answered."""
        holding = account.holding
        now_known = holding.known()
        strange = {
            key: (fence, holding.claims_begun())
            for key, fence in owned.items()
            if key not in known and key not in now_known and key not in back
        }
        for key, (fence, seen) in account.strange.items():
            if key in strange and strange[key][0] == fence:
                strange[key] = (fence, seen)
        lost = {
            key
            for key, (fence, seen) in strange.items()
            if account.strange.get(key) == (fence, seen) and holding.claims_ended(seen)
        }
        account.strange = {key: sighting for key, sighting in strange.items() if key not in lost}
        if lost:
            logger.warning("%d were claimed but their claim's answer was lost: handed back", len(lost))
            await self.hand_back(holding, lost)

    def still_valid(self) -> bool:
        """Whether the lease is good at this moment, by the clock and not by when it was last looked at: a process
        that was stopped and goes on finds its own thoughts of before. If not, everything in flight is stopped."""
        if self.valid.is_set() and time.monotonic() - self._beaten > ABORT_SECONDS:
            self.valid.clear()
            for account in self._accounts:
                account.aborted.update(account.holding.abort("no beat for too long: the lease may be lost"))
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

    async def hand_back(self, holding: Holding, keys: Collection[Hashable]) -> None:
        """Return what was stopped by this process itself."""
        await self._database.run(holding.hand_back, self.worker_id, keys)

    async def close(self) -> None:
        """End the lease in order."""
        self._closed = True
        if self.worker_id:
            await self._database.run(stop_worker, self.worker_id)
