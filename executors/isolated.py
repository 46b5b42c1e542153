"""The child process of an isolated run: one attempt after the other, until its parent is gone.

It is what the new process imports first, before Django is set up: nothing here, nor what it imports
at the top, may touch a model.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from executors.base import INTERNAL_ERROR, Call, Failed, Outcome

if TYPE_CHECKING:
    from executors.base import Executor


@dataclass(frozen=True, slots=True)
class Died:
    """The child ended without an answer."""

    text: str


def serve(pipe: Connection, parent: int) -> None:
    """Answer each message, the fields of a `Call`, with its outcome."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no orphan outlives its worker
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent drains, then kills
    import django

    django.setup()
    from executors import registry

    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            return
        call = Call(**message)
        try:
            outcome = asyncio.run(_run(registry.get(call.namespace), call))
        except Exception as error:
            outcome = Failed(code=INTERNAL_ERROR, message=f"the executor raised {type(error).__name__}", retryable=True)
        pipe.send(outcome)


async def _run(executor: Executor, call: Call) -> Outcome:
    from executors.reach.clients import close_every

    try:
        return await executor.execute(call)
    finally:
        await close_every()  # the next run has a loop of its own
