"""How an HTTP exchange ended, in the words of the executors: codes, and whether another attempt may help.

Shared by the namespaces that call over HTTP. Pure, but for the clock that a Retry-After date needs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from core import http, strictjson
from executors import base
from executors.base import Failed

LONGEST_RETRY_AFTER = 86_400.0  # seconds; who asks for more is asked again sooner
_EXCERPT_CHARACTERS = 300

_CODES = {
    401: base.UNAUTHORIZED,
    403: base.FORBIDDEN,
    404: base.NOT_FOUND,
    408: base.TIMEOUT,
    410: base.NOT_FOUND,
    425: base.TIMEOUT,
    429: base.RATE_LIMITED,
}


def failed_answer(
    where: str, response: http.HttpResponse, *, now: datetime, redact: Callable[[str], str] = str
) -> Failed:
    """The failure that an answer outside of the success statuses means. `where` is told as it is."""
    status = response.status
    code = base.SERVICE_UNAVAILABLE if status >= 500 else _CODES.get(status, base.VALIDATION_ERROR)
    message = f"{where} answered {status} {redact(response.reason)}".rstrip()
    if 300 <= status < 400:
        message += " (redirects are not followed)"
    excerpt = redact(plain_text(response.body))[:_EXCERPT_CHARACTERS].strip()
    return Failed(
        code=code,
        message=f"{message}: {excerpt}" if excerpt else message,
        retryable=status >= 500 or status in (408, 425, 429),
        retry_after=retry_after(response, now=now) if status in (429, 503) else None,
    )


def failed_exchange(error: http.HttpError, *, redact: Callable[[str], str] = str) -> Failed:
    """The failure that no usable answer means."""
    message = redact(str(error))
    match error:
        case http.HttpTimeout():
            return Failed(code=base.TIMEOUT, message=message, retryable=True)
        case http.EgressForbidden():
            return Failed(code=base.FORBIDDEN, message=message, retryable=False)
        case http.InvalidRequest():
            return Failed(code=base.VALIDATION_ERROR, message=message, retryable=False)
        case _:
            return Failed(code=base.CONNECTION_ERROR, message=message, retryable=True)


def retry_after(response: http.HttpResponse, *, now: datetime) -> float | None:
    """Seconds that the other side asked to wait, given as such or as a date; None if it did not, or not readably."""
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), LONGEST_RETRY_AFTER)


def plain_text(body: bytes) -> str:
    """The body as text that every database can store."""
    return body.decode("utf-8", "replace").replace("\x00", "\ufffd")


def readable(text: str, *, truncated: bool) -> Any:
    """The JSON value of a body where it is one that can be stored, else its text."""
    if truncated or not text.strip():
        return text
    try:
        return strictjson.loads(text.encode())
    except strictjson.NotJSON:
        return text
