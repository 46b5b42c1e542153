"""The client's live events: read line by line, taken up again where the connection ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

import httpx
import pytest

from ductape import errors
from ductape._async import events_stream as asynchronous
from ductape._sync import events_stream as synchronous
from ductape.event_stream import EventReader
from tests.unit.client_harness import Surface, problem

TOLD = {
    "job_id": "job_1", "seq": 2, "type": "job.completed", "status": "completed", "at": 1_795_557_206_555, "number": 1,
    "product": "shop", "env": "prd", "namespace": "actions", "target": {}, "labels": {},
}  # fmt: skip


@pytest.fixture(params=["sync", "async"])
def surface(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Surface:
    surface = Surface(request.param, monkeypatch)

    async def sleep(seconds: float) -> None:
        surface.pauses.append(seconds)

    monkeypatch.setattr(asynchronous, "sleep", sleep)
    monkeypatch.setattr(synchronous, "sleep", surface.pauses.append)
    return surface


class Lines(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stream of events that then hangs up."""

    def __init__(self, *frames: str) -> None:
        self._frames = frames

    def __iter__(self) -> Iterator[bytes]:
        for frame in self._frames:
            yield frame.encode()
        raise httpx.ReadError("hung up")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for frame in self._frames:
            yield frame.encode()
        raise httpx.ReadError("hung up")


def frame(number: int) -> str:
    return f"id: {number}\nevent: job.completed\ndata: {json.dumps({**TOLD, 'seq': number})}\n\n"


def first(events: Any, count: int) -> list[Any]:
    async def gathered() -> list[Any]:
        found = []
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
        await events.aclose()
        return found

    return asyncio.run(gathered()) if hasattr(events, "__aiter__") else list(islice(events, count))


def test_a_stream_goes_on_after_the_last_event_that_was_told(surface: Surface) -> None:
    answers = [
        httpx.Response(200, stream=Lines("retry: 500\nid: 10\n\n", frame(11), frame(12), "id: 13\ndata: {half")),
        problem(503, "unavailable"),
        httpx.Response(200, stream=Lines(": still here\nid: 20\n\n", frame(21))),
    ]
    client = surface.client(lambda request: answers.pop(0))

    events = first(client.events_stream(product="shop", event=["job.completed", "job.failed"], label={"a": "b"}), 3)

    assert [(event.seq, event.id, event.type) for event in events] == [
        (11, "11", "job.completed"), (12, "12", "job.completed"), (21, "21", "job.completed"),
    ]  # fmt: skip
    assert [request.headers.get("last-event-id") for request in surface.requests] == [None, "12", "12"]
    assert surface.requests[0].url.params["event"] == "job.completed,job.failed"
    assert surface.requests[0].headers["accept"] == "text/event-stream"
    assert surface.pauses == [0.5, 1.0]


def test_a_stream_begins_after_the_event_that_is_named(surface: Surface) -> None:
    client = surface.client(lambda request: httpx.Response(200, stream=Lines(frame(5))))

    assert first(client.events_stream(after="4"), 1)[0].seq == 5
    assert surface.requests[0].headers["last-event-id"] == "4"


def test_a_stream_that_is_refused_ends_at_once(surface: Surface) -> None:
    client = surface.client(lambda request: problem(401, "unauthenticated"))

    with pytest.raises(errors.Unauthenticated):
        first(client.events_stream(), 1)
    assert len(surface.requests) == 1


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (problem(429, "too_many_streams"), errors.TooManyStreams),
        (httpx.ConnectError("refused"), errors.ConnectionFailed),
    ],
)
def test_a_stream_gives_up_after_as_many_failures_in_a_row_as_there_are_retries(
    surface: Surface, failure: httpx.Response | Exception, kind: type[Exception]
) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if isinstance(failure, Exception):
            raise failure
        return httpx.Response(failure.status_code, headers=failure.headers, content=failure.content)

    client = surface.client(handler, retries=2)

    with pytest.raises(kind):
        first(client.events_stream(), 1)
    assert (len(surface.requests), surface.pauses) == (3, [1.0, 2.0])


def test_a_reader_takes_what_the_format_allows() -> None:
    reader = EventReader()
    data = json.dumps(TOLD)
    lines = [
        "data:" + data[:20],
        ": a comment",
        "event",
        "unknown: field",
        "retry: soon",
        "data: " + data[20:],
        "id: 7",
        "",
    ]

    found = [reader.take(line) for line in lines]

    assert found[:-1] == [None] * 7
    assert found[-1] is not None
    assert (found[-1].job_id, found[-1].id, reader.retry) == ("job_1", "7", 1.0)
    with pytest.raises(errors.BrokenAnswer):
        [reader.take(line) for line in ("data: {half", "")]
