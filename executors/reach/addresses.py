"""The address guard for drivers that make their own connections: the same rules as for HTTP.

A driver is handed an address that was checked, where it can take one; else its name is checked just before it
connects, which the docs say of that driver.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from core.http import EgressForbidden
from core.http.egress import check_address
from executors.base import CONNECTION_ERROR, FORBIDDEN, AttemptFailed

Endpoint = tuple[str, int]


def checked(host: str, port: int) -> str:
    """One address of `host`, all of which may be reached. Blocks while the name is resolved.

    Raises AttemptFailed: FORBIDDEN for an address that may not be reached, CONNECTION_ERROR for a name without any.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AttemptFailed(CONNECTION_ERROR, f"the name {host[:200]} could not be resolved", retryable=True) from None
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        try:
            check_address(address)
        except EgressForbidden as error:
            raise AttemptFailed(FORBIDDEN, f"{host[:200]}:{port}: {error}") from None
    return addresses[0]


def check_all(endpoints: Iterable[Endpoint]) -> None:
    """Check each endpoint, as `checked`."""
    for host, port in endpoints:
        checked(host, port)


async def checked_later(host: str, port: int) -> str:
    """`checked`, without blocking the event loop."""
    return await asyncio.to_thread(checked, host, port)
