"""Connections: resolve, check every address, connect to a checked one, keep it for the next request.

Owns aiohttp's connector, one for each event loop, and the ways to the origins it was asked for. No
proxies from the environment. A connection is checked when it is opened (in the socket factory, on
the very address that is connected to), so a name that changes its address between check and
connect gains nothing. Never sends or reads anything.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from yarl import URL

from core.http.egress import check_address
from core.http.messages import Origin

KEEPALIVE_SECONDS = 4.0  # below the 5 s after which common servers hang up: their hanging up loses a request
DNS_SECONDS = 10  # how long an answer of the resolver is used again
# getaddrinfo blocks. Names whose name server hangs hold one each: as many as that must not hold up the others.
_RESOLVER_THREADS = 256
_MOST_WAYS = 4096
_MOST_WAITING = 64  # answers on one connection that nobody has read
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None)  # ours is around all


class Pool:
    """The connections of one event loop."""

    def __init__(self) -> None:
        self._connector = _Connector(
            limit=0,  # how much runs at once is decided by who calls
            resolver=_CheckedResolver(),
            socket_factory=_checked_socket,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ttl_dns_cache=DNS_SECONDS,
        )
        self._ways: dict[Origin, _Way] = {}

    async def connection(self, origin: Origin) -> Connection:
        """A connection to that origin, for one request; whoever takes it releases or closes it.

        One on which something came that nobody had asked for is not used again: the next request
        would take that for its answer.
        """
        way = self._ways.get(origin)
        if way is None:
            if len(self._ways) >= _MOST_WAYS:
                self._ways.clear()
            way = self._ways[origin] = _Way(URL(f"{origin}/", encoded=True))
        while True:
            connection = await self._connector.connect(way, [], _NO_TIMEOUT)
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()

    async def close(self) -> None:
        await self._connector.close()


def pool() -> Pool:
    """The connections of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _pools.get(loop)
    if found is None:
        found = _pools[loop] = Pool()
    return found


async def close() -> None:
    """Close the connections of the running event loop."""
    found = _pools.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()


class _Way(aiohttp.ClientRequest):
    """What the connector wants to know of a request: where it goes. Made once for each origin."""

    def __init__(self, url: URL) -> None:
        super().__init__("GET", url, loop=asyncio.get_running_loop())
        self._key = super().connection_key

    @property
    def connection_key(self) -> ConnectionKey:
        return self._key


class _Protocol(ResponseHandler):
    """aiohttp's, which takes answers for as long as they come. Whoever sends one after the other, asked for or not,
    would have the loop for itself: it reads on before it lets anybody else go on."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if len(self) > _MOST_WAITING and self.transport is not None:
            self.transport.abort()


class _Connector(aiohttp.TCPConnector):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = functools.partial(_Protocol, loop=self._loop)  # type: ignore[assignment] # one is a ResponseHandler


class _CheckedResolver(AbstractResolver):
    """Names → addresses; a name of which any address is forbidden does not resolve."""

    _threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        lookup = functools.partial(
            socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
        found = await asyncio.get_running_loop().run_in_executor(self._threads, lookup)
        results: list[ResolveResult] = []
        for address_family, _, proto, _, sockaddr in found:
            address = str(sockaddr[0])
            check_address(address)
            results.append(
                ResolveResult(
                    hostname=host, host=address, port=port, family=address_family, proto=proto,
                    flags=socket.AI_NUMERICHOST,
                )
            )  # fmt: skip
        return results

    async def close(self) -> None:
        """The threads are shared between pools."""


def _checked_socket(info: Any) -> socket.socket:
    """The socket for one address, and the last check of it: this is where it will connect to."""
    family, kind, proto, _, sockaddr = info
    check_address(str(sockaddr[0]))
    return socket.socket(family=family, type=kind, proto=proto)


_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = weakref.WeakKeyDictionary()
