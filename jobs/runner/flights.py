"""The runs that a worker process holds: in flight, or ended and not recorded yet.

Owns their places in the queues' room, and how they are stopped. Never touches the database.
A run is known by its id *and* its fence: one that was taken back may be claimed again by the same
process while the attempt before is still on its way out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from core.ids import encode
from jobs.lifecycle.claim import Claim

logger = logging.getLogger(__name__)


class Held(NamedTuple):
    """A run under the fence it was claimed with."""

    run_id: int
    job_id: UUID
    fence: int


@dataclass(slots=True, eq=False)
class Flying:
    """A run in flight."""

    claim: Claim
    queue: str
    deadline: float  # monotonic
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    expired: bool = False  # its time is up
    dropped: bool = False  # its outcome is no longer wanted

    @property
    def held(self) -> Held:
        return Held(self.claim.run_id, self.claim.job_id, self.claim.fence)


class Flights:
    """The runs in flight of one process. Everything here is called in its loop."""

    def __init__(self, room: Mapping[str, int]) -> None:
        self._room = dict(room)
        self._used = dict.fromkeys(room, 0)
        self._flying: dict[int, Flying] = {}
        self._settling: dict[int, Held] = {}
        self.landed = asyncio.Event()  # set whenever a place became free or an outcome was recorded

    def __iter__(self) -> Iterator[Flying]:
        return iter(list(self._flying.values()))

    def __len__(self) -> int:
        """Runs in flight."""
        return len(self._flying)

    @property
    def busy(self) -> bool:
        """Whether a run is in flight or its outcome not recorded yet."""
        return bool(self._flying or self._settling)

    def free(self, queue: str) -> int:
        """Places left for runs of that queue."""
        return self._room[queue] - self._used[queue]

    def known(self) -> dict[int, Held]:
        """Runs this process holds or is about to settle."""
        return {**self._settling, **{run_id: flying.held for run_id, flying in self._flying.items()}}

    def take_off(self, flying: Flying) -> None:
        """A claimed run begins. An earlier attempt of the same run that is still here is stopped."""
        earlier = self._flying.get(flying.claim.run_id)
        if earlier is not None:
            self.drop(earlier)
        self._flying[flying.claim.run_id] = flying
        self._used[flying.queue] += 1

    def land(self, flying: Flying) -> bool:
        """Free the run's place; False when it has landed before."""
        if self._flying.get(flying.claim.run_id) is not flying:
            return False
        del self._flying[flying.claim.run_id]
        self._used[flying.queue] -= 1
        if flying.timer is not None:
            flying.timer.cancel()
        self.landed.set()
        return True

    def drop(self, flying: Flying) -> None:
        """Stop a run; what it still returns is not recorded."""
        flying.dropped = True
        flying.cancelled.set()
        self.land(flying)
        if flying.task is not None:
            flying.task.cancel()

    def stop(self, runs: Mapping[int, int | None], why: str) -> None:
        """Stop those runs (id → fence, None for any) and drop what they return."""
        for run_id, fence in runs.items():
            flying = self._flying.get(run_id)
            if flying is not None and fence in {None, flying.claim.fence}:
                logger.info("run %d of %s is stopped: %s", flying.claim.number, encode("job", flying.claim.job_id), why)
                self.drop(flying)

    def abort(self, why: str) -> list[Held]:
        """Stop every run in flight; what was stopped."""
        stopped = list(self._flying.values())
        if stopped:
            logger.error("stopping %d runs: %s", len(stopped), why)
        for flying in stopped:
            self.drop(flying)
        return [flying.held for flying in stopped]

    def settling(self, held: Held) -> None:
        """The run has ended; its outcome is on its way into the database."""
        self._settling[held.run_id] = held

    def settled(self, runs: Iterable[tuple[int, int]]) -> None:
        """The outcomes of those (run, fence) are recorded, or refused for good."""
        for run_id, fence in runs:
            held = self._settling.get(run_id)
            if held is not None and held.fence == fence:
                del self._settling[run_id]
        self.landed.set()
