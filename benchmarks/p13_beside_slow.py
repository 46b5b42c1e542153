"""P13: how late HTTP jobs reach their upstream while 100 slow database jobs run in the same workers.

Blocking drivers have threads of their own: what they wait for must not hold up the loop that makes the calls.
"""

from __future__ import annotations

import threading

import psycopg

from benchmarks.bench import Bench
from benchmarks.measure import Figure, Lateness, Row, ratio
from benchmarks.ours import System
from benchmarks.upstream import upstream
from tests.servers.local import new_database

JOBS = 1_500
SECONDS = 15.0
HEAD_SECONDS = 6.0  # all are stored, and the slow ones run, before the first is due
SLOW_JOBS = 100
WORKERS = 2
TARGETS = 12  # times the five connections that each worker keeps to each: all slow jobs at once, within the server's
SLOW_SECONDS = HEAD_SECONDS + SECONDS + 4.0
ALONE = "HTTP jobs alone"
BESIDE = f"the same beside {SLOW_JOBS} database jobs, each {SLOW_SECONDS:.0f} s in `pg_sleep`"


def run(bench: Bench) -> Row:
    row = Row(
        number="P13",
        title=f"lateness of {JOBS} HTTP jobs over {SECONDS:.0f} s beside {SLOW_JOBS} slow database jobs, {WORKERS} workers",
        goal="as it is without them",
        columns=("p50", "p99", "worst", "runs (of how many)", "queries at once"),
    )
    late: dict[str, list[list[float]]] = {ALONE: [], BESIDE: []}
    most: list[int] = []
    with bench.ours("p13") as system, upstream(bench.folder) as url:
        targets = [new_database(bench.postgres, f"slow_{number}") for number in range(TARGETS)]
        system.run("-m", "benchmarks.inside_http", "seed", url)
        system.run("-m", "benchmarks.inside_slow", "seed", *targets)
        with system.processes(workers=WORKERS, schedulers=1):
            _reached(system, JOBS // 10)  # what is loaded at first use is
            for _ in range(bench.repetitions):
                late[ALONE].append(_reached(system, JOBS))
                with _Watch(f"{bench.postgres}/postgres") as watch:
                    late[BESIDE].append(_reached(system, JOBS, slow=SLOW_JOBS))
                most.append(watch.most)
        row.notes += [f"logged: {error}" for error in system.errors()]
    told = {who: Lateness.of(repetitions) for who, repetitions in late.items()}
    for who, repetitions in late.items():
        runs = "/".join(str(len(repetition)) for repetition in repetitions)
        queries = Figure(samples=tuple(most), unit="") if who == BESIDE else ""
        row.add(who, told[who].p50, told[who].p99, told[who].worst, f"{runs} ({JOBS})", queries)
    row.ratios.append(f"p50: {ratio(told[BESIDE].p50, told[ALONE].p50, 'alone')}")
    row.ratios.append(f"p99: {ratio(told[BESIDE].p99, told[ALONE].p99, 'alone')}")
    return row


def _reached(system: System, jobs: int, *, slow: int = 0) -> list[float]:
    """ms from the nominal time of each HTTP run until its upstream had the request."""
    system.database.clear()
    if slow:
        system.run("-m", "benchmarks.inside_slow", "create", slow, SLOW_SECONDS)
    system.run("-m", "benchmarks.inside_http", "spread", jobs, SECONDS, HEAD_SECONDS)
    system.drained(HEAD_SECONDS + SLOW_SECONDS + 60)
    late: list[float] = system.database.reached()  # type: ignore[attr-defined]  # it is PostgreSQL
    return late


class _Watch:
    """Looks twice a second how many sleeping queries the server runs; `most` of them at once."""

    def __init__(self, superuser: str) -> None:
        self.most = 0
        self._sql = psycopg.connect(superuser, autocommit=True)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._sql.close()

    def _look(self) -> None:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        while not self._over.wait(0.5):
            row = self._sql.execute(query).fetchone()
            self.most = max(self.most, row[0] if row else 0)
