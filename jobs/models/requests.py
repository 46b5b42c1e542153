"""Calls that outlive their request: for many jobs, and those that named a key."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.ids import encode, new_uuid


class Operation(models.Model):
    """A …-many call: one verb for every job that a filter finds, done in chunks (`jobs.operations.many`).

    Whoever sets `free_at` forward has taken it, as with chores; the cursor moves in the transaction of
    the chunk that it stands behind. No foreign keys: what was done is told after its jobs are gone.
    """

    id = models.UUIDField(primary_key=True, default=new_uuid, editable=False)
    verb = models.CharField(max_length=12)
    filter = models.JSONField()  # `jobs.operations.selection` reads it
    arguments = models.JSONField(default=dict)  # of the verb: reason, note, delay, force, schedule
    dry_run = models.BooleanField(default=False)
    actor = models.CharField(max_length=200, blank=True, default="")
    product_id = models.BigIntegerField(null=True)  # of the key that asked; null: an operator's
    environment_ids = models.JSONField(null=True)  # that this key sees; null: all

    until = models.UUIDField(null=True)  # the newest job it takes
    cursor = models.UUIDField(null=True)  # the last job that was asked
    total = models.BigIntegerField(null=True)  # jobs that matched; null until they are counted
    count = models.BigIntegerField(default=0)
    skipped = models.BigIntegerField(default=0)
    passed_over = models.JSONField(default=dict)  # why → how many of the skipped
    errors = models.JSONField(default=list)  # the first jobs that could not be done for another reason than their state
    status = models.CharField(max_length=10, default="running")  # completed, aborted
    free_at = models.DateTimeField()
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["free_at"], condition=Q(finished_at__isnull=True), name="operation_unfinished"),
            models.Index(fields=["finished_at"], condition=Q(finished_at__isnull=False), name="operation_finished"),
        ]

    def __str__(self) -> str:
        return encode("op", self.id)


class IdempotencyKey(models.Model):
    """A key that a dispatch named, and what was answered to the first one: asked again within a
    day, the same is answered. `scope` is a product, 0 the calls of operator keys over all of them."""

    id = models.BigAutoField(primary_key=True)
    scope = models.BigIntegerField()
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)  # SHA-256 of the canonical request, hex
    result = models.JSONField()
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_by_age")]
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="idempotency_key_once_per_scope")]

    def __str__(self) -> str:
        return self.key
