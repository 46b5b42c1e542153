"""What was told long ago is deleted, in bounded batches: messages with their deliveries and attempts, and notices.

Called by the chore of `jobs` (`jobs.chores`), which one process does at a time. What is still to be delivered stays.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from core.clock import database_now
from webhooks import listening
from webhooks.models import Attempt, Delivery, Message, Notice
from webhooks.reaping import fold_tallies
from webhooks.states import ENDED, DeliveryStatus

BATCH = 500  # messages deleted in one transaction
BREATH_SECONDS = 0.02  # between two batches, so that other writers get their turn

_OPEN = [DeliveryStatus.PENDING, DeliveryStatus.DELIVERING]


def prune(seconds: float) -> str:
    """Delete what is older than WEBHOOK_RETENTION_DAYS (0: nothing is), for so long; in words what was.

    What is left is deleted the next time.
    """
    fold_tallies()
    listening.follow()
    days = settings.WEBHOOK_RETENTION_DAYS
    if not days:
        return ""
    messages, finished = prune_messages(timedelta(days=days), seconds)
    left = "" if finished else "; more is left"
    return f"{messages} webhook messages older than {days} days{left}"


def prune_messages(older_than: timedelta, seconds: float) -> tuple[int, bool]:
    """How many were deleted, and whether that was all. A message that was sent again is as old as that."""
    before, until = database_now() - older_than, time.monotonic() + seconds
    Notice.objects.filter(at__lt=before).delete()
    of_late = Delivery.objects.filter(Q(status__in=_OPEN) | Q(finished_at__gte=before), message_id=OuterRef("pk"))
    old = Message.objects.filter(~Exists(of_late), created_at__lt=before)
    deleted = 0
    while time.monotonic() < until:
        ids = list(old.order_by("created_at").values_list("pk", flat=True)[:BATCH])
        deleted += _delete(ids)
        if len(ids) < BATCH:
            return deleted, True
        time.sleep(BREATH_SECONDS)
    return deleted, False


@transaction.atomic
def _delete(ids: Sequence[UUID]) -> int:
    """Those of these messages that nobody sends again at this moment, with their log; how many."""
    theirs = Delivery.objects.filter(message_id__in=ids)
    held = dict(theirs.select_for_update(skip_locked=True).values_list("pk", "status"))
    kept = {message_id for id, message_id in theirs.values_list("pk", "message_id") if held.get(id) not in ENDED}
    gone = [id for id in ids if id not in kept]
    if not gone:
        return 0
    # In this order, and none of it through the collector, which would read every row first.
    Attempt.objects.filter(delivery__message_id__in=gone)._raw_delete("default")
    Delivery.objects.filter(message_id__in=gone)._raw_delete("default")
    deleted: int = Message.objects.filter(pk__in=gone)._raw_delete("default")
    return deleted
