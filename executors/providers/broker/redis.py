"""Redis: an entry of a stream by default, else a push onto a list, or a message of a channel.

Owns a few connections per target, on the event loop. Redis Cluster is not spoken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final

from redis import asyncio as aioredis
from redis import exceptions as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from core import strictjson
from executors.base import FORBIDDEN, SERVICE_UNAVAILABLE, UNAUTHORIZED, VALIDATION_ERROR, AttemptFailed
from executors.providers.broker.endpoints import (
    CONNECT_SECONDS,
    Endpoint,
    NamedContext,
    configured,
    no_connection,
    tls_context,
)
from executors.providers.broker.kind import REDIS, redis_mode
from executors.providers.broker.message import Message

MOST_CONNECTIONS: Final = 16  # to one target, in one process


async def open_publisher(connection: Mapping[str, Any]) -> RedisPublisher:
    """Connects when something is published. Raises AttemptFailed for an address that may not be reached."""
    endpoint = configured(connection, REDIS)
    path = endpoint.path or ""
    db = connection.get("db", int(path) if path.isdecimal() else 0)
    tls = tls_context(endpoint.host, connection.get("ca")) if endpoint.tls else None
    named: dict[str, Any] = {"connection_class": _TlsConnection, "tls": tls} if tls is not None else {}
    pool = aioredis.BlockingConnectionPool(
        max_connections=MOST_CONNECTIONS, timeout=None, host=await endpoint.address(), port=endpoint.port, db=db,
        username=endpoint.username, password=endpoint.password, protocol=2, client_name="ductape-jobs",
        socket_connect_timeout=CONNECT_SECONDS, socket_timeout=None, retry=Retry(NoBackoff(), 0), **named,
    )  # fmt: skip
    return RedisPublisher(endpoint, connection, aioredis.Redis(connection_pool=pool), db)


class _TlsConnection(aioredis.Connection):
    """TLS by a context of ours, which knows the server's name."""

    def __init__(self, *, tls: NamedContext, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl": self._tls}


class RedisPublisher:
    """The pool drops what is broken, and looks at a connection before it is used again."""

    def __init__(self, endpoint: Endpoint, connection: Mapping[str, Any], client: aioredis.Redis, db: int) -> None:
        self._where = f"Redis at {endpoint}"
        self._connection = connection
        self._client = client
        self._db = db

    def is_broken(self) -> bool:
        return False

    async def publish(self, message: Message) -> Mapping[str, Any]:
        match redis_mode(self._connection, message.topic):
            case "stream":
                return await self._add(message)
            case "list":
                length = await self._asked(self._client.rpush(message.to, message.body))
                return {"list": message.to, "length": length}
            case _:
                receivers = await self._asked(self._client.publish(message.to, message.body))
                return {"channel": message.to, "receivers": receivers}

    async def _add(self, message: Message) -> Mapping[str, Any]:
        fields: dict[str, Any] = {
            "message": message.body,
            "headers": strictjson.dumps({**message.headers, "content-type": message.content_type}),
        }
        if message.key is not None:
            fields["key"] = message.key
        at_most = message.options.get("max_length")
        entry: bytes = await self._asked(self._client.xadd(message.to, fields, maxlen=at_most, approximate=True))  # type: ignore[arg-type]  # its dict is invariant
        return {"stream": message.to, "id": entry.decode()}

    async def about(self) -> str:
        info: Mapping[str, Any] = await self._asked(self._client.info("server"))
        return f"Redis {info.get('redis_version', '')}, database {self._db}"

    async def close(self) -> None:
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def _asked(self, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except (redis.RedisError, OSError) as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> AttemptFailed:
        text = f"{self._where}: {str(error)[:300]}"
        match error:
            case redis.AuthenticationError() | redis.AuthorizationError():
                return AttemptFailed(UNAUTHORIZED, text)
            case redis.NoPermissionError():
                return AttemptFailed(FORBIDDEN, text)
            case redis.OutOfMemoryError() | redis.BusyLoadingError() | redis.ReadOnlyError():
                return AttemptFailed(SERVICE_UNAVAILABLE, text, retryable=True)
            case redis.ConnectionError() | redis.TimeoutError() | OSError():
                return no_connection(self._where, error)
            case _ if "NOAUTH" in str(error) or "WRONGPASS" in str(error) or "invalid username-password" in str(error):
                return AttemptFailed(UNAUTHORIZED, text)
            case _:
                return AttemptFailed(VALIDATION_ERROR, text)
