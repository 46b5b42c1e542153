"""`python -m benchmarks [P1 P7 P8 P12]`: measure these rows (all), print them; `--write` updates page and README."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psycopg
import redis

from benchmarks import (
    p1_drain,
    p2_http,
    p3_slow_upstream,
    p4_dispatch,
    p5_bulk,
    p6_recurring,
    p7_lateness,
    p8_latency,
    p9_growth,
    p10_webhooks,
    p11_start,
    p12_embedded,
    p13_beside_slow,
    readme,
)
from benchmarks.bench import Bench
from benchmarks.measure import Row
from benchmarks.peers import bullmq_peer
from tests.servers.local import ROOT, postgres_server, redis_server

PAGE, README = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"
CORES = 2  # everything shares so many, servers and load included
ROWS: dict[str, Callable[[Bench], Row]] = {
    "P1": p1_drain.run,
    "P2": p2_http.run,
    "P3": p3_slow_upstream.run,
    "P4": p4_dispatch.run,
    "P5": p5_bulk.run,
    "P6": p6_recurring.run,
    "P7": p7_lateness.run,
    "P8": p8_latency.run,
    "P9": p9_growth.run,
    "P10": p10_webhooks.run,
    "P11": p11_start.run,
    "P12": p12_embedded.run,
    "P13": p13_beside_slow.run,
}
INTRODUCTION = """\
# Benchmarks

Written by `make bench`: each row and its peers measured in the same run, one after the other in
every repetition, producers, servers and workers on the same {cores} cores. A number is the median
of {repetitions} repetitions with the lowest and highest beside it. Machines differ and are noisy:
compare the ratios, not the numbers. PostgreSQL runs with `fsync` on, in a cluster of its own; the
peers keep nothing on disk. A queue is full before idle workers see it, and a rate counts from the
first start to the last finish; creating the jobs is not in it.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of: {', '.join(ROWS)}; all where none is named")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"write {PAGE.relative_to(ROOT)} and the README's figures: the rows of this run alone",
    )
    arguments = parser.parse_args()
    wanted = [name.upper() for name in arguments.rows] or list(ROWS)
    unknown = [name for name in wanted if name not in ROWS]
    if unknown:
        parser.error(f"there is no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # told to end, it ends what it has started, too
    cores = _take_cores()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with postgres_server(folder) as postgres, redis_server(folder) as peers_redis:
            facts = _facts(postgres, peers_redis, cores)
            bench = Bench(postgres=postgres, redis=peers_redis, folder=folder, repetitions=arguments.repetitions)
            rows, failed = [], []
            for each in wanted:
                print(f"measuring {each} …", file=sys.stderr, flush=True)
                try:
                    rows.append(ROWS[each](bench))
                except Exception:  # what the others took an hour to measure is not lost with it
                    traceback.print_exc()
                    failed.append(each)
                    continue
                print(f"\n{rows[-1].text()}\n", flush=True)
    print("\n".join(facts))
    print(f"{time.monotonic() - began:.0f} s in all")
    if arguments.write:
        introduction = INTRODUCTION.format(cores=cores, repetitions=arguments.repetitions)
        left = [name for name in ROWS if name not in wanted or name in failed]
        missing = [f"Not measured in this run: {', '.join(left)}."] if left else []
        told = "\n".join(f"- {fact}" for fact in facts)
        parts = [introduction.strip(), told, *missing, *(row.markdown() for row in rows)]
        PAGE.write_text("\n\n".join(parts) + "\n")
        readme.update(README, PAGE)
        print(f"wrote {PAGE.relative_to(ROOT)} and the figures in {README.name}")
    if failed:
        print(f"could not be measured: {', '.join(failed)}")
    return 1 if failed else 0


def _take_cores() -> int:
    """Confine this process and all that it starts to CORES cores; how many there are then."""
    mine = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, mine)
    return len(mine)


def _facts(postgres: str, peers_redis: str, cores: int) -> list[str]:
    """The machine, the day and the versions."""
    with psycopg.connect(f"{postgres}/postgres") as sql:
        server = sql.info.parameter_status("server_version")
    broker = redis.Redis.from_url(peers_redis).info("server")["redis_version"]
    node = "none"
    if bullmq_peer.available():
        node = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    load = os.getloadavg()[0]
    return [
        (
            f"{datetime.now(UTC):%Y-%m-%d}; {_processor()}, {cores} of {os.cpu_count()} cores, {_gigabytes()} GB, "
            f"{platform.system()} {platform.release()}; load before the start {load:.1f}"
        ),
        (
            f"Python {platform.python_version()}, Django {version('django')}, psycopg {version('psycopg')}, "
            f"PostgreSQL {server}, Redis {broker}"
        ),
        (
            f"peers: Celery {version('celery')} (kombu {version('kombu')}, redis-py {version('redis')}), "
            f"django-celery-beat {version('django-celery-beat')}, "
            f"BullMQ {bullmq_peer.version()} on Node {node}"
        ),
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _gigabytes() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3)


if __name__ == "__main__":
    raise SystemExit(main())
