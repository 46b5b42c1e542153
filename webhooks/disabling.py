"""An endpoint is disabled by the system itself: nothing is sent to it any more, and operators are told."""

from __future__ import annotations

import logging
from uuid import UUID

from core.clock import database_now
from core.ids import encode
from core.tenancy import audit
from webhooks import listening
from webhooks.models import ENDPOINT_PREFIX, Delivery, Endpoint, Notice
from webhooks.states import DeliveryStatus, NoticeKind

logger = logging.getLogger(__name__)

ACTOR = "system"
BATCH = 1_000  # deliveries given up in one transaction


def disable(endpoint_id: UUID, reason: str, *, url: str | None = None) -> bool:
    """enabled → disabled, with a notice; False where it was already. What is pending for it is given up soon after
    (`give_up`), in batches."""
    with listening.changing():
        now = database_now()
        enabled = Endpoint.objects.filter(pk=endpoint_id, enabled=True)
        if url is not None:  # the one that said so: it may have been given another address meanwhile
            enabled = enabled.filter(url=url)
        changed = enabled.update(
            enabled=False, disabled_at=now, disabled_reason=reason, rest_until=None, updated_at=now
        )
        if not changed:
            return False
        endpoint = Endpoint.objects.get(pk=endpoint_id)
        name = encode(ENDPOINT_PREFIX, endpoint_id)
        text = f"webhook {name} ({endpoint.url.partition('?')[0]}) was disabled: {reason}"
        Notice.objects.create(
            kind=NoticeKind.DISABLED, endpoint_id=endpoint_id, product_id=endpoint.product_id, text=text, at=now
        )
        audit.record(ACTOR, "webhook.disabled", f"{name} {endpoint.url.partition('?')[0]}", {"reason": reason})
    logger.error("%s", text)
    return True


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
