"""Sending: check, take a connection, write the request, read the answer within bounds.

Owns what is put on the wire, and what of the answer is read. Framing of answers, TLS and the
keeping of connections are aiohttp's, below its session: that follows redirects, keeps cookies,
reads the environment, and takes three times as long for it. No redirects, no cookies, nothing is
sent twice.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from multidict import CIMultiDictProxy

from core.http.egress import check_address
from core.http.messages import (
    BadResponse,
    EgressForbidden,
    HttpConnectionError,
    HttpError,
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
_MOST_ON_ITS_WAY = 16  # answers of 1xx before the answer
_HEADERS = {
    "user-agent": "User-Agent: ductape-jobs/1",
    "accept-encoding": "Accept-Encoding: gzip, deflate",
    "accept": "Accept: */*",
}  # as they are written; the caller's of the same name takes the place of one
_HEADERS_OF_PLAIN = {**_HEADERS, "accept-encoding": "Accept-Encoding: identity"}  # where no body is unpacked
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # no length is told where there is no body


async def send(request: HttpRequest) -> HttpResponse:
    """Send one request and read its answer. Raises an HttpError; whatever the status is, it is an answer.

    Not followed: redirects. Not repeated: anything. Cancelling the task closes the connection.
    """
    origin, message = _checked(request)
    met: list[str] = []
    try:
        with _told(origin, request.timeout):
            async with asyncio.timeout(request.timeout):
                return await _exchange(request, origin, message, met)
    except HttpError as error:
        error.address = met[0] if met else ""
        raise


@asynccontextmanager
async def stream(request: HttpRequest) -> AsyncIterator[HttpStream]:
    """Send one request, and read the body of its answer as it comes, never more of it than a piece in memory.

    What holds for `send` holds here: its errors (from entering, and from each piece), its one deadline, which goes
    on while the body is read, and its limit on the bytes of the body. The body is not unpacked: none is asked for.
    Leaving before its end closes the connection.
    """
    origin, message = _checked(request, unpacks=False)
    until = asyncio.get_running_loop().time() + request.timeout
    connection: Connection | None = None
    try:
        with _told(origin, request.timeout):
            async with asyncio.timeout_at(until):
                connection = await pool().connection(origin)
                answer, content = await _answer(request, connection, message)
                headers = _lowered(answer.headers)
                if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
                    raise BadResponse(f"{origin} packed its answer, although none was to be packed")
        coming = HttpStream(
            status=answer.code, reason=answer.reason or "", headers=headers,
            request=request, origin=origin, until=until, content=content,
        )  # fmt: skip
        yield coming
        if coming.complete:
            _keep(connection)
    finally:
        if connection is not None:
            _hang_up(connection)


class HttpStream:
    """An answer of which the head is there. Header names are in lower case."""

    def __init__(
        self,
        *,
        status: int,
        reason: str,
        headers: dict[str, str],
        request: HttpRequest,
        origin: Origin,
        until: float,  # by the clock of the event loop
        content: StreamReader,
    ) -> None:
        self.status, self.reason, self.headers = status, reason, headers
        self.complete = False  # the body was read to its end
        self._request, self._origin, self._until, self._content = request, origin, until, content

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, once, in pieces of some 100 kB. Raises an HttpError."""
        left = self._request.max_response_bytes
        while piece := await self._next():
            left -= len(piece)
            if left < 0:
                raise ResponseTooLarge(f"{self._origin} answered more than {self._request.max_response_bytes} bytes")
            yield piece
        self.complete = True

    async def _next(self) -> bytes:
        """The next piece, empty at the end of the body."""
        with _told(self._origin, self._request.timeout):
            async with asyncio.timeout_at(self._until):
                piece = b""
                while not piece and not self._content.at_eof():
                    piece = await self._content.readany()
                return piece


