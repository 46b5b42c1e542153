"""Fan-out: events of jobs that somebody wants become messages, and deliveries to whoever is to be told.

In batches, one transaction each, in any number of processes at once: what one has in its hands the others pass over.
Happens after the transition, never in its transaction. A disabled endpoint is told nothing; a replay catches up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q

from core.clock import database_now
from core.ids import encode, new_uuid
from jobs.listening import take_wanted
from jobs.models import JobEvent
from jobs.outbox import Account, accounts
from webhooks.inserts import NewDelivery, NewMessage, insert_deliveries, insert_messages
from webhooks.matching import wants
from webhooks.models import Endpoint, Message
from webhooks.payload import body_of

logger = logging.getLogger(__name__)

BATCH = 500  # events in one transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class FannedOut:
    """How many events were taken and how many deliveries were made of them."""

    events: int = 0
    deliveries: int = 0


def fan_out(limit: int = BATCH) -> FannedOut:
    """Hand out the oldest wanted events, at most `limit`. Raises django.db.OperationalError when the database is away.

    A batch that the database (or a bug) refuses is taken event by event; one that is refused again is given up, with
    a line in the log, so that it never stalls the rest.
    """
    if not JobEvent.objects.filter(wanted=True).exists():  # a look without a lock: on SQLite a poll must not wait
        return FannedOut()
    try:
        return _hand_out(limit)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("a batch of events could not be handed out: trying each")
    return _one_by_one(limit)


@transaction.atomic
def _hand_out(limit: int) -> FannedOut:
    events = take_wanted(limit)
    return FannedOut(events=len(events), deliveries=tell(events) if events else 0)


def _one_by_one(limit: int) -> FannedOut:
    done = FannedOut()
    for _ in range(limit):
        event: JobEvent | None = None
        try:
            with transaction.atomic():
                taken = take_wanted(1)
                if not taken:
                    break
                event = taken[0]
                deliveries = tell(taken)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            if event is None:
                raise
            logger.exception("%s of %s cannot be told to anybody", event.type, encode("job", event.job_id))
            JobEvent.objects.filter(pk=event.pk).update(wanted=False, about=None)
            deliveries = 0
        done = FannedOut(events=done.events + 1, deliveries=done.deliveries + deliveries)
    return done


def tell(events: Sequence[JobEvent]) -> int:
    """Make what these events (with what they are about) are to whoever listens; how many deliveries that are.

    In the caller's transaction. What is there already is not made again.
    """
    told = accounts(events)
    listeners = _listeners({account.product_id for account in told.values()})
    chosen = [
        (event, told[event.pk], endpoints)
        for event in events
        if event.pk in told
        and (endpoints := [one for one in listeners if wants(one, event.type, told[event.pk])])
    ]  # fmt: skip
    return deliver(chosen)


def deliver(chosen: Sequence[tuple[JobEvent, Account, Sequence[Endpoint]]]) -> int:
    """Make the deliveries of these events to these endpoints, due now; how many that are. What is there already is
    not made again. In the caller's transaction."""
    if not chosen:
        return 0
    now = database_now()
    ids = _messages([(event, account) for event, account, _ in chosen], now)
    return insert_deliveries(
        [
            NewDelivery(new_uuid(), ids[event.pk], endpoint.pk, event.type)
            for event, _, endpoints in chosen
            for endpoint in endpoints
        ],
        now,
    )


def _listeners(product_ids: Iterable[int]) -> list[Endpoint]:
    """Enabled endpoints that may want events of these products, in the order they were made."""
    of_these = Q(product_id__in=list(product_ids)) | Q(product_id__isnull=True)
    return list(
        Endpoint.objects.filter(of_these, enabled=True)
        .only("events", "product_id", "environment_ids", "env", "namespaces", "labels")
        .order_by("pk")
    )


def _messages(told: Sequence[tuple[JobEvent, Account]], now: datetime) -> dict[int, UUID]:
    """The ids of the messages of these events by theirs; a message is made where there is none yet."""
    ids = {event.pk: new_uuid() for event, _ in told}
    new = insert_messages(
        [
            NewMessage(
                ids[event.pk], event.job_id, event.seq, event.type, account.product_id, account.environment_id,
                body_of(event, account), event.at,
            )
            for event, account in told
        ],
        now,
    )  # fmt: skip
    for event, _ in told:
        if ids[event.pk] not in new:  # the event was told before
            ids[event.pk] = Message.objects.values_list("pk", flat=True).get(job_id=event.job_id, seq=event.seq)
    return ids
