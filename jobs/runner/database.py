"""One thread with one database connection, for blocking work of the run loop.

The loop has four of these (claim, settle, lease, resolve), and a crew that works beside the runs
its own (`webhooks.crew`: two): that, and never more, is what a worker process holds of the
database, whatever its concurrency.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar, cast

from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

P = ParamSpec("P")
R = TypeVar("R")


class DatabaseThread:
    """Runs one function after the other on its own connection."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"db-{name}")
        self.busy = False

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's answer. After a database error the connection is replaced."""
        answer = await asyncio.get_running_loop().run_in_executor(self._pool, self._call, function, args, kwargs)
        return cast("R", answer)

    def _call(self, function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        self.busy = True
        try:
            return function(*args, **kwargs)
        except DatabaseError:
            connection.close()
            raise
        finally:
            self.busy = False

    def close(self) -> None:
        """Close the connection once the work in hand is done; does not wait for it."""
        self._pool.submit(close_connection)
        self._pool.shutdown(wait=False)


def close_connection() -> None:
    close_old_connections()
    connection.close()
