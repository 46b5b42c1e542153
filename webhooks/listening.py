"""Who listens to what, told to `jobs`: changed together with the endpoints, by one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from jobs import listening
from jobs.states import EventType
from webhooks.models import Endpoint
from webhooks.states import ALL_EVENTS


@contextmanager
def changing() -> Iterator[None]:
    """Endpoints are changed inside, in one transaction and by nobody else meanwhile; who listens follows."""
    with transaction.atomic():
        listening.lock()
        yield
        listening.listen(wanted())


def follow() -> None:
    """What is said of who listens follows the endpoints as they are. One that nobody listens to any more and that is
    still said costs events that are taken for nothing, and no more."""
    with changing():
        pass


def wanted() -> set[tuple[int, EventType]]:
    """(product, or EVERY_PRODUCT; type) of every endpoint that is told of events."""
    rows = Endpoint.objects.filter(enabled=True).values_list("product_id", "events")
    return {
        (product_id or listening.EVERY_PRODUCT, type)
        for product_id, events in rows
        for type in EventType
        if type in events or ALL_EVENTS in events
    }
