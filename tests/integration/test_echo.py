"""The receiver of `make up`'s demo, called as a worker calls it."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ductape_jobs.up import echo
from ductape_jobs.up.console import Console
from ductape_jobs.up.echo import Echo

AT_ONCE = 1000


class Running:
    """The receiver, and what it printed."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        self.echo = Echo(Console(self.out, colour=False), 0)
        self.port = int(self.echo.url.rpartition(":")[2])

    async def call(self, path: str, body: bytes, key: str = "") -> tuple[int, Any]:
        """Status and body, on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            head = (
                f"POST {path} HTTP/1.1\r\nHost: demo\r\nIdempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                int(line.partition(":")[2]) for line in answer.split("\r\n") if line.startswith("Content-Length")
            )
            return int(answer.split()[1]), json.loads(await reader.readexactly(length))
        finally:
            writer.close()

    async def call_many(self, path: str, count: int) -> list[tuple[int, Any]]:
        return await asyncio.gather(*(self.call(path, b'{"n": %d}' % number) for number in range(count)))


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running()
    running.echo.start()
    yield running
    running.echo.stop()


def test_a_thousand_calls_at_the_same_moment_are_all_answered_without_delay(running: Running) -> None:
    began = time.monotonic()
    answers = asyncio.run(running.call_many("/say", AT_ONCE))
    # A connection that the backlog has no room for is tried again after 1 s, 3 s, 7 s, … by the caller's kernel.
    assert [(status, answer["you_sent"]["body"]["n"]) for status, answer in answers] == [
        (200, number) for number in range(AT_ONCE)
    ]
    assert time.monotonic() - began < 10
    assert running.out.getvalue().count("→ 200\n") == AT_ONCE


def test_slow_calls_wait_beside_each_other_and_cost_no_threads(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(echo, "SLOW_SECONDS", 0.5)
    threads = threading.active_count()

    async def story() -> tuple[list[tuple[int, Any]], int]:
        calls = asyncio.create_task(running.call_many("/slow", 300))
        await asyncio.sleep(0.4)
        return await calls, threading.active_count()

    began = time.monotonic()
    answers, threads_meanwhile = asyncio.run(story())
    assert [status for status, _ in answers] == [200] * 300
    assert time.monotonic() - began < 10  # one after the other: 150 s
    assert threads_meanwhile == threads


def test_flaky_works_the_third_time_for_each_key(running: Running) -> None:
    async def story() -> list[int]:
        return [(await running.call("/flaky", b"", key))[0] for key in ("a", "a", "b", "a", "b", "b", "a")]

    assert asyncio.run(story()) == [503, 503, 503, 200, 503, 200, 503]


def test_it_answers_what_it_was_sent_json_or_not(running: Running) -> None:
    status, answer = asyncio.run(running.call("/say?to=you", b"not json"))
    assert (status, answer) == (200, {"you_sent": {"method": "POST", "path": "/say?to=you", "body": "not json"}})


def test_a_body_too_large_is_refused(running: Running) -> None:
    async def story() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        head = f"POST /say HTTP/1.1\r\nHost: demo\r\nContent-Length: {echo.LONGEST_BODY + 1}\r\n\r\n"
        writer.write(head.encode() + b"x" * (echo.LONGEST_BODY + 1))
        status = int((await reader.readuntil(b"\r\n")).split()[1])
        writer.close()
        return status

    assert asyncio.run(story()) == 413


def test_a_caller_that_hangs_up_is_said_and_harms_nobody(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo, "SLOW_SECONDS", 0.3)

    async def story() -> int:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST /slow HTTP/1.1\r\nHost: demo\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.transport.abort()
        await asyncio.sleep(0.5)
        return (await running.call("/say", b"1"))[0]

    assert asyncio.run(story()) == 200
    assert "POST /slow: the caller hung up\n" in running.out.getvalue()


def test_a_port_that_is_taken_is_not_insisted_on(running: Running) -> None:
    for taken in (running.port, 65536):  # that one, as the port after 65535
        other = Echo(Console(io.StringIO()), taken)
        other.start()
        assert other.url != running.echo.url
        other.stop()
