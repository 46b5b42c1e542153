"""Maintenance: hold and release a product, an environment or a namespace, with who did it.

The API and the admin come through here; `jobs.lifecycle.hold` changes the rows.
"""

from __future__ import annotations

from django.db import transaction

from core.tenancy import audit
from core.tenancy.models import Environment, Product
from jobs import wakeup
from jobs.lifecycle import hold as holding
from jobs.models import Hold
from jobs.scheduler import waiting_queues


def hold(product: Product, environment: Environment | None, namespace: str, *, note: str, actor: str) -> Hold:
    """From now on due runs of this scope wait, unclaimed. Held already: the hold that is there."""
    with transaction.atomic():
        made = holding.hold(
            product_id=product.pk,
            environment_id=environment.pk if environment else None,
            namespace=namespace,
            note=note,
            actor=actor,
        )
        audit.record(actor, "hold.made", scope_name(product, environment, namespace), {"note": note} if note else None)
    return made


def release(product: Product, environment: Environment | None, namespace: str, *, actor: str) -> int:
    """End the hold of this scope; without environment and namespace every hold of the product. How many ended."""
    with transaction.atomic():
        ended = holding.release(
            product_id=product.pk, environment_id=environment.pk if environment else None, namespace=namespace
        )
        if ended:
            audit.record(actor, "hold.released", scope_name(product, environment, namespace))
    if ended:
        wakeup.wake(waiting_queues())  # what waited is claimed at once, not at the next look
    return ended


def scope_name(product: Product, environment: Environment | None, namespace: str) -> str:
    """`shop / prd / actions`, as people read it."""
    return " / ".join(part for part in (product.tag, environment.slug if environment else "", namespace) if part)
