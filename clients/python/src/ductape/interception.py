"""Where requests go instead of to a server, while tests of users' code record them.

Owns one slot, which every client of the process looks into before it sends. Without a recorder it is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

Handler = Callable[[httpx.Request], httpx.Response]

_handlers: list[Handler] = []


def current() -> Handler | None:
    return _handlers[-1] if _handlers else None


@contextmanager
def intercepted(handler: Handler) -> Iterator[None]:
    """Within it no client of this process sends anything: `handler` answers."""
    _handlers.append(handler)
    try:
        yield
    finally:
        _handlers.remove(handler)
