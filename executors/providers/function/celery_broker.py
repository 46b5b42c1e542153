"""A team's own broker, as their Celery app's client sees it: sends one task, revokes one. Blocks: call it in a thread.

Owns the connection to the broker of one target. It has nothing to do with the broker and the Celery app of this
system: no pool, no current app and no setting is shared with them.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from amqp.exceptions import MessageNacked
from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import EncodeError, OperationalError
from kombu.messaging import Producer
from kombu.pidbox import Mailbox

from executors.base import CONNECTION_ERROR, SERVICE_UNAVAILABLE, UNAUTHORIZED, VALIDATION_ERROR, AttemptFailed
from executors.providers.function.celery_urls import Address
from executors.reach.addresses import checked

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0  # for each answer of the broker
_REFUSED: Final = (
    "access_refused", "not_allowed", "noauth", "wrongpass", "noperm", "authentication", "access denied",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What is sent."""

    id: str
    name: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)  # which the task finds in its `request`


class Broker:
    """One connection to one broker, used by one thread at a time; made when it is first needed, and anew when it broke."""

    def __init__(self, address: Address, queue: str) -> None:
        self._address, self._queue = address, queue
        self._connection: Any = None
        self._lock = threading.Lock()

    def send(self, task: Task) -> None:
        """Send the task. Returns when the broker has it: RabbitMQ confirmed it, Redis stored it. Raises AttemptFailed."""
        with self._lock, self._told():
            channel = self._channel()
            headers, properties, body, _ = _message_maker().as_task_v2(
                task.id, task.name, args=list(task.args), kwargs=dict(task.kwargs), ignore_result=False
            )
            Producer(channel, auto_declare=False).publish(
                body, exchange="", routing_key=self._queue, serializer="json", delivery_mode=2,
                headers={**headers, **task.headers}, confirm_timeout=ANSWER_SECONDS, **properties,
            )  # fmt: skip

    def revoke(self, task_id: str, *, terminate: bool) -> None:
        """Tell every worker that listens not to run the task, and to end it where it runs (`terminate`)."""
        command = {
            "method": "revoke",
            "arguments": {"task_id": task_id, "terminate": terminate, "signal": "SIGTERM"},
            "destination": None,
            "pattern": None,
            "matcher": None,
        }
        with self._lock, self._told():
            channel = self._channel()
            mailbox: Any = Mailbox("celery", type="fanout").exchange
            if self._address.system == "redis":
                mailbox(channel).declare()  # tells this client alone that it is a fanout
            try:
                Producer(channel, auto_declare=False).publish(
                    command, exchange=mailbox.name, serializer="json", headers={"clock": 0, "expires": 0},
                    confirm_timeout=ANSWER_SECONDS,
                )  # fmt: skip
            except channel.connection.client.channel_errors as error:
                if getattr(error, "reply_code", None) != 404:  # there: no worker has ever listened at this broker
                    raise
                self._drop()

    def look(self) -> str:
        """What is at the other end, for people. Raises AttemptFailed."""
        with self._lock, self._told():
            self._channel()
            return f"{self._address}, queue {self._queue}"

    def close(self) -> None:
        """Close the connection, also under a thread that waits for the broker: its call then fails."""
        self._drop()

    def _channel(self) -> Any:
        """A channel on which the broker has just answered, and on whose broker the queue is."""
        if self._connection is not None:
            try:
                return self._ready(self._connection.default_channel)
            except Exception:  # it broke while it was not used: nothing was sent on it
                self._drop()
        connection = self._new_connection()
        self._connection = connection
        connection._ensure_connection(max_retries=0, timeout=CONNECT_SECONDS)
        return self._ready(connection.default_channel)

    def _ready(self, channel: Any) -> Any:
        if self._address.system == "redis":
            channel.client.ping()
            return channel
        try:
            channel.queue_declare(self._queue, passive=True)
            return channel
        except channel.connection.client.channel_errors as error:
            if getattr(error, "reply_code", None) != 404:
                raise
        channel = channel.connection.client.channel()  # the broker closed the one that asked
        self._connection._default_channel = channel
        channel.queue_declare(self._queue, durable=True, auto_delete=False)  # as a Celery worker does
        return channel

    def _new_connection(self) -> Any:
        to = self._address
        address = checked(to.host, to.port)
        options: dict[str, Any] = {"max_retries": 0}
        tls: Any = None
        if to.system == "redis":
            options |= {
                "socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": CONNECT_SECONDS, "max_connections": 3,
                "retry_on_timeout": False, "health_check_interval": 0,
            }  # fmt: skip
            if to.tls:  # the driver proves the name that it connects to: it is looked up once more
                address, tls = to.host, {"ssl_cert_reqs": ssl.CERT_REQUIRED}
        else:
            options |= {"confirm_publish": True, "read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
            if to.tls:
                tls = {"server_hostname": to.host, "cert_reqs": ssl.CERT_REQUIRED}
        return Connection(
            hostname=address, userid=to.user or None, password=to.password or None, port=to.port,
            virtual_host=to.name or ("0" if to.system == "redis" else "/"), transport="redis" if to.system == "redis" else "pyamqp",
            ssl=tls, connect_timeout=CONNECT_SECONDS, heartbeat=0, transport_options=options,
        )  # fmt: skip

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What a driver raises, as AttemptFailed; the connection is not used again."""
        try:
            yield
        except AttemptFailed:
            self._drop()
            raise
        except EncodeError as error:
            raise AttemptFailed(
                VALIDATION_ERROR, f"the arguments of the task cannot be sent as JSON: {error}"
            ) from None
        except Exception as error:
            self._drop()
            raise failed("the broker", error, self._address) from error

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.collect(socket_timeout=0.1)
            except Exception:  # it is broken, which is why it goes
                return


def failed(what: str, error: Exception, address: Address) -> AttemptFailed:
    """What an error of a driver means: refused, or not reached."""
    cause: BaseException = error
    while isinstance(cause, OperationalError) and cause.__cause__ is not None:
        cause = cause.__cause__
    text = f"{type(cause).__name__}: {cause}".replace("\n", " ")[:300]
    if address.password:
        text = text.replace(address.password, "***")  # as it is in no text of the catalog, where % stands in the URL
    what = f"{what} ({address})"
    if isinstance(cause, MessageNacked):
        return AttemptFailed(SERVICE_UNAVAILABLE, f"{what} took no task: its queue is full, or broken", retryable=True)
    if any(word in text.lower() for word in _REFUSED):
        return AttemptFailed(UNAUTHORIZED, f"{what} does not accept the login: {text}")
    return AttemptFailed(CONNECTION_ERROR, f"{what} could not be used: {text}", retryable=True)


@lru_cache(maxsize=1)
def _message_maker() -> Any:
    """What writes a task as a message, by Celery's protocol 2: an app that is never connected, and nobody's current one."""
    return Celery("functions", set_as_current=False, fixups=set(), autofinalize=False).amqp
