"""P12: the embedded default, SQLite: runs per second, dispatches per second over REST, and no lock error."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.bench import Bench
from benchmarks.load import Answers, post
from benchmarks.measure import Figure, Lateness, Row
from benchmarks.ours import System
from benchmarks.p1_drain import drain
from benchmarks.rest import DISPATCH, KEY, api, up
from tests.servers.local import ROOT, free_port, process, wait_until

JOBS = 5_000
CONNECTIONS = 16
SECONDS = 5.0
LATER = "2099-01-01T00:00:00Z"


def run(bench: Bench) -> Row:
    row = Row(
        number="P12",
        title="the embedded default (SQLite): no-op runs and REST dispatches per second",
        goal='at least 2 000 runs/s and 500 dispatches/s, no "database is locked"',
        columns=("per second: median [min–max]", "p99"),
    )
    rates: list[float] = []
    later: list[Answers] = []
    now: list[Answers] = []
    with bench.ours("p12", embedded=True) as system:
        with system.processes(workers=1):
            rates += [drain(system, JOBS, 0.0) for _ in range(bench.repetitions)]
            with _receiver(bench) as upstream, api(system, upstream) as url:
                for _ in range(bench.repetitions):
                    later.append(_load(system, url, {"schedule": {"start_at": LATER}}))
                    now.append(_load(system, url, {}))
                    system.drained()
        locked, logged = system.locked(), system.errors()
    row.add("no-op runs, 1 worker", Figure(samples=tuple(rates), unit="/s"), "")
    for who, answers in (("dispatches over REST, for later", later), ("the same, run at once by the worker", now)):
        figure = Figure(samples=tuple(each.per_second for each in answers), unit="/s")
        row.add(f"{who}, {CONNECTIONS} connections", figure, Lateness.of([each.milliseconds for each in answers]).p99)
    statuses = sum((answers.statuses for answers in later + now), Counter[int]())
    row.notes.append(f'"database is locked": {locked} times in the logs of API, worker and scheduler (goal: 0)')
    row.notes.append("answers: " + ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())))
    row.notes += [f"logged: {line}" for line in logged]
    return row


def _load(system: System, url: str, extra: Mapping[str, Any]) -> Answers:
    system.database.clear()
    return post(f"{url}/actions/dispatch", {**DISPATCH, **extra}, key=KEY, connections=CONNECTIONS, seconds=SECONDS)


@contextmanager
def _receiver(bench: Bench) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "tests.servers.receiver", "--port", str(port)]
    with process(command, log=bench.folder / "receiver.log", cwd=ROOT):
        wait_until(lambda: up(f"http://127.0.0.1:{port}/"), "the receiver answers")
        yield f"http://127.0.0.1:{port}"
