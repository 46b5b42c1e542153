"""Who is told of what, and what became of the telling. Rows only.

`Endpoint` is an address that somebody gave, `Message` an event as it is sent (the same bytes to everybody and at
every attempt), `Delivery` one message for one endpoint, `Attempt` one request that was made for it, `Notice` what
operators are to know.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.ids import encode, new_uuid
from core.tenancy.models import Product
from webhooks.states import ENDED, DeliveryStatus

ENDPOINT_PREFIX, MESSAGE_PREFIX, DELIVERY_PREFIX = "wh", "msg", "dlv"


class Endpoint(models.Model):
    """An address that is told of events. What a filter leaves out does not matter to it.

    `product` null: every product (an operator's). `environment_ids` are those that the key which made it was limited
    to; null: all. The secrets are sealed (`webhooks.secrets`); the old one signs too until its time.
    """

    id = models.UUIDField(primary_key=True, default=new_uuid, editable=False)
    url = models.CharField(max_length=2000)
    description = models.CharField(max_length=500, blank=True, default="")
    product = models.ForeignKey(Product, null=True, on_delete=models.CASCADE, related_name="+")
    environment_ids = models.JSONField(null=True)
    events = models.JSONField(default=list)  # types, or `*` alone
    env = models.CharField(max_length=60, blank=True, default="")  # a slug
    namespaces = models.JSONField(default=list)
    labels = models.JSONField(default=dict)

    secret = models.TextField()
    old_secret = models.TextField(blank=True, default="")
    old_secret_until = models.DateTimeField(null=True)

    enabled = models.BooleanField(default=True)
    disabled_at = models.DateTimeField(null=True)
    disabled_reason = models.CharField(max_length=200, blank=True, default="")  # empty: by a person
    failing_since = models.DateTimeField(null=True)  # the first failure since the last success
    consecutive_failures = models.PositiveIntegerField(default=0)
    rest_until = models.DateTimeField(null=True)  # the circuit is open: nothing is sent before, then one request
    rests = models.PositiveSmallIntegerField(default=0)  # in a row, after the first: each is twice as long

    actor = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["product", "id"], name="endpoint_of_product")]
        constraints = [
            models.CheckConstraint(
                condition=Q(enabled=True, disabled_at__isnull=True) | Q(enabled=False, disabled_at__isnull=False),
                name="endpoint_disabled_has_its_time",
            ),
        ]

    def __str__(self) -> str:
        return encode(ENDPOINT_PREFIX, self.id)


class Message(models.Model):
    """An event as it is sent. Its id is the `webhook-id`, at every attempt and in every replay.

    No foreign keys to jobs: what was told outlives them. Without a job: a test of one endpoint.
    """

    id = models.UUIDField(primary_key=True, default=new_uuid, editable=False)
    job_id = models.UUIDField(null=True)
    seq = models.BigIntegerField(null=True)
    type = models.CharField(max_length=20)
    product_id = models.BigIntegerField(null=True)
    environment_id = models.BigIntegerField(null=True)
    body = models.TextField()
    at = models.DateTimeField()  # of the transition
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="message_by_age")]
        constraints = [models.UniqueConstraint(fields=["job_id", "seq"], name="message_once_per_event")]

    def __str__(self) -> str:
        return encode(MESSAGE_PREFIX, self.id)


class Delivery(models.Model):
    """One message for one endpoint. It is claimed by a worker's lease and under a fence, as a run is."""

    id = models.UUIDField(primary_key=True, default=new_uuid, editable=False)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    type = models.CharField(max_length=20)  # of the message, for the filters of lists
    status = models.CharField(max_length=10, default=DeliveryStatus.PENDING)
    due_at = models.DateTimeField()  # when the (next) attempt may be claimed
    attempt = models.PositiveSmallIntegerField(default=0)  # attempts begun in this round; a replay begins a new one
    fence = models.BigIntegerField(default=0)
    owner_id = models.BigIntegerField(null=True)  # jobs.Worker.id while delivering
    deadline_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=300, blank=True, default="")  # why it has failed

    class Meta:
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["endpoint", "due_at", "id"], condition=Q(status="pending"), name="delivery_claimable"),
            models.Index(fields=["owner_id"], condition=Q(status="delivering"), name="delivery_of_worker"),
            models.Index(fields=["endpoint", "-id"], name="delivery_of_endpoint"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["message", "endpoint"], name="delivery_once_per_endpoint"),
            models.CheckConstraint(condition=Q(status__in=list(DeliveryStatus)), name="delivery_status_is_known"),
            models.CheckConstraint(
                condition=~Q(status="delivering")
                | Q(owner_id__isnull=False, deadline_at__isnull=False, fence__gt=0, attempt__gt=0),
                name="delivery_under_way_is_owned",
            ),
            models.CheckConstraint(
                condition=Q(status="delivering") | Q(owner_id__isnull=True, deadline_at__isnull=True),
                name="delivery_owned_only_under_way",
            ),
            models.CheckConstraint(
                condition=Q(status__in=sorted(ENDED), finished_at__isnull=False)
                | (~Q(status__in=sorted(ENDED)) & Q(finished_at__isnull=True)),
                name="delivery_ended_has_its_time",
            ),
        ]

    def __str__(self) -> str:
        return encode(DELIVERY_PREFIX, self.id)


class Attempt(models.Model):
    """One request that was made for a delivery, and what came back."""

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    response_status = models.PositiveSmallIntegerField(null=True)
    response_body = models.TextField(blank=True, default="")  # its first 4 kB
    error = models.TextField(blank=True, default="")  # in a sentence; empty: delivered
    address = models.CharField(max_length=64, blank=True, default="")  # that was connected to

    def __str__(self) -> str:
        return f"attempt {self.pk} of {self.delivery_id}"


class Notice(models.Model):
    """What the system did by itself and operators are to know: an endpoint was disabled.

    No foreign keys: it is told after the endpoint is gone.
    """

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=40)  # webhooks.states.NoticeKind
    endpoint_id = models.UUIDField()
    product_id = models.BigIntegerField(null=True)
    text = models.TextField()
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["at"], name="notice_by_age")]

    def __str__(self) -> str:
        return f"{self.kind} {encode(ENDPOINT_PREFIX, self.endpoint_id)}"


class AttemptTally(models.Model):
    """Attempts counted once, for counters that only grow (`webhooks.metrics`).

    One row for each worker and outcome, so that no two processes wait for the same row; the rows of workers that are
    gone are added to those of worker 0.
    """

    worker_id = models.BigIntegerField()
    outcome = models.CharField(max_length=10)  # webhooks.states.AttemptOutcome
    attempts = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["worker_id", "outcome"], name="attempt_tally_once_per_worker")]

    def __str__(self) -> str:
        return f"{self.attempts} attempts {self.outcome}"
