"""Runs that ended, counted once."""

from __future__ import annotations

from django.db import models


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
