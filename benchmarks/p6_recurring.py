"""P6: recurring jobs, many of them active: how late their occurrences begin, and a burst at one instant.

`BENCH_SCHEDULES=1000,5000` measures other sizes; the burst is then no larger than the smallest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from benchmarks.bench import Bench
from benchmarks.measure import Figure, Lateness, Row, number
from benchmarks.ours import Postgres, System, memory
from benchmarks.peers.celery_peer import CeleryPeer, beat_environment
from tests.servers.local import ROOT, new_database, wait_until

SIZES = (100_000, 1_000_000)
PEER_SIZE = 10_000
DUE_RATE = 1_000  # occurrences a second, whatever the size: the interval is size / rate
PEER_RATE = 85
BURST = 50_000
SECONDS = 30.0  # of one measurement
HEAD_SECONDS = 10.0
CATCH_UP_SECONDS = 120.0  # after it, for what is late
ONCE_SECONDS = 86_400.0  # an interval in which a burst's schedules run just once
PEER_HEAD_SECONDS = 20.0  # migrating, making the entries, and beat's first reading of them


def run(bench: Bench) -> Row:
    row = Row(
        number="P6",
        title=f"recurring jobs, {DUE_RATE} of them due a second, over {SECONDS:.0f} s",
        goal=f"1 000 000 active, 1 000 due/s with p99 < 250 ms; {BURST} at one instant at 10 000/s; scheduler < 200 MB",
        columns=("p50", "p99", "worst", "runs (of how many due)", "a scheduler's memory"),
    )
    sizes = _sizes()
    with bench.ours("p6") as system:
        assert isinstance(system.database, Postgres)
        for size in sizes:
            system.database.clear()  # before the processes: a TRUNCATE under their transactions deadlocks with them
            with system.processes(workers=2), system.start("scheduler") as scheduler:
                windows, of = active(system, system.database, size, bench.repetitions)
                used = f"{number(memory(scheduler.pid).pss)} MB"
            _tell(row, f"Ductape Jobs, {size} active, 2 schedulers, 2 workers, durable", windows, of, used)
        burst = min(BURST, *sizes)
        system.database.clear()
        with system.processes(workers=2, schedulers=2):
            rates = [at_once(system, system.database, burst) for _ in range(bench.repetitions)]
        row.notes.append(
            f"{burst} due at one instant: {Figure(samples=tuple(rates), unit='runs/s')} from then to the last start"
        )
        row.notes += [f"logged: {error}" for error in system.errors()]
    peer_size = min(PEER_SIZE, *sizes)
    every = max(peer_size // PEER_RATE, 2 * round(SECONDS))  # each entry at most once in a measurement
    url = new_database(bench.postgres, "p6beat")
    peer = [beat(bench.celery, url, peer_size, every) for _ in range(bench.repetitions)]
    due = round(peer_size / every * SECONDS)
    who = f"django-celery-beat, {peer_size} active, {number(peer_size / every)} due/s, plain Celery"
    _tell(row, who, peer, due, "")
    row.notes.append("django-celery-beat: counted are the runs that began before its measurement ended")
    return row


def active(system: System, database: Postgres, size: int, repetitions: int) -> tuple[list[list[float]], int]:
    """ms from the nominal time to the executor's first line, in windows one after the other; runs due in each."""
    rate = min(DUE_RATE, size // 10)
    every = size / rate
    begin = float(system.run("-m", "benchmarks.inside", "recurring", size, every, every, HEAD_SECONDS))
    windows = []
    for _ in range(repetitions):
        first = max(begin, time.time() + 2)
        end = first + SECONDS
        time.sleep(end - time.time())
        with suppress(TimeoutError):  # what did not run by then is missing in the number of runs
            wait_until(partial(_done_before, database, end), "what was due has run", CATCH_UP_SECONDS)
        windows.append([(start - due) * 1000 for due, start in database.starts(first, end)])
    return windows, round(rate * SECONDS)


def _done_before(database: Postgres, end: float) -> bool:
    return not database.open_before(end)


def at_once(system: System, database: Postgres, count: int) -> float:
    """Runs a second of so many schedules that come due at one instant, from then to the last start."""
    database.clear()  # nothing is at work: the schedules of the burst before come due again a day later
    head = HEAD_SECONDS + count / 2_000  # all are stored before it
    due = float(system.run("-m", "benchmarks.inside", "recurring", count, ONCE_SECONDS, 0, head))
    if time.time() > due:
        raise RuntimeError("creating took longer than its head start")
    time.sleep(due - time.time())
    wait_until(partial(_done_before, database, due + 1), "the burst has run", CATCH_UP_SECONDS)
    starts = database.starts(due - 1, due + 1)
    if len(starts) != count:
        raise RuntimeError(f"{len(starts)} of {count} schedules ran")
    return count / (max(start for _, start in starts) - due)


def beat(celery: CeleryPeer, database: str, size: int, every: int) -> list[float]:
    """The same of django-celery-beat: what began within the measurement, each entry at most once."""
    entries = [sys.executable, "-m", "benchmarks.peers.beat_entries", str(size), str(every), str(PEER_HEAD_SECONDS)]
    environment = {**os.environ, **beat_environment(database)}
    made = subprocess.run(entries, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    begin = float(made.stdout)
    with celery.workers(2), celery.beat(database):
        time.sleep(max(0.0, begin + SECONDS - time.time()))
        return [(start - due) * 1000 for due, start in celery.recorded() if due < begin + SECONDS]


def _tell(row: Row, who: str, windows: Sequence[Sequence[float]], of: int, used: str) -> None:
    runs = f"{'/'.join(str(len(window)) for window in windows)} ({of})"
    if not all(windows):
        row.add(who, "none", "none", "none", runs, used)
        return
    told = Lateness.of(windows)
    row.add(who, told.p50, told.p99, told.worst, runs, used)


def _sizes() -> tuple[int, ...]:
    given = os.environ.get("BENCH_SCHEDULES", "")
    return tuple(int(size) for size in given.split(",")) if given else SIZES
