"""Maintenance: a product, environment or namespace whose due runs wait as queued, unclaimed.

A hold changes no job: it is a condition of the claim.
"""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from core.clock import database_now
from jobs.models import Hold


def hold(*, product_id: int, environment_id: int | None, namespace: str, note: str, actor: str) -> Hold:
    """Hold a scope; one that is held already keeps its time, and its note with who wrote it unless given anew."""
    scope = _scope(product_id, environment_id, namespace)
    found = scope.first()
    if found is None:
        try:
            with transaction.atomic():
                return Hold.objects.create(
                    product_id=product_id,
                    environment_id=environment_id,
                    namespace=namespace,
                    note=note,
                    actor=actor,
                    created_at=database_now(),
                )
        except IntegrityError:  # somebody held the same scope at the same moment
            found = scope.get()
    if note and note != found.note:
        Hold.objects.filter(pk=found.pk).update(note=note, actor=actor)
        found.note, found.actor = note, actor
    return found


def release(*, product_id: int, environment_id: int | None, namespace: str) -> int:
    """Release a scope; without environment and namespace every hold of the product. How many ended."""
    if environment_id is None and not namespace:
        return Hold.objects.filter(product_id=product_id).delete()[0]
    return _scope(product_id, environment_id, namespace).delete()[0]


def _scope(product_id: int, environment_id: int | None, namespace: str) -> QuerySet[Hold]:
    where = Q(environment__isnull=True) if environment_id is None else Q(environment_id=environment_id)
    return Hold.objects.filter(where, product_id=product_id, namespace=namespace)
