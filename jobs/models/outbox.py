"""What happened to jobs, and who wants to be told."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from jobs.states import EventType

INTERVENTIONS = [
    str(type) for type in (EventType.CANCELLED, EventType.PAUSED, EventType.RESCHEDULED, EventType.RESUMED)
]


class JobEvent(models.Model):
    """The outbox and audit trail: written in the transaction of the transition it tells of.

    `seq` counts a job's events without gaps. No foreign key: events outlive a deleted job.
    """

    id = models.BigAutoField(primary_key=True)
    job_id = models.UUIDField()
    seq = models.BigIntegerField()
    type = models.CharField(max_length=20)
    status = models.CharField(max_length=10)  # the job's, after the transition
    number = models.BigIntegerField(null=True)  # the run it is about
    actor = models.CharField(max_length=200, blank=True, default="")  # who asked; empty: the system
    data = models.JSONField(null=True)
    wanted = models.BooleanField(default=False, db_default=False)  # somebody listens, and has not taken it yet
    about = models.JSONField(null=True)  # of a wanted one: its job at that moment (`jobs.outbox.Account`)
    at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["job_id", "seq"], condition=Q(type__in=INTERVENTIONS), name="event_of_intervention"),
            models.Index(fields=["id"], condition=Q(wanted=True), name="event_wanted"),
        ]
        constraints = [models.UniqueConstraint(fields=["job_id", "seq"], name="event_seq_once_per_job")]

    def __str__(self) -> str:
        return f"{self.type} of {self.job_id}"


class Listener(models.Model):
    """Somebody wants to be told of this type of event: of a product, or (0) of all of them.

    Whoever writes an event marks it as wanted where it has a listener; what nobody listens to costs nothing.
    """

    product_id = models.BigIntegerField()
    type = models.CharField(max_length=20)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["type", "product_id"], name="listener_once_per_product")]

    def __str__(self) -> str:
        return f"{self.type} of {self.product_id or 'every product'}"
