"""What goes out and what comes back, as values, and how it may fail.

Owns the rules for URLs and headers, which hold before anything is resolved or connected.
Never opens a connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import quote, urlsplit

DEFAULT_RESPONSE_BYTES = 1024 * 1024

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_BAD_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BAD_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")
_SAFE_IN_PATH = "%/:@!$&'()*+,;=-._~"
# Needs no encoding and has no fragment: nearly every URL, told in one look. Its authority is looked at once.
_ORDINARY_URL = re.compile(r"(https?://[A-Za-z0-9.\-]+(?::[0-9]{1,5})?)(/[A-Za-z0-9%/:@!$&'()*+,;=\-._~?]*)?")
_HOST = re.compile(r"[A-Za-z0-9_\-]{1,63}(\.[A-Za-z0-9_\-]{1,63})*\.?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_BRACKETED = re.compile(r"\[[0-9A-Fa-f:.%]+\](:[0-9]*)?")
LONGEST_HOST = 254  # with a dot at its end
# What frames the message or the connection belongs to the client, not to the caller.
RESERVED_HEADERS = frozenset(
    {
        "accept-encoding",
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

    address = ""  # that was connected to; empty: none was, or it was not `send`


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
class Origin:
    """Where a request is sent to. A connection to one is never used for another."""

    scheme: str
    host: str  # ASCII; an IPv6 literal without its brackets
    port: int
    authority: str  # as in the Host header

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


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
    address: str = ""  # that was connected to


def check_url(url: str) -> str:
    """The URL in the form it is sent, without fragment and with an ASCII host. Raises InvalidRequest."""
    origin, target = split_url(url)
    return f"{origin}{target}"


def split_url(url: str) -> tuple[Origin, str]:
    """Where a URL leads, and what is asked for there (path and query, encoded). Raises InvalidRequest."""
    ordinary = _ORDINARY_URL.fullmatch(url)
    if ordinary is not None:
        return _origin(ordinary[1]), ordinary[2] or "/"
    if _BAD_IN_URL.search(url):
        raise InvalidRequest("the URL holds a space, a backslash or a control character")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidRequest("the URL's host or port is malformed") from None
    origin = _origin(f"{parts.scheme}://{parts.netloc}")
    try:
        path = quote(parts.path, safe=_SAFE_IN_PATH) or "/"
        query = quote(parts.query, safe=_SAFE_IN_PATH + "?[]")
    except UnicodeEncodeError:
        raise InvalidRequest("the URL holds half of a surrogate pair") from None
    return origin, f"{path}?{query}" if query else path


@lru_cache(maxsize=64)
def check_method(method: str) -> str:
    """The method as it is sent, in upper case. Raises InvalidRequest."""
    if not _TOKEN.fullmatch(method):
        raise InvalidRequest(f"{method[:60]!r} is not a method")
    return method.upper()


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise InvalidRequest for a name or value that is no header, or that the client itself sets."""
    for name in headers:
        _check_name(name)
    if _BAD_IN_VALUE.search("".join(headers.values())):  # one look at all of them, for there is seldom anything
        for name, value in headers.items():
            if _BAD_IN_VALUE.search(value):
                raise InvalidRequest(f"the value of header {name!r} holds a line break or another control character")


@lru_cache(maxsize=4096)
def _check_name(name: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise InvalidRequest(f"{name[:60]!r} is not a header name")
    if name.lower() in RESERVED_HEADERS:
        raise InvalidRequest(f"the header {name!r} is set by the client itself")


@lru_cache(maxsize=4096)
def _origin(text: str) -> Origin:
    """The origin that `scheme://authority` names."""
    try:
        parts = urlsplit(text)
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
    if "[" in parts.netloc and not _BRACKETED.fullmatch(parts.netloc):
        raise InvalidRequest("the URL's host is neither a domain name nor an address")
    host = _ascii_host(parts.hostname)
    written = f"[{host}]" if ":" in host else host
    return Origin(
        scheme=parts.scheme,
        host=host,
        port=port or (443 if parts.scheme == "https" else 80),
        authority=written if port is None else f"{written}:{port}",
    )


def _ascii_host(host: str) -> str:
    if ":" in host:
        try:
            address = IPv6Address(host)
        except ValueError:
            raise InvalidRequest("the URL's host is neither a domain name nor an address") from None
        if address.scope_id is not None:
            raise InvalidRequest("the URL's address names a network interface")
        return host.lower()
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise InvalidRequest("the URL's host is not a domain name") from None
    if not _HOST.fullmatch(host) or len(host) > LONGEST_HOST:
        raise InvalidRequest("the URL's host is not a domain name")
    host = host.lower()
    if host.endswith(".") and _NUMBER.fullmatch(host[:-1].rpartition(".")[2]):
        host = host[:-1]  # an address, however it is dressed: it is told as one, and no name server is asked for it
    return host
