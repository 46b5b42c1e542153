"""NATS: JetStream's acknowledgement by default; core NATS, where the catalog says so, confirms only that the server read it.

Owns one connection per target, on the event loop. It never reconnects by itself: a broken one is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

from nats import errors
from nats.aio.client import Client
from nats.js import errors as js_errors

from executors.base import (
    CONNECTION_ERROR,
    FORBIDDEN,
    NOT_FOUND,
    SERVICE_UNAVAILABLE,
    UNAUTHORIZED,
    VALIDATION_ERROR,
    AttemptFailed,
)
from executors.providers.broker.endpoints import (
    CONNECT_SECONDS,
    Endpoint,
    configured,
    host_ports,
    no_connection,
    tls_context,
)
from executors.providers.broker.kind import NATS
from executors.providers.broker.message import Message

_MESSAGE_ID: Final = "Nats-Msg-Id"  # by which a stream tells repetitions within its window


async def open_publisher(connection: Mapping[str, Any]) -> NatsPublisher:
    """Connect to the first server that answers. Raises AttemptFailed."""
    failed: AttemptFailed | None = None
    for endpoint in _endpoints(connection):
        said: list[Exception] = []
        try:
            return NatsPublisher(await _connected(endpoint, connection, said), endpoint, connection, said)
        except AttemptFailed as error:
            if error.failed.code != CONNECTION_ERROR:
                raise
            failed = error
    raise failed or AttemptFailed(VALIDATION_ERROR, "the broker names no server")


def _endpoints(connection: Mapping[str, Any]) -> Iterator[Endpoint]:
    if "url" in connection:
        yield configured(connection, NATS)
        return
    try:
        servers = list(host_ports(connection.get("servers", []), NATS["nats"][0]))
    except ValueError as error:
        raise AttemptFailed(VALIDATION_ERROR, f"the broker's servers: {error}") from None
    for host, port in servers:
        yield Endpoint(
            host=host, port=port, username=connection.get("username"), password=connection.get("password"),
            tls=bool(connection.get("tls")),
        )  # fmt: skip


async def _connected(endpoint: Endpoint, connection: Mapping[str, Any], said: list[Exception]) -> Client:
    async def on_error(error: Exception) -> None:
        said.append(error)

    address = await endpoint.address()
    where = f"NATS at {endpoint}"
    options: dict[str, Any] = {}
    if endpoint.tls:
        options = {"tls": tls_context(endpoint.host, connection.get("ca")), "tls_hostname": endpoint.host}
    at = f"[{address}]" if ":" in address else address
    client = Client()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await client.connect(
                f"nats://{at}:{endpoint.port}", user=endpoint.username, password=endpoint.password,
                token=connection.get("token"), name="ductape-jobs", allow_reconnect=False, error_cb=on_error,
                connect_timeout=int(CONNECT_SECONDS),
                max_reconnect_attempts=1, reconnect_time_wait=0, **options,
            )  # fmt: skip
            return client
    except BaseException as error:
        await client.close()  # a connect that fails leaves its socket open
        if not isinstance(error, (errors.Error, OSError)):
            raise
        text = f"{said} {error!r}".lower()
        if "authorization" in text or "authentication" in text:
            raise AttemptFailed(UNAUTHORIZED, f"{where} refused the login") from None
        raise no_connection(where, next((each for each in said if isinstance(each, OSError)), error)) from None


class NatsPublisher:
    """A connection that many runs publish through at once."""

    def __init__(
        self, client: Client, endpoint: Endpoint, connection: Mapping[str, Any], said: list[Exception]
    ) -> None:
        self._client = client
        self._where = f"NATS at {endpoint}"
        self._jetstream = connection.get("jetstream", True)
        self._said = said

    def is_broken(self) -> bool:
        return not self._client.is_connected

    async def publish(self, message: Message) -> Mapping[str, Any]:
        if len(message.body) > self._client.max_payload:
            told = f"the message has {len(message.body)} bytes, at most {self._client.max_payload} are taken"
            raise AttemptFailed(VALIDATION_ERROR, f"{self._where}: {told}")
        headers = {**message.headers, "content-type": message.content_type, _MESSAGE_ID: message.id}
        work = self._to_stream if self._jetstream else self._to_subject
        sending = asyncio.ensure_future(work(message, headers))
        try:
            return await self._unless_lost(sending)
        except (errors.Error, js_errors.Error, OSError) as error:
            raise self._failed(error, message) from None
        finally:
            sending.cancel()

    async def _unless_lost(self, sending: asyncio.Future[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The answer; or, where the connection ends before it, that: the client would wait for ever."""
        while not sending.done():
            if self.is_broken():
                raise errors.ConnectionClosedError
            await asyncio.wait({sending}, timeout=0.1)
        return sending.result()

    async def _to_stream(self, message: Message, headers: dict[str, str]) -> Mapping[str, Any]:
        stream = message.options.get("stream")
        answer = await self._client.jetstream().publish(
            message.to, message.body, timeout=message.seconds, stream=stream, headers=headers
        )
        return {"stream": answer.stream, "sequence": answer.seq, "duplicate": bool(answer.duplicate)}

    async def _to_subject(self, message: Message, headers: dict[str, str]) -> Mapping[str, Any]:
        before = len(self._said)
        await self._client.publish(message.to, message.body, headers=headers)
        await self._client.flush(timeout=max(1, int(message.seconds) + 1))
        if refused := [str(each) for each in self._said[before:] if "permissions violation" in str(each).lower()]:
            raise AttemptFailed(FORBIDDEN, f"{self._where}: {refused[0][:300]}")
        return {"subject": message.to}

    async def about(self) -> str:
        try:
            await self._client.flush(timeout=int(CONNECT_SECONDS))
            if self._jetstream:
                await self._client.jetstream().account_info()
        except (errors.Error, js_errors.Error, OSError) as error:
            told = "JetStream does not answer: it is not enabled there, or set `jetstream: false`"
            raise AttemptFailed(SERVICE_UNAVAILABLE, f"{self._where}: {told} ({error})") from None
        version = self._client.connected_server_version
        return f"NATS {version}, {'with JetStream' if self._jetstream else 'without JetStream'}"

    async def close(self) -> None:
        if not self._client.is_closed:
            await self._client.close()

    def _failed(self, error: Exception, message: Message) -> AttemptFailed:
        match error:
            case js_errors.NoStreamResponseError():
                told = f"no stream takes the subject {message.to!r}: make one, or set `jetstream: false`"
                return AttemptFailed(NOT_FOUND, f"{self._where}: {told}")
            case js_errors.ServiceUnavailableError() | js_errors.ServerError():
                return AttemptFailed(SERVICE_UNAVAILABLE, f"{self._where}: {error.description}", retryable=True)
            case js_errors.NotFoundError():
                return AttemptFailed(NOT_FOUND, f"{self._where}: {error.description}")
            case js_errors.APIError():
                return AttemptFailed(VALIDATION_ERROR, f"{self._where}: {error.description}")
            case errors.MaxPayloadError() | errors.BadSubjectError():
                return AttemptFailed(VALIDATION_ERROR, f"{self._where}: {error}")
            case errors.AuthorizationError():
                return AttemptFailed(UNAUTHORIZED, f"{self._where} refused the login")
            case errors.TimeoutError() if not self.is_broken():
                return AttemptFailed(
                    SERVICE_UNAVAILABLE, f"{self._where} did not acknowledge the message", retryable=True
                )
            case _:
                told = "the connection broke before the message was confirmed"
                return AttemptFailed(CONNECTION_ERROR, f"{self._where}: {told}", retryable=True)
