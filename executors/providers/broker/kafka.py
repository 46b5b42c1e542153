"""Kafka through librdkafka: acks=all, and the delivery report of the message itself.

Owns one producer per target, whose threads are librdkafka's own. The bootstrap servers' addresses are checked;
those that a cluster advertises are connected to by librdkafka alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Report

from executors.base import (
    CONNECTION_ERROR,
    FORBIDDEN,
    NOT_FOUND,
    RATE_LIMITED,
    SERVICE_UNAVAILABLE,
    UNAUTHORIZED,
    VALIDATION_ERROR,
    AttemptFailed,
)
from executors.providers.broker.endpoints import CONNECT_SECONDS, host_ports
from executors.providers.broker.kind import KAFKA_PORT
from executors.providers.broker.message import Message
from executors.reach.addresses import checked_later
from executors.reach.threads import Threads

logger = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.2
_TOPIC_SECONDS: Final = 3  # so long a topic that was just made may be unknown to a broker

_CODES: Final = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: (NOT_FOUND, False),
    KafkaError._UNKNOWN_TOPIC: (NOT_FOUND, False),
    KafkaError._UNKNOWN_PARTITION: (NOT_FOUND, False),
    KafkaError.MSG_SIZE_TOO_LARGE: (VALIDATION_ERROR, False),
    KafkaError.RECORD_LIST_TOO_LARGE: (VALIDATION_ERROR, False),
    KafkaError.INVALID_MSG_SIZE: (VALIDATION_ERROR, False),
    KafkaError.INVALID_RECORD: (VALIDATION_ERROR, False),
    KafkaError.TOPIC_EXCEPTION: (VALIDATION_ERROR, False),
    KafkaError.POLICY_VIOLATION: (VALIDATION_ERROR, False),
    KafkaError.TOPIC_AUTHORIZATION_FAILED: (FORBIDDEN, False),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: (FORBIDDEN, False),
    KafkaError._AUTHENTICATION: (UNAUTHORIZED, False),
    KafkaError.SASL_AUTHENTICATION_FAILED: (UNAUTHORIZED, False),
    KafkaError.THROTTLING_QUOTA_EXCEEDED: (RATE_LIMITED, True),
    KafkaError._QUEUE_FULL: (RATE_LIMITED, True),
    KafkaError._TRANSPORT: (CONNECTION_ERROR, True),
    KafkaError._ALL_BROKERS_DOWN: (CONNECTION_ERROR, True),
    KafkaError._RESOLVE: (CONNECTION_ERROR, True),
    KafkaError._SSL: (CONNECTION_ERROR, True),
    KafkaError._MSG_TIMED_OUT: (CONNECTION_ERROR, True),
    KafkaError._PURGE_QUEUE: (CONNECTION_ERROR, True),
    KafkaError._PURGE_INFLIGHT: (CONNECTION_ERROR, True),
}
# What makes everything that waits wait in vain.
_OF_ALL: Final = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION})

_threads = Threads("kafka")


async def open_publisher(connection: Mapping[str, Any]) -> KafkaPublisher:
    """A producer, which connects by itself. Raises AttemptFailed for an address that may not be reached."""
    try:
        brokers = list(host_ports(connection["brokers"], KAFKA_PORT))
    except ValueError as error:
        raise AttemptFailed(VALIDATION_ERROR, f"the broker's brokers: {error}") from None
    for host, port in brokers:
        await checked_later(host, port)
    return KafkaPublisher(
        [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in brokers], connection
    )


class KafkaPublisher:
    """A producer that many runs publish through at once; a thread polls it while anything is under way."""

    def __init__(self, brokers: list[str], connection: Mapping[str, Any]) -> None:
        self._where = f"Kafka at {', '.join(brokers[:3])}"
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[Report]] = set()
        self._polling: asyncio.Task[None] | None = None
        self._broken = False
        self._last: KafkaError | None = None
        self._why = ""  # the last thing that librdkafka said of one server
        try:
            self._producer = Producer({**_settings(brokers, connection), "error_cb": self._on_error, "logger": logger})
        except KafkaException as error:
            raise AttemptFailed(VALIDATION_ERROR, f"{self._where}: {error.args[0].str()}") from None

    def is_broken(self) -> bool:
        return self._broken

    async def publish(self, message: Message) -> Mapping[str, Any]:
        answered: asyncio.Future[Report] = self._loop.create_future()
        headers: list[tuple[str, str | bytes | None]] = [
            (name, value.encode()) for name, value in message.headers.items()
        ]
        headers.append(("content-type", message.content_type.encode()))
        partition = {"partition": message.options["partition"]} if "partition" in message.options else {}
        try:
            self._producer.produce(
                message.to, message.body, message.key.encode() if message.key is not None else None,
                headers=headers, on_delivery=lambda error, report: self._tell(_report, answered, error, report),
                **partition,
            )  # fmt: skip
        except BufferError:
            raise AttemptFailed(
                RATE_LIMITED, f"{self._where}: too many messages wait to be sent", retryable=True
            ) from None
        except KafkaException as error:
            raise self._failed(error.args[0]) from None
        self._waiting.add(answered)
        self._poll()
        try:
            report = await answered
        except KafkaException as error:
            raise self._failed(error.args[0]) from None
        except asyncio.CancelledError:
            self._broken = True  # what still waits in it is thrown away with it, not sent some time later
            raise
        finally:
            self._waiting.discard(answered)
        return {"topic": report.topic(), "partition": report.partition(), "offset": report.offset()}

    async def about(self) -> str:
        try:
            found = await _threads.run(lambda: self._producer.list_topics(timeout=CONNECT_SECONDS * 0.8))
        except KafkaException as error:
            raise self._failed(error.args[0]) from None
        return f"Kafka cluster {found.cluster_id}, {len(found.brokers)} broker(s), {len(found.topics)} topic(s)"

    async def close(self) -> None:
        self._broken = True
        self._producer.purge(in_queue=True, in_flight=True)
        if self._polling is not None:
            await asyncio.wait({self._polling}, timeout=1)
        await _threads.run(self._producer.flush, 0.1)

    def _poll(self) -> None:
        if self._polling is None or self._polling.done():
            self._polling = asyncio.ensure_future(self._polled())

    async def _polled(self) -> None:
        while self._waiting:
            await _threads.run(self._producer.poll, _POLL_SECONDS)
            if self._last is not None:
                error, self._last = self._last, None
                self._fail_all(error)

    def _on_error(self, error: KafkaError) -> None:
        """In whichever thread polls."""
        if error.code() in _OF_ALL:
            self._broken = True
            self._last = error
        else:
            self._why = error.str()[:300]

    def _fail_all(self, error: KafkaError) -> None:
        for waiting in [*self._waiting]:
            if not waiting.done():
                waiting.set_exception(KafkaException(error))

    def _tell(self, *call: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(*call)
        except RuntimeError:  # the loop has ended
            pass

    def _failed(self, error: KafkaError) -> AttemptFailed:
        code, retryable = _CODES.get(error.code(), (SERVICE_UNAVAILABLE, bool(error.retriable())))
        text = error.str()[:300]
        if code == CONNECTION_ERROR:
            self._broken = True
            text = f"{text}: {self._why}" if self._why else text
        return AttemptFailed(code, f"{self._where}: {text}", retryable=retryable)


def _settings(brokers: list[str], connection: Mapping[str, Any]) -> dict[str, Any]:
    tls, sasl = bool(connection.get("tls")), connection.get("sasl")
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(brokers),
        "client.id": connection.get("clientId", "ductape-jobs"),
        "security.protocol": ("SASL_" if sasl else "") + ("SSL" if tls else "PLAINTEXT"),
        "acks": "all",
        "allow.auto.create.topics": False,  # a name that is misspelt is told
        "topic.metadata.propagation.max.ms": _TOPIC_SECONDS * 1000,
        "socket.connection.setup.timeout.ms": int(CONNECT_SECONDS * 1000),
        "linger.ms": 0,
    }
    if tls and connection.get("ca"):
        settings["ssl.ca.pem"] = connection["ca"]
    if sasl:
        settings |= {
            "sasl.mechanism": sasl["mechanism"].upper(),
            "sasl.username": sasl["username"],
            "sasl.password": sasl["password"],
        }
    return settings


def _report(answered: asyncio.Future[Report], error: KafkaError | None, report: Report) -> None:
    if answered.done():
        return
    if error is not None:
        answered.set_exception(KafkaException(error))
    else:
        answered.set_result(report)
