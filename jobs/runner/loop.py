"""The loop: claims runs, runs them concurrently, hands their outcomes to the settler."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import socket
import sys
import time
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import cast

import uvloop
from django.db import Error as DatabaseError

from core import about
from executors.base import TIMEOUT, Failed, Outcome
from executors.isolated import Died
from executors.reach.clients import close_every
from jobs import wakeup
from jobs.lifecycle.claim import Claim, KeyCursor, claim
from jobs.lifecycle.lease import owned_runs
from jobs.lifecycle.reap import Reaped, hand_back_ids, lose
from jobs.lifecycle.settle import Settlement, settle
from jobs.runner.attempt import Attempts
from jobs.runner.crew import Crew, Crews
from jobs.runner.database import DatabaseThread
from jobs.runner.flights import Claims, Flights, Flying
from jobs.runner.keeper import Holding, Keeper
from jobs.runner.outcome import decide, storable_instead, tell
from jobs.runner.settler import Settler

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0  # a worker looks by itself so often when no wake-up comes, ± 20 %
CLAIM_AT_ONCE = 200  # runs in one claim
GATHER_ROOM_SECONDS = 0.02  # with little room: wait so long for more before claiming a few
WAKE_OTHERS_SECONDS = 0.1  # while claims come back full, idle workers are called so often
HAND_ON_SECONDS = 0.05  # a full worker passes a wake-up on after this
GRACE_SECONDS = 5.0  # past its deadline, for an attempt that ignores being cancelled
DRAIN_SECONDS = 25.0  # runs that are not done by then are handed back
RETRY_SECONDS = 1.0
SWITCH_SECONDS = 0.0005
COLLECT_AFTER = 10_000  # objects that are new; a run makes some sixty, and nearly all go by themselves


class Runner:
    """One worker process's run loop. `serve` runs it; `ring`, `drain` may be called from any thread."""

    def __init__(
        self, room: Mapping[str, int], *, isolated: frozenset[str] = frozenset(), crews: Crews | None = None
    ) -> None:
        self._room = dict(room)
        self._isolated = isolated
        self._makers = dict(crews or {})
        self._called: dict[str, float] = {}  # queue → when other workers were last called to it
        self._claims = Claims()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain_wanted = False

    # --- from other threads ---------------------------------------------------------------

    def serve(self) -> None:
        """Run until drained: in a thread of its own."""
        # A thread that has its answer from the database waits this long for the busy loop to let
        # go of the interpreter: with Python's 5 ms every claim would begin late.
        sys.setswitchinterval(SWITCH_SECONDS)
        # Python's collector walked over all that is loaded, again and again, to find next to nothing.
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER, 10, 10)
        # No asyncio.Runner: on leaving it waits for every task, also those that ignore being cancelled.
        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(self._main())
            loop.run_until_complete(_end_the_rest())
        finally:
            loop.close()

    def ring(self, queue: str) -> None:
        """A wake-up for `queue` arrived."""
        self._from_outside(self._ring, queue)

    def stop_runs(self, run_ids: set[int]) -> None:
        """These runs were taken away: stop them now, the next beat would anyway."""
        self._from_outside(self.stop, dict.fromkeys(run_ids), "cancelled")

    def drain(self) -> None:
        """Stop claiming; `serve` returns when the runs in flight are done or handed back."""
        self._drain_wanted = True
        self._from_outside(self._drain)

    def _from_outside(self, function: object, *args: object) -> None:
        loop = self._loop
        if loop is not None and callable(function):
            try:
                loop.call_soon_threadsafe(function, *args)
            except RuntimeError:  # the loop has just closed: nothing is left to tell
                logger.debug("the run loop is closed")

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
        return cast("Mapping[Hashable, int]", owned_runs(worker_id))

    def hand_back(self, worker_id: int, keys: Collection[Hashable]) -> None:
        hand_back_ids(worker_id, cast("Collection[int]", keys))

    # --- inside the loop --------------------------------------------------------------------

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._draining = asyncio.Event()
        self._flights = Flights[Claim](self._room)
        self._crews: dict[str, Crew] = {queue: make() for queue, make in self._makers.items()}
        self._bells = {queue: asyncio.Event() for queue in self._room}
        self._cursors = {queue: KeyCursor() for queue in self._room}
        self._databases = {name: DatabaseThread(name) for name in ("claim", "settle", "lease", "resolve")}
        self._attempts = Attempts(
            reading=self._databases["resolve"],
            writing=self._databases["settle"],
            isolated=sum(self._room[queue] for queue in self._isolated & self._room.keys()),
        )
        self._settler = Settler[Settlement](self._databases["settle"], settle, self._settled, salvage=storable_instead)
        crews = list(self._crews.values())
        self._keeper = Keeper(
            self._databases["lease"],
            [self, *crews],
            host=socket.gethostname(),
            queues=sorted([*self._room, *self._crews]),
            concurrency=sum(self._room.values()) + sum(crew.concurrency for crew in crews),
        )
        if self._drain_wanted:
            self._drain()
        settling = asyncio.create_task(self._settler.run())
        keeping = asyncio.create_task(self._keeper.run())
        sweeping = asyncio.create_task(self._sweep())
        claiming = [asyncio.create_task(self._claim_from(queue)) for queue in self._room]
        working = [task for crew in crews for task in crew.begin(self._keeper)]
        await self._until_draining([settling, keeping, sweeping, *claiming, *working])
        await asyncio.gather(self._finish_up(claiming), *(self._finish_crew(crew) for crew in crews))
        self._settler.close()
        try:
            await asyncio.wait_for(settling, RETRY_SECONDS * 3)
        except TimeoutError:
            logger.error("%d outcomes could not be recorded: the database is away", self._settler.pending)
        await asyncio.gather(*(crew.close(RETRY_SECONDS * 3) for crew in crews))
        for task in (sweeping, keeping, *claiming):
            task.cancel()
        await asyncio.gather(sweeping, keeping, *claiming, return_exceptions=True)
        try:
            await asyncio.wait_for(self._keeper.close(), RETRY_SECONDS)
        except (TimeoutError, DatabaseError):
            logger.warning("the lease could not be ended in order: it runs out by itself")
        await close_every()
        self._attempts.close()
        for database in self._databases.values():
            database.close()

    async def _until_draining(self, vital: Sequence[asyncio.Task[None]]) -> None:
        """Wait for a drain. A part of the loop that ends by itself would leave the rest running
        half-dead: then everything is stopped and its error raised."""
        draining = asyncio.create_task(self._draining.wait())
        await asyncio.wait([draining, *vital], return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        for task in vital:
            if task.done() and not self._draining.is_set():
                self.abort("a part of the run loop has failed")
                task.result()
                raise RuntimeError(f"{task.get_coro()} ended by itself")

    async def _finish_up(self, claiming: Sequence[asyncio.Task[None]]) -> None:
        """Wait for the runs in flight, then hand back those that take too long."""
        until = time.monotonic() + DRAIN_SECONDS
        if claiming:
            await asyncio.wait(claiming, timeout=DRAIN_SECONDS)  # a claim whose answer is still to come
        if self._flights:
            logger.info("draining: %d runs in flight", len(self._flights))
        while self._flights.busy and time.monotonic() < until:
            self._flights.landed.clear()
            try:
                await asyncio.wait_for(self._flights.landed.wait(), 0.5)
            except TimeoutError:
                continue
        await self._hand_back_left(self, len(self._flights), sorted(self._room))

    async def _finish_crew(self, crew: Crew) -> None:
        await crew.finish(DRAIN_SECONDS)
        await self._hand_back_left(
            crew, len(crew.known()), [queue for queue, one in self._crews.items() if one is crew]
        )

    async def _hand_back_left(self, holding: Holding, in_flight: int, queues: Sequence[str]) -> None:
        """What takes too long is for another worker."""
        if not in_flight or not (left := holding.abort("the worker is shutting down")):
            return
        try:
            await asyncio.wait_for(self._keeper.hand_back(holding, left.keys()), RETRY_SECONDS * 2)
        except (TimeoutError, DatabaseError):
            logger.warning("%d could not be handed back: the reaper takes them", len(left))
        await asyncio.to_thread(wakeup.wake, queues)

    def _drain(self) -> None:
        self._draining.set()
        self._keeper.draining = True
        for bell in self._bells.values():
            bell.set()
        for crew in self._crews.values():
            crew.drain()
        self._flights.landed.set()

    def _ring(self, queue: str) -> None:
        if queue in self._crews:
            self._crews[queue].ring()
            return
        bell = self._bells.get(queue)
        if bell is None:
            logger.warning("a wake-up for queue %r, which this worker does not serve", queue)
            return
        bell.set()
        if not self._flights.free(queue) and self._loop is not None:
            # Full: the wake-up must not die here while another worker is idle.
            self._loop.call_later(HAND_ON_SECONDS, self._hand_on, queue)

    def _hand_on(self, queue: str) -> None:
        if not self._flights.free(queue) and self._loop is not None and not self._draining.is_set():
            self._loop.run_in_executor(None, wakeup.wake, [queue])

    async def _claim_from(self, queue: str) -> None:
        """Claim whenever there is room and (maybe) work, until draining."""
        bell, cursor = self._bells[queue], self._cursors[queue]
        while not self._draining.is_set():
            room = await self._room_in(queue)
            await self._lease_or_drain()  # last: it may have ended while there was no room
            if self._draining.is_set():
                return
            bell.clear()
            wanted = min(room, CLAIM_AT_ONCE)
            asked_as = self._keeper.worker_id
            claims = await self._claim(queue, wanted, cursor)
            if claims is None:
                await self._pause(RETRY_SECONDS)
                continue
            if not self._keeper.still_valid() or self._keeper.worker_id != asked_as:
                continue  # this process stood still meanwhile: others have them, or the keeper hands them back
            if len(claims) == wanted:
                self._wake_others(queue)
            for taken in claims:
                self._take_off(taken, queue)
            if len(claims) < wanted:  # that was all; what came since has rung the bell
                await self._hear(bell)

    async def _lease_or_drain(self) -> None:
        while not self._keeper.valid.is_set() and not self._draining.is_set():
            try:
                await asyncio.wait_for(self._keeper.valid.wait(), 0.2)
            except TimeoutError:
                continue

    async def _room_in(self, queue: str) -> int:
        """Wait for room: any, but with little of it a moment longer, so that claims stay batches."""
        capacity = self._room[queue]
        gathered = 0.0
        while not self._draining.is_set():
            room = self._flights.free(queue)
            if room and (room * 3 >= capacity or gathered >= GATHER_ROOM_SECONDS):
                return room
            self._flights.landed.clear()
            began = time.monotonic()
            try:
                await asyncio.wait_for(self._flights.landed.wait(), GATHER_ROOM_SECONDS if room else POLL_SECONDS)
            except TimeoutError:
                pass
            if room:
                gathered += time.monotonic() - began
        return 0

    async def _claim(self, queue: str, wanted: int, cursor: KeyCursor) -> list[Claim] | None:
        """A batch of runs; None when the database is away."""
        number = self._claims.begin()
        try:
            return await self._databases["claim"].run(claim, self._keeper.worker_id, queue, wanted, cursor)
        except DatabaseError as error:  # its answer may be lost: the keeper finds what it took
            logger.warning("no claim from %r: %s", queue, str(error).strip())
            return None
        finally:
            self._claims.end(number)

    def _wake_others(self, queue: str) -> None:
        now = time.monotonic()
        if self._loop is not None and now - self._called.get(queue, 0.0) >= WAKE_OTHERS_SECONDS:
            self._called[queue] = now
            self._loop.run_in_executor(None, wakeup.wake, [queue])

    async def _hear(self, bell: asyncio.Event) -> None:
        """Sleep until the bell rings, or for the poll interval (± 20 %, so that workers spread)."""
        try:
            await asyncio.wait_for(bell.wait(), POLL_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        except TimeoutError:
            return

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._draining.wait(), seconds)
        except TimeoutError:
            return

    # --- one run ----------------------------------------------------------------------------

    def _take_off(self, taken: Claim, queue: str) -> None:
        assert self._loop is not None  # runs are claimed by the loop
        flying = Flying(taken, queue, time.monotonic() + taken.timeout / 1000)
        self._flights.take_off(flying)
        flying.task = self._loop.create_task(self._fly(flying))
        flying.timer = self._loop.call_later(taken.timeout / 1000, self._expire, flying)

    def _expire(self, flying: Flying[Claim]) -> None:
        """The attempt's time is up; `_fly` makes an outcome of it."""
        flying.expired = True
        if flying.task is not None:
            flying.task.cancel()

    async def _fly(self, flying: Flying[Claim]) -> None:
        """One attempt from claim to outcome."""
        about.this_run(flying.claim.job_id, flying.claim.number)
        try:
            outcome = await self._attempts.make(flying, isolated=flying.queue in self._isolated)
        except asyncio.CancelledError:
            if not flying.expired or flying.dropped:
                return  # taken away: whoever did that knows what becomes of the run
            text = f"no answer within {flying.claim.timeout} ms"
            outcome = Failed(code=TIMEOUT, message=text, retryable=True)
        if not flying.dropped:
            self._end(flying, outcome)

    def _end(self, flying: Flying[Claim], outcome: Outcome | Died) -> None:
        if not self._flights.land(flying):
            return
        self._flights.settling(flying.claim)
        if isinstance(outcome, Died):
            asyncio.ensure_future(self._report_lost(flying.claim, outcome))  # noqa: RUF006 - held by `settling` until done
            return
        settlement = decide(flying.claim, outcome, random=random.random())  # noqa: S311 - jitter
        if settlement.code:
            tell(flying.claim, settlement)
        self._settler.put(settlement)

    def _settled(self, outcomes: Sequence[Settlement]) -> None:
        self._flights.settled((outcome.run_id, outcome.fence) for outcome in outcomes)
        for queue, cursor in self._cursors.items():
            if cursor.keyed:  # a run that waits for its key may have its turn now
                self._bells[queue].set()

    async def _report_lost(self, held: Claim, died: Died) -> None:
        """The process of an isolated run died: lost, under the fence, and it counts."""
        reaped = Reaped()
        while True:
            try:
                await self._databases["settle"].run(
                    lose,
                    [(held.run_id, held.job_id)],
                    error=died.text,
                    counted=True,
                    reaped=reaped,
                    owner_id=self._keeper.worker_id,
                    fence=held.fence,
                )
                break
            except DatabaseError:
                await asyncio.sleep(RETRY_SECONDS)
        self._flights.settled([(held.run_id, held.fence)])
        for queue in reaped.queues:
            self._ring(queue)

    async def _sweep(self) -> None:
        """End attempts that ignore their deadline: their place is freed, their outcome dropped."""
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for flying in self._flights:
                if now > flying.deadline + GRACE_SECONDS:
                    text = f"no answer within {flying.claim.timeout} ms, and it ignored being cancelled"
                    logger.error("%s: %s", flying.claim, text)
                    self._end(flying, Failed(code=TIMEOUT, message=text, retryable=True))
                    flying.dropped = True


async def _end_the_rest() -> None:
    """Cancel what is left of the loop's tasks; what does not end soon is left behind."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        _, deaf = await asyncio.wait(rest, timeout=RETRY_SECONDS)
        if deaf:
            logger.warning("%d tasks ignore being cancelled: they end with the process", len(deaf))
