"""Deliveries sent again, and an event that only tries an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from core.clock import database_now
from core.errors import ApiError, Conflict
from core.tenancy import audit
from jobs import wakeup
from jobs.states import EventType
from webhooks import QUEUE
from webhooks.models import Delivery, Endpoint, Message
from webhooks.queries import DeliveryFilter
from webhooks.sample import sample_of
from webhooks.states import ALL_EVENTS, ENDED, DeliveryStatus

REPLAYABLE = ("delivered", "failed")
MOST_AT_ONCE = 10_000  # deliveries of one call; more in the next, for a later time
_CHUNK = 500


class TooMany(ApiError):
    """A range that holds more than is replayed by one call."""

    status, code, title = 400, "too_many_deliveries", "Too many deliveries for one call"


def replay_one(delivery: Delivery, *, actor: str) -> None:
    """Send it again, from the first attempt on, under the same `webhook-id`.

    Raises Conflict: it is under way, or its endpoint is disabled.
    """
    needs_enabled(delivery.endpoint)
    with transaction.atomic():
        if not _reopen([delivery.pk]):
            raise Conflict(
                "the delivery is waiting or under way already: it can be replayed once it has ended",
                code="delivery_under_way",
            )
        audit.record(actor, "webhook.replayed", f"{delivery.endpoint}", {"delivery": str(delivery)})
        transaction.on_commit(wake)


def replay_range(endpoint: Endpoint, wanted: DeliveryFilter, *, actor: str) -> int:
    """Send again what has ended of these; how many. Raises Conflict (disabled), TooMany."""
    needs_enabled(endpoint)
    ended = endpoint.deliveries.filter(status__in=sorted(ENDED))
    ids = list(wanted.apply(ended).order_by("pk").values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
    if len(ids) > MOST_AT_ONCE:
        raise TooMany(f"more than {MOST_AT_ONCE} deliveries match: narrow `from` and `to`, or the status")
    count = 0
    for start in range(0, len(ids), _CHUNK):
        count += _reopen(ids[start : start + _CHUNK])
    audit.record(actor, "webhook.replayed", f"{endpoint}", {"deliveries": count})
    transaction.on_commit(wake)
    return count


def send_test(endpoint: Endpoint, type: str | None, *, actor: str) -> Delivery:
    """A made-up event of that type (none: the first that the endpoint is told of), for this endpoint alone.

    Raises Conflict: it is disabled.
    """
    needs_enabled(endpoint)
    if type is None:
        type = str(EventType.COMPLETED) if ALL_EVENTS in endpoint.events else endpoint.events[0]
    now = database_now()
    with transaction.atomic():
        message = Message.objects.create(
            type=type,
            body=sample_of(EventType(type), endpoint, now=now),
            product_id=endpoint.product_id,
            at=now,
            created_at=now,
        )
        delivery = Delivery.objects.create(message=message, endpoint=endpoint, type=type, due_at=now, created_at=now)
        audit.record(actor, "webhook.tested", f"{endpoint}")
        transaction.on_commit(wake)
    return delivery


def _reopen(ids: Sequence[UUID]) -> int:
    """Those of them that have ended wait again, for their first attempt."""
    return Delivery.objects.filter(pk__in=ids, status__in=sorted(ENDED)).update(
        status=DeliveryStatus.PENDING, due_at=database_now(), attempt=0, finished_at=None, reason=""
    )


def needs_enabled(endpoint: Endpoint) -> None:
    """Raises Conflict: nothing is sent to one that is disabled."""
    if not endpoint.enabled:
        why = endpoint.disabled_reason or "somebody turned it off"
        raise Conflict(f"the webhook is disabled ({why}): enable it first", code="webhook_disabled")


def wake() -> None:
    """Hurry the workers that deliver."""
    wakeup.wake([QUEUE])
