"""How many requests one process has open to each endpoint. Pure; knows no clock.

Each begins with a few and earns more with every prompt answer; one that does not answer is soon asked for one thing
at a time. So a slow one holds little of the process's room, and a fast one as much as it is good for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping

BEGINS_WITH = 8
MOST = 128
SLOW_MS = 2_000  # an answer that took so long earns nothing
REMEMBERED = 10_000  # endpoints; of those that were not heard of for longest the pace is forgotten


class Pace:
    """The pace of each endpoint that is not at its beginning."""

    def __init__(self) -> None:
        self._places: OrderedDict[Hashable, int] = OrderedDict()

    def answered(self, endpoint: Hashable, *, succeeded: bool, duration_ms: int) -> None:
        """An attempt has ended."""
        places = self._places.pop(endpoint, BEGINS_WITH)
        if not succeeded:
            places = max(1, places // 2)
        elif duration_ms < SLOW_MS:
            places = min(MOST, places + 1)
        self._places[endpoint] = places
        if len(self._places) > REMEMBERED:
            self._places.popitem(last=False)

    def places(self, endpoint: Hashable) -> int:
        """How many requests may be open at once."""
        return self._places.get(endpoint, BEGINS_WITH)

    def left(self, used: Mapping[Hashable, int]) -> dict[Hashable, int]:
        """The places left of each endpoint whose number is not BEGINS_WITH; `used` are those that are taken."""
        known = {endpoint: places - used.get(endpoint, 0) for endpoint, places in self._places.items()}
        known.update(
            (endpoint, BEGINS_WITH - taken) for endpoint, taken in used.items() if endpoint not in self._places
        )
        return {endpoint: max(0, places) for endpoint, places in known.items()}
