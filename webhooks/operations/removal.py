"""An endpoint removed with its log, also while its deliveries are made, settled and handed out by others.

First it is told nothing more, then its log goes in batches that wait for nobody, at last the endpoint: whoever is
ended in between leaves a webhook that is disabled, and removing it goes on from there. Nobody else who changes a
webhook waits for more than one of these steps.
"""

from __future__ import annotations

import time

from django.db import transaction

from core.clock import database_now
from core.tenancy import audit
from webhooks import listening
from webhooks.models import Attempt, Delivery, Endpoint

BATCH = 1_000  # deliveries in one transaction
BREATH_SECONDS = 0.02  # between two looks at deliveries that somebody holds at this moment
REASON = "it is being removed"


def remove(endpoint: Endpoint, *, actor: str) -> None:
    """Returns when nothing is left of it. What was on its way to it may still arrive."""
    _disable(endpoint)
    while True:
        while _remove_batch(endpoint):
            pass
        if _remove_itself(endpoint, actor):
            return
        time.sleep(BREATH_SECONDS)


def _disable(endpoint: Endpoint) -> None:
    with listening.changing():
        now = database_now()
        Endpoint.objects.filter(pk=endpoint.pk, enabled=True).update(
            enabled=False, disabled_at=now, disabled_reason=REASON, updated_at=now
        )


@transaction.atomic
def _remove_batch(endpoint: Endpoint) -> int:
    """Deliveries that nobody settles or claims at this moment, with their attempts; how many."""
    free = Delivery.objects.filter(endpoint=endpoint).order_by("-pk").select_for_update(skip_locked=True)
    ids = list(free.values_list("pk", flat=True)[:BATCH])
    if ids:
        # None of it through the collector, which would read every row first.
        Attempt.objects.filter(delivery__in=ids)._raw_delete("default")
        Delivery.objects.filter(pk__in=ids)._raw_delete("default")
    return len(ids)


def _remove_itself(endpoint: Endpoint, actor: str) -> bool:
    """The endpoint, where no delivery is left: who would make one for it waits for its row, and then finds it gone."""
    with listening.changing():  # who changes it at this moment does so before, or finds nothing
        row = Endpoint.objects.filter(pk=endpoint.pk)
        if row.select_for_update().exists() and Delivery.objects.filter(endpoint=endpoint).exists():
            return False
        if row._raw_delete("default"):
            audit.record(actor, "webhook.removed", f"{endpoint} {endpoint.url.partition('?')[0]}")
    return True
