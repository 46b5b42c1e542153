"""What a worker process holds: in flight, or ended and not recorded yet. Runs, or what else is claimed as they are.

Owns the places that it takes, and how it is stopped. Never touches the database. A claim is known by
its key *and* its fence: what was taken back may be claimed again by the same process while the
attempt before is still on its way out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

logger = logging.getLogger(__name__)


class Claimed(Protocol):
    """What a process may hold: `str()` says what it is, for the log."""

    @property
    def key(self) -> Hashable:
        """Its row."""

    @property
    def fence(self) -> int:
        """Under which it was claimed."""


C = TypeVar("C", bound=Claimed)


@dataclass(slots=True, eq=False)
class Flying(Generic[C]):
    """A claim in flight. `queue` is where it takes its place."""

    claim: C
    queue: Hashable
    deadline: float  # monotonic
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    expired: bool = False  # its time is up
    dropped: bool = False  # its outcome is no longer wanted


class Flights(Generic[C]):
    """What is in flight in one process. Everything here is called in its loop.

    `room` is how much each queue may have in flight; a queue that is not in it is bounded by who asks.
    """

    def __init__(self, room: Mapping[str, int]) -> None:
        self._room = dict(room)
        self._used: Counter[Hashable] = Counter()
        self._flying: dict[Hashable, Flying[C]] = {}
        self._settling: dict[Hashable, int] = {}  # key → fence
        self.landed = asyncio.Event()  # set whenever a place became free or an outcome was recorded

    def __iter__(self) -> Iterator[Flying[C]]:
        return iter(list(self._flying.values()))

    def __len__(self) -> int:
        """Claims in flight."""
        return len(self._flying)

    @property
    def busy(self) -> bool:
        """Whether something is in flight or its outcome not recorded yet."""
        return bool(self._flying or self._settling)

    def free(self, queue: str) -> int:
        """Places left in that queue."""
        return self._room[queue] - self._used[queue]

    @property
    def used(self) -> Mapping[Hashable, int]:
        """How many places each queue uses; one that uses none is not in it."""
        return self._used

    def known(self) -> dict[Hashable, int]:
        """What this process holds or is about to settle: key → fence."""
        return {**self._settling, **{key: flying.claim.fence for key, flying in self._flying.items()}}

    def take_off(self, flying: Flying[C]) -> None:
        """A claim begins. An earlier attempt of the same that is still here is stopped."""
        earlier = self._flying.get(flying.claim.key)
        if earlier is not None:
            self.drop(earlier)
        self._flying[flying.claim.key] = flying
        self._used[flying.queue] += 1

    def land(self, flying: Flying[C]) -> bool:
        """Free its place; False when it has landed before."""
        if self._flying.get(flying.claim.key) is not flying:
            return False
        del self._flying[flying.claim.key]
        self._used[flying.queue] -= 1
        if not self._used[flying.queue]:
            del self._used[flying.queue]
        if flying.timer is not None:
            flying.timer.cancel()
        self.landed.set()
        return True

    def drop(self, flying: Flying[C]) -> None:
        """Stop it; what it still returns is not recorded."""
        flying.dropped = True
        flying.cancelled.set()
        self.land(flying)
        if flying.task is not None:
            flying.task.cancel()

    def stop(self, claims: Mapping[Hashable, int | None], why: str) -> None:
        """Stop those (key → fence, None for any) and drop what they return."""
        for key, fence in claims.items():
            flying = self._flying.get(key)
            if flying is not None and fence in {None, flying.claim.fence}:
                logger.info("%s is stopped: %s", flying.claim, why)
                self.drop(flying)

    def abort(self, why: str) -> dict[Hashable, int]:
        """Stop everything in flight; what was stopped: key → fence."""
        stopped = list(self._flying.values())
        if stopped:
            logger.error("stopping %d in flight: %s", len(stopped), why)
        for flying in stopped:
            self.drop(flying)
        return {flying.claim.key: flying.claim.fence for flying in stopped}

    def settling(self, claim: C) -> None:
        """It has ended; its outcome is on its way into the database."""
        self._settling[claim.key] = claim.fence

    def settled(self, claims: Iterable[tuple[Hashable, int]]) -> None:
        """The outcomes of those (key, fence) are recorded, or refused for good."""
        for key, fence in claims:
            if self._settling.get(key) == fence:
                del self._settling[key]
        self.landed.set()


class Claims:
    """Which claims of a process have been answered: what an unanswered one took is not known here."""

    def __init__(self) -> None:
        self.begun = 0  # so far
        self._unanswered: set[int] = set()  # by their number

    def begin(self) -> int:
        """A claim is sent; its number."""
        self.begun += 1
        self._unanswered.add(self.begun)
        return self.begun

    def end(self, number: int) -> None:
        """It was answered, or has failed."""
        self._unanswered.discard(number)

    def ended(self, until: int) -> bool:
        """Whether the first `until` claims have all been answered."""
        return not any(claim <= until for claim in self._unanswered)
