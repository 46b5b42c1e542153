"""What goes out and what comes back, as values, and how it may fail.

Owns the rules for URLs and headers, which hold before anything is resolved or connected.
Never opens a connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, urlsplit, urlunsplit

DEFAULT_RESPONSE_BYTES = 1024 * 1024

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_BAD_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BAD_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")
# What frames the message or the connection belongs to the client, not to the caller.
RESERVED_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class HttpError(Exception):
    """Base of what `send` raises; the text is for people and holds neither query nor header values."""


class InvalidRequest(HttpError):
    """The URL or a header cannot be sent."""


class EgressForbidden(HttpError):
    """The address is one that this system does not connect to."""


class HttpTimeout(HttpError):
    """The total deadline passed before the answer was complete."""


class HttpConnectionError(HttpError):
    """No connection, or it broke before the answer was complete."""


class BadResponse(HttpError):
    """What came back is not HTTP, or is in an encoding that was not asked for."""


class ResponseTooLarge(HttpError):
    """The body, unpacked, is longer than `max_response_bytes`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRequest:
    """One request. `url` is sent as it is: what needs percent-encoding in path and query already has it."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout: float  # seconds, for all of it: resolving, connecting, sending, reading to the end
    max_response_bytes: int = DEFAULT_RESPONSE_BYTES  # unpacked
    truncate: bool = False  # past the limit: True cuts the body there, False raises ResponseTooLarge


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpResponse:
    """A complete answer; header names are in lower case, several of one name are joined by a comma."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    truncated: bool = False


@lru_cache(maxsize=2048)
def check_url(url: str) -> str:
    """The URL in the form it is sent, without fragment and with an ASCII host. Raises InvalidRequest."""
    if _BAD_IN_URL.search(url):
        raise InvalidRequest("the URL holds a space, a backslash or a control character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidRequest("the URL's host or port is malformed") from None
    if parts.scheme not in ("http", "https"):
        raise InvalidRequest(f"the URL must begin with http:// or https://, not {parts.scheme or 'nothing'!r}")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise InvalidRequest("the URL holds a user name or password: use auth instead")
    if not parts.hostname:
        raise InvalidRequest("the URL has no host")
    if port == 0:
        raise InvalidRequest("the URL's port is 0")
    host = _ascii_host(parts.hostname)
    netloc = host if port is None else f"{host}:{port}"
    path = quote(parts.path, safe="%/:@!$&'()*+,;=-._~") or "/"
    return urlunsplit((parts.scheme, netloc, path, quote(parts.query, safe="%/?:@!$&'()*+,;=-._~[]"), ""))


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise InvalidRequest for a name or value that is no header, or that the client itself sets."""
    for name, value in headers.items():
        _check_name(name)
        if _BAD_IN_VALUE.search(value):
            raise InvalidRequest(f"the value of header {name!r} holds a line break or another control character")


@lru_cache(maxsize=4096)
def _check_name(name: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise InvalidRequest(f"{name[:60]!r} is not a header name")
    if name.lower() in RESERVED_HEADERS:
        raise InvalidRequest(f"the header {name!r} is set by the client itself")


def _ascii_host(host: str) -> str:
    if ":" in host:
        return f"[{host}]"
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise InvalidRequest("the URL's host is not a domain name") from None
    if not re.fullmatch(r"[A-Za-z0-9._\-]+", host):
        raise InvalidRequest("the URL's host is not a domain name")
    return host.lower()
