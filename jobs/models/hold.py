"""Maintenance of a place: what is due waits."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.tenancy.models import Environment, Product


class Hold(models.Model):
    """Maintenance: due runs of this scope wait as queued. Null means every environment / namespace."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="+")
    environment = models.ForeignKey(Environment, null=True, on_delete=models.CASCADE, related_name="+")
    namespace = models.CharField(max_length=30, blank=True, default="")
    note = models.TextField(blank=True, default="")
    actor = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField()

    class Meta:
        # Two, since SQLite knows no NULLS NOT DISTINCT: of every environment, and of one.
        constraints = [
            models.UniqueConstraint(
                fields=["product", "namespace"],
                condition=Q(environment__isnull=True),
                name="hold_once_for_all_environments",
            ),
            models.UniqueConstraint(
                fields=["product", "environment", "namespace"],
                condition=Q(environment__isnull=False),
                name="hold_once_per_environment",
            ),
        ]

    def __str__(self) -> str:
        return f"hold on {self.product}"
