"""Wake-ups: the only publisher of Celery messages. A message names a queue, never a job.

Losing, doubling or delaying one costs latency only: workers also look by themselves, and the
scheduler wakes queues where due work waits. Everything here gives up within half a second and
never raises: a dead or hanging Redis must not fail a dispatch that is already committed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from functools import cache
from typing import Any
from uuid import uuid4

import redis
from celery import current_app
from django.conf import settings
from kombu import exceptions as kombu_errors
from kombu.connection import Connection
from kombu.pools import producers
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

CELERY_TASK = "jobs.wake"
KEY_PREFIX = "ductape:wake:"
KEY_MILLISECONDS = 250  # a queue is woken at most so often until a worker answers
SOCKET_SECONDS = 0.25  # two steps of a wake-up, each at most this
PAUSE_SECONDS = 1.0  # after a failure nobody tries again for so long: a dead Redis costs each caller nothing

_lock = threading.Lock()
_client: redis.Redis | None = None
_silent_until = 0.0


def client() -> redis.Redis:
    """This process's impatient Redis client: one try, a quarter of a second."""
    global _client
    if _client is None:
        with _lock:
            if _client is None:
                _client = redis.Redis.from_url(
                    settings.REDIS_URL,
                    socket_timeout=SOCKET_SECONDS,
                    socket_connect_timeout=SOCKET_SECONDS,
                    retry=Retry(NoBackoff(), 0),
                )
    return _client


def reachable() -> bool:
    """Whether it is worth trying: False for a moment after a failure."""
    return time.monotonic() >= _silent_until


def failed(error: Exception, what: str) -> None:
    """Note that Redis did not answer; nobody asks it again for PAUSE_SECONDS."""
    global _silent_until
    _silent_until = time.monotonic() + PAUSE_SECONDS
    logger.warning("%s: Redis did not answer (%s); workers find the work by themselves", what, error)


def wake(queues: Iterable[str]) -> None:
    """Wake a worker of each queue, at most once until one answers. Call it after the commit."""
    for queue in queues:
        if not reachable():
            return
        try:
            if client().set(KEY_PREFIX + queue, b"1", nx=True, px=KEY_MILLISECONDS):
                _publish(queue)
        except (redis.RedisError, OSError) as error:
            failed(error, f"wake-up of queue {queue!r}")


def answered(queue: str) -> None:
    """A worker is about to look: the next piece of work may wake somebody again."""
    if not reachable():
        return
    try:
        client().delete(KEY_PREFIX + queue)
    except (redis.RedisError, OSError) as error:
        failed(error, f"answer for queue {queue!r}")


def _publish(queue: str) -> None:
    try:
        body, headers = _message(queue)
        id = str(uuid4())
        with producers[_connection()].acquire(block=True, timeout=SOCKET_SECONDS) as producer:
            producer.publish(
                body, exchange="", routing_key=queue, serializer="json", correlation_id=id, retry=False,
                headers={**headers, "id": id, "root_id": id}, delivery_mode="transient",
            )  # fmt: skip
    except (kombu_errors.KombuError, redis.RedisError, OSError) as error:
        failed(error, f"wake-up of queue {queue!r}")


@cache
def _message(queue: str) -> tuple[Any, dict[str, Any]]:
    """Body and headers of the task's message, made by Celery once: all but its id is always the same."""
    made = current_app.amqp.as_task_v2("", CELERY_TASK, args=[queue], ignore_result=True)
    return made.body, made.headers


@cache
def _connection() -> Connection:
    """As Celery's own, but impatient; its producers are pooled by kombu."""
    options = {
        **settings.CELERY_BROKER_TRANSPORT_OPTIONS,
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        "retry_on_timeout": False,
    }
    return Connection(settings.REDIS_URL, transport_options=options)
