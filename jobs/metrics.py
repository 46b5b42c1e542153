"""Prometheus metrics, read from the database at the time of the scrape.

Whatever process answers, the numbers are the same: nothing is kept in memory. Gauges read open
rows only. Counters are kept in a small table (`RunTally`) that each scrape first brings up to date
from the outbox, in batches and for at most BUDGET_SECONDS, so that a scrape costs what happened
since the one before, never the history; who does not scrape pays nothing.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from django.db import transaction
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from core.clock import database_now
from core.tenancy.models import Product
from jobs import extensions, load
from jobs.ended import EndedRun, ended_runs, last_event
from jobs.models import Execution, Hold, JobEvent, RunTally, TallyPosition
from jobs.states import RunStatus

BATCH = 5_000  # events counted in one transaction
BUDGET_SECONDS = 1.0
SETTLED_AFTER = timedelta(seconds=5)  # younger events wait: one with a smaller id may not be committed yet
DURATION_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)  # seconds
LATENESS_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition() -> bytes:
    """The metrics in Prometheus' text format. Raises django.db.OperationalError when the database is away."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(database_now()))
    text: bytes = generate_latest(registry)
    return text


def bring_up_to_date() -> int:
    """Count the runs that ended since the last time; how many events are left for the next."""
    position, _ = TallyPosition.objects.get_or_create(pk=1)
    counted, deadline, more = position.event_id, time.monotonic() + BUDGET_SECONDS, True
    while more and time.monotonic() < deadline:
        counted, more = _count_batch()
    return max(last_event() - counted, 0)


def _count_batch() -> tuple[int, bool]:
    """One batch: up to which event runs are counted now, and whether there may be more.

    The lock on the position keeps two scrapes from counting the same runs twice.
    """
    with transaction.atomic():
        position = TallyPosition.objects.select_for_update().get(pk=1)
        settled_before = database_now() - SETTLED_AFTER
        events = JobEvent.objects.filter(id__gt=position.event_id).order_by("id").values_list("id", "at")[:BATCH]
        settled = [event_id for event_id, _ in takewhile(lambda event: event[1] <= settled_before, events)]
        if not settled:
            return position.event_id, False
        _add(ended_runs(position.event_id, settled[-1], limit=BATCH))
        TallyPosition.objects.filter(pk=1).update(event_id=settled[-1])
        return settled[-1], len(settled) == BATCH


def _add(runs: Iterable[EndedRun]) -> None:
    """Add runs to their rows of the table."""
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


class _Collector:
    """One scrape. Prometheus' own registry asks it for everything at once."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        yield from self._runs()
        yield from self._queues()
        yield from self._processes()
        for collect in extensions.loaded("collect"):
            yield from collect(self._now)

    def _runs(self) -> Iterator[Metric]:
        left = bring_up_to_date()
        products = dict(Product.objects.values_list("pk", "tag"))
        tallies = list(RunTally.objects.order_by("product_id", "namespace", "outcome"))
        runs = CounterMetricFamily(
            "ductape_runs", "Runs that ended, by outcome.", labels=["product", "namespace", "outcome"]
        )
        retries = CounterMetricFamily("ductape_retries", "Retries used by runs that ended.", labels=["product"])
        losses = CounterMetricFamily("ductape_leases_lost", "Attempts whose worker died, of runs that ended.")
        duration = HistogramMetricFamily(
            "ductape_run_duration_seconds", "From a run's first attempt to its end.", labels=["product", "namespace"]
        )
        lateness = HistogramMetricFamily(
            "ductape_run_lateness_seconds", "From when a run was due to its first attempt; not of retried runs.",
            labels=["product", "namespace"],
        )  # fmt: skip
        used: dict[str, int] = {}
        grouped: dict[tuple[str, str], list[RunTally]] = {}
        for tally in tallies:
            product = products.get(tally.product_id, f"#{tally.product_id}")
            runs.add_metric([product, tally.namespace, tally.outcome], tally.runs)
            used[product] = used.get(product, 0) + tally.retries
            grouped.setdefault((product, tally.namespace), []).append(tally)
        for product, count in used.items():
            retries.add_metric([product], count)
        losses.add_metric([], sum(tally.losses for tally in tallies))
        for labels, members in grouped.items():
            _add_histogram(
                duration, labels, DURATION_BOUNDS, [tally.duration_buckets for tally in members],
                sum(tally.duration_ms for tally in members),
            )  # fmt: skip
            _add_histogram(
                lateness, labels, LATENESS_BOUNDS, [tally.lateness_buckets for tally in members],
                sum(tally.lateness_ms for tally in members),
            )  # fmt: skip
        yield from (runs, retries, losses, duration, lateness)
        yield GaugeMetricFamily(
            "ductape_uncounted_events", "Events that the counters have still to take in.", value=left
        )

    def _queues(self) -> Iterator[Metric]:
        loads = load.queue_loads(None, self._now)
        depth = GaugeMetricFamily("ductape_queue_depth", "Runs that are due and unclaimed.", labels=["queue"])
        age = GaugeMetricFamily(
            "ductape_queue_oldest_age_seconds", "How long the oldest of them has been due.", labels=["queue"]
        )
        held = GaugeMetricFamily("ductape_queue_held", "Those of them under a hold.", labels=["queue"])
        running = GaugeMetricFamily("ductape_queue_running", "Runs that a worker has claimed.", labels=["queue"])
        for queue in loads:
            waited = (self._now - queue.oldest_due_at).total_seconds() if queue.oldest_due_at else 0.0
            depth.add_metric([queue.name], queue.depth)
            age.add_metric([queue.name], max(waited, 0.0))
            held.add_metric([queue.name], queue.held)
            running.add_metric([queue.name], queue.running)
        yield from (depth, age, held, running)
        waiting = Execution.objects.filter(status=RunStatus.WAITING).count()
        yield GaugeMetricFamily("ductape_runs_waiting", "Runs in a back-off or a delay.", value=waiting)
        yield GaugeMetricFamily("ductape_holds", "Scopes held for maintenance.", value=Hold.objects.count())

    def _processes(self) -> Iterator[Metric]:
        workers = GaugeMetricFamily("ductape_workers", "Worker processes, by state.", labels=["state"])
        alive = list(load.working(self._now))
        draining = sum(worker.draining for worker in alive)
        workers.add_metric(["alive"], len(alive) - draining)
        workers.add_metric(["draining"], draining)
        workers.add_metric(["lost"], load.lost(self._now))
        yield workers
        yield GaugeMetricFamily(
            "ductape_worker_slots", "Runs that the workers may run at once.",
            value=sum(worker.concurrency for worker in alive if not worker.draining),
        )  # fmt: skip
        yield GaugeMetricFamily(
            "ductape_schedulers", "Schedulers seen lately.", value=load.schedulers(self._now).count()
        )


def _add_histogram(
    family: HistogramMetricFamily,
    labels: Sequence[str],
    bounds: Sequence[float],
    counted: Iterable[Sequence[int]],
    total_ms: int,
) -> None:
    """One series: the rows' buckets added up, then cumulated as Prometheus wants them."""
    sums = [0] * (len(bounds) + 1)
    for buckets in counted:
        for place, count in enumerate(buckets):
            sums[place] += count
    cumulated, seen = [], 0
    for bound, count in zip((*map(str, bounds), "+Inf"), sums, strict=True):
        seen += count
        cumulated.append((bound, seen))
    family.add_metric(list(labels), buckets=cumulated, sum_value=total_ms / 1000)
