"""Hostile targets and hostile answers: refused before a socket opens, or a failure with its code and bounded memory."""

from __future__ import annotations

import asyncio
import gzip
import socket
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from core import http
from core.http import EgressForbidden, HttpError, HttpRequest, InvalidRequest
from core.shortcache import forget_everything
from executors.base import Failed
from tests.integration.action_world import World
from tests.servers.receiver import Answer, Receiver

MEGABYTE = 1024 * 1024
# What a name server of the attacker's answers.
NAMES = {
    "private.example": ["10.0.0.1"],
    "loopback.example": ["127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "two-faced.example": ["93.184.215.14", "10.0.0.1"],
    "six.example": ["::1"],
    "mapped.example": ["::ffff:10.0.0.1"],
    "nat64.example": ["64:ff9b::a00:1"],
    "scoped.example": ["fe80::1%1"],
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1"],
    "ip6-localhost": ["::1"],
    "metadata.google.internal": ["169.254.169.254"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "10-0-0-1.sslip.io": ["10.0.0.1"],
    "xn--bcher-kva.example": ["192.168.0.1"],
}
ADDRESSES = [
    # loopback, in every spelling that a resolver understands
    "127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1", "127.0.1", "0177.0.0.1", "0177.1", "0x7f.0.0.1", "0x7f.1",
    "0x7F000001", "2130706433", "017700000001", "0x7f.0x0.0x0.0x1", "0177.0x0.0.1", "127.0.0.01", "127.0.0.1.",
    "①②⑦.⓪.⓪.①", "１２７.0.0.1", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1",
    # this network, private networks, shared, link-local, documentation, benchmarks, multicast, reserved
    "0.0.0.0", "0", "0.0.0.1", "10.0.0.1", "10.255.255.255", "0xa000001", "167772161", "012.0.0.1", "100.64.0.1",
    "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.257",
    "3232235521", "0xc0a80001", "0300.0250.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "4294967295", "0xffffffff",
    # metadata services
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "0xa9fea9fe", "2852039166",
    "0251.0376.0251.0376", "169.254.43518", "169.16689662", "0xa9.0xfe.0xa9.0xfe",
    # IPv6: unspecified, loopback, compatible, mapped, unique local, link-local, site-local, multicast, documentation
    "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::127.0.0.1]", "[::7f00:1]",
    "[::ffff:127.0.0.1]", "[::FFFF:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]", "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[::ffff:0:127.0.0.1]", "[fc00::1]", "[fd00::1]",
    "[fd00:ec2::254]", "[fe80::1]", "[fec0::1]", "[ff02::1]", "[ff0e::1]", "[2001:db8::1]", "[3fff::1]", "[5f00::1]",
    "[100::1]", "[2001::1]", "[2001:2::1]", "[2001:10::1]",
    # IPv4 carried in IPv6: 6to4, Teredo, NAT64 of both kinds
    "[2002:7f00:1::]", "[2002:a00:1::1]", "[2002:c0a8:1::1]", "[2002:a9fe:a9fe::]", "[2001:0:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a00:1]", "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::a00:1]",
    *NAMES, "bücher.example",
]  # fmt: skip
MALFORMED = [
    # schemes
    "file:///etc/passwd", "ftp://example.com/", "gopher://127.0.0.1:6379/_INFO", "dict://127.0.0.1:11211/", "ldap://127.0.0.1/",
    "data:text/plain,x", "javascript:alert(1)", "unix:///var/run/docker.sock", "jar:http://x!/", "//127.0.0.1/", "127.0.0.1",
    "httpx://127.0.0.1/", "http:127.0.0.1", "http:/127.0.0.1", "http:///127.0.0.1", "",
    # who is asked is not who seems to be
    "http://example.com@127.0.0.1/", "http://user:pw@127.0.0.1/", "http://@127.0.0.1/", "http://a@b@127.0.0.1/",
    "http://example.com\\@127.0.0.1/", "http://127.0.0.1\\.example.com/", "http://example.com%40127.0.0.1/",
    "http://example.com%2f@127.0.0.1/", "http://127.0.0.1%00.example.com/", "http://127.0.0.1%23.example.com/",
    # ports
    "http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://127.0.0.1:-1/", "http://127.0.0.1:80a/", "http://127.0.0.1:80:80/",
    # hosts
    "http://[::1", "http://::1/", "http://[::1]x/", "http://[fe80::1%25eth0]/", "http://[v1.x]/", "http://.example.com/",
    "http://a..b/", "http://127.0.0.1../", "http://ex{}ample.com/", "http://exa mple.com/", "http://" + "a" * 64 + ".com/",
    "http://" + "a." * 200 + "com/", "http://\u200b/", "http://exam\u00adple\ud800.com/",
    # line breaks and other control characters
    "http://127.0.0.1/\r\nHost: evil", "http://127.0.0.1/\nX: y", "http://127.0.0.1/\x00", "http://127.0.0.1/\t",
    "http://127.0.0.1\r\n.example.com/", "http://example.com:80\r\n/", "\x01http://127.0.0.1/",
]  # fmt: skip
HEADERS = [
    {"X-A": "a\r\nX-B: c"}, {"X-A": "a\nb"}, {"X-A": "a\rb"}, {"X-A": "a\x00b"}, {"X-A\r\nX-B": "c"}, {"X A": "a"},
    {"X-A:": "a"}, {"": "a"}, {"Host": "evil"}, {"Transfer-Encoding": "chunked"}, {"Content-Length": "0"}, {"Connection": "x"},
    {"Upgrade": "h2c"}, {"TE": "trailers"}, {"Expect": "100-continue"}, {"Proxy-Connection": "x"},
]  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every socket that is made while a request is being sent; names resolve as NAMES says."""
    made: list[object] = []
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *rest: Any, **more: Any) -> list[Any]:
        if host not in NAMES:
            return real(host, port, *rest, **{**more, "flags": socket.AI_NUMERICHOST})  # no name server is asked
        return [
            (socket.AF_INET6 if ":" in text else socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port))
            for text in NAMES[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return made


def send(sockets: list[object], url: str, headers: dict[str, str] | None = None) -> None:
    async def counted() -> None:
        create = socket.socket.__init__

        def counting(self: socket.socket, *arguments: Any, **more: Any) -> None:
            if "fileno" not in more:  # else it is the receiver's end
                sockets.append(arguments)
            create(self, *arguments, **more)

        with pytest.MonkeyPatch.context() as patch:  # the loop has its own sockets by now
            patch.setattr(socket.socket, "__init__", counting)
            try:
                await http.send(HttpRequest(method="GET", url=url, headers=headers or {}, timeout=5))
            finally:
                await http.close()

    asyncio.run(counted())


def test_there_are_at_least_a_hundred_of_them() -> None:
    assert len({*ADDRESSES}) >= 100
    assert len({*ADDRESSES, *MALFORMED}) >= 150


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_address_that_is_not_public_gets_a_socket(
    receiver: Receiver, settings: Settings, sockets: list[object], scheme: str
) -> None:
    settings.EGRESS_ALLOW_CIDRS = []
    port = receiver.url.rpartition(":")[2]
    reached = []
    for host in ADDRESSES:
        try:
            send(sockets, f"{scheme}://{host}:{port}/")
        except EgressForbidden:
            continue
        except HttpError as error:
            reached.append(f"{host}: {type(error).__name__} {error}")
        else:
            reached.append(f"{host}: answered")

    assert reached == []
    assert (sockets, receiver.connections) == ([], 0)


@pytest.mark.parametrize("url", MALFORMED, ids=ascii)
def test_no_url_that_could_mean_something_else_gets_a_socket(sockets: list[object], url: str) -> None:
    with pytest.raises(InvalidRequest):
        send(sockets, url)

    assert sockets == []


@pytest.mark.parametrize("headers", HEADERS, ids=ascii)
def test_no_header_that_would_break_the_message_gets_a_socket(
    receiver: Receiver, sockets: list[object], headers: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest):
        send(sockets, receiver.url, headers)

    assert (sockets, receiver.connections) == ([], 0)


def test_the_proof_would_notice_a_socket(receiver: Receiver, sockets: list[object]) -> None:
    send(sockets, receiver.url)

    assert (len(sockets), receiver.connections) == (1, 1)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(size=10_000_000), "RESPONSE_TOO_LARGE"),
        (Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(bytes(100 * MEGABYTE), 1)), "RESPONSE_TOO_LARGE"),
        (Answer(headers={"Content-Encoding": "deflate"}, body=b"\x78\x9c" + b"\x00" * 9), "CONNECTION_ERROR"),
        (Answer(drip=1.0, size=1000), "TIMEOUT"),
        (Answer(hang=True), "TIMEOUT"),
        (Answer(headers={"X-Long": "x" * 2_000_000}), "CONNECTION_ERROR"),
        (Answer(garbage=True), "CONNECTION_ERROR"),
        (Answer(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data/"}), "VALIDATION_ERROR"),
    ],
    ids=["10 MB", "zip bomb", "broken zip", "a byte a second", "silence", "2 MB of headers", "no HTTP", "redirect inside"],
)  # fmt: skip
def test_a_hostile_answer_is_a_failure_with_its_code_and_costs_little_memory(
    receiver: Receiver, answer: Answer, code: str
) -> None:
    forget_everything()
    world = World(receiver)
    receiver.answer("/list", answer)
    world.run("form", body={})  # so that what is loaded once is not counted

    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        outcome = world.run("list", timeout=1.5)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert isinstance(outcome, Failed)
    assert outcome.code == code
    # The receiver runs in this process: its copy of the answer is in the figure.
    allowed = 16 * MEGABYTE + 3 * (answer.size + len(answer.body or b"") + sum(map(len, answer.headers.values())))
    assert most - before < allowed
    assert len([request for request in receiver.requests if request.path == "/list"]) == 1
