"""Clients of remote systems, kept per target while they are used, closed when idle.

A client belongs to the event loop it was made in. Whatever makes one says how it is closed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from core import http

logger = logging.getLogger(__name__)

T = TypeVar("T")

IDLE_SECONDS = 60.0
CLOSE_SECONDS = 3.0  # for all that a loop has kept, at its end
MOST_TARGETS = 200  # clients of one kind in one process; past that the longest idle one goes


@dataclass(slots=True, eq=False)
class _Kept(Generic[T]):
    client: asyncio.Task[T]
    users: int = 0
    idle_since: float = 0.0
    broken: bool = False


class Clients(Generic[T]):
    """`close` is called for each client that is no longer kept; it may be a coroutine function."""

    def __init__(self, close: Callable[[T], Awaitable[None] | None], *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._close = close
        self._idle_seconds = idle_seconds
        self._of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Kept[T]]] = WeakKeyDictionary()
        _every.add(self)

    @asynccontextmanager
    async def use(self, key: str, make: Callable[[], Awaitable[T]]) -> AsyncIterator[T]:
        """The client kept under `key`, made where there is none: several callers may use it at once.

        Call `drop(key)` for one that turned out to be broken. What `make` raises is raised, and nothing is kept.
        """
        kept = self._kept(key, make)
        kept.users += 1
        try:
            try:
                client = await asyncio.shield(kept.client)
            except BaseException:
                if kept.client.done():
                    self._forget(key, kept)
                raise
            yield client
        finally:
            kept.users -= 1
            kept.idle_since = time.monotonic()
            if kept.users == 0 and kept.broken:
                await self._end(kept)
            elif kept.users == 0:
                self._look_later(key, kept)

    def drop(self, key: str) -> None:
        """No new caller gets the client of `key`; it is closed when the last one is done with it."""
        kept = self._here().pop(key, None)
        if kept is not None:
            kept.broken = True

    async def close_all(self) -> None:
        """Close every client of this loop."""
        here = self._here()
        kept = list(here.values())
        here.clear()
        await asyncio.gather(*(self._end(each) for each in kept))

    def _here(self) -> dict[str, _Kept[T]]:
        return self._of_loops.setdefault(asyncio.get_running_loop(), {})

    def _kept(self, key: str, make: Callable[[], Awaitable[T]]) -> _Kept[T]:
        here = self._here()
        kept = here.get(key)
        if kept is None or _has_failed(kept.client):  # whoever waited for that one may have been cancelled meanwhile
            kept = here[key] = _Kept(asyncio.ensure_future(_made(make)))
            kept.client.add_done_callback(_heard)
            if len(here) > MOST_TARGETS:
                self._drop_longest_idle(here)
        return kept

    def _drop_longest_idle(self, here: dict[str, _Kept[T]]) -> None:
        idle = [(kept.idle_since, key) for key, kept in here.items() if kept.users == 0 and kept.client.done()]
        if idle:
            kept = here.pop(min(idle)[1])
            asyncio.ensure_future(self._end(kept))  # noqa: RUF006 - nothing waits for it

    def _forget(self, key: str, kept: _Kept[T]) -> None:
        if self._here().get(key) is kept:
            del self._here()[key]

    def _look_later(self, key: str, kept: _Kept[T]) -> None:
        asyncio.get_running_loop().call_later(self._idle_seconds, self._look, key, kept)

    def _look(self, key: str, kept: _Kept[T]) -> None:
        if kept.users or time.monotonic() - kept.idle_since < self._idle_seconds * 0.9:
            return
        self._forget(key, kept)
        asyncio.ensure_future(self._end(kept))  # noqa: RUF006 - nothing waits for it

    async def _end(self, kept: _Kept[T]) -> None:
        if not kept.client.done() or _has_failed(kept.client):
            kept.client.cancel()
            return
        try:
            closing = self._close(kept.client.result())
            if closing is not None:
                await closing
        except Exception:
            logger.debug("a client did not close in order", exc_info=True)


async def close_every() -> None:
    """Close every client of this loop, of every kind, and what HTTP keeps: at its end, when nothing runs in it.
    A system that does not let go is left to the process's end."""
    closing = asyncio.gather(*(clients.close_all() for clients in list(_every)), http.close())
    try:
        await asyncio.wait_for(closing, CLOSE_SECONDS)
    except TimeoutError:
        logger.warning("not every connection was closed in order: they end with the process")


async def _made(make: Callable[[], Awaitable[T]]) -> T:
    return await make()


def _has_failed(task: asyncio.Task[T]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _heard(task: asyncio.Task[T]) -> None:
    if not task.cancelled():
        task.exception()


_every: WeakSet[Clients[Any]] = WeakSet()
