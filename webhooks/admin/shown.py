"""A delivery's status in the colours of the admin."""

from __future__ import annotations

from django.utils.safestring import SafeString

from core.backoffice.words import badge_like
from webhooks.models import Delivery
from webhooks.states import DeliveryStatus

_LIKE = {
    DeliveryStatus.DELIVERED: "completed",
    DeliveryStatus.FAILED: "failed",
    DeliveryStatus.DELIVERING: "running",
    DeliveryStatus.PENDING: "queued",
}


def status_badge(delivery: Delivery) -> SafeString:
    return badge_like(_LIKE[DeliveryStatus(delivery.status)], delivery.status)
