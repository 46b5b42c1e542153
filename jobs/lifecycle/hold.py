"""Maintenance: a product, environment or namespace whose due runs wait as queued, unclaimed.

A hold changes no job: it is a condition of the claim.
"""

from __future__ import annotations

from core.clock import database_now
from jobs.models import Hold


def hold(*, product_id: int, environment_id: int | None, namespace: str, note: str, actor: str) -> Hold:
    """Hold a scope; a scope that is held already keeps its first note and time unless given anew."""
    found = Hold.objects.filter(product_id=product_id, environment_id=environment_id, namespace=namespace).first()
    if found is not None:
        if note and note != found.note:
            Hold.objects.filter(pk=found.pk).update(note=note)
            found.note = note
        return found
    made, _ = Hold.objects.get_or_create(
        product_id=product_id,
        environment_id=environment_id,
        namespace=namespace,
        defaults={"note": note, "actor": actor, "created_at": database_now()},
    )
    return made


def release(*, product_id: int, environment_id: int | None, namespace: str) -> int:
    """Release a scope; without environment and namespace every hold of the product. How many ended."""
    holds = Hold.objects.filter(product_id=product_id)
    if environment_id is not None or namespace:
        holds = holds.filter(environment_id=environment_id, namespace=namespace)
    return holds.delete()[0]
