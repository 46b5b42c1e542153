"""An event loop that stands still while the database is asked: attempts and Django in one thread, on one connection.

A worker asks its database in threads with connections of their own, which see nothing of a transaction that a test
is in; and Django refuses to be asked inside a running loop. Here the loop is left for each question, and gone on
with after it.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast

from executors.reach.clients import close_every
from jobs.runner.database import DatabaseThread

P = ParamSpec("P")
R = TypeVar("R")

# What shows what jobs are, or begins something that may be rolled back. Any other statement is the caller's own affair.
_OURS = re.compile(r"\b(jobs|tenancy|catalog)_|\bSAVEPOINT\b|^\s*BEGIN\b", re.IGNORECASE)


class Stepping:
    """Runs one coroutine after the other in the caller's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._asked: deque[Callable[[], None]] = deque()

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Its answer; what it asks by `call` is done between two steps of the loop."""
        task = self._loop.create_task(coroutine)
        task.add_done_callback(self._stop)
        try:
            while not task.done():
                self._loop.run_forever()
                while self._asked:
                    self._asked.popleft()()
        except BaseException:
            task.cancel()
            raise
        return task.result()

    async def call(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """The function's answer, called in the same thread while no loop is running."""
        answer: asyncio.Future[R] = self._loop.create_future()

        def ask() -> None:
            if answer.cancelled():
                return
            try:
                value = function(*args, **kwargs)
            except Exception as error:
                answer.set_exception(error)
            else:
                answer.set_result(value)

        self._asked.append(ask)
        self._loop.stop()
        return await answer

    def close(self) -> None:
        """Close what executors have kept for the loop, then the loop itself."""
        try:
            self.run(close_every())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    def _stop(self, _: object) -> None:
        self._loop.stop()


class Watch:
    """Of the statements on a connection: calls `heard` once, before the first that shows what jobs are."""

    def __init__(self) -> None:
        self.heard: Callable[[], None] | None = None

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        heard = self.heard
        if heard is not None and _OURS.search(str(sql)):
            self.heard = None
            heard()
        return execute(sql, params, many, context)


class SameThread(DatabaseThread):
    """What a worker's run loop knows as a thread with a connection. `unheard`: what it asks is no look at jobs."""

    def __init__(self, stepping: Stepping, unheard: Watch | None = None) -> None:
        self.busy = False
        self._stepping = stepping
        self._unheard = unheard

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return cast("R", await self._stepping.call(self._call, function, args, kwargs))

    def _call(self, function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        watch = self._unheard
        if watch is None:
            return function(*args, **kwargs)
        heard, watch.heard = watch.heard, None
        try:
            return function(*args, **kwargs)
        finally:
            watch.heard = heard

    def close(self) -> None:
        """The connection is the caller's."""
