"""Who is at work, and who has taken which chore."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Worker(models.Model):
    """A worker process and its lease: a running execution is valid while its owner's lease is."""

    id = models.BigAutoField(primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    queues = models.JSONField(default=list)
    concurrency = models.PositiveIntegerField(default=1)
    running = models.PositiveIntegerField(default=0)  # as of its last beat
    started_at = models.DateTimeField()
    beaten_at = models.DateTimeField()
    lease_until = models.DateTimeField()
    draining = models.BooleanField(default=False)
    stopped_at = models.DateTimeField(null=True)  # stopped by itself, or taken for dead by the reaper
    settled = models.BooleanField(default=False)  # stopped, and none of its runs is left open

    class Meta:
        indexes = [
            models.Index(fields=["lease_until"], condition=Q(settled=False), name="worker_unsettled"),
        ]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Scheduler(models.Model):
    """A scheduler process seen lately: for `readyz`; nothing depends on who is in here."""

    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "pid"], name="scheduler_once_per_process")]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Chore(models.Model):
    """Maintenance that one process does at a time: whoever sets `free_at` forward has taken it."""

    name = models.CharField(max_length=60, primary_key=True)
    free_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
