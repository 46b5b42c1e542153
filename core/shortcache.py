"""Answers kept for a few seconds in one process, so that a busy path asks the database rarely.

Owns nothing that must be right to the second: who changes what is kept calls `forget`, other
processes notice when the time is over. Only what was found is kept, never an absence.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

EARLY = 0.2  # of its time: so long before it is over one caller asks anew, while the others still have the answer

_all: weakref.WeakSet[ShortCache] = weakref.WeakSet()  # type: ignore[type-arg]  # of any key and value


class ShortCache(Generic[K, V]):
    """At most `size` answers, each for `seconds`. Safe between threads."""

    def __init__(self, *, seconds: float, size: int = 10_000) -> None:
        self._seconds = seconds
        self._size = size
        self._kept: dict[K, tuple[float, V]] = {}
        self._asking: set[K] = set()  # what is asked anew before its time is over
        self._generation = 0
        self._lock = threading.Lock()
        _all.add(self)

    def get(self, key: K, find: Callable[[], V]) -> V:
        """The answer kept for `key`, else what `find` answers. What `find` raises is raised, and not kept."""
        kept = self._kept.get(key)
        if kept is None or (left := kept[0] - time.monotonic()) <= 0:
            return self._find(key, find)
        if left > EARLY * self._seconds or not self._first_to_ask(key):
            return kept[1]
        try:
            return self._find(key, find)
        finally:
            self._asking.discard(key)

    def _first_to_ask(self, key: K) -> bool:
        with self._lock:
            first = key not in self._asking
            self._asking.add(key)
        return first

    def _find(self, key: K, find: Callable[[], V]) -> V:
        generation = self._generation
        value = find()
        with self._lock:
            if generation == self._generation:  # else it was read before somebody's change
                if len(self._kept) >= self._size and key not in self._kept:
                    self._kept.clear()
                self._kept[key] = (time.monotonic() + self._seconds, value)
        return value

    def forget(self) -> None:
        """Ask again from now on."""
        with self._lock:
            self._generation += 1
            self._kept.clear()


def forget_everything() -> None:
    """Empty every cache of the process: between tests, after a restore."""
    for cache in list(_all):
        cache.forget()
