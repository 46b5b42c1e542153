"""One attempt of a request, as the thread that makes it and the event loop that may end it share it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from executors.base import CANCELLED, TIMEOUT, AttemptFailed

logger = logging.getLogger(__name__)

_TRIES = 20
_BETWEEN_SECONDS = 0.25


class Attempt:
    """`seconds` is what it has left when it is made."""

    def __init__(self, seconds: float) -> None:
        self.aborted = False
        self._until = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None

    def left(self) -> float:
        """Seconds to go. Raises AttemptFailed where there are none, or nobody waits for it any more."""
        if self.aborted:
            raise AttemptFailed(CANCELLED, "the attempt was ended")
        left = self._until - time.monotonic()
        if left <= 0:
            raise AttemptFailed(TIMEOUT, "the database had not answered by the run's deadline", retryable=True)
        return left

    @contextmanager
    def may_abort(self, stop: Callable[[], None]) -> Iterator[None]:
        """While this lasts, `abort` calls `stop`; it does not end before a `stop` that has begun."""
        with self._lock:
            self.left()
            self._stop = stop
        try:
            yield
        finally:
            with self._lock:
                self._stop = None

    def abort(self) -> None:
        """End it soon. Does not block: `stop` may talk to a server, in a thread of its own."""
        self.aborted = True
        threading.Thread(target=self._end, name="database-abort", daemon=True).start()

    def _end(self) -> None:
        for _ in range(_TRIES):  # one that falls between two statements ends neither
            with self._lock:
                if self._stop is None:
                    return
                try:
                    self._stop()
                except Exception:
                    logger.debug("a statement was not ended in order", exc_info=True)
            time.sleep(_BETWEEN_SECONDS)
