"""What may be said of a webhook, and the calls that two groups of the client share. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ductape.answers import Answer
from ductape.arguments import Check, choice, flag, given, mapping, several, text, texts
from ductape.call import Call
from ductape.reading import read
from ductape.results.event import Webhook

EVENTS = (
    "job.scheduled", "job.started", "job.completed", "job.failed", "job.cancelled", "job.paused", "job.resumed",
    "job.retrying", "job.skipped", "job.rescheduled", "job.deleted",
)  # fmt: skip


def _env(name: str, value: Any) -> str:
    """An empty one takes the filter away."""
    return "" if value == "" else text(name, value)


def _namespaces(name: str, value: Any) -> list[str]:
    """None at all take the filter away."""
    nothing = isinstance(value, Sequence) and not value and not isinstance(value, str)
    return [] if nothing else texts(name, value)


FIELDS: Mapping[str, Check] = {
    "url": text,
    "events": several(choice(*EVENTS, "*")),
    "product": text,
    "env": _env,
    "namespaces": _namespaces,
    "labels": mapping,
    "description": text,
    "enabled": flag,
    "secret": text,
}


def webhook(answer: Answer) -> Webhook:
    return read(Webhook, answer.json())


def set_webhook(values: Mapping[str, Any]) -> Call[Webhook]:
    """The one of this url is made, or changed."""
    text("url", values["url"])
    body = given(FIELDS, values)
    return Call(method="PUT", path="/v1/jobs/webhook", body=body, read=webhook)
