"""Outcomes, gathered and written in batches: one statement and one commit for many runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from django.db import DataError, IntegrityError, NotSupportedError, ProgrammingError
from django.db import Error as DatabaseError

from jobs.runner.database import DatabaseThread

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.005  # the longest an outcome waits for company
BATCH = 200
RETRY_SECONDS = 0.5
# What the database says of an outcome that it will never take; everything else passes.
REFUSALS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)


class Ended(Protocol):
    """An outcome of a claim. `str()` says of what, for the log."""

    @property
    def key(self) -> Hashable:
        """The claim's row."""


O = TypeVar("O", bound=Ended)  # noqa: E741 - as the others are named


class Settler(Generic[O]):
    """Owns the outcomes that are not committed yet. Writes again until the database has taken
    them: repeating is safe, a second write matches no row.

    `write` records a batch in one transaction and answers the keys that matched; `settled` is called with
    each batch that is committed, or refused for good; `salvage` says what is recorded of an outcome that the
    database refuses, if there is something.
    """

    def __init__(
        self,
        database: DatabaseThread,
        write: Callable[[list[O]], Collection[Hashable]],
        settled: Callable[[Sequence[O]], None],
        *,
        salvage: Callable[[O], O | None],
    ) -> None:
        self._database = database
        self._batch_write, self._settled, self._salvage = write, settled, salvage
        self._outcomes: deque[O] = deque()
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = False
        self.pending = 0  # outcomes put and not committed yet

    def put(self, outcome: O) -> None:
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

    async def _write(self, batch: list[O]) -> None:
        began = time.monotonic()
        matched: Collection[Hashable] = ()
        while True:
            try:
                matched = await self._database.run(self._batch_write, batch)
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
            logger.error("the outcome of %s is refused: %s", refused, str(refusal).strip())
            instead = self._salvage(refused)
            if instead is None:
                break
            batch = [instead]
        self.pending -= len(batch)
        late = len(batch) - len(matched)
        if late:
            logger.info("%d outcomes came too late: what they are of was cancelled or taken back", late)
        logger.debug("settled %d in %.1f ms", len(matched), (time.monotonic() - began) * 1000)
        self._settled(batch)
