"""P11: what a worker needs of memory, idle and with 1 000 calls in flight, how soon it is ready, and how soon
`make up` has run its first job.

A worker is ready when its Redis sees it wait for work (a blocking pop); ours must have registered in the
database as well. Before each start its queue is empty and its database is there.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from benchmarks.bench import Bench
from benchmarks.measure import Figure, Row
from benchmarks.ours import Memory, System, memory
from benchmarks.peers.celery_peer import SOLO
from benchmarks.upstream import upstream
from tests.servers.local import ROOT, free_port, process, wait_until

IN_FLIGHT = 1_000
SLOW_SECONDS = 3.0  # what the upstream takes: that many are then in flight for long enough to look
SETTLE_SECONDS = 2.0  # after it is ready: what a start allocates for a moment is given back
LOOK_SECONDS = 0.01
WATCH_SECONDS = 30.0
CELERY_PREFORK = ("-P", "prefork", "-c", "2")
DONE = '"status": "completed"'  # what `up` prints of its first job
UNSET = {"DATABASE_URL", "REDIS_URL", "OPERATOR_API_KEY", "ENVIRONMENT"}  # `up` as a new user starts it


@dataclass(slots=True)
class Measured:
    """One kind of worker: a sample of each a repetition."""

    idle: list[Memory] = field(default_factory=list)
    busy: list[Memory] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)

    def cells(self) -> list[object]:
        return [
            *(_megabytes([each.pss for each in some], [each.rss for each in some]) for some in (self.idle, self.busy)),
            Figure(samples=tuple(self.ready), unit="s"),
        ]


def run(bench: Bench) -> Row:
    row = Row(
        number="P11",
        title="memory and start of one worker, and of all of `make up`",
        goal=f"at most 130 MB idle, 300 MB with {IN_FLIGHT} in flight; ready in 1.5 s; first job in 8 s",
        columns=("idle: PSS (RSS)", f"{IN_FLIGHT} in flight: PSS (RSS)", "ready after"),
    )
    measured = {who: Measured() for who in (OURS, SOLO_CELERY, PREFORK_CELERY, BULLMQ)}
    first_jobs: list[float] = []
    peers, bullmq = redis.Redis.from_url(bench.redis), bench.bullmq
    with bench.ours("p11") as system, upstream(bench.folder, delay=SLOW_SECONDS) as url:
        system.run("-m", "benchmarks.inside_http", "seed", url)
        for number in range(bench.repetitions):
            _ours(system, measured[OURS])
            for who, pool in ((SOLO_CELERY, SOLO), (PREFORK_CELERY, CELERY_PREFORK)):
                _worker(bench.celery.starting(pool), lambda: _waiting(peers), measured[who])
            if bullmq is not None:
                starting = bullmq.worker(url, IN_FLIGHT, bench.folder / "bullmq.log")
                load = Load(give=lambda: bullmq.give(IN_FLIGHT), in_flight=bullmq.in_flight)
                _worker(starting, lambda: _waiting(peers), measured[BULLMQ], load)
            first_jobs.append(_first_job(bench.folder / f"up{number}"))
        logged = system.errors()
    for who, samples in measured.items():
        if samples.ready:
            row.add(who, *samples.cells())
    row.add(UP, "", "", Figure(samples=tuple(first_jobs), unit="s"))
    row.notes.append("PSS counts memory that processes share once: a worker alone on a machine needs its RSS")
    row.notes += [f"logged: {line}" for line in logged]
    return row


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How a worker is given IN_FLIGHT slow calls, and how many of them it has begun."""

    give: Callable[[], None]
    in_flight: Callable[[], int]


def _ours(system: System, measured: Measured) -> None:
    system.database.clear()
    before = system.workers()
    load = Load(give=lambda: _give(system), in_flight=system.running)

    def ready() -> bool:
        return _waiting(system.redis) and system.workers() > before

    @contextmanager
    def starting() -> Iterator[int]:
        with system.start("worker", CONCURRENCY=str(IN_FLIGHT)) as child:
            yield child.pid

    _worker(starting(), ready, measured, load)
    system.drained()


def _give(system: System) -> None:
    system.run("-m", "benchmarks.inside_http", "create", IN_FLIGHT)


def _worker(
    starting: AbstractContextManager[int], ready: Callable[[], bool], measured: Measured, load: Load | None = None
) -> None:
    """Start one, and take its samples: ready after so many seconds, idle, and under load where there is one."""
    began = time.perf_counter()
    with starting as pid:
        wait_until(ready, "the worker waits for work", every=LOOK_SECONDS)
        measured.ready.append(time.perf_counter() - began)
        time.sleep(SETTLE_SECONDS)
        measured.idle.append(memory(pid))
        if load is not None:
            load.give()
            measured.busy.append(_most(pid, load.in_flight))


def _most(pid: int, in_flight: Callable[[], int]) -> Memory:
    """The most it takes from the first call to the last answer; at some time all are in flight."""
    seen: list[tuple[int, Memory]] = []

    def over() -> bool:
        seen.append((in_flight(), memory(pid)))
        return seen[-1][0] == 0 and max(count for count, _ in seen) > 0

    wait_until(over, f"{IN_FLIGHT} calls were answered", WATCH_SECONDS)
    most = max(count for count, _ in seen)
    if most < IN_FLIGHT:
        raise RuntimeError(f"only {most} of {IN_FLIGHT} calls were in flight at the same time")
    return Memory(rss=max(used.rss for _, used in seen), pss=max(used.pss for _, used in seen))


def _first_job(data: Path) -> float:
    """Seconds from starting `manage.py up` in an empty folder until it shows its first job, completed."""
    data.mkdir()
    log = data.with_suffix(".log")
    env = {name: value for name, value in os.environ.items() if name not in UNSET}
    env |= {"DATA_DIR": str(data), "PORT": str(free_port())}
    began = time.perf_counter()
    with process([sys.executable, "manage.py", "up"], log=log, env=env, cwd=ROOT, stop=signal.SIGINT) as child:

        def done() -> bool:
            said = log.read_text(errors="replace")
            if child.poll() is not None:
                raise RuntimeError(f"up ended: {said[-2000:]}")
            return DONE in said

        wait_until(done, "the first job is done", every=LOOK_SECONDS)
        return time.perf_counter() - began


def _waiting(server: redis.Redis) -> bool:
    """Whether somebody waits for work in a blocking pop."""
    clients: dict[str, int] = server.info("clients")
    return clients["blocked_clients"] > 0


def _megabytes(pss: list[float], rss: list[float]) -> str:
    """Both medians with their spread; empty where nothing was measured."""
    if not pss:
        return ""
    return f"{Figure(samples=tuple(pss), unit='MB')} ({Figure(samples=tuple(rss), unit='MB')})"


OURS = f"Ductape Jobs, 1 worker, up to {IN_FLIGHT} at once"
SOLO_CELERY = "plain Celery, 1 solo worker, one at a time"
PREFORK_CELERY = "plain Celery, prefork, 2 processes and their parent"
BULLMQ = f"BullMQ, 1 process, up to {IN_FLIGHT} at once"
UP = "`make up` in an empty folder, after installation: its first job is completed"
