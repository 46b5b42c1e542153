"""Prometheus metrics, read from the database at the time of the scrape.

Whatever process answers, the numbers are the same: nothing is kept in memory. Gauges read open
rows only. Counters are kept in a small table (`RunTally`) that each scrape first brings up to date
(`jobs.tally`), so that a scrape costs what happened since the counting before, never the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from core.clock import database_now
from core.tenancy.models import Product
from jobs import extensions, load
from jobs.models import Execution, Hold, RunTally
from jobs.states import RunStatus
from jobs.tally import DURATION_BOUNDS, LATENESS_BOUNDS, bring_up_to_date

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition() -> bytes:
    """The metrics in Prometheus' text format. Raises django.db.OperationalError when the database is away."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(database_now()))
    text: bytes = generate_latest(registry)
    return text


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
