"""P8: from a dispatch to the first line of the code that runs, on a system that has nothing else to do."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.measure import Lateness, Row
from benchmarks.ours import System

DISPATCHES = 200
GAP_SECONDS = (0.02, 0.12)


def run(bench: Bench) -> Row:
    row = Row(
        number="P8",
        title=f"dispatch to start on an idle system, {DISPATCHES} at random gaps",
        goal="p50 < 15 ms, p99 < 50 ms",
        columns=("p50", "p99", "worst"),
    )
    celery, bullmq = bench.celery, bench.bullmq
    late: dict[str, list[list[float]]] = {OURS: [], CELERY: [], BULLMQ: []}
    with bench.ours("p8") as system:
        with system.processes(workers=2, schedulers=2):
            for _ in range(bench.repetitions):
                late[OURS].append(latency(system))
        for _ in range(bench.repetitions):
            late[CELERY].append(celery.latency(DISPATCHES, GAP_SECONDS))
            if bullmq is not None:
                late[BULLMQ].append(bullmq.latency(DISPATCHES, GAP_SECONDS))
        row.notes += [f"logged: {error}" for error in system.errors()]
    for who, repetitions in late.items():
        if repetitions:
            told = Lateness.of(repetitions)
            row.add(who, told.p50, told.p99, told.worst)
    return row


def latency(system: System) -> list[float]:
    """ms from before the dispatch (two inserts, a commit, a wake-up) to the first line of the executor."""
    system.database.clear()
    system.run("-m", "benchmarks.inside", "dispatch", DISPATCHES, *GAP_SECONDS)
    system.drained()
    return system.database.latency()


OURS = "Ductape Jobs, in-process dispatch, 2 workers, committed in PostgreSQL"
CELERY = "plain Celery `.delay()`, 2 solo workers"
BULLMQ = "BullMQ `add()`, 1 process"
