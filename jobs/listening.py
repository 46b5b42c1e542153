"""Who listens to what happens to jobs: said by whoever tells the outside, heeded by whoever writes an event.

`jobs` knows no endpoint: it knows for which types of event, of which products, somebody waits, marks such events
as wanted, and hands them out. A transition that began before a listener was committed may not be told to it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.db import Error as DatabaseError
from django.db import connection, transaction

from core.shortcache import ShortCache
from jobs.models import JobEvent, Listener
from jobs.notices import WANTED, Bell
from jobs.states import EventType

EVERY_PRODUCT = 0
LOCK_KEY = 0x6C697374  # of the advisory lock that `lock` takes
KNOWN_SECONDS = 1.0  # for so long a process relies on what it knows of whether somebody listens at all

logger = logging.getLogger(__name__)

_somebody: ShortCache[None, bool] = ShortCache(seconds=KNOWN_SECONDS, size=1)
_bell = Bell(WANTED)


def lock() -> None:
    """Wait until nobody else is about to say who listens; held until the caller's transaction ends.

    Take it before reading what `listen` is computed from: of two callers the second then reads what the first
    has committed. On SQLite a transaction, which is IMMEDIATE, is that lock.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as sql:
            sql.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])


@transaction.atomic
def listen(wanted: Iterable[tuple[int, EventType]]) -> None:
    """From now on these (product, or EVERY_PRODUCT; type) are listened to, and no others.

    In the caller's transaction, under `lock`. What was wanted before stays wanted until it is taken.
    """
    lock()
    new = {(product_id, str(type)) for product_id, type in wanted}
    found = {(row.product_id, row.type): row.pk for row in Listener.objects.all()}
    gone = [pk for key, pk in found.items() if key not in new]
    if gone:
        Listener.objects.filter(pk__in=gone).delete()
    Listener.objects.bulk_create(
        [Listener(product_id=product_id, type=type) for product_id, type in sorted(new - found.keys())]
    )
    transaction.on_commit(_somebody.forget)


def ring() -> None:
    """After a commit that may have left wanted events: a notice to whoever takes them, where somebody listens.

    Never raises, and waits for nothing but a look at the listeners once in KNOWN_SECONDS. The look decides
    whether to ring, never whether an event is wanted.
    """
    try:
        if _somebody.get(None, Listener.objects.exists):
            _bell.ring()
    except DatabaseError as error:
        logger.debug("nobody is told that events are wanted: %s", error)


def take_wanted(limit: int) -> list[JobEvent]:
    """The oldest events that are wanted and in nobody else's hands, at most `limit`, with what they are `about`.

    In the caller's transaction: they are taken once it is committed, and wanted still when it is rolled back.
    """
    wanted = JobEvent.objects.filter(wanted=True).order_by("pk")
    if connection.features.has_select_for_update_skip_locked:
        wanted = wanted.select_for_update(skip_locked=True, no_key=True)
    taken = list(wanted[:limit])
    if taken:
        JobEvent.objects.filter(pk__in=[event.pk for event in taken]).update(wanted=False, about=None)
    return taken


class Ears:
    """The listeners as they are for one transaction: each type is looked up when it is first asked for."""

    def __init__(self) -> None:
        self._products: dict[EventType, frozenset[int]] = {}

    def hear(self, type: EventType, product_id: int) -> bool:
        products = self._products.get(type)
        if products is None:
            found = Listener.objects.filter(type=type).values_list("product_id", flat=True)
            products = self._products[type] = frozenset(found)
        return product_id in products or EVERY_PRODUCT in products
