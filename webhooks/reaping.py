"""Reap: deliveries whose worker is gone are taken back. delivering → pending, the fence raised.

The attempt is in the log: whether it arrived is not known, so it is made again, under the same `webhook-id`. Called
by the scheduler after the workers whose lease ran out are stopped, and as seldom as that after an outage.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet, Sum

from core.clock import database_now
from jobs import wakeup
from jobs.models import Worker
from webhooks import QUEUE
from webhooks.claiming import ALLOWED_SECONDS
from webhooks.disabling import BATCH as GIVEN_UP_AT_ONCE
from webhooks.disabling import give_up
from webhooks.models import Attempt, AttemptTally, Delivery
from webhooks.outcome import ATTEMPTS
from webhooks.states import AttemptOutcome, DeliveryStatus

logger = logging.getLogger(__name__)

BATCH = 200
MOST_MS = 2**31 - 1
ROUNDS = 10  # batches of each kind in one call
GONE = "the worker that sent it is gone: whether it arrived is not known"
OVERDUE = "not answered for by its worker in time: whether it arrived is not known"


def reap() -> None:
    """Take back what stopped workers own and what is overdue, and give up what waits for disabled endpoints.

    Raises django.db.OperationalError when the database is away.
    """
    alive = Worker.objects.filter(pk=OuterRef("owner_id"), stopped_at__isnull=True)
    delivering = Delivery.objects.filter(status=DeliveryStatus.DELIVERING)
    returned = _take_back(delivering.filter(~Exists(alive)), GONE)
    returned += _take_back(delivering.filter(deadline_at__lt=database_now()), OVERDUE)
    if returned:
        logger.warning("took back %d deliveries of lost workers", returned)
        wakeup.wake([QUEUE])
    given_up = 0
    for _ in range(ROUNDS):
        given_up += (batch := give_up(GIVEN_UP_AT_ONCE))
        if batch < GIVEN_UP_AT_ONCE:
            break
    if given_up:
        logger.warning("gave up %d deliveries to disabled webhooks", given_up)


def _take_back(lost: QuerySet[Delivery], error: str) -> int:
    returned = 0
    for _ in range(ROUNDS):
        with transaction.atomic():
            # Locked and looked at again: one that is being settled at this moment is not lost.
            locked = lost.select_for_update(skip_locked=True, no_key=True, of=("self",))
            batch = list(locked.order_by("pk")[:BATCH])
            _return(batch, error, database_now())
        returned += len(batch)
        if len(batch) < BATCH:
            break
    return returned


def _return(batch: Sequence[Delivery], error: str, now: datetime) -> None:
    if not batch:
        return
    last = [delivery.pk for delivery in batch if delivery.attempt >= ATTEMPTS]
    again = [delivery.pk for delivery in batch if delivery.attempt < ATTEMPTS]
    Delivery.objects.filter(pk__in=again).update(
        status=DeliveryStatus.PENDING, due_at=now, fence=F("fence") + 1, owner_id=None, deadline_at=None
    )
    Delivery.objects.filter(pk__in=last).update(
        status=DeliveryStatus.FAILED,
        finished_at=now,
        reason=f"attempt {ATTEMPTS} was the last: {error}",
        fence=F("fence") + 1,
        owner_id=None,
        deadline_at=None,
    )
    Attempt.objects.bulk_create(
        Attempt(delivery=delivery, at=at, duration_ms=_milliseconds(now - at), error=error)
        for delivery in batch
        if delivery.deadline_at is not None
        and (at := delivery.deadline_at - timedelta(seconds=ALLOWED_SECONDS)) is not None
    )


def _milliseconds(duration: timedelta) -> int:
    """At most as many as the column holds: everything may have been down for a month."""
    return min(max(0, duration // timedelta(milliseconds=1)), MOST_MS)


def hand_back(worker_id: int, delivery_ids: Collection[UUID]) -> None:
    """A worker returns deliveries that it stopped by itself, or never began: they are due at once, and the attempt
    does not count."""
    Delivery.objects.filter(
        pk__in=list(delivery_ids), owner_id=worker_id, status=DeliveryStatus.DELIVERING
    ).update(
        status=DeliveryStatus.PENDING,
        due_at=database_now(),
        fence=F("fence") + 1,
        attempt=F("attempt") - 1,
        owner_id=None,
        deadline_at=None,
    )  # fmt: skip


def fold_tallies() -> None:
    """Add the counters of workers that are gone to those of worker 0."""
    known = Worker.objects.filter(pk=OuterRef("worker_id"))
    gone = AttemptTally.objects.filter(~Exists(known), worker_id__gt=0)
    with transaction.atomic():
        ids = list(gone.select_for_update(skip_locked=True).values_list("pk", flat=True))
        sums = AttemptTally.objects.filter(pk__in=ids).values("outcome").annotate(sum=Sum("attempts"))
        for outcome, attempts in sums.order_by("outcome").values_list("outcome", "sum"):
            kept = AttemptTally.objects.get_or_create(worker_id=0, outcome=AttemptOutcome(outcome))[0]
            AttemptTally.objects.filter(pk=kept.pk).update(attempts=F("attempts") + attempts)
        AttemptTally.objects.filter(pk__in=ids).delete()
