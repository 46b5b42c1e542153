"""P4: one dispatch at a time, over REST and in-process, each committed in PostgreSQL before it is answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.bench import Bench
from benchmarks.load import Answers, post
from benchmarks.measure import Figure, Lateness, Row, ratio
from benchmarks.ours import System
from benchmarks.peers import drf_peer
from benchmarks.rest import DISPATCH, KEY, api

CONNECTIONS = 16
SECONDS = 5.0
IN_PROCESS = 3_000  # dispatches
THREADS = 8
LATER = {"schedule": {"start_at": "2099-01-01T00:00:00Z"}}


def run(bench: Bench) -> Row:
    row = Row(
        number="P4",
        title=f"single dispatches per second, {CONNECTIONS} connections",
        goal="at least 1 500 req/s over REST with p99 < 40 ms; in-process at least 3 000/s",
        columns=("per second: median [min–max]", "p99"),
    )
    rest: dict[str, list[Answers]] = {NOW: [], FOR_LATER: [], UNIQUE: [], DRF: []}
    inside: dict[str, list[float]] = {ONE_THREAD: [], MANY_THREADS: [], BULLMQ: []}
    bullmq = bench.bullmq
    with bench.ours("p4") as system, drf_peer.served(bench) as peer:
        for _ in range(bench.repetitions):
            with api(system) as url:  # stopped while others are measured
                rest[NOW].append(_load(system, url, {}))
                rest[FOR_LATER].append(_load(system, url, LATER))
                rest[UNIQUE].append(_load(system, url, {**LATER, "unique_key": "the-same"}))
            for who, threads in ((ONE_THREAD, 1), (MANY_THREADS, THREADS)):
                system.database.clear()
                inside[who].append(float(system.run("-m", "benchmarks.inside", "single", IN_PROCESS, threads)))
            rest[DRF].append(post(peer, DISPATCH, key="none", connections=CONNECTIONS, seconds=SECONDS))
            if bullmq is not None:
                inside[BULLMQ].append(bullmq.add(20_000, CONNECTIONS))
        row.notes += [f"logged: {line}" for line in system.errors()]
    figures: dict[str, Figure] = {}
    for who, answers in rest.items():
        figures[who] = Figure(samples=tuple(each.per_second for each in answers), unit="/s")
        row.add(who, figures[who], Lateness.of([each.milliseconds for each in answers]).p99)
    for who, rates in inside.items():
        if rates:
            figures[who] = Figure(samples=tuple(rates), unit="/s")
            row.add(who, figures[who], "")
    row.ratios.append(ratio(figures[NOW], figures[DRF], "the plain DRF view"))
    statuses = sum((each.statuses for answers in rest.values() for each in answers), Counter[int]())
    row.notes.append("answers: " + ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())))
    return row


def _load(system: System, url: str, extra: Mapping[str, Any]) -> Answers:
    system.database.clear()
    return post(f"{url}/actions/dispatch", {**DISPATCH, **extra}, key=KEY, connections=CONNECTIONS, seconds=SECONDS)


NOW = "Ductape Jobs over REST, to run now (job and run in PostgreSQL, a wake-up)"
FOR_LATER = "the same, for later"
UNIQUE = "the same, a unique key that is taken: answers the job that is there"
DRF = "plain DRF: serializer, one row by the ORM in PostgreSQL, Celery `.delay()`"
ONE_THREAD = "Ductape Jobs in-process `dispatch()`, 1 thread"
MANY_THREADS = f"the same, {THREADS} threads"
BULLMQ = f"BullMQ `add()`, {CONNECTIONS} at once (no HTTP, nothing on disk)"
