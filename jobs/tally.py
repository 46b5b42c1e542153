"""Runs counted once, in the order of the outbox: for counters that only grow and for statistics by time.

One pass with one position, which is also a lock: schedulers and scrapes may count at once, each of them other runs.
A batch is counted in the transaction that moves the position, so that a run is counted in all tables or in none.
Slots of time were not always kept: runs from before are filled in backwards, the newest first, by the same pass.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from django.db import transaction

from core.clock import database_now
from jobs import slots
from jobs.ended import ORDER_SLACK, EndedRun, ended_runs, last_event
from jobs.models import JobEvent, RunTally, TallyPosition

BATCH = 5_000  # events counted in one transaction
BUDGET_SECONDS = 1.0
DURATION_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)  # seconds
LATENESS_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)


def bring_up_to_date() -> int:
    """Count the runs that ended since the last time, then those from before; how many events are left for the next."""
    position, _ = TallyPosition.objects.get_or_create(pk=1)
    counted, deadline, more = position.event_id, time.monotonic() + BUDGET_SECONDS, True
    while more and time.monotonic() < deadline:
        counted, more = _count_batch()
    more = True
    while more and time.monotonic() < deadline:
        more = _fill_batch()
    return max(last_event() - counted, 0)


def _count_batch() -> tuple[int, bool]:
    """One batch: up to which event runs are counted now, and whether there may be more."""
    with transaction.atomic():
        position = TallyPosition.objects.select_for_update().get(pk=1)
        last = _settled(position.event_id)
        if last == position.event_id:
            return last, False
        runs = ended_runs(position.event_id, last, limit=BATCH)
        _add_to_tallies(runs)
        slots.add(runs)
        TallyPosition.objects.filter(pk=1).update(event_id=last)
        return last, True


def _settled(after: int) -> int:
    """The event up to which none can come any more, at most BATCH events on.

    Where ids follow each other without a gap, all of them are there. An id that is missing may belong to a transaction
    under way, as long as the event behind it is young.
    """
    old = database_now() - ORDER_SLACK
    last = after
    for event_id, at in JobEvent.objects.filter(id__gt=after).order_by("id").values_list("id", "at")[:BATCH]:
        if event_id != last + 1 and at > old:
            break
        last = event_id
    return last


def _fill_batch() -> bool:
    """One batch of runs counted before there were slots; whether there may be more."""
    with transaction.atomic():
        position = TallyPosition.objects.select_for_update().get(pk=1)
        before = JobEvent.objects.filter(id__lte=position.slots_after).order_by("-id").values_list("id", flat=True)
        events = list(before[:BATCH])
        first = events[-1] - 1 if events else 0
        if events:
            slots.add(ended_runs(first, events[0], limit=BATCH))
        if position.slots_after != first:
            TallyPosition.objects.filter(pk=1).update(slots_after=first)
        return bool(events)


def _add_to_tallies(runs: Iterable[EndedRun]) -> None:
    """Add runs to the counters of their product, namespace and outcome."""
    tallies = {(tally.product_id, tally.namespace, tally.outcome): tally for tally in RunTally.objects.all()}
    changed: dict[tuple[int, str, str], RunTally] = {}
    for run in runs:
        key = (run.product_id, run.namespace, run.status)
        tally = tallies.get(key)
        if tally is None:
            tally = tallies[key] = RunTally(product_id=key[0], namespace=key[1], outcome=key[2])
        changed[key] = tally
        tally.runs += 1
        tally.retries += run.retry_count
        tally.losses += run.losses
        tally.duration_ms += run.duration_ms
        _into_bucket(tally.duration_buckets, DURATION_BOUNDS, run.duration_ms)
        if run.lateness_ms is not None:
            tally.lateness_ms += run.lateness_ms
            _into_bucket(tally.lateness_buckets, LATENESS_BOUNDS, run.lateness_ms)
    for tally in changed.values():
        tally.save()


def _into_bucket(buckets: list[int], bounds: Sequence[float], milliseconds: int) -> None:
    if not buckets:
        buckets.extend([0] * (len(bounds) + 1))
    buckets[bisect_left(bounds, milliseconds / 1000)] += 1
