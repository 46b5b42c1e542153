"""P7: how late one-off jobs with a `start_at` begin."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.measure import Lateness, Row
from benchmarks.ours import System

JOBS = 5_000
SECONDS = 30.0
HEAD_SECONDS = 6.0  # all are stored before the first is due


def run(bench: Bench) -> Row:
    row = Row(
        number="P7",
        title=f"lateness of one-offs, {JOBS} over {SECONDS:.0f} s",
        goal="p50 < 15 ms, p99 < 60 ms",
        columns=("p50", "p99", "worst", "runs (of how many)"),
    )
    celery, bullmq = bench.celery, bench.bullmq
    late: dict[str, list[list[float]]] = {OURS: [], CELERY: [], BULLMQ: []}
    with bench.ours("p7") as system:
        for _ in range(bench.repetitions):
            with system.processes(workers=2, schedulers=2):
                late[OURS].append(lateness(system))
            late[CELERY].append(celery.lateness(JOBS, SECONDS))
            if bullmq is not None:
                late[BULLMQ].append(bullmq.lateness(JOBS, SECONDS))
        row.notes += [f"logged: {error}" for error in system.errors()]
    for who, repetitions in late.items():
        if repetitions:
            told = Lateness.of(repetitions)
            runs = "/".join(str(len(repetition)) for repetition in repetitions)
            row.add(who, told.p50, told.p99, told.worst, f"{runs} ({JOBS})")
    return row


def lateness(system: System) -> list[float]:
    """ms from the nominal time to the first line of the executor."""
    system.database.clear()
    system.run("-m", "benchmarks.inside", "spread", JOBS, SECONDS, HEAD_SECONDS)
    system.drained(SECONDS + HEAD_SECONDS + 30)
    return system.database.lateness()


OURS = "Ductape Jobs, 2 schedulers, 2 workers, durable"
CELERY = "plain Celery ETA, 16 threads, held in the worker's memory"
BULLMQ = "BullMQ delayed jobs, 1 process"
