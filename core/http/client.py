"""Sending: resolve, check every address, connect to a checked one, read within bounds.

Owns the pool of connections: one session per event loop, keep-alive, no cookies, no redirects,
no proxies from the environment. The only module that calls by aiohttp. A connection is checked when
it is opened (in the socket factory, on the very address that is connected to), so a name that
changes its address between check and connect gains nothing.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import weakref
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDictProxy
from yarl import URL

from core.http.egress import check_address
from core.http.messages import (
    BadResponse,
    EgressForbidden,
    HttpConnectionError,
    HttpRequest,
    HttpResponse,
    HttpTimeout,
    InvalidRequest,
    ResponseTooLarge,
    check_headers,
    check_url,
)

KEEPALIVE_SECONDS = 4.0  # below the 5 s after which common servers hang up: their hanging up loses a request
DNS_SECONDS = 10  # how long an answer of the resolver is used again
_RESOLVER_THREADS = 16  # getaddrinfo blocks; a name server that hangs must not hold up the others for long
_PIECE = 64 * 1024
_HEADERS = {"User-Agent": "ductape-jobs/1", "Accept-Encoding": "gzip, deflate"}
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None)  # ours is around all

_sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = weakref.WeakKeyDictionary()


async def send(request: HttpRequest) -> HttpResponse:
    """Send one request and read its answer. Raises an HttpError; whatever the status is, it is an answer.

    Not followed: redirects. Not repeated: anything. Cancelling the task closes the connection.
    """
    url = URL(check_url(request.url), encoded=True)
    check_headers(request.headers)
    if url.raw_host is not None and (":" in url.raw_host or url.raw_host.replace(".", "").isdigit()):
        check_address(url.raw_host)  # a literal is not resolved; other spellings of one are
    try:
        async with asyncio.timeout(request.timeout):
            return await _exchange(request, url)
    except TimeoutError:
        raise HttpTimeout(f"no complete answer from {_where(url)} within {request.timeout:.3g} s") from None
    except EgressForbidden as error:
        raise EgressForbidden(f"{_where(url)}: {error}") from None
    except aiohttp.InvalidURL:
        raise InvalidRequest("the URL's host is not one that can be resolved") from None
    except aiohttp.ClientConnectorDNSError:
        raise HttpConnectionError(f"the name {url.raw_host} could not be resolved") from None
    except aiohttp.ClientConnectorCertificateError as error:
        raise HttpConnectionError(f"{_where(url)}: its certificate is not valid: {_reason(error)}") from None
    except aiohttp.ClientConnectorError as error:
        raise HttpConnectionError(f"no connection to {_where(url)}: {_reason(error)}") from None
    except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, zlib.error) as error:
        if isinstance(error, aiohttp.ClientPayloadError):
            raise HttpConnectionError(f"{_where(url)} hung up in the middle of its answer") from None
        raise BadResponse(f"{_where(url)} did not answer in HTTP that can be read") from None
    except (aiohttp.ClientError, OSError) as error:
        raise HttpConnectionError(f"the connection to {_where(url)} broke: {_reason(error)}") from None


async def close() -> None:
    """Close the connections of the running event loop."""
    session = _sessions.pop(asyncio.get_running_loop(), None)
    if session is not None:
        await session.close()


async def _exchange(request: HttpRequest, url: URL) -> HttpResponse:
    async with _session().request(
        request.method,
        url,
        data=request.body,
        headers=request.headers,
        skip_auto_headers=("Content-Type",),
        allow_redirects=False,
        timeout=_NO_TIMEOUT,
    ) as response:
        body, complete = await _read(response, request.max_response_bytes)
        if not complete:
            response.close()  # the rest is not read, so the connection is of no more use
            if not request.truncate:
                raise ResponseTooLarge(f"{_where(url)} answered more than {request.max_response_bytes} bytes")
        return HttpResponse(
            status=response.status,
            reason=response.reason or "",
            headers=_lowered(response.headers),
            body=body,
            truncated=not complete,
        )


async def _read(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """At most `limit` unpacked bytes of the body, and whether that is all of it."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        unpack = None
    elif encoding in ("gzip", "x-gzip", "deflate"):
        unpack = _Unpacker(encoding)
    else:
        raise BadResponse(f"{_where(response.url)} answered in an encoding that was not asked for: {encoding[:40]}")
    pieces: list[bytes] = []
    left = limit
    while True:
        piece = await response.content.readany()
        if not piece:
            return b"".join(pieces), True
        if unpack is not None:
            piece = unpack(piece, left + 1)
        if len(piece) > left:
            pieces.append(piece[:left])
            return b"".join(pieces), False
        left -= len(piece)
        pieces.append(piece)


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
        """The threads are shared between sessions."""


def _checked_socket(info: Any) -> socket.socket:
    """The socket for one address, and the last check of it: this is where it will connect to."""
    family, kind, proto, _, sockaddr = info
    check_address(str(sockaddr[0]))
    return socket.socket(family=family, type=kind, proto=proto)


def _session() -> aiohttp.ClientSession:
    loop = asyncio.get_running_loop()
    session = _sessions.get(loop)
    if session is None or session.closed:
        connector = aiohttp.TCPConnector(
            limit=0,  # how much runs at once is decided by who calls
            resolver=_CheckedResolver(),
            socket_factory=_checked_socket,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ttl_dns_cache=DNS_SECONDS,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_PIECE,
        )
        session._retry_connection = False  # an attempt sends once; what to repeat is the job's decision
        _sessions[loop] = session
    return session


def _lowered(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    lowered: dict[str, str] = {}
    for name, value in headers.items():
        name = name.lower()
        lowered[name] = f"{lowered[name]}, {value}" if name in lowered else value
    return lowered


def _where(url: URL) -> str:
    return f"{url.scheme}://{url.raw_authority}"


def _reason(error: BaseException) -> str:
    """What the system said, without the library's wording around it."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    text = getattr(inner, "strerror", None) or getattr(inner, "verify_message", None) or str(inner)
    return str(text) or type(inner).__name__
