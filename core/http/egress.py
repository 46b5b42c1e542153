"""Which addresses this system connects to: public ones, and those EGRESS_ALLOW_CIDRS names.

Pure: works on addresses, never on names. Whoever connects to a name resolves it, checks *all*
its addresses here, and connects to one of those it checked. Python's `is_global` alone is not
enough: in 3.11 it lets through multicast, site-local, the IPv4 addresses carried inside IPv6
ones, and metadata services on public addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from core.http.messages import EgressForbidden

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64_WELL_KNOWN = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = IPv6Network("::/96")
_DENIED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # shared between a carrier and its customers; Alibaba's metadata is in it
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        str(_NAT64_LOCAL),
        "2001::/23",  # protocol assignments, Teredo among them
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fec0::/10",
    )
)
# Where clouds hand out credentials. A wider allowed network does not open them, only their own /32 or /128.
METADATA: frozenset[Address] = frozenset(
    ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254")
)


def check_address(address: str) -> None:
    """Raise EgressForbidden unless this system may connect to `address` (a literal, as getaddrinfo gives it)."""
    if not _allowed(address, tuple(settings.EGRESS_ALLOW_CIDRS)):
        raise EgressForbidden(
            f"the address {address} is not public: jobs and webhooks may not reach it "
            "(an operator can allow networks with EGRESS_ALLOW_CIDRS)"
        )


@lru_cache(maxsize=8192)
def _allowed(address: str, allow: tuple[str, ...]) -> bool:
    try:
        outer = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    networks = allowed_networks(allow)
    if isinstance(outer, IPv6Address) and outer.ipv4_mapped is not None:
        outer = outer.ipv4_mapped  # the same destination, written differently
    if outer in METADATA:
        return any(outer in network and network.num_addresses == 1 for network in networks)
    if any(outer in network for network in networks if network.version == outer.version):
        return not any(inner in METADATA for inner in carried(outer))
    if outer in _NAT64_WELL_KNOWN:  # how an IPv6-only machine reaches that IPv4 address
        return all(_is_public(inner) for inner in carried(outer))
    return _is_public(outer) and all(_is_public(inner) for inner in carried(outer))


def carried(address: Address) -> Sequence[IPv4Address]:
    """The IPv4 addresses inside an IPv6 one: 6to4, Teredo (both ends), NAT64, IPv4-compatible."""
    if isinstance(address, IPv4Address):
        return ()
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _NAT64_WELL_KNOWN or address in _NAT64_LOCAL or (address in _COMPATIBLE and int(address) > 1):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return ()


@lru_cache(maxsize=16)
def allowed_networks(cidrs: tuple[str, ...]) -> tuple[Network, ...]:
    """EGRESS_ALLOW_CIDRS as networks. ImproperlyConfigured where one is none."""
    networks = []
    for text in cidrs:
        try:
            networks.append(ip_network(text.strip(), strict=False))
        except ValueError:
            raise ImproperlyConfigured(f"EGRESS_ALLOW_CIDRS: {text!r} is not a network such as 10.0.0.0/8") from None
    return tuple(networks)


def _is_public(address: Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
        and address not in METADATA
        and not any(address in network for network in _DENIED if network.version == address.version)
    )
