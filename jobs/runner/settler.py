"""Outcomes, gathered and written in batches: one statement and one commit for many runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from django.db import DataError, IntegrityError, NotSupportedError, ProgrammingError
from django.db import Error as DatabaseError

from executors.base import INTERNAL_ERROR
from jobs.lifecycle.settle import Finished, Settlement, settle
from jobs.runner.database import DatabaseThread

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.005  # the longest an outcome waits for company
BATCH = 200
RETRY_SECONDS = 0.5
# What the database says of an outcome that it will never take; everything else passes.
REFUSALS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)


class Settler:
    """Owns the outcomes that are not committed yet. Writes again until the database has taken
    them: repeating is safe, a second write matches no row."""

    def __init__(self, database: DatabaseThread, settled: Callable[[Sequence[Settlement]], None]) -> None:
        self._database = database
        self._settled = settled  # called with each batch that is committed, or refused for good
        self._outcomes: deque[Settlement] = deque()
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = False
        self.pending = 0  # outcomes put and not committed yet

    def put(self, outcome: Settlement) -> None:
        self._outcomes.append(outcome)
        self.pending += 1
        self._arrived.set()
        if len(self._outcomes) >= BATCH:
            self._full.set()

    async def run(self) -> None:
        """Write until `close` was called and everything is written."""
        while True:
            await self._arrived.wait()
            if not self._outcomes:
                if self._closing:
                    return
                self._arrived.clear()
                continue
            if len(self._outcomes) < BATCH and not self._closing:
                self._full.clear()
                try:
                    await asyncio.wait_for(self._full.wait(), GATHER_SECONDS)
                except TimeoutError:
                    pass
            batch = [self._outcomes.popleft() for _ in range(min(BATCH, len(self._outcomes)))]
            await self._write(batch)

    def close(self) -> None:
        self._closing = True
        self._arrived.set()

    async def _write(self, batch: list[Settlement]) -> None:
        began = time.monotonic()
        matched: set[int] = set()
        while True:
            try:
                matched = await self._database.run(settle, batch)
            except DatabaseError as error:
                if not isinstance(error, REFUSALS):
                    logger.warning("%d outcomes wait for the database: %s", len(batch), str(error).strip())
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                refusal: Exception = error
            except Exception as error:  # a row that contradicts itself: it must not stop every other outcome
                refusal = error
            else:
                break
            if len(batch) > 1:  # one outcome that is refused must not take the others along
                for outcome in batch:
                    await self._write([outcome])
                return
            refused = batch[0]
            logger.error("the outcome of run %d is refused: %s", refused.run_id, str(refusal).strip())
            if not isinstance(refused, Finished) or refused.result is None:
                break
            batch = [unstorable(refused)]
        self.pending -= len(batch)
        late = len(batch) - len(matched)
        if late:
            logger.info("%d outcomes came too late: their runs were cancelled or taken back", late)
        logger.debug("settled %d runs in %.1f ms", len(matched), (time.monotonic() - began) * 1000)
        self._settled(batch)


def unstorable(outcome: Finished) -> Finished:
    """What is recorded of a run whose result the database does not take."""
    return Finished.failed(
        outcome.run_id,
        outcome.job_id,
        outcome.fence,
        code=INTERNAL_ERROR,
        error="the run succeeded, but the database cannot store its result",
        retryable=False,
    )
