"""Events that an endpoint would have been told of, and was not: before it was there, or while it was disabled.

They are looked for in the outbox, where the final transitions and the interventions of every job stand for as long
as jobs are kept; what is written only where somebody listens (`job.started` and its like) was not written then.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from core.clock import database_now
from core.tenancy import audit
from jobs.ended import events_between
from jobs.models import JobEvent
from jobs.outbox import recalled
from webhooks import fanout
from webhooks.matching import wants
from webhooks.models import Delivery, Endpoint
from webhooks.operations.replay import TooMany, needs_enabled, wake

MOST_EVENTS = 100_000  # of all jobs, that one call looks through
PAGE = 500


def deliver_missing(endpoint: Endpoint, *, since: datetime, before: datetime | None, actor: str) -> int:
    """Make the deliveries of that time that are missing, due now; how many. Raises Conflict (disabled), TooMany.

    In pages, each its own transaction: what is made stays made. Doing it again makes nothing twice.
    """
    needs_enabled(endpoint)
    until = min(before or database_now(), database_now())
    last, end = events_between(since, until)
    if end - last > MOST_EVENTS:
        raise TooMany(f"more than {MOST_EVENTS} events are in that time: narrow `from` and `to`")
    made = 0
    while True:
        events = list(JobEvent.objects.filter(pk__gt=last, pk__lte=end).order_by("pk")[:PAGE])
        if not events:
            break
        last = events[-1].pk
        of_time = [event for event in events if since <= event.at < until and not event.wanted]
        made += _deliver(endpoint, of_time)
    audit.record(actor, "webhook.replayed", f"{endpoint}", {"missing": made})
    transaction.on_commit(wake)
    return made


def _deliver(endpoint: Endpoint, events: list[JobEvent]) -> int:
    told = recalled(events)
    wanted = [event for event in events if event.pk in told and wants(endpoint, event.type, told[event.pk])]
    if not wanted:
        return 0
    sent = Delivery.objects.filter(endpoint=endpoint, message__job_id__in={event.job_id for event in wanted})
    there = set(sent.values_list("message__job_id", "message__seq"))
    missing = [(event, told[event.pk], [endpoint]) for event in wanted if (event.job_id, event.seq) not in there]
    with transaction.atomic():
        return fanout.deliver(missing)
