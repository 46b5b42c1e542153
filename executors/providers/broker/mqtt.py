"""MQTT through paho: with QoS 1, the default, a run is done when the broker's PUBACK is there.

Owns one connection per target with the driver's own thread, which ends with it. It never reconnects by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

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
from executors.providers.broker.endpoints import CONNECT_SECONDS, Endpoint, configured, no_connection, tls_context
from executors.providers.broker.kind import MQTT
from executors.providers.broker.message import Message
from executors.reach.threads import Threads

_KEEP_ALIVE: Final = 30  # seconds
_NO_SUBSCRIBERS: Final = 0x10
# Reason codes of MQTT 5 (§2.4), which say as well how a connection of 3.1.1 was refused: paho maps these.
_REASONS: Final = {
    0x86: (UNAUTHORIZED, False), 0x87: (FORBIDDEN, False), 0x88: (SERVICE_UNAVAILABLE, True),
    0x89: (SERVICE_UNAVAILABLE, True), 0x8A: (FORBIDDEN, False), 0x8C: (UNAUTHORIZED, False),
    0x8B: (SERVICE_UNAVAILABLE, True), 0x90: (NOT_FOUND, False), 0x95: (VALIDATION_ERROR, False),
    0x96: (RATE_LIMITED, True), 0x97: (RATE_LIMITED, True), 0x99: (VALIDATION_ERROR, False),
    0x9F: (RATE_LIMITED, True), 0x80: (SERVICE_UNAVAILABLE, True), 0x83: (SERVICE_UNAVAILABLE, True),
}  # fmt: skip
_AT_LOGIN: Final = {0x87: (UNAUTHORIZED, False)}  # not authorized to connect

_threads = Threads("mqtt", 16)


async def open_publisher(connection: Mapping[str, Any]) -> MqttPublisher:
    """Connect and log in. Raises AttemptFailed."""
    endpoint = configured(connection, MQTT)
    publisher = MqttPublisher(endpoint, connection)
    await publisher.connect(await endpoint.address())
    return publisher


class MqttPublisher:
    """A connection that many runs publish through at once."""

    def __init__(self, endpoint: Endpoint, connection: Mapping[str, Any]) -> None:
        self._where = f"MQTT broker at {endpoint}"
        self._five = connection.get("protocol", "5") == "5"
        self._qos = connection.get("qos", 1)
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Any] = self._loop.create_future()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._broken = False
        name = connection.get("clientId")
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"{name or 'ductape'}-{uuid4().hex[:12]}",
            protocol=MQTTProtocolVersion.MQTTv5 if self._five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )  # fmt: skip
        self._client.connect_timeout = CONNECT_SECONDS
        if endpoint.username is not None or endpoint.password is not None:
            self._client.username_pw_set(endpoint.username or "", endpoint.password)
        self._tls = tls_context(endpoint.host, connection.get("ca")) if endpoint.tls else None
        if self._tls is not None:
            self._client.tls_set_context(self._tls)
        self._port = endpoint.port
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish

    async def connect(self, address: str) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await _threads.run(self._client.connect, address, self._port, _KEEP_ALIVE)
                self._client.loop_start()
                reason = await self._ready
        except OSError as error:
            await self.close()
            raise no_connection(self._where, error) from None
        except BaseException:
            await self.close()
            raise
        if reason.is_failure:
            await self.close()
            code, retryable = _AT_LOGIN.get(reason.value) or _REASONS.get(reason.value, (VALIDATION_ERROR, False))
            raise AttemptFailed(code, f"{self._where} refused the connection: {reason}", retryable=retryable)

    def is_broken(self) -> bool:
        return self._broken

    async def publish(self, message: Message) -> Mapping[str, Any]:
        qos = message.options.get("qos", self._qos)
        properties = self._properties(message) if self._five else None
        answered: asyncio.Future[Any] = self._loop.create_future()
        info = self._client.publish(
            message.to, message.body, qos=qos, retain=message.options.get("retain", False), properties=properties
        )
        self._waiting[info.mid] = answered  # before the loop hears of any answer
        if info.rc not in {MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_QUEUE_SIZE} or self._broken:
            self._broken = True
            self._waiting.pop(info.mid, None)
            raise self._lost()
        try:
            reason = await answered
        finally:
            self._waiting.pop(info.mid, None)
        value = getattr(reason, "value", 0)
        if getattr(reason, "is_failure", False):
            code, retryable = _REASONS.get(value, (VALIDATION_ERROR, False))
            raise AttemptFailed(code, f"{self._where} did not take the message: {reason}", retryable=retryable)
        told = {"subscribers": False} if value == _NO_SUBSCRIBERS else {}
        return {"topic": message.to, "qos": qos, "message_id": info.mid, "confirmed": qos > 0, **told}

    def _properties(self, message: Message) -> Properties:
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType = message.content_type
        properties.UserProperty = list(message.headers.items())
        return properties

    async def about(self) -> str:
        return f"MQTT {'5' if self._five else '3.1.1'} broker, logged in"

    async def close(self) -> None:
        self._broken = True
        self._client.on_disconnect = None
        self._client.disconnect()
        await _threads.run(self._end)

    def _end(self) -> None:
        self._client.loop_stop()
        if self._tls is not None and self._tls.wrapped is not None:
            self._tls.wrapped.close()

    def _lost(self) -> AttemptFailed:
        told = "the connection broke before the message was confirmed"
        return AttemptFailed(CONNECTION_ERROR, f"{self._where}: {told}", retryable=True)

    # In the driver's thread.

    def _on_connect(self, client: object, data: object, flags: object, reason: Any, properties: object) -> None:
        self._tell(_answer, self._ready, reason)

    def _on_publish(self, client: object, data: object, mid: int, reason: Any, properties: object) -> None:
        self._tell(self._answered, mid, reason)

    def _on_disconnect(self, client: object, data: object, flags: object, reason: Any, properties: object) -> None:
        self._broken = True
        self._tell(self._all_lost)

    def _tell(self, *call: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(*call)
        except RuntimeError:  # the loop has ended
            pass

    # In the loop.

    def _answered(self, mid: int, reason: Any) -> None:
        waiting = self._waiting.get(mid)
        if waiting is not None:
            _answer(waiting, reason)

    def _all_lost(self) -> None:
        for waiting in (self._ready, *self._waiting.values()):
            if not waiting.done():
                waiting.set_exception(self._lost())
        if not self._ready.cancelled():
            self._ready.exception()  # it is heard, whether or not anybody waits for it


def _answer(waiting: asyncio.Future[Any], reason: Any) -> None:
    if not waiting.done():
        waiting.set_result(reason)
