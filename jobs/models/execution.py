"""One run of a job, with its attempts."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q

from jobs.models.job import Job
from jobs.states import RunStatus, Trigger


class Execution(models.Model):
    """One run of a job. Its own columns are the current (else last) attempt; `attempts` holds
    the earlier ones, in order, as `{attempt, status, started_at, completed_at, code, error, retryable}`
    with times in ms.

    Rows that never ran (`skipped`, `missed`) stand for `count` occurrences from `scheduled_at`
    to `last_scheduled_at`, and have no number.
    """

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="executions", db_index=False)
    number = models.BigIntegerField(null=True)  # from 1 without gaps, given when the run starts
    trigger = models.CharField(max_length=8)
    status = models.CharField(max_length=10)
    scheduled_at = models.DateTimeField()  # the nominal time: the occurrence
    due_at = models.DateTimeField()  # when the (next) attempt may be claimed

    # Copied from the job, so that a claim reads one index.
    product_id = models.BigIntegerField()
    environment_id = models.BigIntegerField()
    namespace = models.CharField(max_length=30)
    queue = models.CharField(max_length=60)
    priority = models.PositiveSmallIntegerField()
    concurrency_key = models.CharField(max_length=260, null=True)  # with product and environment in it
    concurrency_limit = models.PositiveIntegerField(default=1)

    fence = models.BigIntegerField(default=0)  # grows with every claim, cancel and lost lease
    owner_id = models.BigIntegerField(null=True)  # Worker.id while running
    deadline_at = models.DateTimeField(null=True)  # past it the reaper takes the run back
    attempt = models.PositiveSmallIntegerField(default=0)  # attempts begun, lost ones included
    retry_count = models.PositiveSmallIntegerField(default=0)  # retries used
    losses = models.PositiveSmallIntegerField(default=0)  # attempts whose worker died
    attempts = models.JSONField(null=True)  # earlier attempts

    created_at = models.DateTimeField()
    run_started_at = models.DateTimeField(null=True)  # of the first attempt
    started_at = models.DateTimeField(null=True)  # of the current attempt
    finished_at = models.DateTimeField(null=True)
    result = models.JSONField(null=True)
    steps = models.JSONField(null=True)  # what its attempts have done, by name: kept for the next one
    target = models.JSONField(null=True)  # that it began with, where its job's is another by now; null: its job's
    code = models.CharField(max_length=60, blank=True, default="")
    error = models.TextField(blank=True, default="")
    retryable = models.BooleanField(null=True)
    skip_reason = models.CharField(max_length=120, blank=True, default="")
    count = models.PositiveIntegerField(default=1)
    last_scheduled_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["queue", "-priority", "due_at", "id"],
                condition=Q(status="queued"),
                name="execution_claimable",
            ),
            models.Index(
                fields=["queue", "concurrency_key", "-priority", "due_at", "id"],
                condition=Q(status="queued", concurrency_key__isnull=False),
                name="execution_claimable_keyed",
            ),
            models.Index(fields=["due_at"], condition=Q(status="waiting"), name="execution_waiting"),
            models.Index(
                fields=["job", "id"],
                condition=Q(status__in=["queued", "waiting", "frozen"]),
                name="execution_open_of_job",
            ),
            models.Index(fields=["owner_id"], condition=Q(status="running"), name="execution_of_worker"),
            models.Index(
                fields=["concurrency_key"],
                condition=Q(status="running", concurrency_key__isnull=False),
                name="execution_running_keyed",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["job", "scheduled_at"],
                condition=Q(trigger="schedule"),
                name="execution_one_per_occurrence",
            ),
            models.UniqueConstraint(fields=["job", "number"], name="execution_number_once_per_job"),
            models.UniqueConstraint(
                fields=["job"], condition=Q(status="running"), name="execution_one_running_per_job"
            ),
            models.CheckConstraint(condition=Q(status__in=list(RunStatus)), name="execution_status_is_known"),
            models.CheckConstraint(condition=Q(trigger__in=list(Trigger)), name="execution_trigger_is_known"),
            models.CheckConstraint(
                condition=~Q(status="running")
                | Q(
                    owner_id__isnull=False,
                    deadline_at__isnull=False,
                    started_at__isnull=False,
                    number__isnull=False,
                    fence__gt=0,
                ),
                name="execution_running_is_owned",
            ),
            models.CheckConstraint(
                condition=Q(status="running") | Q(owner_id__isnull=True, deadline_at__isnull=True),
                name="execution_owned_only_while_running",
            ),
            models.CheckConstraint(
                condition=(
                    Q(status__in=["completed", "failed", "cancelled", "skipped", "missed"], finished_at__isnull=False)
                    | Q(status__in=["queued", "waiting", "frozen", "running"], finished_at__isnull=True)
                ),
                name="execution_ended_has_its_time",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["skipped", "missed"]) | Q(number__isnull=True, attempt=0),
                name="execution_that_never_ran_has_no_number",
            ),
        ]

    @property
    def first_due_at(self) -> datetime | None:
        """When the run became due, while that is known: a back-off or a lost attempt has moved `due_at` to after
        the start of the first attempt, and the occurrence of a manual retry is long past."""
        if self.run_started_at is None or self.due_at > self.run_started_at or self.trigger == Trigger.RETRY:
            return None
        return self.due_at

    def __str__(self) -> str:
        return f"run {self.number or '–'} of {self.job_id}"
