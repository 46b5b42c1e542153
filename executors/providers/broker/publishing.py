"""From a target's connection to a message that its broker has confirmed.

Owns the publishers that are kept per target. Knows no broker: each has a module with `open_publisher`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Protocol

from executors.catalog.components import Opened
from executors.providers.broker.message import Message
from executors.reach.clients import Clients

_MODULES: Final = {
    type: f"executors.providers.broker.{type}"
    for type in ("rabbitmq", "redis", "kafka", "nats", "mqtt", "sqs", "pubsub")
}


class Publisher(Protocol):
    """The connections to one target. It lives in one event loop, and is used by many runs at once."""

    def is_broken(self) -> bool:
        """Nobody is to publish through it any more."""

    async def publish(self, message: Message) -> Mapping[str, Any]:
        """Returns when the broker has the message: where it is, in the broker's own words.

        Raises AttemptFailed. Cancelled: gives up at once; the message may have arrived.
        """

    async def about(self) -> str:
        """Ask the broker something that needs its connection and login: what it is. Raises AttemptFailed."""

    async def close(self) -> None:
        """Give everything back. Never raises, never waits for the network for long."""


async def publish(opened: Opened, message: Message) -> Mapping[str, Any]:
    """Through the kept publisher of the target. Raises AttemptFailed."""
    while True:
        async with _kept.use(opened.key, lambda: open_publisher(opened)) as publisher:
            if publisher.is_broken():  # since it was last used: nothing was sent, a new one is
                _kept.drop(opened.key)
                continue
            try:
                return await publisher.publish(message)
            finally:
                if publisher.is_broken():
                    _kept.drop(opened.key)


async def open_publisher(opened: Opened) -> Publisher:
    """A publisher of one's own. Raises AttemptFailed."""
    module = await asyncio.to_thread(import_module, _MODULES[opened.type])  # a driver may take seconds to load
    publisher: Publisher = await module.open_publisher(opened.connection)
    return publisher


async def close_all() -> None:
    """Close every publisher of this event loop."""
    await _kept.close_all()


async def _closed(publisher: Publisher) -> None:
    await publisher.close()


_kept: Clients[Publisher] = Clients(_closed)
