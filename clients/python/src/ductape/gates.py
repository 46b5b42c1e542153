"""How many requests of a client are under way at once; the others wait here, in order, and not in httpx's pool.

That one looks through all of its connections for all that wait whenever a request ends: with a thousand waiting
it does little else. Once in either manner, since locks of threads and of asyncio have nothing in common.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx


class Gate:
    """Between threads."""

    def __init__(self, most: int) -> None:
        self._places = threading.BoundedSemaphore(most)

    @contextmanager
    def place(self, seconds: float) -> Iterator[None]:
        """Raises httpx.PoolTimeout where none becomes free in time."""
        if not self._places.acquire(timeout=max(seconds, 0.0)):
            raise httpx.PoolTimeout(_told(seconds))
        try:
            yield
        finally:
            self._places.release()


class AsyncGate:
    """Between tasks."""

    def __init__(self, most: int) -> None:
        self._places = asyncio.BoundedSemaphore(most)

    @asynccontextmanager
    async def place(self, seconds: float) -> AsyncIterator[None]:
        """Raises httpx.PoolTimeout where none becomes free in time."""
        if self._places.locked():
            try:
                await asyncio.wait_for(self._places.acquire(), max(seconds, 0.0))
            except TimeoutError:
                raise httpx.PoolTimeout(_told(seconds)) from None
        else:
            await self._places.acquire()
        try:
            yield
        finally:
            self._places.release()


def _told(seconds: float) -> str:
    return f"no connection became free within {seconds:.1f} s: raise `max_connections`, or do less at once"
