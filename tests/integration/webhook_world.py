"""A product with environments for tests of webhooks, and rows as the fan-out and the delivery leave them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from core.clock import database_now
from core.ids import new_uuid
from tests.integration.api import Api
from webhooks import listening
from webhooks.models import Attempt, Delivery, Endpoint, Message

URL = "https://api.example.com/webhooks/jobs"
HOOKS = "/v1/webhooks"
NEW = {"url": URL, "events": ["job.completed", "job.failed"]}


def hook(api: Api, **changes: Any) -> dict[str, Any]:
    """A new endpoint, as it was answered."""
    answer = api.post(HOOKS, {**NEW, **changes})
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def row(shown: dict[str, Any]) -> Endpoint:
    return next(endpoint for endpoint in Endpoint.objects.all() if str(endpoint) == shown["id"])


def delivered(endpoint: Endpoint, status: str = "delivered", *, ago: timedelta = timedelta(0), **of: Any) -> Delivery:
    """A delivery in that state, with one attempt where it has ended."""
    at = database_now() - ago
    message = Message.objects.create(
        job_id=of.get("job_id") or new_uuid(), seq=of.get("seq", 1), type=of.get("type", "job.completed"),
        body='{"event":"job.completed"}', at=at, created_at=at,
    )  # fmt: skip
    ended = status in {"delivered", "failed"}
    delivery = Delivery.objects.create(
        message=message, endpoint=endpoint, type=message.type, status=status, due_at=at, attempt=1 if ended else 0,
        created_at=at, finished_at=at if ended else None,
    )  # fmt: skip
    if ended:
        failed = status == "failed"
        Attempt.objects.create(
            delivery=delivery, at=at, duration_ms=of.get("duration_ms", 7), response_status=500 if failed else 200,
            response_body="no" if failed else "ok", error="the endpoint answered 500" if failed else "",
            address="203.0.113.7",
        )  # fmt: skip
    return delivery


def disabled_by_itself(endpoint: Endpoint, reason: str) -> None:
    """The system has disabled it, and nobody listens for it any more."""
    with listening.changing():
        Endpoint.objects.filter(pk=endpoint.pk).update(
            enabled=False, disabled_at=database_now(), disabled_reason=reason
        )
