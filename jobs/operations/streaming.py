"""Live events: the outbox told to clients that listen, as server-sent events.

A stream is iterated in the thread of its request and reads the outbox by itself, a few times a second and
by the primary key. Threads are few, so are the places for streams; each ends by itself after a while, so
that none outlives a process that ends. A client comes again by itself and says how far it was told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError

from core import strictjson
from core.errors import ApiError
from core.ids import encode
from core.tenancy.auth import Principal
from core.tenancy.visibility import bare_tag, sees
from core.times import to_ms
from jobs.models import JobEvent
from jobs.outbox import PAGE, Subject, Tail, subjects
from jobs.states import EventType

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2  # between two looks at the outbox
SIGN_SECONDS = 10.0  # between two comments, by which a client that is gone is noticed; the key is looked at again, too
LONGEST_SECONDS = 600.0  # then the client connects anew, perhaps to a process that has less to do
AGAIN_MS = 1_000  # how long a client is to wait before


class TooManyStreams(ApiError):
    """Every place for a stream of this process is taken."""

    status, code, title = 429, "too_many_streams", "Too many streams are open"


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFilter:
    """Which events a client wants; what is left out does not matter."""

    product: str | None = None
    env: str | None = None
    namespace: str | None = None
    types: frozenset[EventType] = frozenset()
    labels: tuple[tuple[str, str], ...] = ()
    job_id: UUID | None = None

    def takes(self, event: JobEvent, about: Subject) -> bool:
        return (
            (self.product is None or bare_tag(self.product) == about.product)
            and (self.env is None or self.env == about.env)
            and (self.namespace is None or self.namespace == about.namespace)
            and (not self.types or event.type in self.types)
            and (self.job_id is None or self.job_id == event.job_id)
            and all(about.labels.get(key) == value for key, value in self.labels)
        )


class Streams:
    """The streams that are open in this process. Safe between threads."""

    def __init__(self) -> None:
        self._open = 0
        self._counting = threading.Lock()
        self.closing = threading.Event()

    def take_place(self) -> None:
        """Raises TooManyStreams."""
        with self._counting:
            if self._open >= settings.MOST_STREAMS:
                raise TooManyStreams(
                    f"{settings.MOST_STREAMS} streams are open here already: connect again in a moment", retry_after=5
                )
            self._open += 1

    def give_place_back(self) -> None:
        with self._counting:
            self._open -= 1

    def close(self) -> None:
        """End every stream soon; from a signal handler, too."""
        self.closing.set()

    def __len__(self) -> int:
        return self._open


streams = Streams()


class EventStream:
    """The events for one client, as text; holds its place until it is closed.

    `caller` says who listens, asked again every SIGN_SECONDS: what it raises ends the stream. `after` is the
    last id that the client was told (None: from now on).
    """

    def __init__(self, wanted: EventFilter, caller: Callable[[], Principal], after: int | None) -> None:
        self._wanted = wanted
        self._caller = caller
        self._principal = caller()
        self._tail = Tail.at_end() if after is None else Tail.resumed(after)
        streams.take_place()
        self._has_place = True

    def __iter__(self) -> Iterator[str]:
        try:
            yield from self._told()
        except DatabaseError as error:
            logger.warning("a stream of events ends: the database does not answer: %s", str(error).strip())
        except ApiError as error:
            logger.info("a stream of events ends: %s", error.detail)
        finally:
            self.close()

    def close(self) -> None:
        if self._has_place:
            self._has_place = False
            streams.give_place_back()

    def _told(self) -> Iterator[str]:
        yield f"retry: {AGAIN_MS}\nid: {self._tail.upto}\n\n"
        began = signed = time.monotonic()
        while not streams.closing.is_set():
            events = self._tail.read()
            yield from self._frames(events, self._tail.upto)
            now = time.monotonic()
            if now - signed >= SIGN_SECONDS:
                signed = now
                self._principal = self._caller()
                yield f": still here\nid: {self._tail.upto}\n\n"
            if now - began >= LONGEST_SECONDS:
                return
            if len(events) < PAGE:
                streams.closing.wait(LOOK_SECONDS)

    def _frames(self, events: list[JobEvent], upto: int) -> Iterator[str]:
        """Each event that the client wants and may see. Its id is how far the client was told with it."""
        about = subjects(events) if events else {}
        for event in events:
            subject = about.get(event.job_id)
            if subject is not None and self._may_see(subject) and self._wanted.takes(event, subject):
                told = strictjson.dumps(event_shape(event, subject)).decode()
                yield f"id: {min(event.pk, upto)}\nevent: {event.type}\ndata: {told}\n\n"

    def _may_see(self, about: Subject) -> bool:
        return sees(self._principal, product_id=about.product_id, environment_id=about.environment_id)


def event_shape(event: JobEvent, about: Subject) -> dict[str, object]:
    """A transition as clients are told of it; `job_id` and `seq` name it for ever."""
    return {
        "job_id": encode("job", event.job_id),
        "seq": event.seq,
        "type": event.type,
        "status": event.status,
        "at": to_ms(event.at),
        **({} if event.number is None else {"number": event.number}),
        "product": about.product,
        "env": about.env,
        "namespace": about.namespace,
        "target": about.target,
        "labels": about.labels,
    }
