"""P12: the embedded default, SQLite: runs per second, dispatches per second over REST, and no lock error."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.bench import Bench
from benchmarks.inside import BODY, ENV, PRODUCT
from benchmarks.load import Answers, post
from benchmarks.measure import Figure, Lateness, Row
from benchmarks.ours import System
from benchmarks.p1_drain import drain
from tests.servers.local import ROOT, free_port, process, wait_until

JOBS = 5_000
CONNECTIONS = 16
SECONDS = 5.0
KEY = "benchmark-operator-key-of-this-run-only"
APP, ACTION = "echo", "noop"
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
        port = free_port()
        system.environment |= {"PORT": str(port), "OPERATOR_API_KEY": KEY}
        url = f"http://127.0.0.1:{port}/v1"
        with system.processes(workers=1):
            rates += [drain(system, JOBS, 0.0) for _ in range(bench.repetitions)]
            with system.start("api"), _receiver(bench) as upstream:
                wait_until(lambda: _up(f"http://127.0.0.1:{port}/healthz"), "the API answers")
                _put(f"{url}/products/{PRODUCT}/catalog", _catalog(upstream))
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
    body = {"product": PRODUCT, "env": ENV, "app": APP, "event": ACTION, "input": BODY, **extra}
    return post(f"{url}/actions/dispatch", body, key=KEY, connections=CONNECTIONS, seconds=SECONDS)


def _catalog(upstream: str) -> dict[str, Any]:
    return {
        "product": PRODUCT,
        "envs": [{"slug": ENV, "name": ENV}],
        "apps": [
            {
                "tag": APP,
                "envs": {ENV: {"base_url": upstream}},
                "events": [{"tag": ACTION, "method": "POST", "resource": "/"}],
            }
        ],
    }


@contextmanager
def _receiver(bench: Bench) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "tests.servers.receiver", "--port", str(port)]
    with process(command, log=bench.folder / "receiver.log", cwd=ROOT):
        wait_until(lambda: _up(f"http://127.0.0.1:{port}/"), "the receiver answers")
        yield f"http://127.0.0.1:{port}"


def _up(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except OSError:
        return False
    return True


def _put(url: str, document: Mapping[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(document).encode(), headers, method="PUT")
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"PUT {url}: {error.code} {error.read().decode()[:500]}") from error
