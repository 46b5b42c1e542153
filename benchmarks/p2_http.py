"""P2: HTTP action runs per second against an upstream that answers at once, the guards on and every run recorded."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.measure import Figure, Row, ratio
from benchmarks.ours import System
from benchmarks.upstream import upstream

JOBS = 10_000
CELERY_JOBS = 3_000  # slower, so fewer are enough
WORKERS = (1, 2)
CELERY = "plain Celery + requests, 2 solo workers, prefetch 64, no results"
BULLMQ = "BullMQ + undici, 1 process, 50 at once"


def run(bench: Bench) -> Row:
    row = Row(
        number="P2",
        title="HTTP action runs per second, fast upstream",
        goal="at least 1.0 × BullMQ + undici with two of our processes, and 8 × Celery + requests",
        columns=("runs/s: median [min–max]", "what is stored"),
    )
    celery, bullmq = bench.celery, bench.bullmq
    ours: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    theirs: dict[str, list[float]] = {CELERY: [], BULLMQ: []}
    with bench.ours("p2") as system, upstream(bench.folder) as url:
        system.run("-m", "benchmarks.inside_http", "seed", url)
        for _ in range(bench.repetitions):
            for workers in WORKERS:
                with system.processes(workers=workers):
                    ours[workers].append(drain(system, JOBS))
            theirs[CELERY].append(celery.post(CELERY_JOBS, url))
            if bullmq is not None:
                theirs[BULLMQ].append(bullmq.post(JOBS, url))
        logged = system.errors()
    figures = {who: Figure(samples=tuple(samples), unit="/s") for who, samples in theirs.items() if samples}
    for workers, samples in ours.items():
        figure = Figure(samples=tuple(samples), unit="/s")
        who = f"Ductape Jobs, {workers} worker{'s' * (workers > 1)}"
        row.add(who, figure, "state, history, lease, event and answer, committed in PostgreSQL")
        row.ratios.append(f"{who}: {', '.join(ratio(figure, other, peer) for peer, other in figures.items())}")
    for who, figure in figures.items():
        row.add(who, figure, "nothing" if who == CELERY else "state and answer in Redis, not on disk")
    row.notes += [f"logged: {line}" for line in logged]
    return row


def drain(system: System, jobs: int) -> float:
    """Runs a second, first start to last finish, of jobs that appear all at once before idle workers."""
    system.database.clear()
    system.run("-m", "benchmarks.inside_http", "create", jobs)
    system.drained()
    done, seconds = system.database.span()
    if done != jobs:
        raise RuntimeError(f"{done} of {jobs} HTTP runs completed: {system.errors()}")
    return done / seconds
