"""What gunicorn refuses before Django sees it, told as any other error: a problem, never a page of HTML.

Owns the words for a request line or headers that are too long, and for what is not HTTP. Never touches a
request that was understood.
"""

from __future__ import annotations

import uuid

from gunicorn.http import errors as gunicorn

from core import about, strictjson
from core.errors import ApiError
from core.tenancy.problems import CONTENT_TYPE, problem

LONGEST_LINE = 8_190  # bytes of `GET /path?query HTTP/1.1`: what gunicorn allows at most, and proxies usually do

_REASONS = {400: "Bad Request", 414: "URI Too Long", 431: "Request Header Fields Too Large"}
_BROKEN = (
    gunicorn.InvalidRequestLine,
    gunicorn.InvalidRequestMethod,
    gunicorn.InvalidHTTPVersion,
    gunicorn.InvalidHeader,
    gunicorn.InvalidHeaderName,
    gunicorn.ObsoleteFolding,
    gunicorn.InvalidChunkSize,
    gunicorn.ChunkMissingTerminator,
    gunicorn.InvalidChunkExtension,
)
_OURS = (gunicorn.InvalidResponseHeader, gunicorn.InvalidResponseHeaderName)  # what an answer of ours would have said


class Refused(ApiError):
    """A request that did not get as far as an operation."""

    status, code, title = 400, "malformed_request", "The request is not HTTP"


class LineTooLong(Refused):
    status, code, title = 414, "uri_too_long", "The address is too long"


class HeadersTooLarge(Refused):
    status, code, title = 431, "headers_too_large", "The headers are too large"


def refusal(error: BaseException) -> Refused | None:
    """What the caller is told of gunicorn's error, or None where it is none of a request's form."""
    if isinstance(error, _OURS):
        return None
    if isinstance(error, gunicorn.LimitRequestLine):
        detail = f"the request's first line is longer than {LONGEST_LINE} bytes: filter by less, or by a …-many call"
        return LineTooLong(detail)
    if isinstance(error, gunicorn.LimitRequestHeaders):
        return HeadersTooLarge("there are too many headers, or one is too long: leave out what no operation reads")
    return Refused("the request is not well-formed HTTP/1.1") if isinstance(error, _BROKEN) else None


def answer(refused: Refused) -> bytes:
    """The whole answer as it is sent, after which the connection ends: what follows on it is not understood."""
    identifier = uuid.uuid4().hex
    token = about.request.set(identifier)
    try:
        body = strictjson.dumps(problem(refused))
    finally:
        about.request.reset(token)
    lines = (
        f"HTTP/1.1 {refused.status} {_REASONS[refused.status]}",
        "Connection: close",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        f"X-Request-Id: {identifier}",
    )
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body
