"""Sending: check, take a connection, write the request, read the answer within bounds.

Owns what is put on the wire, and what of the answer is read. Framing of answers, TLS and the
keeping of connections are aiohttp's, below its session: that follows redirects, keeps cookies,
reads the environment, and takes three times as long for it. No redirects, no cookies, nothing is
sent twice.
"""

from __future__ import annotations

import asyncio
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDictProxy

from core.http.egress import check_address
from core.http.messages import (
    BadResponse,
    EgressForbidden,
    HttpConnectionError,
    HttpRequest,
    HttpResponse,
    HttpTimeout,
    InvalidRequest,
    Origin,
    ResponseTooLarge,
    check_headers,
    check_method,
    split_url,
)
from core.http.pool import pool

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader

_PIECE = 64 * 1024
_HEADERS = {
    "user-agent": "User-Agent: ductape-jobs/1",
    "accept-encoding": "Accept-Encoding: gzip, deflate",
    "accept": "Accept: */*",
}  # as they are written; the caller's of the same name takes the place of one
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # no length is told where there is no body


async def send(request: HttpRequest) -> HttpResponse:
    """Send one request and read its answer. Raises an HttpError; whatever the status is, it is an answer.

    Not followed: redirects. Not repeated: anything. Cancelling the task closes the connection.
    """
    origin, target = split_url(request.url)
    check_headers(request.headers)
    message = _written(request, origin, target)
    if _is_literal(origin.host):
        check_address(origin.host)  # it is not resolved; other spellings of one are
    try:
        async with asyncio.timeout(request.timeout):
            return await _exchange(request, origin, message)
    except TimeoutError:
        raise HttpTimeout(f"no complete answer from {origin} within {request.timeout:.3g} s") from None
    except EgressForbidden as error:
        raise EgressForbidden(f"{origin}: {error}") from None
    except aiohttp.ClientConnectorDNSError:
        raise HttpConnectionError(f"the name {origin.host} could not be resolved") from None
    except aiohttp.ClientConnectorCertificateError as error:
        raise HttpConnectionError(f"{origin}: its certificate is not valid: {_reason(error)}") from None
    except aiohttp.ClientConnectorError as error:
        raise HttpConnectionError(f"no connection to {origin}: {_reason(error)}") from None
    except aiohttp.ClientPayloadError:
        raise HttpConnectionError(f"{origin} hung up in the middle of its answer") from None
    except (HttpProcessingError, zlib.error):
        raise BadResponse(f"{origin} did not answer in HTTP that can be read") from None
    except (aiohttp.ClientError, OSError) as error:
        raise HttpConnectionError(f"the connection to {origin} broke: {_reason(error)}") from None


async def _exchange(request: HttpRequest, origin: Origin, written: bytes) -> HttpResponse:
    connection = await pool().connection(origin)
    protocol, transport = connection.protocol, connection.transport
    try:
        if protocol is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        protocol.set_response_params(
            skip_payload=request.method.upper() == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=_PIECE,
        )
        transport.write(written)
        answer, content = await protocol.read()
        while answer.code < 200 and answer.code != 101:  # on its way: the answer is still to come
            answer, content = await protocol.read()
        headers = _lowered(answer.headers)
        body, complete = await _read(content, headers.get("content-encoding", ""), request.max_response_bytes, origin)
        if complete and not transport.get_write_buffer_size():
            connection.release()
        elif not complete and not request.truncate:
            raise ResponseTooLarge(f"{origin} answered more than {request.max_response_bytes} bytes")
        return HttpResponse(
            status=answer.code, reason=answer.reason or "", headers=headers, body=body, truncated=not complete
        )
    finally:
        if connection.protocol is not None:  # it was not released: it is of no more use
            if transport is not None and transport.get_write_buffer_size():
                transport.abort()  # closing would wait until the other side has read what is left of the request
            connection.close()


def _written(request: HttpRequest, origin: Origin, target: str) -> bytes:
    """The request as it is sent. Raises InvalidRequest."""
    method, body = check_method(request.method), request.body
    headers = dict(_HEADERS)
    for name, value in request.headers.items():
        headers[name.lower()] = f"{name}: {value}"
    lines = [f"{method} {target} HTTP/1.1\r\nHost: {origin.authority}", *headers.values()]
    if body is not None or method not in _WITHOUT_BODY:
        lines.append(f"Content-Length: {len(body or b'')}")
    lines.append("\r\n")
    try:
        head = "\r\n".join(lines).encode()
    except UnicodeEncodeError:
        raise InvalidRequest("a header holds half of a surrogate pair") from None
    return head + body if body else head


async def _read(content: StreamReader, encoding: str, limit: int, origin: Origin) -> tuple[bytes, bool]:
    """At most `limit` unpacked bytes of the body, and whether that is all of it."""
    unpack = None
    if encoding and (encoding := encoding.strip().lower()) not in ("", "identity"):
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise BadResponse(f"{origin} answered in an encoding that was not asked for: {encoding[:40]}")
        unpack = _Unpacker(encoding)
    pieces: list[bytes] = []
    left = limit
    while not content.at_eof():
        piece = await content.readany()
        if unpack is not None:
            piece = unpack(piece, left + 1)
        if len(piece) > left:
            pieces.append(piece[:left])
            return b"".join(pieces), False
        left -= len(piece)
        pieces.append(piece)
    return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), True


class _Unpacker:
    """Unpacks gzip and deflate (with its header or, as many servers send it, without), a bounded piece at a time."""

    def __init__(self, encoding: str) -> None:
        self._bare_possible = encoding == "deflate"
        self._stream = zlib.decompressobj(wbits=zlib.MAX_WBITS if self._bare_possible else 16 + zlib.MAX_WBITS)

    def __call__(self, packed: bytes, at_most: int) -> bytes:
        try:
            plain = self._stream.decompress(packed, at_most)
        except zlib.error:
            if not self._bare_possible:
                raise
            self._stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
            plain = self._stream.decompress(packed, at_most)
        self._bare_possible = False
        return plain


def _lowered(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    lowered: dict[str, str] = {}
    for name, value in headers.items():
        name = name.lower()
        lowered[name] = f"{lowered[name]}, {value}" if name in lowered else value
    return lowered


@lru_cache(maxsize=4096)
def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _reason(error: BaseException) -> str:
    """What the system said, without the library's wording around it."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    text = getattr(inner, "verify_message", None) or getattr(inner, "strerror", None) or str(inner)
    return str(text) or type(inner).__name__
