"""The crew of a worker process that delivers: hands events out, claims deliveries, makes the attempts, settles them.

Works in the process's run loop, under the same lease, by the same flights and settler as the runs (`jobs.runner`).
Any number of processes do this at once; one whose QUEUES lack `webhooks` does not.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError

from core.times import from_ms
from jobs import notices, wakeup
from jobs.runner.crew import Lease
from jobs.runner.database import DatabaseThread
from jobs.runner.flights import Claims, Flights, Flying
from jobs.runner.settler import Settler
from webhooks import QUEUE
from webhooks.claiming import DeliveryClaim, EndpointCursor, claim, owned_deliveries
from webhooks.delivery import TIMEOUT_SECONDS, attempt
from webhooks.fanout import BATCH as EVENTS_AT_ONCE
from webhooks.fanout import FannedOut, fan_out
from webhooks.outcome import Ended, decide
from webhooks.pace import SLOW_MS, Pace
from webhooks.reaping import hand_back
from webhooks.settling import settle

logger = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 1.0  # how often it looks by itself when nobody wakes it, ± 20 %
CLAIM_AT_ONCE = 200  # deliveries in one claim
GATHER_SECONDS = 0.01  # between two claims under load, so that claims stay batches
RETRY_SECONDS = 1.0
GRACE_SECONDS = 2.0


class DeliveryCrew:
    """See `jobs.runner.crew.Crew`."""

    def __init__(self) -> None:
        self.concurrency = int(settings.CONCURRENCY)
        self._flights = Flights[DeliveryClaim]({})
        self._claims = Claims()
        self._pace = Pace()
        self._cursor = EndpointCursor()
        self._bell, self._events = asyncio.Event(), asyncio.Event()
        self._draining = asyncio.Event()
        self._crowded: set[UUID] = set()  # endpoints that may have more due than they had places
        self._held_back = False  # some others may have, too
        # Two connections: a batch that is handed out and a claim each take milliseconds, and may take turns.
        self._databases = {name: DatabaseThread(f"webhooks-{name}") for name in ("claim", "settle")}
        self._settler = Settler[Ended](
            self._databases["settle"], self._record, self._settled, salvage=lambda outcome: None
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._lease: Lease
        self._ear: notices.Ear | None = None

    def begin(self, lease: Lease) -> list[asyncio.Task[None]]:
        self._lease = lease
        loop = asyncio.get_running_loop()
        heard = partial(_from_outside, loop, self._events.set)
        self._ear = notices.Ear(notices.WANTED, lambda _: heard())
        self._ear.start()
        self._settling = asyncio.create_task(self._settler.run())
        self._tasks = [asyncio.create_task(self._hand_out()), asyncio.create_task(self._claim_on())]
        return [self._settling, *self._tasks]

    def ring(self) -> None:
        self._bell.set()

    def drain(self) -> None:
        self._draining.set()
        self._bell.set()
        self._events.set()

    async def finish(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        while self._flights.busy and time.monotonic() < until:
            self._flights.landed.clear()
            try:
                await asyncio.wait_for(self._flights.landed.wait(), 0.5)
            except TimeoutError:
                continue

    async def close(self, seconds: float) -> None:
        self._settler.close()
        try:
            await asyncio.wait_for(self._settling, seconds)
        except TimeoutError:
            logger.error("%d attempts could not be recorded: the database is away", self._settler.pending)
        for task in self._tasks:
            task.cancel()
        if self._ear is not None:
            self._ear.close()
        for database in self._databases.values():
            database.close()

    # --- the keeper's view ------------------------------------------------------------------

    def known(self) -> Mapping[Hashable, int]:
        return self._flights.known()

    def claims_begun(self) -> int:
        return self._claims.begun

    def claims_ended(self, until: int) -> bool:
        return self._claims.ended(until)

    def stop(self, claims: Mapping[Hashable, int | None], why: str) -> None:
        self._flights.stop(claims, why)

    def abort(self, why: str) -> Mapping[Hashable, int]:
        return self._flights.abort(why)

    def owned(self, worker_id: int) -> Mapping[Hashable, int]:
        return cast("Mapping[Hashable, int]", owned_deliveries(worker_id))

    def hand_back(self, worker_id: int, keys: Collection[Hashable]) -> None:
        hand_back(worker_id, cast("Collection[UUID]", keys))

    # --- events -----------------------------------------------------------------------------

    async def _hand_out(self) -> None:
        """Make deliveries of what is wanted, whenever somebody says so and now and then."""
        while not self._draining.is_set():
            self._events.clear()
            done = await self._try(self._databases["claim"], fan_out, "no events handed out")
            if done is None:
                await self._pause(RETRY_SECONDS)
                continue
            if done.deliveries:
                self._bell.set()
                self._wake_others(done)
            if done.events < EVENTS_AT_ONCE:
                await self._hear(self._events)

    def _wake_others(self, done: FannedOut) -> None:
        """More than this process can do at once is for the others, too."""
        if done.deliveries > self._room():
            asyncio.get_running_loop().run_in_executor(None, wakeup.wake, [QUEUE])

    # --- deliveries -------------------------------------------------------------------------

    async def _claim_on(self) -> None:
        """Claim whenever there is room and (maybe) something due, until draining."""
        while not self._draining.is_set():
            if not await self._may_claim():
                continue
            self._bell.clear()
            wanted, asked_as = min(self._room(), CLAIM_AT_ONCE), self._lease.worker_id
            claims = await self._claim(wanted)
            if claims is None:
                await self._pause(RETRY_SECONDS)
                continue
            if not self._lease.still_valid() or self._lease.worker_id != asked_as:
                continue  # this process stood still meanwhile: others have them, or the keeper hands them back
            came = time.monotonic()
            for taken in claims:
                self._take_off(taken, came)
            if claims:
                await self._pause(GATHER_SECONDS)
            elif self._cursor.at_start:
                await self._hear(self._bell)

    def _room(self) -> int:
        return self.concurrency - len(self._flights)

    async def _may_claim(self) -> bool:
        """Wait a moment for a lease and for room; whether both are there."""
        if not self._lease.valid.is_set():
            await self._wait(self._lease.valid, 0.2)
        elif self._room() <= 0:
            self._flights.landed.clear()
            await self._wait(self._flights.landed, 0.2)
        return self._lease.valid.is_set() and self._room() > 0 and not self._draining.is_set()

    async def _claim(self, wanted: int) -> list[DeliveryClaim] | None:
        """A batch; None when the database is away."""
        offer = self._pace.offer(self._flights.used, waiting=self._kept_waiting(), room=self.concurrency)
        left = cast("dict[UUID, int]", offer.rooms)
        number = self._claims.begin()
        try:
            ask = partial(claim, self._lease.worker_id, wanted, left, self._cursor, share=offer.others)
            claims = await self._try(self._databases["claim"], ask, "no deliveries claimed")
        finally:
            self._claims.end(number)
        if claims is not None:
            self._crowded = {taken.endpoint_id for taken in claims} | {
                one for one, places in left.items() if not places
            }
            self._held_back = not offer.others
        return claims

    def _kept_waiting(self) -> set[Hashable]:
        """The endpoints that have not answered a request for too long to be given another."""
        sent_before = time.monotonic() + TIMEOUT_SECONDS - SLOW_MS / 1000
        return {flying.queue for flying in self._flights if flying.deadline < sent_before}

    def _take_off(self, taken: DeliveryClaim, came: float) -> None:
        flying = Flying(taken, taken.endpoint_id, time.monotonic() + TIMEOUT_SECONDS)
        self._flights.take_off(flying)
        flying.task = asyncio.get_running_loop().create_task(self._fly(flying, came))

    async def _fly(self, flying: Flying[DeliveryClaim], came: float) -> None:
        """One attempt, from claim to outcome. One that is stopped is cancelled, and whoever did that knows why."""
        taken = flying.claim
        at = from_ms(taken.claimed_at) + timedelta(seconds=time.monotonic() - came)
        answer = await attempt(taken, at)
        if flying.dropped or not self._flights.land(flying):
            return
        outcome = decide(taken, answer, random=random.random())  # noqa: S311 - jitter
        self._pace.answered(taken.endpoint_id, succeeded=outcome.succeeded, duration_ms=answer.duration_ms)
        if not outcome.succeeded:
            logger.info("%s, attempt %d: %s", taken, taken.attempt, answer.error)
        self._flights.settling(taken)
        self._settler.put(outcome)
        if self._held_back or taken.endpoint_id in self._crowded:
            self._bell.set()

    def _record(self, outcomes: list[Ended]) -> set[UUID]:
        return settle(self._lease.worker_id, outcomes)

    def _settled(self, outcomes: Sequence[Ended]) -> None:
        self._flights.settled((outcome.delivery_id, outcome.fence) for outcome in outcomes)
        if any(outcome.probe and outcome.succeeded for outcome in outcomes):
            self._bell.set()  # what waited for the end of a rest may be sent

    # --- waiting ----------------------------------------------------------------------------

    async def _try(self, database: DatabaseThread, function: Callable[[], T], vain: str) -> T | None:
        """Its answer; None when the database is away, and once in a while that is a bug, which is told."""
        try:
            return await database.run(function)
        except DatabaseError as error:
            logger.warning("%s: %s", vain, str(error).strip())
        except Exception:
            logger.exception("%s", vain)
        return None

    async def _hear(self, bell: asyncio.Event) -> None:
        await self._wait(bell, POLL_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - no secret

    async def _pause(self, seconds: float) -> None:
        await self._wait(self._draining, seconds)

    @staticmethod
    async def _wait(event: asyncio.Event, seconds: float) -> None:
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return


def _from_outside(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:  # the loop has just closed: nothing is left to tell
        logger.debug("the run loop is closed")
