"""How many deliveries wait and are under way, as they are now. Reads open rows only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Count, Min

from jobs.load import QueueLoad
from webhooks import QUEUE
from webhooks.models import Delivery
from webhooks.states import DeliveryStatus


def load(environment_ids: Sequence[int] | None, now: datetime) -> QueueLoad:
    """Of the events of jobs in these environments (None: of everything, tests too). `depth` counts what is due and
    unclaimed, also where its endpoint rests."""
    deliveries = Delivery.objects.all()
    if environment_ids is not None:
        deliveries = deliveries.filter(message__environment_id__in=environment_ids)
    due = deliveries.filter(status=DeliveryStatus.PENDING, due_at__lte=now, endpoint__enabled=True)
    waiting = due.aggregate(depth=Count("pk"), oldest=Min("due_at"))
    running = deliveries.filter(status=DeliveryStatus.DELIVERING).count()
    return QueueLoad(QUEUE, depth=waiting["depth"], oldest_due_at=waiting["oldest"], running=running)
