"""Blocking calls of the providers: in threads of their own, and cut where they wait for a socket.

Owns which sockets a call uses. A call that is no longer wanted has them shut down, so that its thread is free
at once instead of after the driver's time-out.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from executors.base import CANCELLED, AttemptFailed
from executors.reach.threads import Threads

T = TypeVar("T")

THREADS = Threads("storage")


async def call(function: Callable[..., T], *args: Any) -> T:
    """The function's answer, from a thread. Cancelled: it is cut, and its answer dropped."""
    running = _Running()
    return await THREADS.run(running.run, function, *args, abort=running.cut)


def uses(sock: Any) -> None:
    """The call of this thread goes on over that socket. Raises AttemptFailed where it was cut."""
    running = _running.get()
    if running is not None:
        running.add(sock)


def go_on() -> None:
    """Raises AttemptFailed where the call of this thread was cut: for calls that wait for no socket."""
    uses(None)


class _Running:
    """One call."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._cut = False
        self._lock = threading.Lock()

    def run(self, function: Callable[..., T], *args: Any) -> T:
        _running.set(self)  # each call has a context of its own
        return function(*args)

    def add(self, sock: socket.socket | None) -> None:
        with self._lock:
            if self._cut:
                raise AttemptFailed(CANCELLED, "the run was taken away")
            if sock is not None and sock not in self._sockets:
                self._sockets.append(sock)

    def cut(self) -> None:
        """From another thread."""
        with self._lock:
            self._cut = True
            for sock in self._sockets:
                try:
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # TLS of its own would be waited for
                except OSError:
                    pass  # it is closed already


_running: ContextVar[_Running | None] = ContextVar("running", default=None)
