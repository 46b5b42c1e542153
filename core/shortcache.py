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

_all: weakref.WeakSet[ShortCache] = weakref.WeakSet()  # type: ignore[type-arg]  # of any key and value


class ShortCache(Generic[K, V]):
    """At most `size` answers, each for `seconds`. Safe between threads."""

    def __init__(self, *, seconds: float, size: int = 10_000) -> None:
        self._seconds = seconds
        self._size = size
        self._kept: dict[K, tuple[float, V]] = {}
        self._generation = 0
        self._lock = threading.Lock()
        _all.add(self)

    def get(self, key: K, find: Callable[[], V]) -> V:
        """The answer kept for `key`, else what `find` answers. What `find` raises is raised, and not kept."""
        kept = self._kept.get(key)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        generation = self._generation
        value = find()
        with self._lock:
            if generation == self._generation:  # else it was read before somebody's change
                if len(self._kept) >= self._size:
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
