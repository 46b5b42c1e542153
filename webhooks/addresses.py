"""Which URLs may be told of events, as far as they say it themselves: no name is resolved here.

Whoever connects checks every address that a name has then (`core.http`); this refuses what can never be right.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

from django.conf import settings

from core.http.egress import check_address
from core.http.messages import EgressForbidden, InvalidRequest, split_url

LOOPBACK = "127.0.0.1"


class BadUrl(ValueError):
    """The text says why."""


def checked(url: str) -> str:
    """The URL in the form it is called. Raises BadUrl: malformed, with credentials, of another scheme, private."""
    if "#" in url:
        raise BadUrl("must not hold a fragment: it is never sent")
    try:
        origin, target = split_url(url)
        if (address := _literal(origin.host)) is not None:
            check_address(address)
    except (InvalidRequest, EgressForbidden) as error:
        raise BadUrl(str(error)) from None
    if origin.scheme == "http" and not settings.WEBHOOK_ALLOW_HTTP:
        raise BadUrl("must begin with https:// (an operator can allow http:// with WEBHOOK_ALLOW_HTTP)")
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
