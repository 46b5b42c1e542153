"""Endpoints and events for tests of webhooks, and the steps of a delivery without a network."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from core import crypto
from core.clock import database_now
from core.ids import new_uuid
from core.tenancy.models import Environment
from jobs.lifecycle.lease import register_worker
from jobs.models import JobEvent
from tests.conformance.world import environment
from webhooks import listening
from webhooks.claiming import DeliveryClaim, EndpointCursor, claim
from webhooks.disabling import disable
from webhooks.fanout import FannedOut, fan_out
from webhooks.models import Delivery, Endpoint
from webhooks.outcome import Answer, Ended, decide
from webhooks.settling import settle
from webhooks.signing import canonical

SECRET = canonical("a secret of sixteen bytes or more")
NOWHERE = "http://127.0.0.1:9/hook"


def endpoint(url: str = NOWHERE, **changes: Any) -> Endpoint:
    """One that wants everything of every product."""
    now = database_now()
    id = changes.pop("id", None) or new_uuid()
    fields: dict[str, Any] = {
        "events": ["*"],
        "secret": crypto.seal(SECRET, crypto.context("webhook", id)),
        "created_at": now,
        "updated_at": now,
        **changes,
    }
    return Endpoint.objects.create(id=id, url=url, **fields)


def place() -> Environment:
    """The environment of the tests' product."""
    return environment()


def happened(type: str = "job.completed", *, job_id: UUID | None = None, seq: int = 1, **about: Any) -> JobEvent:
    """An event that somebody wants, as the transitions write it."""
    where = about.pop("environment", None) or place()
    return JobEvent.objects.create(
        job_id=job_id or new_uuid(),
        seq=seq,
        type=type,
        status=about.pop("status", type.removeprefix("job.")),
        number=about.pop("number", 1),
        wanted=True,
        at=about.pop("at", None) or database_now(),
        about={
            "product_id": where.product_id,
            "environment_id": where.pk,
            "namespace": "actions",
            "labels": {},
            "scheduled_at": 1_790_000_000_000,
            "execution_count": 1,
            "error": None,
            **about,
        },
    )


def owed(endpoint_: Endpoint, count: int = 1) -> list[Delivery]:
    """That many deliveries that wait for this endpoint, and for nobody else."""
    others = Endpoint.objects.exclude(pk=endpoint_.pk).filter(enabled=True)
    aside = list(others.values_list("pk", flat=True))
    Endpoint.objects.filter(pk__in=aside).update(enabled=False, disabled_at=database_now())
    for _ in range(count):
        happened()
    assert all_handed_out().deliveries == count
    Endpoint.objects.filter(pk__in=aside).update(enabled=True, disabled_at=None)
    return list(endpoint_.deliveries.order_by("-pk")[:count])


def all_handed_out() -> FannedOut:
    """What is wanted, handed out; the sum."""
    events = deliveries = 0
    while (done := fan_out()).events:
        events, deliveries = events + done.events, deliveries + done.deliveries
    return FannedOut(events=events, deliveries=deliveries)


def claim_some(
    worker_id: int, room: int = 200, rooms: dict[UUID, int] | None = None, *, share: int = 8
) -> list[DeliveryClaim]:
    """A claim that looks at the endpoints from the first on."""
    return claim(worker_id, room, rooms or {}, EndpointCursor(), share=share)


def answered(
    claims: list[DeliveryClaim], status: int | None = 200, *, at: datetime | None = None, **of: Any
) -> list[Ended]:
    """What becomes of them when they are all answered so."""
    error = "" if status is not None and 200 <= status < 300 else f"the endpoint answered {status}"
    answer = Answer(at=at or database_now(), duration_ms=3, status=status, error=error, address="127.0.0.1", **of)
    return [decide(each, answer, random=0.0) for each in claims]


def settled(worker_id: int, claims: list[DeliveryClaim], status: int | None = 200, **of: Any) -> set[UUID]:
    """The same, recorded."""
    return settle(worker_id, answered(claims, status, **of))


def disabled(to: Endpoint, reason: str) -> None:
    """The system disables it, as settling does."""
    with transaction.atomic():
        disable(Endpoint.objects.select_for_update(no_key=True).get(pk=to.pk), reason, now=database_now())
    listening.follow()


def worker() -> int:
    return register_worker(host="test", pid=1, queues=["webhooks"], concurrency=500)


def statuses() -> Counter[str]:
    return Counter(Delivery.objects.values_list("status", flat=True))
