"""Answers that are read as they come: whole, bounded, within one deadline, under the same guards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
import uvloop
from pytest_django import Settings

from core import http
from core.http import (
    BadResponse,
    EgressForbidden,
    HttpConnectionError,
    HttpRequest,
    HttpTimeout,
    InvalidRequest,
    ResponseTooLarge,
)
from tests.servers.receiver import Answer, Receiver

T = TypeVar("T")
MIB = 1024 * 1024


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    made: Callable[[], asyncio.AbstractEventLoop] = request.param
    return made


def run(work: Coroutine[Any, Any, T], loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> T:
    async def then_close() -> T:
        try:
            return await work
        finally:
            await http.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(then_close())


def asked(url: str, *, timeout: float = 5.0, limit: int = 100 * MIB) -> HttpRequest:
    return HttpRequest(method="GET", url=url, headers={"X-Mine": "1"}, timeout=timeout, max_response_bytes=limit)


async def read(request: HttpRequest) -> tuple[int, dict[str, str], int, int]:
    """Status, headers, length, and the longest piece."""
    length = longest = 0
    async with http.stream(request) as coming:
        async for piece in coming.pieces():
            length, longest = length + len(piece), max(longest, len(piece))
    return coming.status, coming.headers, length, longest


def test_a_long_body_comes_in_small_pieces(receiver: Receiver, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    receiver.answer("/big", Answer(size=20 * MIB, headers={"Content-Type": "image/png"}))

    status, headers, length, longest = run(read(asked(receiver.url + "/big")), loop)

    assert (status, headers["content-type"], length) == (200, "image/png", 20 * MIB)
    assert longest <= MIB
    sent = receiver.requests[0].headers
    assert (sent["x-mine"], sent["accept-encoding"]) == ("1", "identity")


def test_its_connection_is_used_again_when_it_was_read_to_the_end(receiver: Receiver) -> None:
    async def twice() -> None:
        await read(asked(receiver.url))
        await read(asked(receiver.url))

    run(twice())

    assert (len(receiver.requests), receiver.connections) == (2, 1)


def test_its_connection_is_closed_when_it_was_left_before_the_end(receiver: Receiver) -> None:
    receiver.answer("/big", Answer(size=20 * MIB))

    async def begun() -> None:
        async with http.stream(asked(receiver.url + "/big")) as coming:
            async for _ in coming.pieces():
                break
            assert not coming.complete
        await read(asked(receiver.url))

    run(begun())

    assert receiver.connections == 2


def test_a_body_past_its_limit_is_told_when_it_is_reached(receiver: Receiver) -> None:
    receiver.answer("/", Answer(body=b"x" * 1001))

    with pytest.raises(ResponseTooLarge, match="answered more than 1000 bytes"):
        run(read(asked(receiver.url, limit=1000)))
    assert run(read(asked(receiver.url, limit=1001)))[2] == 1001


@pytest.mark.parametrize("slow", [Answer(hang=True), Answer(body=b"x" * 100, drip=0.05)], ids=["silent", "slow"])
def test_one_deadline_is_for_the_head_and_the_body(receiver: Receiver, slow: Answer) -> None:
    receiver.answer("/", slow)
    began = time.monotonic()

    with pytest.raises(HttpTimeout, match=r"no complete answer from http://127.0.0.1:\d+ within 0.3 s"):
        run(read(asked(receiver.url, timeout=0.3)))

    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (Answer(body=b"x" * 1000, cut=True), HttpConnectionError, "hung up in the middle"),
        (Answer(reset=True), HttpConnectionError, "broke"),
        (Answer(garbage=True), BadResponse, "not answer in HTTP"),
        (Answer(headers={"Content-Encoding": "gzip"}), BadResponse, "packed its answer"),
    ],
    ids=["cut", "reset", "garbage", "packed"],
)
def test_what_goes_wrong_is_told_as_when_sending(
    receiver: Receiver, answer: Answer, error: type[Exception], told: str
) -> None:
    receiver.answer("/", answer)

    with pytest.raises(error, match=told):
        run(read(asked(receiver.url)))


def test_an_error_of_the_reader_stays_its_own(receiver: Receiver) -> None:
    async def failing() -> None:
        async with http.stream(asked(receiver.url)):
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        run(failing())


def test_the_guards_are_those_of_sending(receiver: Receiver, settings: Settings) -> None:
    settings.EGRESS_ALLOW_CIDRS = []

    with pytest.raises(EgressForbidden, match="is not public"):
        run(read(asked(receiver.url)))
    with pytest.raises(InvalidRequest):
        run(read(asked("file:///etc/passwd")))
    assert receiver.connections == 0
