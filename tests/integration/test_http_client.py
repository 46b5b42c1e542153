"""The guarded client against a real receiver: what it sends, what it refuses, how it gives up."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pytest_django import Settings

from core import http
from core.http import (
    BadResponse,
    EgressForbidden,
    HttpConnectionError,
    HttpRequest,
    HttpResponse,
    HttpTimeout,
    InvalidRequest,
    ResponseTooLarge,
)
from tests.servers.receiver import Answer, Receiver

T = TypeVar("T")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"], autouse=True)
def _loops(request: pytest.FixtureRequest) -> None:
    """Everything on both: the worker runs on uvloop, a check in the admin on asyncio's own."""
    global _loop
    _loop = request.param


def run(work: Coroutine[Any, Any, T]) -> T:
    async def then_close() -> T:
        try:
            return await work
        finally:
            await http.close()

    with asyncio.Runner(loop_factory=_loop) as runner:
        return runner.run(then_close())


def send(url: str, **fields: Any) -> HttpResponse:
    return run(http.send(HttpRequest(**{"method": "POST", "url": url, "timeout": 5, **fields})))


def test_a_request_arrives_as_it_was_given(receiver: Receiver) -> None:
    response = send(f"{receiver.url}/a%2Fb?q=%26&r=1", headers={"X-One": "1"}, body=b'{"a": 1}')

    (request,) = receiver.requests
    assert (request.method, request.path, request.body) == ("POST", "/a%2Fb?q=%26&r=1", b'{"a": 1}')
    assert request.headers["x-one"] == "1"
    assert "cookie" not in request.headers
    assert (response.status, response.body, response.truncated) == (200, b'{"ok": true}', False)


def test_connections_are_used_again(receiver: Receiver) -> None:
    async def ten() -> None:
        for _ in range(10):
            await http.send(HttpRequest(method="POST", url=receiver.url, timeout=5))

    run(ten())

    assert (len(receiver.requests), receiver.connections) == (10, 1)


def test_a_redirect_is_an_answer_and_is_not_followed(receiver: Receiver) -> None:
    receiver.answer("/a", Answer(status=302, headers={"Location": receiver.url + "/b"}))

    response = send(receiver.url + "/a")

    assert (response.status, response.headers["location"]) == (302, receiver.url + "/b")
    assert len(receiver.requests) == 1


def test_cookies_are_not_kept(receiver: Receiver) -> None:
    receiver.answer("/", Answer(headers={"Set-Cookie": "a=1"}))

    async def twice() -> None:
        for _ in range(2):
            await http.send(HttpRequest(method="GET", url=receiver.url, timeout=5))

    run(twice())

    assert "cookie" not in receiver.requests[1].headers


