"""What the caller sees: a dispatched event, its schedule, and its state."""

from __future__ import annotations

from django.db import models
from django.db.models import Case, F, Q, Value, When

from core.ids import encode, new_uuid
from core.tenancy.models import Environment, Product
from jobs.states import FINAL, JobStatus

FINAL_STATUSES = sorted(FINAL)
RARE_STATUSES = ["cancelled", "failed", "paused", "scheduled"]  # few enough, or looked for enough, to be indexed


class Job(models.Model):
    """A dispatched event of a product and when it runs. Times aware UTC, durations in ms."""

    id = models.UUIDField(primary_key=True, default=new_uuid, editable=False)
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+", db_index=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+", db_index=False)
    namespace = models.CharField(max_length=30)
    target = models.JSONField()  # {"app": …, "event": …}
    input = models.JSONField()
    session = models.TextField(blank=True, default="")  # opened at dispatch, sealed for this job (`lifecycle.create`)
    cache = models.CharField(max_length=120, blank=True, default="")
    labels = models.JSONField(default=dict)

    status = models.CharField(max_length=10)  # a projection: jobs.states.project
    scheduled_at = models.DateTimeField()  # of the current run; the next one's while waiting
    started_at = models.DateTimeField(null=True)  # of the last run
    completed_at = models.DateTimeField(null=True)  # of the last run; also set by failure and cancel
    cancelled_at = models.DateTimeField(null=True)
    cancel_reason = models.TextField(blank=True, default="")
    paused_at = models.DateTimeField(null=True)
    pause_note = models.TextField(blank=True, default="")
    pause_id = models.UUIDField(null=True)  # the pause-many that paused it

    # The schedule. `next_run_at` is the next occurrence on the grid, `next_due_at` when it is
    # promoted (jitter moves only that); null when no occurrence is to come or a pause holds it back.
    recurring = models.BooleanField(default=False)
    schedule = models.JSONField(default=dict)  # as given
    start_at = models.DateTimeField(null=True)
    cron = models.CharField(max_length=255, blank=True, default="")
    every = models.BigIntegerField(null=True)  # ms
    tz = models.CharField(max_length=64, default="UTC")
    anchor_at = models.DateTimeField(null=True)
    limit = models.BigIntegerField(null=True)
    end_date = models.DateTimeField(null=True)
    overlap = models.CharField(max_length=8, default="skip")
    misfire = models.CharField(max_length=8, default="once")
    misfire_grace = models.BigIntegerField(default=60_000)  # ms
    dst_gap = models.CharField(max_length=8, default="shift")
    dst_overlap = models.CharField(max_length=8, default="first")
    jitter = models.BigIntegerField(default=0)  # ms
    next_run_at = models.DateTimeField(null=True)
    next_due_at = models.DateTimeField(null=True)
    occurrences_opened = models.BigIntegerField(default=0)  # what `limit` counts
    tzdata_version = models.CharField(max_length=16, blank=True, default="")

    retries = models.PositiveSmallIntegerField(default=0)
    retry_config = models.JSONField(default=dict)
    on_lost = models.CharField(max_length=8, default="retry")
    timeout = models.BigIntegerField(default=60_000)  # ms, of one attempt
    priority = models.PositiveSmallIntegerField(default=5)  # 0–9, higher first
    queue = models.CharField(max_length=60, default="default")
    concurrency_key = models.CharField(max_length=200, blank=True, default="")
    concurrency_limit = models.PositiveIntegerField(default=1)
    unique_key = models.CharField(max_length=200, null=True, blank=True)
    definition = models.CharField(max_length=120, null=True, blank=True)  # the tag it was scheduled by, also once gone

    # No index names `status` itself: a claim and an outcome then change no indexed column, and
    # PostgreSQL writes them beside the old row without touching one index (HOT updates).
    rare_status = models.GeneratedField(
        expression=Case(When(status__in=RARE_STATUSES, then=F("status")), default=Value(None)),
        output_field=models.CharField(max_length=10, null=True),
        db_persist=True,
    )
    open_unique_key = models.GeneratedField(
        expression=Case(When(status__in=FINAL_STATUSES, then=Value(None)), default=F("unique_key")),
        output_field=models.CharField(max_length=200, null=True),
        db_persist=True,
    )
    open_definition = models.GeneratedField(
        expression=Case(When(status__in=FINAL_STATUSES, then=Value(None)), default=F("definition")),
        output_field=models.CharField(max_length=120, null=True),
        db_persist=True,
    )

    # The last or current run, kept here so that a list of jobs needs no join.
    retry_count = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)  # set in a back-off
    behind = models.CharField(max_length=10, blank=True, default="")  # status of the run that waits behind the open one
    last_error = models.TextField(blank=True, default="")
    last_run_status = models.CharField(max_length=10, blank=True, default="")
    last_run_id = models.BigIntegerField(null=True)  # the last run that ended; its result is there
    consecutive_failures = models.PositiveIntegerField(default=0)
    execution_count = models.BigIntegerField(default=0)  # runs started, all triggers
    successful_executions = models.BigIntegerField(default=0)
    failed_executions = models.BigIntegerField(default=0)
    event_seq = models.BigIntegerField(default=0)

    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        indexes = [
            # By environment, which says the product too: a list of a product merges its environments.
            models.Index(fields=["environment", "-id"], name="job_of_environment"),
            models.Index(fields=["next_due_at"], condition=Q(next_due_at__isnull=False), name="job_due"),
            models.Index(
                fields=["environment", "rare_status", "-id"],
                condition=Q(rare_status__isnull=False),
                name="job_by_rare_status",
            ),
            models.Index(fields=["environment", "-id"], condition=Q(recurring=True), name="job_recurring"),
            models.Index(
                fields=["product", "open_definition", "id"],
                condition=Q(open_definition__isnull=False),
                name="job_of_definition",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["product", "environment", "open_unique_key"],
                condition=Q(open_unique_key__isnull=False),
                name="job_one_unfinished_per_unique_key",
            ),
            models.CheckConstraint(condition=Q(status__in=list(JobStatus)), name="job_status_is_known"),
            models.CheckConstraint(
                condition=Q(status="cancelled", cancelled_at__isnull=False)
                | (~Q(status="cancelled") & Q(cancelled_at__isnull=True)),
                name="job_cancelled_has_its_time",
            ),
            models.CheckConstraint(
                condition=Q(cancelled_at__isnull=False)
                | Q(status="paused", paused_at__isnull=False)
                | (~Q(status="paused") & Q(paused_at__isnull=True)),
                name="job_paused_has_its_time",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=FINAL_STATUSES) | Q(completed_at__isnull=False, next_due_at__isnull=True),
                name="job_final_is_finished_and_not_due",
            ),
            models.CheckConstraint(
                condition=~Q(status="paused") | Q(recurring=True, next_due_at__isnull=True),
                name="job_paused_recurs_and_is_not_due",
            ),
            models.CheckConstraint(
                condition=Q(limit__isnull=True) | Q(occurrences_opened__lte=F("limit")),
                name="job_opens_no_more_than_its_limit",
            ),
            models.CheckConstraint(
                condition=Q(recurring=False) | ~Q(cron="") ^ Q(every__isnull=False),
                name="job_recurs_by_cron_or_interval",
            ),
        ]

    def __str__(self) -> str:
        return encode("job", self.id)
