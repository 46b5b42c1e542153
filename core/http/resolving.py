"""Names → addresses that were all checked, remembered for a few seconds.

Owns the threads in which names are looked up (getaddrinfo blocks). A name of which any address
is forbidden does not resolve at all: who answers with a public and a private one is up to something.
"""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address

from core.http.egress import check_address
from core.http.messages import HttpConnectionError

KEPT_SECONDS = 10.0  # how long an answer is used again
_MOST_KEPT = 4096
_MOST_ADDRESSES = 8  # of one name that are tried
# A name server that hangs must not hold up the others for long.
_threads = ThreadPoolExecutor(16, thread_name_prefix="resolve")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket can be connected to: a literal, never a name."""

    family: socket.AddressFamily
    text: str
    flow: int = 0
    scope: int = 0

    def sockaddr(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        if self.family == socket.AF_INET6:
            return self.text, port, self.flow, self.scope
        return self.text, port


class Resolver:
    """Of one event loop: one question in flight for each name."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, asyncio.Future[tuple[Address, ...]]]] = {}

    async def addresses(self, host: str) -> tuple[Address, ...]:
        """The addresses of a name or literal, checked now. Raises EgressForbidden, HttpConnectionError."""
        found = literal(host) or await self._look_up(host)
        for address in found:
            check_address(address.text)
        return found

    async def _look_up(self, host: str) -> tuple[Address, ...]:
        now = time.monotonic()
        known = self._known.get(host)
        if known is None or (known[0] <= now and known[1].done()):
            if len(self._known) >= _MOST_KEPT:
                self._known = {name: entry for name, entry in self._known.items() if entry[0] > now}
            question = asyncio.get_running_loop().run_in_executor(_threads, _ask, host)
            self._known[host] = known = (now + KEPT_SECONDS, question)
            question.add_done_callback(lambda answer: self._forget_failure(host, answer))
        if known[1].done():
            return known[1].result()
        return await asyncio.shield(known[1])  # who asked first may be cancelled, the others still wait

    def _forget_failure(self, host: str, answer: asyncio.Future[tuple[Address, ...]]) -> None:
        if (answer.cancelled() or answer.exception() is not None) and host in self._known:
            del self._known[host]


def literal(host: str) -> tuple[Address, ...]:
    """The address that a host is by itself, in the one spelling that needs no resolving; else nothing."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return ()
    return (Address(socket.AF_INET if address.version == 4 else socket.AF_INET6, str(address)),)


def _ask(host: str) -> tuple[Address, ...]:
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        raise HttpConnectionError(f"the name {host} could not be resolved") from None
    addresses = [
        Address(family, str(sockaddr[0]), *(sockaddr[2:4] if family == socket.AF_INET6 else ()))
        for family, _, _, _, sockaddr in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]
    for address in addresses:
        check_address(address.text)
    if not addresses:
        raise HttpConnectionError(f"the name {host} has no address")
    return tuple(dict.fromkeys(addresses))[:_MOST_ADDRESSES]
