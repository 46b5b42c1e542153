"""Processes of their own for runs that may crash or burn CPU: one run a process at a time.

A child that dies is `Died`, which its parent reports as lost; one that is past its deadline or
whose run was taken away is killed. Children are kept for the next run while they live.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from executors.base import Call, Outcome
from executors.isolated import Died, serve

_CALL_FIELDS = [field.name for field in fields(Call) if field.name not in {"cancelled", "steps", "was_cancelled"}]
_SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with threads and a loop is undefined


@dataclass(slots=True, eq=False)
class _Child:
    process: BaseProcess
    pipe: Connection


class Isolation:
    """Up to `size` children, started when first needed."""

    def __init__(self, size: int) -> None:
        self._idle: list[_Child] = []
        self._children: set[_Child] = set()
        self._threads = ThreadPoolExecutor(max(1, size), thread_name_prefix="isolated")

    async def execute(self, call: Call) -> Outcome | Died:
        """Run the attempt in a child. Cancelled: the child is killed."""
        loop = asyncio.get_running_loop()
        child = self._living() or await self._new_child(loop)
        message = {name: getattr(call, name) for name in _CALL_FIELDS}
        try:
            answer = await loop.run_in_executor(self._threads, _ask, child, message)
        except asyncio.CancelledError:
            self._end(child)
            raise
        if isinstance(answer, Died):
            self._end(child)
        else:
            self._idle.append(child)
        return answer

    def _living(self) -> _Child | None:
        """An idle child. One that died while it had no run (out of memory, a signal) is no loss of the next one."""
        while self._idle:
            child = self._idle.pop()
            if child.process.is_alive():
                return child
            self._end(child)
        return None

    async def _new_child(self, loop: asyncio.AbstractEventLoop) -> _Child:
        starting = loop.run_in_executor(self._threads, self._start)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # the run was taken away meanwhile: the child serves the next one
            starting.add_done_callback(self._keep)
            raise

    def _keep(self, started: asyncio.Future[_Child]) -> None:
        if not started.cancelled() and started.exception() is None:
            self._idle.append(started.result())

    def _start(self) -> _Child:
        parent, pipe = _SPAWN.Pipe()
        process = _SPAWN.Process(target=serve, args=(pipe, os.getpid()), daemon=True, name="isolated run")
        process.start()
        pipe.close()
        child = _Child(process, parent)
        self._children.add(child)
        return child

    def _end(self, child: _Child) -> None:
        self._children.discard(child)
        child.process.kill()
        self._threads.submit(child.process.join)

    def close(self) -> None:
        """Kill every child."""
        for child in list(self._children):
            self._end(child)
        self._threads.shutdown(wait=True)


def _ask(child: _Child, message: dict[str, Any]) -> Outcome | Died:
    try:
        child.pipe.send(message)
        answer: Outcome = child.pipe.recv()
        return answer
    except (EOFError, OSError):
        child.process.join(timeout=1)
        code = child.process.exitcode
        if code is not None and code < 0:
            return Died(f"its process was ended by {signal.Signals(-code).name}")
        return Died(f"its process exited with status {code}")
