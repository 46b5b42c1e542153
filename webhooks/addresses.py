"""Which URLs may be told of events, as far as they say it themselves: no name is resolved here.

Whoever connects checks every address that a name has then (`core.http`); this refuses what can never be right.
"""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address

from django.conf import settings

from core.http.egress import check_address
from core.http.messages import EgressForbidden, InvalidRequest, split_url

LOOPBACK = "127.0.0.1"
_PORTS = {"http": 80, "https": 443}
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # how the last part of an IPv4 address looks, and no top-level domain does

_TWO_DOMAINS = re.compile(
    "[\u00df\u03c2\u200c\u200d]"
)  # the deviations of UTS 46: a browser means another host by them


class BadUrl(ValueError):
    """The text says why."""


def checked(url: str) -> str:
    """The URL in the form it is called. Raises BadUrl: malformed, with credentials, of another scheme, private."""
    if "#" in url:
        raise BadUrl("must not hold a fragment: it is never sent")
    authority = url.partition("://")[2].partition("/")[0].partition("?")[0]
    if "@" in authority:
        raise BadUrl("must not hold a user name or password: signatures say who sends")
    if two := _TWO_DOMAINS.search(authority):
        raise BadUrl(f"has a host with {two[0]!a}, which is another domain to some: write the host as xn--…")
    try:
        origin, target = split_url(url)
        if (address := _literal(origin.host)) is not None:
            check_address(address)
        elif _NUMBER.fullmatch(origin.host.removesuffix(".").rpartition(".")[2]):
            raise BadUrl("has a host that is neither a domain name nor an address")  # 1.2.3.256, 1.2.3.4.5
    except (InvalidRequest, EgressForbidden) as error:
        raise BadUrl(str(error)) from None
    if origin.scheme == "http" and not settings.WEBHOOK_ALLOW_HTTP:
        raise BadUrl("must begin with https:// (an operator can allow http:// with WEBHOOK_ALLOW_HTTP)")
    if origin.port == _PORTS[origin.scheme]:  # written or not: it is one URL, and one webhook
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        return f"{origin.scheme}://{host}{target}"
    return f"{origin}{target}"


def _literal(host: str) -> str | None:
    """The address that a host is, however it is written; None: a name."""
    if host == "localhost" or host.endswith((".localhost", ".localhost.", "localhost.")):
        return LOOPBACK
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # 0x7f.1, 2130706433: as the resolver takes them
    except (OSError, UnicodeError):
        return None
