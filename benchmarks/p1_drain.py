"""P1: no-op runs per second, every run's claim, result, history and event committed in PostgreSQL."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

from benchmarks.bench import Bench
from benchmarks.measure import Figure, Row, number, ratio
from benchmarks.ours import Postgres, System, memory

JOBS = 20_000
CELERY_JOBS = 10_000  # slower, so fewer are enough


class Variant(NamedTuple):
    """How many worker processes, and what share of the jobs has a concurrency key."""

    workers: int
    keyed_share: float

    def __str__(self) -> str:
        keyed = f", {self.keyed_share:.0%} with a concurrency key" if self.keyed_share else ""
        return f"Ductape Jobs, {self.workers} worker{'s' * (self.workers > 1)}{keyed}"


class Cost(NamedTuple):
    """What runs cost the servers, per 1 000 of them."""

    statements: float
    commits: float
    messages: float
    checks: float


VARIANTS = tuple(Variant(workers, share) for workers in (1, 2) for share in (0.0, 0.1))


def run(bench: Bench) -> Row:
    row = Row(
        number="P1",
        title="no-op runs per second",
        goal="at least 1.0 × BullMQ and 8 × Celery's best arrangement, with all features on",
        columns=("runs/s: median [min–max]", "what is stored"),
    )
    celery, bullmq = bench.celery, bench.bullmq
    theirs: dict[str, list[float]] = {CELERY: [], BULLMQ: []}
    rates: dict[Variant, list[float]] = {variant: [] for variant in VARIANTS}
    costs: dict[Variant, list[Cost]] = {variant: [] for variant in VARIANTS}
    with bench.ours("p1") as system:
        for _ in range(bench.repetitions):
            for workers in sorted({variant.workers for variant in VARIANTS}):
                with system.processes(workers=workers) as pids:
                    if workers == 1 and not row.notes:
                        row.notes.append(_idle(system, pids[0]))
                    for variant in VARIANTS:
                        if variant.workers == workers:
                            rates[variant].append(drain(system, JOBS, variant.keyed_share))
                            costs[variant].append(_cost(system))
            theirs[CELERY].append(celery.drain(CELERY_JOBS))
            if bullmq is not None:
                theirs[BULLMQ].append(bullmq.drain(JOBS))
        logged = system.errors()
    figures = {who: Figure(samples=tuple(samples), unit="/s") for who, samples in theirs.items() if samples}
    for variant, samples in rates.items():
        figure = Figure(samples=tuple(samples), unit="/s")
        row.add(str(variant), figure, "state, history, lease and event, committed in PostgreSQL")
        row.ratios.append(f"{variant}: {', '.join(ratio(figure, other, who) for who, other in figures.items())}")
    for who, figure in figures.items():
        row.add(who, figure, _STORED[who])
    row.notes += [_told(variant, costs[variant]) for variant in VARIANTS]
    row.notes += [f"logged: {line}" for line in logged]
    return row


def drain(system: System, jobs: int, keyed_share: float) -> float:
    """Runs a second, first start to last finish, of jobs that appear all at once before idle workers."""
    system.database.clear()
    system.start_counting()
    system.run("-m", "benchmarks.inside", "create", jobs, keyed_share)
    system.drained()
    done, seconds = system.database.span()
    if done != jobs:
        raise RuntimeError(f"{done} of {jobs} runs completed: {system.errors()}")
    return done / seconds


def _cost(system: System) -> Cost:
    """Per 1 000 runs, by all processes, the creation of the jobs included."""
    assert isinstance(system.database, Postgres)
    statements, commits, checks = system.database.counted()
    counts = (statements, commits, system.messages(), checks)
    return Cost._make(1000 * count / JOBS for count in counts)


def _told(variant: Variant, costs: list[Cost]) -> str:
    statements, commits, messages, checks = (median(getattr(cost, name) for cost in costs) for name in Cost._fields)
    return (
        f"{variant}, per 1 000 runs, creating the jobs and all processes included: {number(statements)} statements, "
        f"{number(commits)} commits, {number(messages)} Celery messages (and {number(checks)} foreign keys checked at "
        "commit, all of them when the jobs were created)"
    )


def _idle(system: System, pid: int) -> str:
    assert isinstance(system.database, Postgres)
    used = memory(pid)
    return (
        f"one idle worker: {used.rss:.0f} MB resident ({used.pss:.0f} MB its share), "
        f"{system.database.connections('bench-worker')} database connections (goal: at most 130 MB and 4)"
    )


CELERY = "plain Celery, 2 solo workers, prefetch 64, no results"
BULLMQ = "BullMQ, 1 process, 50 at once"
_STORED = {CELERY: "nothing", BULLMQ: "state in Redis, not on disk"}
