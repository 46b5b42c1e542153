"""Where a broker is: its URL taken apart, checked when the catalog is stored and again before a socket opens.

No text of an error holds the URL: it may hold a password.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from executors.base import CONNECTION_ERROR, VALIDATION_ERROR, AttemptFailed
from executors.reach.addresses import checked_later

CONNECT_SECONDS = 10.0  # an attempt that has less time left gives up sooner

Schemes = Mapping[str, tuple[int, bool]]  # scheme → (its port, whether it is over TLS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One server. Its repr shows no password."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    path: str | None = None  # after the host's slash; None where there is none
    tls: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def address(self) -> str:
        """A checked address of the host: connect to that one. Raises AttemptFailed."""
        return await checked_later(self.host, self.port)


def read_url(url: str, schemes: Schemes) -> Endpoint:
    """The URL taken apart. ValueError with a sentence for people."""
    told = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname
    except ValueError:
        raise ValueError(f"is not a URL such as {next(iter(schemes))}://host:port") from None
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with {told}")
    if not host:
        raise ValueError("names no host")
    if port == 0:
        raise ValueError("names no port between 1 and 65535")
    usual, tls = schemes[parts.scheme]
    return Endpoint(
        host=host,
        port=port or usual,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        path=unquote(parts.path[1:]) if parts.path.startswith("/") else None,
        tls=tls,
    )


def url_of(schemes: Schemes) -> Callable[[str], str | None]:
    """What is wrong with a URL in a catalog."""

    def check(url: str) -> str | None:
        try:
            read_url(url, schemes)
        except ValueError as error:
            return str(error)
        return None

    return check


def configured(connection: Mapping[str, Any], schemes: Schemes) -> Endpoint:
    """The server of a connection: by its `url`, or its `host` and what goes with that. Raises AttemptFailed."""
    url = connection.get("url")
    if url is not None:
        try:
            found = read_url(url, schemes)
        except ValueError as error:
            raise AttemptFailed(VALIDATION_ERROR, f"the broker's url {error}") from None
    else:
        usual = {tls: port for port, tls in reversed(list(schemes.values()))}
        tls = bool(connection.get("tls"))
        found = Endpoint(host=connection["host"], port=usual.get(tls, usual[False]), tls=tls)
    return Endpoint(
        host=found.host,
        port=connection.get("port", found.port),
        username=connection.get("username", found.username),
        password=connection.get("password", found.password),
        path=found.path,
        tls=bool(connection.get("tls", found.tls)),
    )


def host_ports(texts: list[str], port: int) -> Iterator[tuple[str, int]]:
    """`host`, `host:port` or `scheme://host:port`, several in one text divided by commas. ValueError."""
    for text in (part.strip() for whole in texts for part in whole.split(",")):
        try:
            parts = urlsplit(text if "://" in text else f"//{text}")
            host, named = parts.hostname, parts.port
        except ValueError:
            host, named = None, None
        if not host or parts.username is not None or parts.path not in {"", "/"}:
            raise ValueError(f"{text[:60]!r} is not host:port")
        yield host, named or port


class NamedContext(ssl.SSLContext):
    """A client's TLS that asks for the certificate of `name`, whatever address the connection goes to."""

    name: str
    wrapped: ssl.SSLSocket | None = None  # the last socket: for a driver that leaves it open where its handshake fails

    def wrap_socket(self, sock: Any, *args: Any, **options: Any) -> Any:
        self.wrapped = super().wrap_socket(sock, *args, **{**options, "server_hostname": self.name})
        return self.wrapped

    def wrap_bio(self, *args: Any, **options: Any) -> Any:
        return super().wrap_bio(*args, **{**options, "server_hostname": self.name})


def tls_context(name: str, ca: str | None) -> NamedContext:
    """Certificates are checked against the machine's authorities, or those of `ca` (PEM) instead of them."""
    context = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.name = name
    if ca is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError):
        raise AttemptFailed(VALIDATION_ERROR, "the broker's ca holds no certificate in PEM") from None
    return context


def no_connection(where: object, error: BaseException | None = None) -> AttemptFailed:
    """A connection was not made, or broke."""
    told = _told(error) if error is not None else "the connection broke"
    return AttemptFailed(CONNECTION_ERROR, f"{where}: {told}", retryable=True)


def _told(error: BaseException) -> str:
    inner = error.__cause__ or error.__context__
    if inner is not None and not isinstance(error, OSError):  # a driver's own error, around the system's
        return _told(inner) if isinstance(inner, OSError) else str(error)[:300]
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return "the connection was refused"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return f"no connection within {CONNECT_SECONDS:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)[:300] or type(error).__name__
