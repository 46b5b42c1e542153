"""How an HTTP exchange ended, in the words of the executors: codes, and whether another attempt may help.

Shared by the namespaces that call over HTTP. Pure, but for the clock that a Retry-After date needs.
"""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

from core import http, strictjson
from executors import base
from executors.base import Failed, redacted, redacted_bytes, redacted_message, redacted_value

LONGEST_RETRY_AFTER = 86_400.0  # seconds; who asks for more is asked again sooner
_EXCERPT_CHARACTERS = 300
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["/\\]))')
_MOST_FIELDS = 10_000  # of a form that is told as an object
_TOLD_HEADERS = ("content-type", "location", "etag", "last-modified", "retry-after", "x-request-id")
_TEXTS = frozenset(
    {
        "application/json", "application/xml", "application/x-www-form-urlencoded", "application/javascript",
        "application/x-ndjson", "application/yaml", "application/x-yaml", "application/graphql",
    }
)  # fmt: skip

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
    _, charset = _media_type(response.headers.get("content-type", ""))
    told = _hidden_in(plain_text(response.body, charset), redact)
    excerpt = told[:_EXCERPT_CHARACTERS].strip()
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
        case http.ResponseTooLarge():
            way_out = "raise max_response_bytes of the app, or let it be cut with large_response: truncate"
            return Failed(code=base.RESPONSE_TOO_LARGE, message=f"{message}: {way_out}", retryable=False)
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


def result_of(response: http.HttpResponse, secrets: tuple[str, ...]) -> dict[str, Any]:
    """What a run keeps of an answer: status, some headers, and the body by its content type.

    JSON and forms become values, other text stays text (XML, too: nothing of it is lost, and nothing
    in it is obeyed), the rest is told as base 64. A body that is not what it says is kept as text.
    """
    headers = response.headers
    told = {name: redacted(headers[name], secrets) for name in _TOLD_HEADERS if name in headers}
    result: dict[str, Any] = {"status": response.status, "headers": told}
    media_type, charset = _media_type(headers.get("content-type", ""))
    if not response.body:
        result["body"] = None
    elif _is_text(media_type, response.body):
        text = plain_text(response.body, charset)
        result["body"] = _text_told(text, media_type, secrets, truncated=response.truncated)
    else:
        told_bytes = redacted_bytes(response.body, secrets, cut_off=response.truncated)
        result["body"] = {
            "base64": base64.b64encode(told_bytes).decode(),
            "size": len(response.body),
            "content_type": media_type or "application/octet-stream",
        }
    if response.truncated:
        result["truncated"] = True
    return result


def _text_told(text: str, media_type: str, secrets: tuple[str, ...], *, truncated: bool) -> Any:
    """A text as a run keeps it. Looked through as it is, where a secret may be several values; and by value."""
    if truncated:
        return redacted_message(_hidden_in(text, lambda each: redacted(each, secrets)), secrets)
    value = _parsed(redacted(text, secrets), media_type)
    if isinstance(value, str):
        return _hidden_in(value, lambda each: redacted(each, secrets))
    return redacted_value(value, secrets)


def _hidden_in(text: str, redact: Callable[[str], str]) -> str:
    """The text without secrets; and without JSON's escapes, only where these keep one from being seen."""
    told = redact(text)
    if "\\" in told:
        plain = _ESCAPE.sub(_unescaped, told)
        if (shown := redact(plain)) != plain:
            return shown
    return told


def _unescaped(escape: re.Match[str]) -> str:
    sign = chr(int(escape[1], 16)) if escape[1] else escape[2]
    return sign if sign.isprintable() else escape[0]


def plain_text(body: bytes, charset: str = "utf-8") -> str:
    """The body as text that every database can store."""
    text = body.decode(charset, "replace").replace("\x00", "\ufffd")
    return text if charset == "utf-8" else text.encode("utf-8", "replace").decode()  # others may know half a pair


@lru_cache(maxsize=256)
def _media_type(content_type: str) -> tuple[str, str]:
    """`text/html; charset=latin-1` → what it is, and a charset that Python knows and text can be in."""
    media_type, _, parameters = content_type.lower().partition(";")
    charset = next(
        (
            value.strip(" '\"")
            for name, _, value in (each.partition("=") for each in parameters.split(";"))
            if name.strip() == "charset"
        ),
        "utf-8",
    )
    try:
        known = charset.isascii() and codecs.lookup(charset)._is_text_encoding
    except (LookupError, ValueError):
        known = False
    return media_type.strip(), charset if known else "utf-8"


def _is_text(media_type: str, body: bytes) -> bool:
    if not media_type:
        return b"\x00" not in body and _decodes(body)
    return media_type.startswith("text/") or media_type in _TEXTS or media_type.endswith(("+json", "+xml"))


def _decodes(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _parsed(text: str, media_type: str) -> Any:
    if media_type == "application/x-www-form-urlencoded":
        try:
            pairs = parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            return text
        # What was percent-encoded may hold what a database does not.
        return {
            plain_text(name.encode("utf-8", "replace")): members[0] if len(members) == 1 else members
            for name, values in pairs.items()
            for members in [[plain_text(value.encode("utf-8", "replace")) for value in values]]
        }
    if media_type.startswith("text/") or media_type.endswith(("/xml", "+xml")) or not text.strip():
        return text
    try:
        return strictjson.loads(text.encode())
    except strictjson.NotJSON:
        return text