def test_a_proxy_in_the_environment_is_ignored(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert send(receiver.url).status == 200


@pytest.mark.parametrize(
    "slow", [Answer(hang=True), Answer(delay=5), Answer(drip=0.1, size=100)], ids=["hangs", "is slow", "drips"]
)
def test_the_deadline_is_for_all_of_it(receiver: Receiver, slow: Answer) -> None:
    receiver.answer("/", slow)
    began = time.monotonic()

    with pytest.raises(HttpTimeout, match=r"within 0.3 s"):
        send(receiver.url, timeout=0.3)

    assert 0.25 < time.monotonic() - began < 1.5


def test_a_cancelled_request_closes_its_connection(receiver: Receiver) -> None:
    receiver.answer("/", Answer(hang=True))

    async def cancelled() -> None:
        task = asyncio.create_task(http.send(HttpRequest(method="GET", url=receiver.url, timeout=30)))
        while not receiver.requests:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        deadline = time.monotonic() + 2
        while receiver.open_connections and time.monotonic() < deadline:
            await asyncio.sleep(0.005)

    run(cancelled())

    assert not receiver.open_connections


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that does what `serve` says with each connection; its URL."""
    writers: list[asyncio.StreamWriter] = []

    async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(reader, writer)

    server = await asyncio.start_server(noted, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def test_what_was_not_asked_for_is_nobodys_answer() -> None:
    connections: list[str] = []

    async def twofold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append("opened")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nasked")
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked")

    async def twice() -> list[bytes]:
        bodies = []
        async with listening(twofold) as url:
            for _ in range(2):
                bodies.append((await http.send(HttpRequest(method="GET", url=url, timeout=5))).body)
                await asyncio.sleep(0.15)
        return bodies

    assert run(twice()) == [b"asked", b"asked"]
    assert len(connections) == 2


LONG = bytes(20_000_000)  # more than the system's buffers take


def test_a_cancelled_request_is_not_sent_to_its_end() -> None:
    async def received() -> int:
        begin, count = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await begin.wait()
            length = 0
            try:
                while piece := await reader.read(1_000_000):
                    length += len(piece)
            except ConnectionResetError:
                pass
            count.set_result(length)

        async with listening(late) as url:
            with pytest.raises(HttpTimeout):
                await http.send(HttpRequest(method="POST", url=url, body=LONG, timeout=0.2))
            begin.set()
            return int(await asyncio.wait_for(count, 5))

    assert run(received()) < len(LONG)


def test_an_answer_that_comes_before_the_request_was_read_counts() -> None:
    connections: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append("opened")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")

    async def twice() -> list[int]:
        async with listening(refuse) as url:
            request = HttpRequest(method="POST", url=url, body=LONG, timeout=5)
            return [(await http.send(request)).status for _ in range(2)]

    assert run(twice()) == [413, 413]
    assert len(connections) == 2  # what is left of the first request is not taken for the second


def test_what_is_said_before_the_answer_is_not_the_answer() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")

    async def once() -> HttpResponse:
        async with listening(early) as url:
            return await http.send(HttpRequest(method="GET", url=url, timeout=5))

    response = run(once())

    assert (response.status, response.headers, response.body) == (204, {}, b"")


@pytest.mark.parametrize("broken", [Answer(reset=True), Answer(cut=True, size=1000)], ids=["reset", "cut"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_broken_connection_is_told_and_the_request_not_repeated(
    receiver: Receiver, broken: Answer, method: str
) -> None:
    receiver.answer("/", Answer(), broken)

    async def twice() -> None:
        await http.send(
            HttpRequest(method=method, url=receiver.url, timeout=5)
        )  # so that the next one is on a used connection
        with pytest.raises(HttpConnectionError):
            await http.send(HttpRequest(method=method, url=receiver.url, timeout=5))

    run(twice())

    assert len(receiver.requests) == 2


def test_a_certificate_that_nobody_vouches_for_is_told(tmp_path: Path) -> None:
    requests: list[bytes] = []

    async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))

    async def once() -> None:
        async with listening(noted, own_certificate(tmp_path)) as url:
            with pytest.raises(HttpConnectionError, match=r"its certificate is not valid: self-signed certificate"):
                await http.send(HttpRequest(method="GET", url=url.replace("http:", "https:"), timeout=5))

    run(once())

    assert requests == []


def own_certificate(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for 127.0.0.1 that it signed itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_a_closed_port_is_a_connection_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    with pytest.raises(HttpConnectionError, match=f"no connection to http://127.0.0.1:{port}"):
        send(f"http://127.0.0.1:{port}/?token=s3cret")


def test_what_is_not_http_is_told(receiver: Receiver) -> None:
    receiver.answer("/", Answer(garbage=True))

    with pytest.raises((BadResponse, HttpConnectionError)):
        send(receiver.url)


def test_a_name_that_does_not_exist_is_a_connection_error() -> None:
    with pytest.raises(HttpConnectionError, match=r"nowhere\.invalid could not be resolved"):
        send("http://nowhere.invalid/")


def test_a_long_answer_is_refused_or_cut(receiver: Receiver) -> None:
    receiver.answer("/", Answer(size=5_000_000))

    with pytest.raises(ResponseTooLarge, match="more than 1000 bytes"):
        send(receiver.url, max_response_bytes=1000)
    response = send(receiver.url, max_response_bytes=1000, truncate=True)

    assert (len(response.body), response.truncated) == (1000, True)


def test_an_answer_of_exactly_the_limit_is_whole(receiver: Receiver) -> None:
    receiver.answer("/", Answer(size=1000))

    response = send(receiver.url, max_response_bytes=1000)

    assert (len(response.body), response.truncated) == (1000, False)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"hello")),
        ("deflate", zlib.compress(b"hello")),
        ("deflate", zlib.compress(b"hello", wbits=-15)),
        ("identity", b"hello"),
    ],
)
def test_a_packed_answer_is_unpacked(receiver: Receiver, encoding: str, packed: bytes) -> None:
    receiver.answer("/", Answer(headers={"Content-Encoding": encoding}, body=packed))

    assert send(receiver.url).body == b"hello"


def test_a_bomb_costs_its_limit(receiver: Receiver) -> None:
    receiver.answer("/", Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"\0" * 200_000_000)))

    response = send(receiver.url, max_response_bytes=10_000, truncate=True)

    assert (response.body, response.truncated) == (b"\0" * 10_000, True)


def test_an_encoding_that_was_not_asked_for_is_told(receiver: Receiver) -> None:
    receiver.answer("/", Answer(headers={"Content-Encoding": "br"}, body=b"xxxx"))

    with pytest.raises(BadResponse, match="not asked for: br"):
        send(receiver.url)


def test_an_encoding_that_is_no_text_is_told_as_one() -> None:
    async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: \xff\xfe\r\nContent-Length: 2\r\n\r\nok")

    async def once() -> None:
        async with listening(strange) as url:
            await http.send(HttpRequest(method="GET", url=url, timeout=5))

    with pytest.raises(BadResponse) as raised:
        run(once())
    assert str(raised.value).isascii()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "①②⑦.⓪.⓪.①",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "0.0.0.0",
        "[::127.0.0.1]",
    ],
)
def test_a_private_address_is_not_reached_however_it_is_written(
    receiver: Receiver, settings: Settings, host: str
) -> None:
    settings.EGRESS_ALLOW_CIDRS = []
    port = receiver.url.rpartition(":")[2]

    with pytest.raises(EgressForbidden):
        send(f"http://{host}:{port}/")

    assert receiver.connections == 0


def test_one_forbidden_address_of_a_name_forbids_it(
    receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EGRESS_ALLOW_CIDRS = ["127.0.0.1/32"]
    port = int(receiver.url.rpartition(":")[2])
    answers = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)

    with pytest.raises(EgressForbidden, match=r"10\.0\.0\.1"):
        send(f"http://two-faced.example:{port}/")


def test_a_name_that_moves_between_check_and_connect_gains_nothing(
    receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is made to the address that was checked; there is no second look-up to answer differently."""
    settings.EGRESS_ALLOW_CIDRS = ["127.0.0.1/32"]
    port = int(receiver.url.rpartition(":")[2])
    asked: list[object] = []

    def rebinding(*_: object, **__: object) -> list[Any]:
        asked.append(_)
        address = "127.0.0.1" if len(asked) == 1 else "10.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)

    assert send(f"http://rebinding.example:{port}/").status == 200
    assert len(asked) == 1
    assert receiver.requests[0].headers["host"] == f"rebinding.example:{port}"


def test_names_whose_name_server_hangs_hold_up_no_other(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    port, answers = int(receiver.url.rpartition(":")[2]), threading.Event()

    def resolve(host: str, *_: object, **__: object) -> list[Any]:
        if host.startswith("dead"):
            answers.wait(30)
            raise socket.gaierror("no answer")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def beside() -> int:
        dead = [
            asyncio.create_task(http.send(HttpRequest(method="GET", url=f"http://dead{number}.example/", timeout=30)))
            for number in range(100)
        ]
        await asyncio.sleep(0.1)
        try:
            good = HttpRequest(method="GET", url=f"http://good.example:{port}/", timeout=3)
            return (await http.send(good)).status
        finally:
            answers.set()
            assert {type(error) for error in await asyncio.gather(*dead, return_exceptions=True)} == {
                HttpConnectionError
            }

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert run(beside()) == 200


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://u:p@127.0.0.1/", {}),
        ("ftp://127.0.0.1/", {}),
        ("http://127.0.0.1/", {"X-A": "a\r\nb: c"}),
        ("http://127.0.0.1/", {"X-A": "\ud800"}),
    ],
)
def test_what_cannot_be_sent_is_not_sent(url: str, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        send(url, headers=headers)


def test_a_method_that_would_break_the_message_is_not_sent() -> None:
    with pytest.raises(InvalidRequest):
        send("http://127.0.0.1/", method="GET / HTTP/1.1\r\nX:")


def test_no_error_shows_a_query_or_a_header(receiver: Receiver, settings: Settings) -> None:
    receiver.answer("/", Answer(hang=True))
    told = []
    for url, allowed in ((receiver.url, True), (receiver.url, False), ("http://127.0.0.1:1", True)):
        settings.EGRESS_ALLOW_CIDRS = ["127.0.0.0/8"] if allowed else []
        with pytest.raises(http.HttpError) as caught:
            send(f"{url}/?token=s3cret", headers={"Authorization": "s3cret"}, timeout=0.1)
        told.append(str(caught.value))

    assert len(told) == 3
    assert not [text for text in told if "s3cret" in text]
