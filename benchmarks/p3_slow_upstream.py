"""P3: HTTP action runs per second against an upstream that takes 100 ms, and what 2 000 in flight cost a process."""

from __future__ import annotations

import threading
import time

from benchmarks.bench import Bench
from benchmarks.measure import Figure, Row, ratio
from benchmarks.ours import System, memory
from benchmarks.p2_http import drain
from benchmarks.upstream import upstream

DELAY_SECONDS = 0.1
JOBS = 20_000
CELERY_JOBS = 4_000
IN_FLIGHT = 1_000
MOST_IN_FLIGHT = 2_000  # of one process, for the memory
SLOW_SECONDS = 3.0  # that many are then in flight for long enough to look
CELERY_THREADS = ("-P", "threads", "-c", "100")
CELERY = "plain Celery + requests, 2 workers of 100 threads"
BULLMQ = f"BullMQ + undici, 1 process, {IN_FLIGHT} at once"


def run(bench: Bench) -> Row:
    row = Row(
        number="P3",
        title=f"HTTP action runs per second, an upstream that takes 100 ms, {IN_FLIGHT} in flight",
        goal="at least 1.0 × BullMQ + undici; 2 000 in flight in one process under 300 MB",
        columns=("runs/s: median [min–max]",),
    )
    celery, bullmq = bench.celery, bench.bullmq
    ours: dict[int, list[float]] = {1: [], 2: []}
    theirs: dict[str, list[float]] = {CELERY: [], BULLMQ: []}
    with bench.ours("p3") as system:
        with upstream(bench.folder, delay=DELAY_SECONDS) as url:
            system.run("-m", "benchmarks.inside_http", "seed", url)
            for _ in range(bench.repetitions):
                for workers in ours:
                    with system.processes(workers=workers, CONCURRENCY=str(IN_FLIGHT // workers)):
                        ours[workers].append(drain(system, JOBS))
                theirs[CELERY].append(celery.post(CELERY_JOBS, url, CELERY_THREADS))
                if bullmq is not None:
                    theirs[BULLMQ].append(bullmq.post(JOBS, url, IN_FLIGHT))
        with upstream(bench.folder, delay=SLOW_SECONDS) as url:
            system.run("-m", "benchmarks.inside_http", "seed", url)
            row.notes.append(_in_flight(system))
        logged = system.errors()
    figures = {who: Figure(samples=tuple(samples), unit="/s") for who, samples in theirs.items() if samples}
    for workers, samples in ours.items():
        figure = Figure(samples=tuple(samples), unit="/s")
        who = f"Ductape Jobs, {workers} worker{'s' * (workers > 1)}, {IN_FLIGHT // workers} in flight in each"
        row.add(who, figure)
        row.ratios.append(f"{who}: {', '.join(ratio(figure, other, peer) for peer, other in figures.items())}")
    for who, figure in figures.items():
        row.add(who, figure)
    row.notes += [f"logged: {line}" for line in logged]
    return row


def _in_flight(system: System) -> str:
    """How much memory one worker needs with MOST_IN_FLIGHT calls open."""
    seen: list[tuple[int, float]] = []
    over = threading.Event()
    with system.processes(workers=1, CONCURRENCY=str(MOST_IN_FLIGHT)) as (pid,):

        def watch() -> None:
            while not over.is_set():
                seen.append((system.running(), memory(pid).rss))
                time.sleep(0.2)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            drain(system, MOST_IN_FLIGHT * 2)
        finally:
            over.set()
            watcher.join()
    most = max(running for running, _ in seen)
    return (
        f"one worker with up to {most} calls in flight: {max(rss for _, rss in seen):.0f} MB resident "
        f"(goal: at least {MOST_IN_FLIGHT}, under 300 MB)"
    )
