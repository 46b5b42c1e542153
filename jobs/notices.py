"""Notices over Redis pub/sub: "this run was taken away", "something is due earlier", "events are wanted".

Best effort, for latency only: a worker learns of a cancelled run from its next beat anyway,
the scheduler looks every second, and whoever takes wanted events looks by itself, too.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable

import redis
from django.conf import settings

from jobs import wakeup

logger = logging.getLogger(__name__)

STOPPED = "ductape:stopped"  # JSON list of run ids that their worker must stop
DUE = "ductape:due"  # something is due earlier than the scheduler knew
WANTED = "ductape:wanted"  # events were written that somebody listens to
RING_SECONDS = 0.1  # a bell that is rung all the time is heard so often


def tell_stopped(run_ids: Iterable[int]) -> None:
    """Tell the workers that these runs are no longer theirs. Never raises."""
    ids = list(run_ids)
    if ids:
        _publish(STOPPED, json.dumps(ids))


def tell_due() -> None:
    """Tell the schedulers to look at the next due time again. Never raises."""
    _publish(DUE, "")


def _publish(channel: str, message: str) -> None:
    if not wakeup.reachable():
        return
    try:
        wakeup.client().publish(channel, message)
    except (redis.RedisError, OSError) as error:
        wakeup.failed(error, f"notice on {channel}")


class Bell:
    """Rung by any thread, at any rate, without waiting: a thread of its own publishes, at most every RING_SECONDS."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._rung = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self) -> None:
        """There will be a notice. Never raises."""
        self._rung.set()
        if self._thread is None or not self._thread.is_alive():  # also in the child of a process that had one
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._publish, name=f"bell:{self._channel}", daemon=True)
                    self._thread.start()

    def _publish(self) -> None:
        while True:
            self._rung.wait()
            self._rung.clear()
            _publish(self._channel, "")
            time.sleep(RING_SECONDS)


class Ear(threading.Thread):
    """Listens on one channel in a thread of its own and calls `heard(message)` for each notice.

    Survives a Redis that is down, restarted or hanging: it connects again every second.
    """

    def __init__(self, channel: str, heard: Callable[[str], None]) -> None:
        super().__init__(name=f"ear:{channel}", daemon=True)
        self._channel = channel
        self._heard = heard
        self._closed = threading.Event()

    def run(self) -> None:
        while not self._closed.is_set():
            try:
                self._listen()
            except (redis.RedisError, OSError, ValueError) as error:
                logger.debug("%s: %s", self._channel, error)
                self._closed.wait(1.0)

    def _listen(self) -> None:
        # The health check makes a half-open connection show itself within seconds.
        server = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, health_check_interval=5)
        try:
            with server.pubsub(ignore_subscribe_messages=True) as subscription:
                subscription.subscribe(self._channel)
                while not self._closed.is_set():
                    message = subscription.get_message(timeout=1.0)
                    if message is not None:
                        self._heard(message["data"].decode())
        finally:
            server.close()

    def close(self) -> None:
        """Stop listening; returns at once, the thread ends within a second."""
        self._closed.set()
