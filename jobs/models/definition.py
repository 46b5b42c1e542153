"""Templates of jobs, by their tag."""

from __future__ import annotations

from django.db import models

from core.tenancy.models import Product


class JobDefinition(models.Model):
    """A template of jobs, without an environment and an input: what the older calls name by its tag.

    Jobs keep the tag, not a foreign key: their history outlives it, and a definition cannot go while
    an unfinished job has it.
    """

    id = models.BigAutoField(primary_key=True)
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="+")
    tag = models.CharField(max_length=120)
    name = models.CharField(max_length=200)
    event_type = models.CharField(max_length=20)  # jobs.operations.event_types
    event_tag = models.CharField(max_length=250)  # as given
    target = models.JSONField()  # what that names: {"app": …, "event": …}
    executions = models.BigIntegerField()  # 0: without a limit
    intervals = models.BigIntegerField()  # ms
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["product", "tag"], name="definition_tag_unique_in_product")]

    def __str__(self) -> str:
        return self.tag
