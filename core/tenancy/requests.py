"""Every request has an id, and a body whose length is bounded also when nobody said how long it is.

Owns `X-Request-Id` (a sane one from outside is kept), the line that the log gets for each request,
bodies sent in chunks, which Django would read as empty, and answers to HEAD, which have none.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable
from io import RawIOBase
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.encoding import escape_uri_path

from core import about

_SANE = re.compile(r"[A-Za-z0-9._\-:+/=]{1,128}")
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds: told only when they fail
_LONGEST_PATH = 300  # characters of a path in the log

access = logging.getLogger("api.access")


def request_id() -> str:
    """The id of the request being answered; empty outside of one."""
    return about.request.get()


class RequestIdMiddleware:
    """Outermost: what it does not see has no id."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        identifier = given if _SANE.fullmatch(given) else uuid.uuid4().hex
        token = about.request.set(identifier)
        began = time.perf_counter()
        try:
            _open_chunked(request)
            response = self.get_response(request)
            if request.method == "HEAD":
                _without_body(response)
            _tell(request, response.status_code, time.perf_counter() - began)
        finally:
            about.request.reset(token)
        response["X-Request-Id"] = identifier
        return response


def _without_body(response: HttpResponseBase) -> None:
    """As GET would be answered, but for the body, of which only the length is told."""
    if isinstance(response, StreamingHttpResponse):
        response.streaming_content = []
    elif isinstance(response, HttpResponse):
        response.headers.setdefault("Content-Length", str(len(response.content)))
        response.content = b""


def _tell(request: HttpRequest, status: int, seconds: float) -> None:
    """The access log's line. Without the query, which may hold what nobody else should read."""
    level = logging.DEBUG if status < 400 and request.path in _PROBES else logging.INFO
    if access.isEnabledFor(level):
        path = escape_uri_path(request.path)[:_LONGEST_PATH]  # a line break in it cannot forge another line
        ms = round(seconds * 1000, 1)
        access.log(
            level, "%s %s %d %.1f ms", request.method, path, status, ms,
            extra={"method": request.method, "path": path, "status": status, "ms": ms},
        )  # fmt: skip


class _Bounded(RawIOBase):
    """At most `limit` bytes of a stream that ends by itself."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        piece: bytes = self._stream.read(wanted) if wanted else b""
        self._left -= len(piece)
        return piece


def _open_chunked(request: HttpRequest) -> None:
    """Make a chunked body readable: a server that decodes chunks ends its stream and says so."""
    if "chunked" not in request.META.get("HTTP_TRANSFER_ENCODING", "").lower() or request.META.get("CONTENT_LENGTH"):
        return
    environ = getattr(request, "environ", {})
    if environ.get("wsgi.input_terminated"):
        limit = settings.BULK_BODY_LIMIT_BYTES + 1  # one more, so that the parser sees that it is too long
        request._stream = cast(BinaryIO, _Bounded(environ["wsgi.input"], limit))
        request.META["CONTENT_LENGTH"] = str(limit)
