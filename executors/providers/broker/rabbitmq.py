"""RabbitMQ through kombu: a run is done when the broker has confirmed its message and a queue has taken it.

Owns a few connections per target, each used by one thread at a time; one that fails is never used again.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from amqp import exceptions as amqp
from kombu.connection import Connection
from kombu.messaging import Producer
from kombu.transport import pyamqp

from executors.base import (
    CONNECTION_ERROR,
    FORBIDDEN,
    NOT_FOUND,
    SERVICE_UNAVAILABLE,
    UNAUTHORIZED,
    VALIDATION_ERROR,
    AttemptFailed,
)
from executors.providers.broker.endpoints import CONNECT_SECONDS, Endpoint, configured, no_connection
from executors.providers.broker.kind import AMQP
from executors.providers.broker.message import Message
from executors.reach.addresses import checked
from executors.reach.threads import Threads

T = TypeVar("T")

MOST_CONNECTIONS: Final = 8  # to one target, in one process
IDLE_SECONDS: Final = 45.0  # a connection that slept longer may have been cut on its way without a word
_PERSISTENT, _TRANSIENT = 2, 1

_threads = Threads("rabbitmq")


async def open_publisher(connection: Mapping[str, Any]) -> RabbitPublisher:
    """Connects when something is published. Raises AttemptFailed for an address that may not be reached."""
    endpoint = configured(connection, AMQP)
    await endpoint.address()
    return RabbitPublisher(endpoint, connection)


class RabbitPublisher:
    """Hands each message to a thread, with a connection of its own for so long."""

    def __init__(self, endpoint: Endpoint, connection: Mapping[str, Any]) -> None:
        self._endpoint = endpoint
        self._vhost = connection.get("vhost") or endpoint.path or "/"
        self._ca = connection.get("ca")
        self._idle: list[_Link] = []
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)

    def is_broken(self) -> bool:
        return False  # its connections are, one by one

    async def publish(self, message: Message) -> Mapping[str, Any]:
        return await self._with_link(lambda link: link.publish(message), message.seconds)

    async def about(self) -> str:
        return await self._with_link(lambda link: f"{link.about()}, virtual host {self._vhost}", CONNECT_SECONDS)

    async def close(self) -> None:
        links, self._idle = self._idle, []
        for link in links:
            link.close()

    async def _with_link(self, use: Callable[[_Link], T], seconds: float) -> T:
        async with self._room:
            turn = _Turn()
            try:
                done: T = await _threads.run(self._used, use, turn, seconds)
            except BaseException:
                turn.abort()  # also of one that has just ended: nobody takes its link back
                raise
            link = turn.link
            if link is not None:
                self._idle.append(link)
            return done

    def _used(self, use: Callable[[_Link], T], turn: _Turn, seconds: float) -> T:
        """In a thread. The link stays in its turn only where it is as good as before."""
        until = time.monotonic() + seconds
        link = self._awake()
        if link is None:
            address = checked(self._endpoint.host, self._endpoint.port)
            link = _Link(self._endpoint, address, self._vhost, self._ca, seconds)
        turn.take(link)
        try:
            link.seconds = max(0.001, until - time.monotonic())
            done: T = use(link)
        except BaseException:
            turn.link = None
            link.close()
            raise
        turn.over()
        return done

    def _awake(self) -> _Link | None:
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:  # another thread was first
                break
            if link.is_alive():
                return link
            link.close()
        return None


class _Turn:
    """One use of a link, which may be given up from outside."""

    def __init__(self) -> None:
        self.link: _Link | None = None
        self._given_up = self._over = False

    def take(self, link: _Link) -> None:
        self.link = link
        if self._given_up:
            self.abort()

    def abort(self) -> None:
        """From any thread: whoever waits for the broker wakes up, to a connection that is gone."""
        self._given_up = True
        if self.link is not None:
            self.link.close() if self._over else self.link.cut()

    def over(self) -> None:
        """The link did what it was taken for; nobody takes it back where its turn was given up."""
        self._over = True
        if self._given_up and self.link is not None:
            self.link.close()


class _Connection(pyamqp.Connection):
    """One that leaves no socket behind where the handshake fails."""

    def connect(self, callback: Any = None) -> Any:
        try:
            return super().connect(callback)
        except BaseException:
            self.collect()
            raise


class _Transport(pyamqp.Transport):
    Connection = _Connection


class _Link:
    """A connection with its channel, in confirm mode. Raises AttemptFailed. Not for two threads at once."""

    def __init__(self, endpoint: Endpoint, address: str, vhost: str, ca: str | None, seconds: float) -> None:
        self._where = f"RabbitMQ at {endpoint}"
        self._used_at = time.monotonic()
        self.seconds = seconds
        tls: Any = False
        if endpoint.tls:
            tls = {"context": {"check_hostname": True, "cadata": ca}, "server_hostname": endpoint.host}
        transport = Connection(
            transport=_Transport, hostname=f"[{address}]" if ":" in address else address, port=endpoint.port,
            userid=endpoint.username or "guest", password=endpoint.password or "guest", virtual_host=vhost, ssl=tls,
            login_method="PLAIN", heartbeat=0, connect_timeout=min(CONNECT_SECONDS, seconds),
            transport_options={
                "confirm_publish": True, "client_properties": {"connection_name": "ductape-jobs"},
                "read_timeout": CONNECT_SECONDS, "write_timeout": CONNECT_SECONDS,
            },
        ).transport  # fmt: skip
        try:
            self._connection = transport.establish_connection()
            self._channel = self._connection.channel()
        except amqp.AccessRefused as error:
            raise AttemptFailed(UNAUTHORIZED, f"{self._where} refused the login: {error.reply_text}") from None
        except amqp.NotAllowed as error:
            code = NOT_FOUND if "not found" in str(error.reply_text) else FORBIDDEN
            raise AttemptFailed(code, f"{self._where}: {error.reply_text}") from None
        except (amqp.AMQPError, OSError) as error:
            raise no_connection(self._where, error) from None
        self._returned: list[Any] = []
        self._producer = Producer(self._channel, auto_declare=False, on_return=self._on_return)

    def publish(self, message: Message) -> Mapping[str, Any]:
        options = message.options
        exchange = options.get("exchange", "")
        key = options.get("routing_key", message.key)
        key = message.to if key is None else key
        expiration = options.get("expiration")
        properties = {"priority": options["priority"]} if "priority" in options else {}
        self._returned.clear()
        try:
            self._producer.publish(
                message.body, exchange=exchange, routing_key=key, mandatory=True, headers=dict(message.headers),
                content_type=message.content_type, content_encoding="utf-8", message_id=message.id,
                delivery_mode=_PERSISTENT if options.get("persistent", True) else _TRANSIENT,
                expiration=None if expiration is None else expiration / 1000, timestamp=int(time.time()),
                timeout=self.seconds, confirm_timeout=self.seconds, **properties,
            )  # fmt: skip
        except (amqp.AMQPError, amqp.MessageNacked, OSError) as error:
            raise self._failed(error, exchange) from None
        self._used_at = time.monotonic()
        if self._returned:
            to = f"exchange {exchange!r}, routing key {key!r}" if exchange else f"queue {key!r}"
            raise AttemptFailed(NOT_FOUND, f"{self._where}: no queue takes the message ({to}): declare or bind one")
        return {"exchange": exchange, "routing_key": key, "message_id": message.id}

    def about(self) -> str:
        properties = self._connection.server_properties
        return f"{properties.get('product', 'AMQP broker')} {properties.get('version', '')}".strip()

    def is_alive(self) -> bool:
        """Whether nothing has come since it was last used: all that an idle broker says is goodbye."""
        if time.monotonic() - self._used_at > IDLE_SECONDS:
            return False
        try:
            waiting = select.poll()
            waiting.register(self._connection.transport.sock, select.POLLIN)
            return not waiting.poll(0)
        except (OSError, ValueError, AttributeError):
            return False

    def cut(self) -> None:
        try:
            self._connection.transport.sock.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):  # it is closed already
            pass

    def close(self) -> None:
        try:
            self._connection.collect()  # without waiting for the broker's goodbye
        except (OSError, amqp.AMQPError):
            pass

    def _on_return(self, *returned: Any) -> None:
        self._returned.append(returned)

    def _failed(self, error: Exception, exchange: str) -> AttemptFailed:
        text = str(getattr(error, "reply_text", "") or error)[:300]
        match error:
            case amqp.MessageNacked():
                told = "did not take the message: a queue is full, or could not store it"
                return AttemptFailed(SERVICE_UNAVAILABLE, f"{self._where} {told}", retryable=True)
            case amqp.NotFound():
                return AttemptFailed(NOT_FOUND, f"{self._where}: {text}")
            case amqp.AccessRefused():
                return AttemptFailed(FORBIDDEN, f"{self._where}: {text}")
            case amqp.PreconditionFailed() | amqp.ContentTooLarge():
                return AttemptFailed(VALIDATION_ERROR, f"{self._where}: {text}")
            case amqp.ResourceError() | amqp.ConnectionForced():
                return AttemptFailed(SERVICE_UNAVAILABLE, f"{self._where}: {text}", retryable=True)
            case amqp.IrrecoverableChannelError() | amqp.IrrecoverableConnectionError():
                return AttemptFailed(VALIDATION_ERROR, f"{self._where}: {text}")
            case _:
                told = "the connection broke before the message was confirmed"
                return AttemptFailed(CONNECTION_ERROR, f"{self._where}: {told}", retryable=True)
