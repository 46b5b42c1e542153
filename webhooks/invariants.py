"""What must hold of webhooks, as checks of `manage.py fsck`. Reads only.

That no event is told to an endpoint twice is a constraint; what is checked is that none is forgotten.
"""

from __future__ import annotations

import time
from datetime import timedelta

from django.db.models import Exists, OuterRef

from core.clock import database_now
from core.ids import encode
from jobs.fsck import LOOK_AGAIN_SECONDS, Check
from jobs.models import JobEvent, Worker
from jobs.outbox import Account, subjects
from jobs.states import EventType
from webhooks import QUEUE
from webhooks.matching import wants
from webhooks.models import Delivery, Endpoint
from webhooks.states import DeliveryStatus

HANDED_OUT_IN = timedelta(seconds=60)
TAKEN_BACK_IN = timedelta(seconds=60)
HEARD_AFTER = timedelta(seconds=30)  # a transition that had begun before an endpoint was there need not be told to it
LOOKED_BACK = timedelta(hours=1)
MOST_LOOKED_AT = 2_000  # final transitions, the newest
FINAL_EVENTS = (EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED)


def each_is_told(limit: int) -> list[str]:
    """Looks twice: what was handed out in the same moment is on its way."""
    if not _forgotten(limit):
        return []
    time.sleep(LOOK_AGAIN_SECONDS)
    return _forgotten(limit)


def _forgotten(limit: int) -> list[str]:
    now = database_now()
    found: list[str] = []
    if any(QUEUE in worker.queues for worker in Worker.objects.filter(stopped_at__isnull=True, lease_until__gt=now)):
        late = JobEvent.objects.filter(wanted=True, at__lt=now - HANDED_OUT_IN).order_by("pk")
        found += [f"{_event(event)}: wanted since {event.at:%H:%M:%SZ}, and not handed out" for event in late[:limit]]
    alive = Worker.objects.filter(pk=OuterRef("owner_id"), stopped_at__isnull=True)
    delivering = Delivery.objects.filter(status=DeliveryStatus.DELIVERING)
    lost = delivering.filter(~Exists(alive), deadline_at__lt=now - TAKEN_BACK_IN).order_by("pk")
    found += [f"{delivery}: under way, owned by worker {delivery.owner_id}, which is gone" for delivery in lost[:limit]]
    return (found + _untold(limit))[:limit]


def _untold(limit: int) -> list[str]:
    """Final transitions of late that an endpoint wants, which was there and as it is now before they happened, and
    that it has no delivery of."""
    now = database_now()
    since = now - LOOKED_BACK
    endpoints = list(Endpoint.objects.filter(enabled=True, updated_at__lt=now - HEARD_AFTER))
    if not endpoints:
        return []
    since = max(since, min(endpoint.updated_at for endpoint in endpoints) + HEARD_AFTER)
    recent = JobEvent.objects.filter(type__in=FINAL_EVENTS, wanted=False, at__gt=since).order_by("-pk")
    events = list(recent[:MOST_LOOKED_AT])
    about = subjects(events)
    told = set(
        Delivery.objects.filter(message__job_id__in=about, message__at__gt=since).values_list(
            "message__job_id", "message__seq", "endpoint_id"
        )
    )
    found = []
    for event in events:
        subject = about.get(event.job_id)
        if subject is None:
            continue
        account = Account(
            product_id=subject.product_id, product=subject.product, environment_id=subject.environment_id,
            env=subject.env, namespace=subject.namespace, labels=subject.labels, scheduled_at=0, execution_count=0,
            error=None,
        )  # fmt: skip
        found += [
            f"{_event(event)}: {endpoint} wants it and has no delivery of it"
            for endpoint in endpoints
            if endpoint.updated_at + HEARD_AFTER < event.at
            and wants(endpoint, event.type, account)
            and (event.job_id, event.seq, endpoint.pk) not in told
        ]
    return found[:limit]


def _event(event: JobEvent) -> str:
    return f"{encode('job', event.job_id)} event {event.seq} ({event.type})"


CHECKS = (Check("I8", "each event that is wanted is told to each endpoint that wants it", each_is_told),)
