"""Connections of one event loop: opened to checked addresses, kept for a moment, used again.

Owns sockets and TLS. The address is checked where the socket is made for it, and again before a
kept connection is used, so a name that changes its address between check and connect gains
nothing. No proxies from the environment; certificates are verified, against the system's roots
and certifi's.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
import weakref
from collections import deque
from functools import lru_cache

import certifi

from core.http.connection import Connection
from core.http.egress import check_address
from core.http.messages import HttpConnectionError, Origin
from core.http.resolving import Address, Resolver

KEEPALIVE_SECONDS = 4.0  # below the 5 s after which common servers hang up: their hanging up loses a request
_NEXT_ADDRESS_SECONDS = 3.0  # an address that does not answer the knock; the last one has all the time there is
_SWEEP_SECONDS = 1.0


class Pool:
    """The open connections that are idle, by origin."""

    def __init__(self) -> None:
        self._idle: dict[Origin, deque[Connection]] = {}
        self._open: set[Connection] = set()
        self._resolver = Resolver()
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None

    async def take(self, origin: Origin) -> Connection:
        """A connection to the origin: a kept one, else a new one. Raises EgressForbidden, HttpConnectionError."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()  # the one used last: the others may be left to end
            if connection.reusable and connection.idle_since + KEEPALIVE_SECONDS > time.monotonic():
                check_address(connection.address)
                return connection
            connection.abort()
        return await self._connect(origin)

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """Keep the connection for the next exchange, if it can serve one."""
        if not connection.reusable:
            return
        connection.idle_since = time.monotonic()
        idle = self._idle.get(origin)
        if idle is None:
            idle = self._idle[origin] = deque()
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    async def close(self) -> None:
        """Close every connection, in use or not."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._idle.clear()
        for connection in list(self._open):
            connection.abort()
        if self._open:
            self._emptied = asyncio.Event()
            await self._emptied.wait()

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if self._emptied is not None and not self._open:
            self._emptied.set()

    def _sweep(self) -> None:
        """Close what was idle for too long."""
        self._sweeper = None
        until = time.monotonic() - KEEPALIVE_SECONDS
        for origin, idle in list(self._idle.items()):
            while idle and (idle[0].idle_since < until or not idle[0].reusable):
                idle.popleft().abort()
            if not idle:
                del self._idle[origin]
        if self._idle:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    async def _connect(self, origin: Origin) -> Connection:
        addresses = await self._resolver.addresses(origin.host)
        for address in addresses[:-1]:
            try:
                async with asyncio.timeout(_NEXT_ADDRESS_SECONDS):
                    return await self._open_to(address, origin)
            except ssl.SSLError as error:
                raise HttpConnectionError(_told(error, origin)) from None
            except (OSError, TimeoutError):
                continue
        try:
            return await self._open_to(addresses[-1], origin)
        except ssl.SSLError as error:
            raise HttpConnectionError(_told(error, origin)) from None
        except OSError as error:
            # asyncio's own text names the address once more instead of the reason
            reason = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
            raise HttpConnectionError(f"no connection to {origin}: {reason}") from None

    async def _open_to(self, address: Address, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        check_address(address.text)  # the last check: of the very address that is connected to
        sock = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        connection = Connection(address.text, self._lost)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address.sockaddr(origin.port))
            secure = origin.scheme == "https"
            self._open.add(connection)
            await loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=_tls(os.environ.get("SSL_CERT_FILE")) if secure else None,
                server_hostname=origin.host if secure else None,
            )
        except BaseException:
            self._lost(connection)
            sock.close()
            raise
        return connection


def pool() -> Pool:
    """The pool of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _pools.get(loop)
    if found is None:
        found = _pools[loop] = Pool()
    return found


def discard() -> Pool | None:
    """The pool of the running event loop, no longer its; None where it has none."""
    return _pools.pop(asyncio.get_running_loop(), None)


@lru_cache(maxsize=4)
def _tls(roots: str | None) -> ssl.SSLContext:
    """How every TLS connection is verified; `roots` are the only ones where the operator names them."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if not roots:
        context.load_verify_locations(certifi.where())
    return context


def _told(error: ssl.SSLError, origin: Origin) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{origin}: its certificate is not valid: {error.verify_message}"
    return f"no TLS connection to {origin}: {(error.reason or str(error)).replace('_', ' ').lower()}"


_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = weakref.WeakKeyDictionary()
