"""P9: what stored runs cost: no-op runs, dispatches, lists, statistics, history and explain beside 10 thousand to 10 million.

The databases of all sizes stand side by side and are measured in turn in each repetition. P9_SIZES=10000,1000000 in
the environment measures others.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.bench import Bench
from benchmarks.inside import ENV, PRODUCT
from benchmarks.load import get, post
from benchmarks.measure import Figure, Lateness, Row, number, ratio
from benchmarks.ours import System
from benchmarks.rest import DISPATCH, KEY, api
from core.ids import encode
from tests.servers.local import wait_until

SIZES = tuple(int(size) for size in os.environ.get("P9_SIZES", "10000,1000000,10000000").split(","))
JOBS = 10_000
CONNECTIONS = 16
SECONDS = 3.0
TIMES = 50  # each address is asked
DEAR = 5  # times, where an answer takes longer than a second
DAY = 86_400_000  # ms
LATER = {"schedule": {"start_at": "2099-01-01T00:00:00Z"}}
MOST_KEPT = 1_000_000  # completed jobs that the peer is given: it holds them in memory
GOAL_MS = 100.0


class Stored:
    """One installation with so many stored runs, and what was measured on it, a list entry a repetition."""

    def __init__(self, system: System, address: str, runs: int) -> None:
        self.system, self.runs = system, runs
        self._sql = psycopg.connect(address, autocommit=True)
        begin = time.monotonic()
        self.job = UUID(system.run("-m", "benchmarks.stored_runs", runs).strip())
        self.seconds_to_store = time.monotonic() - begin
        self.bytes = self._one("SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname IN "
                               "('jobs_job', 'jobs_execution', 'jobs_jobevent')")  # fmt: skip
        self._last = self._one("SELECT max(id) FROM jobs_execution"), self._one("SELECT max(id) FROM jobs_jobevent")
        self._moment = self._one("SELECT max(at) FROM jobs_jobevent")  # everything stored is older
        self.rates: dict[str, list[float]] = {RUNS: [], DISPATCHES: []}
        self.times: dict[str, list[list[float]]] = {}

    def measure(self) -> None:
        with self.system.processes(workers=1):
            self.rates[RUNS].append(self._drain())
        with api(self.system) as url:
            answers = post(
                f"{url}/actions/dispatch", {**DISPATCH, **LATER}, key=KEY, connections=CONNECTIONS, seconds=SECONDS
            )
            self.rates[DISPATCHES].append(answers.per_second)
            self._forget()
            for what, path in self.calls().items():
                once = get(f"{url}{path}", key=KEY, times=3).milliseconds  # what is loaded at first use is
                times = TIMES if min(once) < 1000 else DEAR
                self.times.setdefault(what, []).append(get(f"{url}{path}", key=KEY, times=times).milliseconds)

    def calls(self) -> dict[str, str]:
        """What is asked, and its path."""
        now = int(self._moment.timestamp() * 1000)
        middle = encode("cur", UUID(int=(now - 45 * DAY) << 80))
        place, job = f"product={PRODUCT}&env={ENV}", encode("job", self.job)
        return {
            "list, first page and total": f"/jobs?{place}&limit=50",
            "list, first page by cursor": f"/jobs?{place}&limit=50&cursor=",
            "list, by cursor from the middle": f"/jobs?{place}&limit=50&cursor={middle}",
            "list, failed, and total": f"/jobs?{place}&status=failed&limit=50",
            "list, running and queued, and total": f"/jobs?{place}&status=running,queued&limit=50",
            "list, completed, by cursor": f"/jobs?{place}&status=completed&limit=50&cursor=",
            "list, recurring, and total": f"/jobs?{place}&recurring=true&limit=50",
            "stats, the last hour": f"/jobs/stats?{place}&from={now - DAY // 24}&to={now}",
            "stats, the last day": f"/jobs/stats?{place}&from={now - DAY}&to={now}",
            "stats, everything": f"/jobs/stats?{place}",
            "series, the last day by the hour": f"/jobs/stats/series?{place}&from={now - DAY}&to={now}",
            "history of the longest job": f"/jobs/{job}/history?limit=50",
            "explain a past moment of it": f"/jobs/{job}/explain?at={now - DAY - DAY // 8}",
        }

    def _drain(self) -> float:
        """No-op runs a second, from the first start to the last finish, of jobs that appear all at once."""
        self.system.run("-m", "benchmarks.inside", "create", JOBS, 0.0)
        of_them = f"FROM jobs_execution WHERE id > {self._last[0]} AND namespace = 'noop'"
        done = f"SELECT count(*) {of_them} AND status = 'completed'"
        wait_until(lambda: self._one(done) >= JOBS, "all jobs are done", 120, 0.1)
        seconds = self._one(f"SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8 {of_them}")
        self._forget()
        return JOBS / float(seconds)

    def _forget(self) -> None:
        """What was measured with is gone; what was stored stays."""
        run, event = self._last
        self._sql.execute(f"DELETE FROM jobs_jobevent WHERE id > {event}")
        self._sql.execute(f"DELETE FROM jobs_execution WHERE id > {run}")
        first = UUID(int=int(self._moment.timestamp() * 1000) << 80)
        self._sql.execute("DELETE FROM jobs_job WHERE id > %s", [first])
        self._sql.execute("VACUUM jobs_job, jobs_execution, jobs_jobevent")

    def _one(self, query: str) -> Any:
        row = self._sql.execute(query).fetchone()
        return row[0] if row else None


def run(bench: Bench) -> Row:
    row = Row(
        number="P9",
        title=f"what {_and(SIZES)} stored runs cost: no-op runs, REST dispatches, and what is read",
        goal="within 20 % of each other at 10 k, 1 M and 10 M; list first page and stats < 100 ms p99 at 10 M",
        columns=tuple(f"{_size(size)} stored: median (p99)" for size in SIZES),
    )
    with ExitStack() as stack:
        sizes = []
        for size in SIZES:
            system = stack.enter_context(bench.ours(f"p9_{size}"))
            sizes.append(Stored(system, f"{bench.postgres}/p9_{size}", size))
        for _ in range(bench.repetitions):
            for each in sizes:
                each.measure()
        row.notes += [f"logged: {error}" for each in sizes for error in each.system.errors()]
    for who in sizes[0].rates:
        figures = [Figure(samples=tuple(each.rates[who]), unit="/s") for each in sizes]
        row.add(who, *figures)
        row.ratios.append(f"{who}: {_beside_the_first(figures)}")
    for what in sizes[0].times:
        figures, cells = [], []
        for each in sizes:
            late = Lateness.of(each.times[what])
            middle = Figure(samples=late.p50.samples, unit="ms")
            figures.append(middle)
            cells.append(f"{number(middle.median)} ({number(late.p99.median)}) ms")
        row.add(f"Ductape Jobs, {what}", *cells)
        row.ratios.append(f"{what}: {_beside_the_first(figures)}")
    _peer(bench, row)
    row.notes += [
        f"{_size(each.runs)}: stored in {each.seconds_to_store:.0f} s, {each.bytes / 1024**3:.2f} GB with indexes"
        for each in sizes
    ]
    over = [
        f"{what} {number(Lateness.of(sizes[-1].times[what]).p99.median)} ms"
        for what in sizes[-1].times
        if Lateness.of(sizes[-1].times[what]).p99.median >= GOAL_MS
    ]
    row.notes.append(f"p99 at {_size(SIZES[-1])} of 100 ms or more: {', '.join(over) or 'none'}")
    return row


def _peer(bench: Bench, row: Row) -> None:
    """BullMQ with as many completed jobs kept, where they fit into memory."""
    bullmq = bench.bullmq
    if bullmq is None:
        return
    kept = {size: bullmq.kept(size, TIMES, bench.repetitions, JOBS) for size in SIZES if size <= MOST_KEPT}
    for who, name in ((BULLMQ_RUNS, "done"), (BULLMQ_ADD, "added")):
        row.add(who, *(Figure(samples=tuple(kept[size][name]), unit="/s") if size in kept else "" for size in SIZES))
    for who, name in ((BULLMQ_LIST, "list"), (BULLMQ_COUNTS, "counts")):
        told = {size: Lateness.of(answer[name]) for size, answer in kept.items()}
        cells = (
            f"{number(told[size].p50.median)} ({number(told[size].p99.median)}) ms" if size in told else ""
            for size in SIZES
        )
        row.add(who, *cells)
    row.notes.append(f"BullMQ keeps completed jobs in memory: measured up to {_size(MOST_KEPT)} of them")


def _beside_the_first(figures: list[Figure]) -> str:
    told = (ratio(figure, figures[0], f"at {_size(size)}") for figure, size in zip(figures, SIZES, strict=True))
    return ", ".join(list(told)[1:]) + f" of what it is at {_size(SIZES[0])}"


def _and(sizes: tuple[int, ...]) -> str:
    return " and ".join(filter(None, (", ".join(map(_size, sizes[:-1])), _size(sizes[-1]))))


def _size(runs: int) -> str:
    return f"{runs // 1_000_000} M" if runs >= 1_000_000 else f"{runs // 1_000} k"


RUNS = "Ductape Jobs, no-op runs, 1 worker"
DISPATCHES = f"Ductape Jobs, dispatches over REST, for later, {CONNECTIONS} connections"
BULLMQ_RUNS = "BullMQ, no-op jobs, 1 process, 50 at once (nothing on disk)"
BULLMQ_ADD = f"BullMQ `add()`, {CONNECTIONS} at once (no HTTP, nothing on disk)"
BULLMQ_LIST = "BullMQ `getJobs()`, the first 50 completed (no HTTP)"
BULLMQ_COUNTS = "BullMQ `getJobCounts()` (no HTTP)"
