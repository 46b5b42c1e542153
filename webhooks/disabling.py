"""An endpoint is disabled by the system itself: nothing is sent to it any more, and operators are told."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction

from core.clock import database_now
from core.tenancy import audit
from webhooks.models import Delivery, Endpoint, Notice
from webhooks.states import DeliveryStatus, NoticeKind

logger = logging.getLogger(__name__)

ACTOR = "system"
BATCH = 1_000  # deliveries given up in one transaction


def disable(endpoint: Endpoint, reason: str, *, now: datetime) -> None:
    """enabled → disabled, with a notice. In the transaction of what was the reason, which holds the endpoint's row.

    That nobody listens to it any more is said after the commit (`listening.follow`), and what is pending for it is
    given up soon after (`give_up`), in batches.
    """
    endpoint.enabled, endpoint.disabled_at, endpoint.disabled_reason = False, now, reason
    endpoint.rest_until, endpoint.updated_at = None, now
    endpoint.save(update_fields=["enabled", "disabled_at", "disabled_reason", "rest_until", "updated_at"])
    name = f"{endpoint} {endpoint.url.partition('?')[0]}"
    text = f"webhook {endpoint} ({endpoint.url.partition('?')[0]}) was disabled: {reason}"
    Notice.objects.create(
        kind=NoticeKind.DISABLED, endpoint_id=endpoint.pk, product_id=endpoint.product_id, text=text, at=now
    )
    audit.record(ACTOR, "webhook.disabled", name, {"reason": reason})
    transaction.on_commit(partial(logger.error, "%s", text))


def give_up(limit: int = BATCH) -> int:
    """pending → failed, of endpoints that are disabled, whoever did that; how many. A replay brings them back."""
    waiting = Delivery.objects.filter(status=DeliveryStatus.PENDING, endpoint__enabled=False)
    found = list(waiting.values_list("pk", "endpoint__disabled_reason")[:limit])
    by_reason: dict[str, list[UUID]] = {}
    for delivery_id, reason in found:
        by_reason.setdefault(reason or "somebody turned it off", []).append(delivery_id)
    now = database_now()
    return sum(
        Delivery.objects.filter(pk__in=ids, status=DeliveryStatus.PENDING, endpoint__enabled=False).update(
            status=DeliveryStatus.FAILED, finished_at=now, reason=f"the webhook was disabled: {reason}"
        )
        for reason, ids in by_reason.items()
    )
