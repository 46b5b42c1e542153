"""Answers without end, as fast as a connection carries them: each ends soon, and no other request waits for it."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import uvloop

from core import http
from core.http import BadResponse, HttpError, HttpRequest, HttpResponse

PATIENCE_SECONDS = 4.0
LONGEST_STALL_SECONDS = 1.0  # of the loop, in which everything else would stand still
PACKED = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n"
NO_NAME = bytes.fromhex("1f8b0800000000000003")  # gzip's header, without a name of the file
NAMED = bytes.fromhex("1f8b0808000000000003")


@contextmanager
def flooding(first: bytes, piece: bytes) -> Iterator[str]:
    """A server that answers with `first`, and then with `piece` for as long as somebody takes it; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                try:
                    connection.sendall(first)
                    while True:
                        connection.sendall(piece)
                except OSError:
                    return

        thread = threading.Thread(target=serve, name="flood")
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(2 * PATIENCE_SECONDS)
        assert not thread.is_alive()


def asked(url: str, loop: Callable[[], asyncio.AbstractEventLoop]) -> tuple[HttpResponse | HttpError, float, float]:
    """What came of it, after how long, and how long the loop stood still at most."""

    async def ask() -> tuple[HttpResponse | HttpError, float, float]:
        stalls = [0.0]

        async def look() -> None:
            while True:
                began = time.monotonic()
                await asyncio.sleep(0.01)
                stalls.append(time.monotonic() - began - 0.01)

        looking, began = asyncio.create_task(look()), time.monotonic()
        await asyncio.sleep(0.02)
        request = HttpRequest(method="POST", url=url, timeout=PATIENCE_SECONDS, max_response_bytes=4_096, truncate=True)
        came: HttpResponse | HttpError
        try:
            came = await http.send(request)
        except HttpError as error:
            came = error
        took = time.monotonic() - began
        await asyncio.sleep(0.02)
        looking.cancel()
        await http.close()
        return came, took, max(stalls)

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(ask())


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    made: Callable[[], asyncio.AbstractEventLoop] = request.param
    return made


def test_who_says_for_ever_that_the_answer_is_on_its_way_is_not_listened_to(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000) as url:
        came, took, stall = asked(url, loop)
    assert isinstance(came, BadResponse)
    assert "on its way" in str(came)
    assert took < PATIENCE_SECONDS / 2
    assert stall < LONGEST_STALL_SECONDS


def test_answers_that_nobody_asked_for_are_not_read(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with flooding(b"", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" * 2_000) as url:
        came, took, stall = asked(url, loop)
    assert isinstance(came, HttpResponse)
    assert took < PATIENCE_SECONDS / 2
    assert stall < LONGEST_STALL_SECONDS


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (NO_NAME, b"\x00\x00\x00\xff\xff" * 13_000),
        (NAMED, b"n" * 65_536),
        (gzip.compress(b"ok"), b"x" * 65_536),
    ],
    ids=["blocks of nothing", "a name", "what follows the end"],
)
def test_a_packed_answer_that_unpacks_to_nothing_is_cut_like_a_long_one(
    first: bytes, piece: bytes, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    with flooding(PACKED + first, piece) as url:
        came, took, stall = asked(url, loop)
    assert isinstance(came, HttpResponse)
    assert came.truncated
    assert took < PATIENCE_SECONDS / 2
    assert stall < LONGEST_STALL_SECONDS
