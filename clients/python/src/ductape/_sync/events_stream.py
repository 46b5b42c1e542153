# Written by clients/python/generate.py from ductape/_async/events_stream.py: change that one.
"""`ductape.events_stream`: what happens to jobs, as it happens, for as long as it is listened to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from time import sleep
from typing import Any

import httpx

from ductape import filters
from ductape._sync.transport import Transport
from ductape.arguments import Check, choice, labels, several, text
from ductape.call import Call, nothing
from ductape.errors import ConnectionFailed, ServerError, TooManyRequests
from ductape.event_stream import EventReader
from ductape.results.event import JobEvent
from ductape.webhook_fields import EVENTS

_QUIET = 30.0  # seconds; the server makes a sign every 10
_LONGEST_PAUSE = 15.0
FILTER: Mapping[str, Check] = {
    "product": text, "env": text, "namespace": text, "event": several(choice(*EVENTS)), "label": labels, "job": text,
}  # fmt: skip


def events_of(transport: Transport, wanted: Mapping[str, Any], after: str | None) -> Iterator[JobEvent]:
    """Events after `after` (None: from now on). A connection that ends is made again after the last event that was
    told, so that none is lost; one may come twice, with the same `job_id` and `seq`. Gives up, with the last error,
    after as many failures in a row as the client has retries; a 4xx other than 429 at once."""
    query = filters.in_query(wanted, FILTER)
    if "event" in query:
        query["event"] = ",".join(query["event"])
    reader = EventReader("" if after is None else text("after", after))
    failures = 0
    while True:
        headers = {"Accept": "text/event-stream"}
        if reader.last_id:
            headers["Last-Event-ID"] = reader.last_id
        call = Call(method="GET", path="/v1/events/stream", query=query, headers=headers, read=nothing)
        pause = reader.retry
        reader.begin()
        try:
            with transport.stream(call, _QUIET) as response:
                for line in response.iter_lines():
                    event = reader.take(line)
                    failures = 0
                    if event is not None:
                        yield event
        except (httpx.TransportError, ServerError, TooManyRequests) as failure:
            failures += 1
            if failures > transport.configuration.retries:
                if isinstance(failure, httpx.TransportError):
                    raise ConnectionFailed(f"the stream of events: {failure} – {ConnectionFailed.advice}") from failure
                raise
            asked = failure.retry_after if isinstance(failure, (ServerError, TooManyRequests)) else None
            pause = max(asked or 0.0, min(_LONGEST_PAUSE, reader.retry * 2 ** (failures - 1)))
        sleep(pause)
