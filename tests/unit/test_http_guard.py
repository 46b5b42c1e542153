"""Which URLs, headers and addresses the outgoing client refuses before it connects."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from core.http import EgressForbidden, InvalidRequest, check_address, check_headers, check_url
from core.http.egress import METADATA, carried

FORBIDDEN = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
    "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "2002:7f00:1::",
    "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b::a9fe:a9fe", "64:ff9b::127.0.0.1", "64:ff9b:1::1",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "3fff::1", "5f00::1", "2001:db8::1",
    "100::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_an_address_that_is_not_public_is_refused(address: str, settings: Settings) -> None:
    settings.EGRESS_ALLOW_CIDRS = []

    with pytest.raises(EgressForbidden, match="EGRESS_ALLOW_CIDRS"):
        check_address(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str, settings: Settings) -> None:
    settings.EGRESS_ALLOW_CIDRS = []

    check_address(address)


def test_an_operator_allows_a_private_network_and_only_that(settings: Settings) -> None:
    settings.EGRESS_ALLOW_CIDRS = ["10.1.0.0/16", "::1/128"]

    check_address("10.1.2.3")
    check_address("::ffff:10.1.2.3")  # the same destination
    check_address("::1")
    for refused in ("10.2.0.1", "127.0.0.1", "2002:a01:203::1", "::10.1.2.3"):
        with pytest.raises(EgressForbidden):
            check_address(refused)


def test_metadata_services_open_only_by_their_own_address(settings: Settings) -> None:
    settings.EGRESS_ALLOW_CIDRS = ["0.0.0.0/0", "::/0"]
    check_address("192.168.0.1")
    for address in METADATA:
        with pytest.raises(EgressForbidden):
            check_address(str(address))
    for hidden in ("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"):
        with pytest.raises(EgressForbidden):
            check_address(hidden)

    settings.EGRESS_ALLOW_CIDRS = ["169.254.169.254/32"]
    check_address("169.254.169.254")


@given(st.ip_addresses(v=4).filter(lambda address: not address.is_global and not address.is_loopback))
def test_no_wrapping_makes_a_private_address_reachable(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    for outer in (
        (0xFFFF << 32) | number,  # mapped
        (0x2002 << 112) | (number << 80),  # 6to4
        (0x64FF9B << 96) | number,  # NAT64
        number if number != 1 else 0,  # compatible; ::1 is a loopback address of its own, allowed here
    ):
        with pytest.raises(EgressForbidden):
            check_address(str(ipaddress.IPv6Address(outer)))


def test_the_carried_addresses_are_found() -> None:
    assert [str(a) for a in carried(ipaddress.IPv6Address("2002:c0a8:1::1"))] == ["192.168.0.1"]
    assert [str(a) for a in carried(ipaddress.IPv6Address("64:ff9b::10.0.0.1"))] == ["10.0.0.1"]
    assert [str(a) for a in carried(ipaddress.IPv6Address("::1"))] == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "gopher://x/", "//example.com/", "example.com", "", "http://",
        "http:///path", "http://user:pw@example.com/", "http://user@example.com/", "http://a@b@c/", "http://example.com:0/",
        "http://example.com:99999/", "http://example.com:x/", "http://exa mple.com/", "http://example.com/a\r\nX: y",
        "http://example.com/\x00", "http://example.com\\@evil.com/", "http://[::1/", "http://ex{}ample.com/",
    ],
)  # fmt: skip
def test_a_url_that_could_mean_something_else_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        check_url(url)


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://Example.com", "http://example.com/"),
        ("https://example.com:8443/a%2Fb?q=%26#part", "https://example.com:8443/a%2Fb?q=%26"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://[2606:4700::1]:80/", "http://[2606:4700::1]:80/"),
    ],
)
def test_a_url_is_sent_as_written_but_for_what_must_be_encoded(url: str, sent: str) -> None:
    assert check_url(url) == sent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "a\r\nX-B: c"), ("X-A", "a\nb"), ("X-A", "a\x00b"), ("X A", "a"), ("X-A:", "a"), ("", "a"), ("X-Ä", "a"),
        ("Host", "evil"), ("content-length", "0"), ("Transfer-Encoding", "chunked"), ("Connection", "close"),
    ],
)  # fmt: skip
def test_a_header_that_would_break_the_message_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest):
        check_headers({name: value})


def test_an_ordinary_header_passes() -> None:
    check_headers({"X-From": "my-app", "Accept": "text/html, */*;q=0.1", "X-Tab": "a\tb"})
