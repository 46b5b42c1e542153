"""One HTTP/1.1 connection to an address that was checked: one exchange at a time, within bounds.

Owns what is on the wire of an answer: where it begins and ends, and whether the connection may
serve another one. The parsing itself is llhttp's (httptools), in its strict mode. Never decides
where to connect, never repeats a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httptools

from core.http.messages import BadResponse, HttpConnectionError, HttpError, HttpResponse, ResponseTooLarge
from core.http.unpacking import Unpacker, unpacker

MAX_HEAD_BYTES = 64 * 1024  # of an answer's status line and headers
_FRAMING = 8  # bytes on the wire for one of the body, at most: chunks of one byte take six
_SPARE_BYTES = 128 * 1024  # and for what is not body: headers, trailers, interim answers


class Connection(asyncio.Protocol):
    """A connection and the exchange that is going on over it, if one is."""

    def __init__(self, address: str, lost: Callable[[Connection], None]) -> None:
        self.address = address  # the literal that it is connected to
        self.reusable = True
        self.idle_since = 0.0
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._exchange: _Exchange | None = None

    async def exchange(self, message: bytes, *, head_only: bool, limit: int, truncate: bool) -> HttpResponse:
        """Send a whole request and wait for its answer. Raises an HttpError, without saying where it happened.

        However it ends but well, the connection is closed, also when the task is cancelled.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise HttpConnectionError("hung up before the request was sent")
        exchange = self._exchange = _Exchange(head_only=head_only, limit=limit, truncate=truncate)
        transport.write(message)
        whole = False
        try:
            response = await exchange.answered
            # An answer before the request was sent to its end: the rest of it would be taken for the next one.
            whole = exchange.keep_alive and self.reusable and transport.get_write_buffer_size() == 0
            return response
        finally:
            self._exchange = None
            if not whole:
                self.abort()

    def abort(self) -> None:
        """Close at once; what is still on its way is dropped."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are no subclass of asyncio's

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.answered.done():
            self.abort()  # nobody asked
            return
        exchange.feed(data)
        if exchange.answered.done() and not exchange.keep_alive:
            self.reusable = False

    def eof_received(self) -> None:
        self.reusable = False
        if self._exchange is not None:
            self._exchange.end()

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        self._transport = None
        if self._exchange is not None:
            self._exchange.end(error)
        self._lost(self)


class _Exchange:
    """The answer to one request, as it arrives; llhttp calls the `on_` methods."""

    def __init__(self, *, head_only: bool, limit: int, truncate: bool) -> None:
        self.answered: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self.keep_alive = False
        self._head_only = head_only
        self._limit = limit
        self._truncate = truncate
        self._parser = httptools.HttpResponseParser(self)
        self._received = 0
        self._reason = b""
        self._headers: dict[str, str] = {}
        self._in_body = False
        self._left = limit
        self._pieces: list[bytes] = []
        self._unpacker: Unpacker | None = None

    def feed(self, data: bytes) -> None:
        """More of the wire. What is wrong with it ends the exchange."""
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._fail(error.__context__)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.keep_alive = False  # behind a complete answer: not a second one for nobody
            self._fail(BadResponse("did not answer in HTTP that can be read"))
        if self.answered.done():
            return
        if not self._in_body and self._received > MAX_HEAD_BYTES:
            self._fail(BadResponse(f"answered headers of more than {MAX_HEAD_BYTES} bytes"))
        elif self._received > self._limit * _FRAMING + _SPARE_BYTES:
            self._too_large()

    def end(self, error: Exception | None = None) -> None:
        """The other side hung up: that ends an answer that has no length, and breaks any other."""
        if self.answered.done():
            return
        if not self._in_body and self._received == 0:
            self._fail(HttpConnectionError(f"hung up without an answer{_told(error)}"))
        elif self._in_body and error is None and self._ends_with_connection():
            self._complete()
        else:
            self._fail(HttpConnectionError(f"hung up in the middle of its answer{_told(error)}"))

    # --- llhttp's callbacks -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.answered.done():
            self.keep_alive = False  # a second answer to one request
        else:
            self._headers.clear()

    def on_status(self, reason: bytes) -> None:
        self._reason = reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return  # a trailer
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers = self._headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise BadResponse("answered 101 and wants another protocol")
            return
        if self.answered.done():
            return
        self._in_body = True
        if self._head_only:
            self.keep_alive = self._parser.should_keep_alive()
            self._answer()
            return
        encoding = self._headers.get("content-encoding")
        if encoding is not None:
            self._unpacker = unpacker(encoding)

    def on_body(self, piece: bytes) -> None:
        if self.answered.done():
            return
        if self._unpacker is not None:
            piece = self._unpacker.feed(piece, self._left + 1)
        if len(piece) > self._left:
            self._pieces.append(piece[: self._left])
            self._too_large()
            return
        self._left -= len(piece)
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200 and not self.answered.done():
            self.keep_alive = self._parser.should_keep_alive()
            self._complete()

    # --- how it ends ------------------------------------------------------------------------

    def _complete(self) -> None:
        if self._unpacker is not None and not self._unpacker.complete:
            self.keep_alive = False
            self._fail(BadResponse("answered a packed body that is not complete"))
        else:
            self._answer()

    def _too_large(self) -> None:
        if self._truncate:
            self._answer(truncated=True)
        else:
            self._fail(ResponseTooLarge(f"answered more than {self._limit} bytes"))

    def _answer(self, *, truncated: bool = False) -> None:
        if self.answered.done():
            return
        if truncated:
            self.keep_alive = False  # the rest is not read, so the connection is of no more use
        self.answered.set_result(
            HttpResponse(
                status=self._parser.get_status_code(),
                reason=self._reason.decode("latin-1"),
                headers=self._headers,
                body=b"".join(self._pieces),
                truncated=truncated,
            )
        )

    def _fail(self, error: BaseException | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(
                error if isinstance(error, HttpError) else BadResponse("did not answer in HTTP that can be read")
            )

    def _ends_with_connection(self) -> bool:
        return "content-length" not in self._headers and "chunked" not in self._headers.get("transfer-encoding", "")


def _told(error: Exception | None) -> str:
    text = getattr(error, "strerror", None)
    return f": {text}" if text else ""
