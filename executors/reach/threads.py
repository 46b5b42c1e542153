"""Drivers that block run here: in bounded threads, so that none stalls the event loop or takes all of them.

Each family of drivers has its own threads: slow databases leave brokers alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")

THREADS = 64  # of one family in one process; more wait their turn, within their own deadline


class Threads:
    """Runs functions in at most `size` threads, which are started when first needed."""

    def __init__(self, name: str, size: int = THREADS) -> None:
        self._name, self._size = name, size
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[..., T], *args: Any, abort: Callable[[], None] | None = None) -> T:
        """The function's answer. Cancelled: `abort` is called, from this thread, so that the other one ends
        soon (a thread cannot be stopped); its answer is dropped."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._size, thread_name_prefix=self._name)
        # A thread of the pool would see the context of whoever used it first.
        running = self._pool.submit(copy_context().run, function, *args)
        answer = asyncio.wrap_future(running)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            # Asked of the thread's own future: the loop's says that it was cancelled while the thread goes on.
            if not running.cancel() and not running.done() and abort is not None:
                abort()
            answer.add_done_callback(_heard)
            raise


def _heard(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
