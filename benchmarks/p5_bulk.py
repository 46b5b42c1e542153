"""P5: many jobs in one call, all or none, committed in PostgreSQL before it is answered."""

from __future__ import annotations

from collections import Counter

from benchmarks.bench import Bench
from benchmarks.load import Answers, post
from benchmarks.measure import Figure, Lateness, Row, ratio
from benchmarks.rest import DISPATCH, KEY, api

JOBS = 1_000  # in a call
CONNECTIONS = 4
SECONDS = 6.0


def run(bench: Bench) -> Row:
    row = Row(
        number="P5",
        title=f"jobs per second by dispatch-many, {JOBS} in a call, {CONNECTIONS} connections",
        goal="at least 20 000 jobs/s over REST",
        columns=("jobs per second: median [min–max]", "p99 of a call"),
    )
    ours: list[Answers] = []
    theirs: dict[str, list[float]] = {CELERY: [], BULLMQ: []}
    celery, bullmq = bench.celery, bench.bullmq
    body = {"jobs": [{"namespace": "actions", **DISPATCH}] * JOBS}
    with bench.ours("p5") as system:
        for _ in range(bench.repetitions):
            with api(system) as url:
                system.database.clear()
                ours.append(post(f"{url}/jobs/dispatch-many", body, key=KEY, connections=CONNECTIONS, seconds=SECONDS))
            theirs[CELERY].append(celery.delays(5_000))
            if bullmq is not None:
                theirs[BULLMQ].append(bullmq.add_bulk(50_000))
        row.notes += [f"logged: {line}" for line in system.errors()]
    figure = Figure(samples=tuple(each.per_second * JOBS for each in ours), unit="/s")
    row.add(OURS, figure, Lateness.of([each.milliseconds for each in ours]).p99)
    for who, rates in theirs.items():
        if rates:
            peer = Figure(samples=tuple(rates), unit="/s")
            row.add(who, peer, "")
            row.ratios.append(ratio(figure, peer, who.partition(",")[0]))
    statuses = sum((each.statuses for each in ours), Counter[int]())
    row.notes.append("answers: " + ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())))
    return row


OURS = "Ductape Jobs over REST: checked one by one, job and run in PostgreSQL"
CELERY = "Celery `.delay()`, one by one (it has no bulk send)"
BULLMQ = "BullMQ `addBulk()`, 1 000 at once (no HTTP, nothing on disk)"
