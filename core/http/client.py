"""Sending: check, connect to a checked address, write one request, read its answer within bounds.

Owns the deadline and the bytes of a request. Whatever the status is, it is an answer. Not
followed: redirects. Not repeated: anything. Not kept: cookies.
"""

from __future__ import annotations

import asyncio
import re

from core.http import pool
from core.http.messages import (
    EgressForbidden,
    HttpError,
    HttpRequest,
    HttpResponse,
    HttpTimeout,
    InvalidRequest,
    Origin,
    check_headers,
    split_url,
)
from core.http.unpacking import ACCEPTED

_METHOD = re.compile(r"[A-Z]{1,20}")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # where none is an empty one, and is said to be
_OURS = tuple(
    (name, f"{name}: {value}\r\n")
    for name, value in {"user-agent": "ductape-jobs/1", "accept": "*/*", "accept-encoding": ACCEPTED}.items()
)


async def send(request: HttpRequest) -> HttpResponse:
    """Send one request and read its answer. Raises an HttpError. Cancelling the task closes the connection."""
    origin, target = split_url(request.url)
    message = _message(request, origin, target)
    connections = pool.pool()
    try:
        async with asyncio.timeout(request.timeout):
            connection = await connections.take(origin)
            try:
                response = await connection.exchange(
                    message,
                    head_only=request.method == "HEAD",
                    limit=request.max_response_bytes,
                    truncate=request.truncate,
                )
            except HttpError as error:
                raise type(error)(f"{origin} {error}") from None
    except TimeoutError:
        raise HttpTimeout(f"no complete answer from {origin} within {request.timeout:.3g} s") from None
    except EgressForbidden as error:
        raise EgressForbidden(f"{origin}: {error}") from None
    connections.give_back(origin, connection)
    return response


async def close() -> None:
    """Close the connections of the running event loop."""
    found = pool.discard()
    if found is not None:
        await found.close()


def _message(request: HttpRequest, origin: Origin, target: str) -> bytes:
    """The request as it is on the wire. Raises InvalidRequest."""
    headers = request.headers
    check_headers(headers)
    if not _METHOD.fullmatch(request.method):
        raise InvalidRequest(f"{request.method[:20]!r} is not a method")
    lines = [f"{request.method} {target} HTTP/1.1\r\nhost: {origin.authority}\r\n"]
    given = {name.lower() for name in headers}
    lines += [line for name, line in _OURS if name not in given]
    lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
    body = request.body
    if body is not None:
        lines.append(f"content-length: {len(body)}\r\n\r\n")
        return "".join(lines).encode("utf-8", "replace") + body
    lines.append("content-length: 0\r\n\r\n" if request.method in _WITH_BODY else "\r\n")
    return "".join(lines).encode("utf-8", "replace")