def _checked(request: HttpRequest, *, unpacks: bool = True) -> tuple[Origin, bytes]:
    """Where the request goes, and as it is sent there. Raises InvalidRequest and EgressForbidden."""
    origin, target = split_url(request.url)
    check_headers(request.headers)
    message = _written(request, origin, target, unpacks=unpacks)
    if _is_literal(origin.host):
        check_address(origin.host)  # it is not resolved; other spellings of one are
    return origin, message


@contextmanager
def _told(origin: Origin, timeout: float) -> Iterator[None]:
    """What goes wrong in here is told as one of ours."""
    try:
        yield
    except TimeoutError:
        raise HttpTimeout(f"no complete answer from {origin} within {timeout:.3g} s") from None
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


async def _exchange(request: HttpRequest, origin: Origin, written: bytes, met: list[str]) -> HttpResponse:
    """The answer; the address that was connected to is put into `met` as soon as there is one."""
    connection = await pool().connection(origin)
    try:
        met.append(_address(connection))
        answer, content = await _answer(request, connection, written)
        headers = _lowered(answer.headers)
        body, complete = await _read(content, headers.get("content-encoding", ""), request.max_response_bytes, origin)
        if complete:
            _keep(connection)
        elif not request.truncate:
            raise ResponseTooLarge(f"{origin} answered more than {request.max_response_bytes} bytes")
        return HttpResponse(
            status=answer.code, reason=answer.reason or "", headers=headers, body=body, truncated=not complete,
            address=met[0],
        )  # fmt: skip
    finally:
        _hang_up(connection)


def _address(connection: Connection) -> str:
    """The address at the other end, without the port."""
    peer = None if connection.transport is None else connection.transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""


async def _answer(
    request: HttpRequest, connection: Connection, written: bytes
) -> tuple[RawResponseMessage, StreamReader]:
    """Write the request; the head of its answer, and where its body comes."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(
        skip_payload=request.method.upper() == "HEAD",
        read_until_eof=True,
        auto_decompress=False,
        read_bufsize=_PIECE,
    )
    transport.write(written)
    for _ in range(_MOST_ON_ITS_WAY):
        answer, content = await protocol.read()
        if answer.code >= 200 or answer.code == 101:
            return answer, content
    origin, _ = split_url(request.url)
    raise BadResponse(f"{origin} says again and again that its answer is on its way, and none comes")


def _keep(connection: Connection) -> None:
    """The answer was read to its end: the connection can be used again, unless it still has to send."""
    if connection.transport is not None and not connection.transport.get_write_buffer_size():
        connection.release()


def _hang_up(connection: Connection) -> None:
    """Close the connection, unless it was kept."""
    if connection.protocol is not None:  # it was not released: it is of no more use
        transport = connection.transport
        if transport is not None and transport.get_write_buffer_size():
            transport.abort()  # closing would wait until the other side has read what is left of the request
        connection.close()


def _written(request: HttpRequest, origin: Origin, target: str, *, unpacks: bool) -> bytes:
    """The request as it is sent. Raises InvalidRequest."""
    method, body = check_method(request.method), request.body
    headers = dict(_HEADERS if unpacks else _HEADERS_OF_PLAIN)
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
            raise BadResponse(f"{origin} answered in an encoding that was not asked for: {_printed(encoding[:40])}")
        unpack = _Unpacker(encoding)
    pieces: list[bytes] = []
    left, packed_left = limit, limit + _PIECE  # what unpacks to nothing would have no end
    while not content.at_eof():
        piece = await content.readany()
        if unpack is not None:
            if packed_left < 0:
                return b"".join(pieces), False
            packed_left -= len(piece)
            piece = unpack(piece, left + 1)
        if len(piece) > left:
            pieces.append(piece[:left])
            return b"".join(pieces), False
        left -= len(piece)
        pieces.append(piece)
    return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), True


def _printed(header: str) -> str:
    """A header's value as text that can be stored: it may hold bytes that are none."""
    return header.encode("ascii", "backslashreplace").decode()


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
