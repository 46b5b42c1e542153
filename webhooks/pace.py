"""How many requests one process has open to each endpoint. Pure; knows no clock.

Each begins with a few and earns more with every prompt answer; one that does not answer is soon asked for one thing
at a time. So a slow one holds little of the process's room, and a fast one as much as it is good for. However many
are slow or do not answer, half of the room is for those that were prompt when they last answered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping
from typing import NamedTuple

BEGINS_WITH = 8
MOST = 128
SLOW_MS = 2_000  # an answer that took so long earns nothing
REMEMBERED = 10_000  # endpoints; of those that were not heard of for longest the pace is forgotten


class Offer(NamedTuple):
    """How many requests more may be opened."""

    rooms: dict[Hashable, int]  # by endpoint
    others: int  # for one that is not among them


class Pace:
    """The pace of each endpoint that has answered."""

    def __init__(self) -> None:
        self._places: OrderedDict[Hashable, int] = OrderedDict()
        self._prompt: set[Hashable] = set()  # of these

    def answered(self, endpoint: Hashable, *, succeeded: bool, duration_ms: int) -> None:
        """An attempt has ended."""
        places = self._places.pop(endpoint, BEGINS_WITH)
        if not succeeded:
            places = max(1, places // 2)
        elif duration_ms < SLOW_MS:
            places = min(MOST, places + 1)
        self._places[endpoint] = places
        if duration_ms < SLOW_MS:
            self._prompt.add(endpoint)
        else:
            self._prompt.discard(endpoint)
        if len(self._places) > REMEMBERED:
            forgotten, _ = self._places.popitem(last=False)
            self._prompt.discard(forgotten)

    def places(self, endpoint: Hashable) -> int:
        """How many requests may be open at once."""
        return self._places.get(endpoint, BEGINS_WITH)

    def offer(self, used: Mapping[Hashable, int], *, waiting: Collection[Hashable], room: int) -> Offer:
        """What is left. `used` are the places that are taken, of `room` in all; `waiting` are the endpoints that have
        kept a request waiting for SLOW_MS by now: they get no more until it has ended."""
        prompt = self._prompt.difference(waiting)
        rooms = {endpoint: places - used.get(endpoint, 0) for endpoint, places in self._places.items()}
        rooms.update(
            (endpoint, BEGINS_WITH - taken) for endpoint, taken in used.items() if endpoint not in self._places
        )
        rooms.update(dict.fromkeys(waiting, 0))
        others = BEGINS_WITH
        if sum(taken for endpoint, taken in used.items() if endpoint not in prompt) * 2 >= room:
            rooms.update((endpoint, 0) for endpoint in rooms if endpoint not in prompt)
            others = 0
        return Offer({endpoint: max(0, places) for endpoint, places in rooms.items()}, others)
