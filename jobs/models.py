"""WHAT runs, WHEN, and its history. Rows only: every change of a status is in `jobs.lifecycle`.

`Job` is what the caller sees, `Execution` one run of it, `Worker` a process that claims runs,
`JobEvent` the outbox and audit trail. The constraints hold for any writer, also a shell.
"""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Case, F, Q, Value, When

from core.ids import encode, new_uuid
from core.tenancy.models import Environment, Product
from jobs.states import FINAL, EventType, JobStatus, RunStatus, Trigger

FINAL_STATUSES = sorted(FINAL)
INTERVENTIONS = [
    str(type) for type in (EventType.CANCELLED, EventType.PAUSED, EventType.RESCHEDULED, EventType.RESUMED)
]
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


class RunTally(models.Model):
    """Runs counted once, for counters that only grow (`jobs.metrics`): adding them up anew would cost the history.

    No foreign key: what was counted stays when its product goes.
    """

    product_id = models.BigIntegerField()
    namespace = models.CharField(max_length=30)
    outcome = models.CharField(max_length=10)  # completed, failed
    runs = models.BigIntegerField(default=0)
    retries = models.BigIntegerField(default=0)
    losses = models.BigIntegerField(default=0)  # attempts whose worker died
    duration_ms = models.BigIntegerField(default=0)
    lateness_ms = models.BigIntegerField(default=0)
    duration_buckets = models.JSONField(default=list)  # runs in each bucket of the histogram, not cumulated
    lateness_buckets = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["product_id", "namespace", "outcome"], name="tally_once_per_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.runs} runs {self.outcome}"


class RunSlot(models.Model):
    """The runs of a place that ended in one slot of time, counted once: for statistics (`jobs.slots`).

    Every run stands in one slot of each grain. No foreign key: what was counted stays when its job, or its place, goes.
    """

    grain = models.BigIntegerField()  # ms, how long the slot is
    start = models.BigIntegerField()  # ms since 1970, a whole number of grains
    environment_id = models.BigIntegerField()
    namespace = models.CharField(max_length=30)
    outcome = models.CharField(max_length=10)  # completed, failed
    runs = models.BigIntegerField(default=0)
    first_try = models.BigIntegerField(default=0)  # runs of one attempt
    retries = models.BigIntegerField(default=0)
    first_event = models.BigIntegerField()  # the events of these runs are from here …
    last_event = models.BigIntegerField()  # … to here
    durations = models.JSONField(default=dict)  # runs by the number of their bucket (`jobs.slots.bucket_of`)
    lateness = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["environment_id", "grain", "start"], name="slot_of_environment")]
        constraints = [
            models.UniqueConstraint(
                fields=["grain", "start", "environment_id", "namespace", "outcome"], name="slot_once_per_outcome"
            )
        ]

    def __str__(self) -> str:
        return f"{self.runs} runs {self.outcome} from {self.start} on"


class TallyPosition(models.Model):
    """How far the outbox has been counted: one row; whoever counts holds its lock."""

    event_id = models.BigIntegerField(default=0)
    slots_after = models.BigIntegerField(default=0)  # up to this event, slots are still to be filled, backwards

    def __str__(self) -> str:
        return f"counted up to event {self.event_id}"


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


class Chore(models.Model):
    """Maintenance that one process does at a time: whoever sets `free_at` forward has taken it."""

    name = models.CharField(max_length=60, primary_key=True)
    free_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


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
