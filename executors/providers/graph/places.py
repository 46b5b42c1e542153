"""Where a graph is: the URL of a Bolt server, read. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

PORT = 7687
SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")


@dataclass(frozen=True, slots=True)
class Place:
    """`tls`: "" for none, "s" with the certificate checked, "ssc" with any certificate."""

    host: str
    port: int
    tls: str
    username: str | None
    password: str | None = field(repr=False)

    def uri(self, address: str) -> str:
        """What the driver connects to: `address` in place of the name, except where TLS must know the name.

        Always one server, the one that was named and checked: the members of a cluster that it would tell of are
        not followed.
        """
        host = self.host if self.tls == "s" else address
        shown = f"[{host}]" if ":" in host else host
        return f"bolt{'+' if self.tls else ''}{self.tls}://{shown}:{self.port}"


def place_of(url: str) -> Place:
    """The URL's parts. Raises ValueError saying what is wrong with it, never with a password in it."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORT
    except ValueError:
        raise ValueError("is not a URL such as bolt://graph.example:7687") from None
    if parts.scheme not in SCHEMES:
        raise ValueError(f"must begin with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
    if not parts.hostname:
        raise ValueError("names no host: bolt://graph.example:7687")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must end after the port: name the database in `database`")
    return Place(
        host=parts.hostname,
        port=port,
        tls=parts.scheme.partition("+")[2],
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def wrong_url(url: str) -> str | None:
    """Why a URL cannot be connected to, or None."""
    try:
        place_of(url)
    except ValueError as error:
        return str(error)
    return None
