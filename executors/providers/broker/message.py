"""One message on its way to a broker, and the headers by which a consumer tells whose it is. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from core import strictjson
from core.times import to_ms
from executors.base import Call

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What is published. `id` is the run's, the same on each of its attempts: consumers tell repetitions by it."""

    to: str  # as the broker names it: a queue, a topic, a subject, a channel
    tag: str  # as the catalog names it
    env: str  # slug
    body: bytes = field(repr=False)
    content_type: str
    headers: Mapping[str, str] = field(repr=False)  # the run's own included
    key: str | None
    id: str
    options: Mapping[str, Any]  # of the broker's type
    topic: Mapping[str, Any]  # its settings in the catalog
    seconds: float  # that are left for it


def encoded(value: Any) -> tuple[bytes, str]:
    """The bytes of a message and their content type: text as it is, an object as JSON."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass"), TEXT
    return strictjson.dumps(value), JSON


def headers_of_the_run(call: Call) -> dict[str, str]:
    """What goes along with every message, so that a consumer can make a repeated one count once."""
    return {
        "idempotency-key": call.run_key,
        "x-job-id": call.job_id,
        "x-attempt": str(call.attempt),
        "x-scheduled-for": str(to_ms(call.scheduled_at)),
    }


def in_envelope(value: Any, *, id: str, headers: Mapping[str, str], key: str | None) -> bytes:
    """A message with what its transport has no place for: `{"id", "headers", "key"?, "message"}`."""
    named = {"key": key} if key is not None else {}
    return strictjson.dumps({"id": id, "headers": dict(headers), **named, "message": value})
