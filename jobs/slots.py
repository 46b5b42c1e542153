"""Runs that ended, counted by slots of time: how they are added, found and forgotten.

A slot is a row for each place, namespace and outcome, in each of the GRAINS: a window is put together from few rows,
however many runs and days it holds. Durations and lateness are counted in buckets of which each is 4 %
wider than the one before, so that a percentile is within 2.5 % (or a millisecond) of the value that occurred.
Only `jobs.tally` adds, under its lock. What was counted outlives the deletion and the pruning of its job.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from django.db.models import Q, Subquery

from core.clock import database_now
from core.times import to_ms
from jobs.ended import EndedRun
from jobs.models import RunSlot, TallyPosition

SLOT = 300_000  # ms: the edges of a window within a slot are read from the runs themselves
GRAINS = (SLOT, 3_600_000, 86_400_000, 8 * 86_400_000)  # ms, each a whole number of the one before
GROWTH = 1.04
END = 2**53 // GRAINS[-1] * GRAINS[-1]  # later than any time that can be told
_ROWS = 500  # in one statement
_SUMS = ("runs", "first_try", "retries", "first_event", "last_event", "durations", "lateness")

_Key = tuple[int, int, int, str, str]  # grain, start, environment, namespace, outcome


def bucket_of(milliseconds: int) -> int:
    """The number of the bucket: 0 for none, else by the logarithm. Up to 20 ms each value has its own."""
    return 0 if milliseconds <= 0 else 1 + int(math.log(milliseconds, GROWTH) + 1e-9)


@lru_cache(maxsize=4096)
def middle_of(bucket: int) -> int:
    """The milliseconds that stand for a bucket."""
    if bucket == 0:
        return 0
    low, high = (math.ceil(GROWTH**power - 1e-6) for power in (bucket - 1, bucket))
    return (low + high - 1) // 2


def add(runs: Iterable[EndedRun]) -> None:
    """Add runs to their slots. Whoever calls it holds the lock on the position."""
    added: dict[_Key, RunSlot] = {}
    for run in runs:
        for grain in GRAINS:
            key = (grain, run.ended_ms // grain * grain, run.environment_id, run.namespace, run.status)
            slot = added.get(key)
            if slot is None:
                slot = added[key] = RunSlot(
                    **dict(zip(("grain", "start", "environment_id", "namespace", "outcome"), key, strict=True)),
                    first_event=run.event_id,
                    last_event=run.event_id,
                )
            slot.runs += 1
            slot.first_try += run.attempt == 1
            slot.retries += run.retry_count
            slot.first_event = min(slot.first_event, run.event_id)
            slot.last_event = max(slot.last_event, run.event_id)
            _count(slot.durations, bucket_of(run.duration_ms))
            if run.lateness_ms is not None:
                _count(slot.lateness, bucket_of(run.lateness_ms))
    _save(added)


def _count(buckets: dict[str, int], bucket: int, by: int = 1) -> None:
    buckets[str(bucket)] = buckets.get(str(bucket), 0) + by


def _save(added: dict[_Key, RunSlot]) -> None:
    """Add to the rows that are there, and make the others."""
    starts: dict[int, set[int]] = {}
    for grain, start, *_ in added:
        starts.setdefault(grain, set()).add(start)
    for grain, some in starts.items():
        ordered = sorted(some)
        for place in range(0, len(ordered), _ROWS):
            for there in RunSlot.objects.filter(grain=grain, start__in=ordered[place : place + _ROWS]):
                key = (there.grain, there.start, there.environment_id, there.namespace, there.outcome)
                if slot := added.get(key):
                    _merge(slot, there)
    RunSlot.objects.bulk_create(
        added.values(),
        batch_size=_ROWS,
        update_conflicts=True,
        unique_fields=["grain", "start", "environment_id", "namespace", "outcome"],
        update_fields=_SUMS,
    )


def _merge(slot: RunSlot, there: RunSlot) -> None:
    slot.runs += there.runs
    slot.first_try += there.first_try
    slot.retries += there.retries
    slot.first_event = min(slot.first_event, there.first_event)
    slot.last_event = max(slot.last_event, there.last_event)
    for buckets, others in ((slot.durations, there.durations), (slot.lateness, there.lateness)):
        for bucket, count in others.items():
            _count(buckets, int(bucket), count)


def prune(older_than: timedelta) -> int:
    """Forget the slots that ended longer ago than that; how many."""
    before = to_ms(database_now() - older_than)
    return sum(RunSlot.objects.filter(grain=grain, start__lt=before - grain).delete()[0] for grain in GRAINS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tallied:
    """The slots of a window: whole ones, and those at its edges of which it has a part.

    They hold the runs whose event is in (after, upto]; the others have to be read.
    """

    after: int
    upto: int
    whole: list[RunSlot]
    edges: list[RunSlot]


def of_window(
    environment_ids: frozenset[int] | None,
    namespace: str | None,
    since: int | None,
    before: int | None,
    *,
    within: int | None = None,
) -> Tallied:
    """The slots of since ≤ time < before (ms). `within`: none longer than this, a whole number of which it divides.

    The rows and the position come from one statement: between two, runs could be counted that were read already.
    """
    first, last = 0 if since is None else max(since, 0), END if before is None else min(max(before, 0), END)
    position = TallyPosition.objects.filter(pk=1).first() or TallyPosition()
    start, end = -(-first // SLOT) * SLOT, last // SLOT * SLOT
    edges = {at // SLOT * SLOT for at in (first, last) if at % SLOT}
    grains = [grain for grain in GRAINS if within is None or within % grain == 0]
    wanted = Q(grain=SLOT, start__in=sorted(edges))
    for grain, low, high in cover(start, end, grains):
        wanted |= Q(grain=grain, start__gte=low, start__lt=high)
    found = RunSlot.objects.filter(wanted)
    if environment_ids is not None:
        found = found.filter(environment_id__in=sorted(environment_ids))
    if namespace is not None:
        found = found.filter(namespace=namespace)
    now = TallyPosition.objects.filter(pk=1)
    rows = list(
        found.annotate(upto=Subquery(now.values("event_id")[:1]), after=Subquery(now.values("slots_after")[:1]))
    )
    after, upto = (rows[0].after, rows[0].upto) if rows else (position.slots_after, position.event_id)
    return Tallied(
        after=after,
        upto=upto,
        whole=[row for row in rows if row.start not in edges or row.grain != SLOT],
        edges=[row for row in rows if row.start in edges and row.grain == SLOT],
    )


def cover(start: int, end: int, grains: Sequence[int]) -> list[tuple[int, int, int]]:
    """The window as ranges (grain, from, to) of whole slots, the longest that fit. Both ends are whole slots of the first."""
    grain, *longer = grains
    if start >= end:
        return []
    if longer:
        low, high = -(-start // longer[0]) * longer[0], end // longer[0] * longer[0]
        if low < high:
            parts = [(grain, start, low), *cover(low, high, longer), (grain, high, end)]
            return [part for part in parts if part[1] < part[2]]
    return [(grain, start, end)]
