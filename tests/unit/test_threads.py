"""Drivers that block: run beside the event loop, aborted when nobody waits for them any more."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextvars import ContextVar

import pytest

from executors.reach.threads import Threads


def test_an_answer_and_an_error_come_from_the_thread() -> None:
    threads = Threads("test", 1)

    async def both() -> None:
        assert await threads.run(max, 1, 2) == 2
        with pytest.raises(ZeroDivisionError):
            await threads.run(divmod, 1, 0)

    asyncio.run(both())


def test_a_function_sees_the_context_of_its_caller() -> None:
    who: ContextVar[str] = ContextVar("who")
    threads = Threads("test", 1)

    async def asked(name: str) -> str:
        who.set(name)
        return await threads.run(who.get)

    async def each() -> list[str]:
        return [await asyncio.create_task(asked(name)) for name in ("a", "b")]

    assert asyncio.run(each()) == ["a", "b"]


def test_what_runs_when_its_caller_is_cancelled_is_aborted_and_its_error_dropped() -> None:
    threads = Threads("test", 1)
    begun, aborted, over = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        aborted.wait(5)
        over.set()
        raise OSError("cut")

    async def cancelled() -> None:
        running = asyncio.create_task(threads.run(work, abort=aborted.set))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert aborted.is_set()
        while not over.is_set():
            await asyncio.sleep(0.001)
        assert await threads.run(max, 1, 2) == 2

    asyncio.run(cancelled())
    gc.collect()  # an error that nobody heard would be told here


def test_what_has_not_begun_when_its_caller_is_cancelled_never_runs() -> None:
    threads = Threads("test", 1)
    let_go, ran, aborted = threading.Event(), threading.Event(), threading.Event()

    async def cancelled() -> None:
        first = asyncio.create_task(threads.run(let_go.wait, 5))
        waiting = asyncio.create_task(threads.run(ran.set, abort=aborted.set))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        let_go.set()
        await first
        await threads.run(max, 1, 2)

    asyncio.run(cancelled())

    assert (ran.is_set(), aborted.is_set()) == (False, False)
