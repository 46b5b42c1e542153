"""P10: webhook deliveries per second to a fast endpoint, and what one hanging endpoint does to the others.

Events lie in the outbox before idle workers see them: handing them out to the endpoint, signing, sending, and the
record of each attempt are all in the rate.
"""

from __future__ import annotations

import time

import psycopg

from benchmarks.bench import Bench
from benchmarks.measure import Figure, Lateness, Row, ratio
from benchmarks.ours import System
from benchmarks.upstream import upstream
from tests.servers.local import wait_until

EVENTS = 20_000
WORKERS = (1, 2)
ENDPOINTS = 5  # healthy ones, beside which one hangs
PER_SECOND = 40  # events, each for every endpoint
SECONDS = 20.0
DRAIN_SECONDS = 120.0
HANG_SECONDS = 3_600.0
ALONE = f"{ENDPOINTS} endpoints, {PER_SECOND} events a second: from the event to its arrival"
BESIDE = "the same beside one that takes each request and never answers"
TABLES = "webhooks_attempt, webhooks_delivery, webhooks_message, webhooks_endpoint, jobs_jobevent, jobs_listener"


def run(bench: Bench) -> Row:
    row = Row(
        number="P10",
        title=f"webhooks: {EVENTS} deliveries to a fast endpoint; {ENDPOINTS} endpoints beside one that hangs",
        goal="at least 3 000/s with two workers; the p99 of the others changes by less than 10 %",
        columns=("deliveries/s", "p50", "p99", "worst"),
    )
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    late: dict[str, list[list[float]]] = {ALONE: [], BESIDE: []}
    with (
        bench.ours("p10") as system,
        upstream(bench.folder) as fast,
        upstream(bench.folder, delay=HANG_SECONDS) as hanging,
        psycopg.connect(f"{bench.postgres}/p10", autocommit=True) as sql,
    ):
        for _ in range(bench.repetitions):
            for workers in WORKERS:
                with system.processes(workers=workers):
                    rates[workers].append(_drained(system, sql, fast))
        with system.processes(workers=2):
            healthy = [f"{fast}/{number}" for number in range(ENDPOINTS)]
            _spread(system, sql, healthy, seconds=2.0)  # what is loaded at first use is
            for _ in range(bench.repetitions):
                late[ALONE].append(_spread(system, sql, healthy))
                late[BESIDE].append(_spread(system, sql, [f"{hanging}/hang", *healthy]))
        row.notes += [f"logged: {line}" for line in system.errors()]
    for workers, samples in rates.items():
        row.add(f"{workers} worker{'s' * (workers > 1)}", Figure(samples=tuple(samples), unit="/s"), "", "", "")
    told = {who: Lateness.of(repetitions) for who, repetitions in late.items()}
    for who, of in told.items():
        row.add(who, "", of.p50, of.p99, of.worst)
    row.ratios.append(f"p99 beside the hanging one: {ratio(told[BESIDE].p99, told[ALONE].p99, 'alone')}")
    return row


def _prepare(system: System, sql: psycopg.Connection[tuple[object, ...]], urls: list[str]) -> None:
    sql.execute(f"TRUNCATE {TABLES}")
    sql.execute("CHECKPOINT")
    system.run("-m", "benchmarks.inside_webhooks", "endpoints", *urls)


def _drained(system: System, sql: psycopg.Connection[tuple[object, ...]], url: str) -> float:
    """Deliveries a second, from the first that was made to the last that was recorded."""
    _prepare(system, sql, [f"{url}/hook"])
    time.sleep(1.0)  # idle
    system.run("-m", "benchmarks.inside_webhooks", "owe", EVENTS)

    def done() -> bool:
        found = sql.execute("SELECT count(*) FROM webhooks_delivery WHERE finished_at IS NOT NULL").fetchone()
        return bool(found and found[0] == EVENTS)

    wait_until(done, "everything is delivered", DRAIN_SECONDS, 0.25)
    found = sql.execute(
        "SELECT extract(epoch FROM max(finished_at) - min(created_at))::float8 FROM webhooks_delivery "
        "HAVING bool_and(status = 'delivered')"
    ).fetchone()
    if found is None or not isinstance(found[0], float):
        raise RuntimeError(f"not everything was delivered: {system.errors()}")
    return EVENTS / found[0]


def _spread(
    system: System, sql: psycopg.Connection[tuple[object, ...]], urls: list[str], seconds: float = SECONDS
) -> list[float]:
    """ms from each event until a healthy endpoint had it, by the endpoint's answer."""
    _prepare(system, sql, urls)
    system.run("-m", "benchmarks.inside_webhooks", "spread", PER_SECOND, seconds)
    healthy = "JOIN webhooks_endpoint e ON e.id = d.endpoint_id AND e.url NOT LIKE '%/hang'"

    def done() -> bool:
        found = sql.execute(
            f"SELECT count(*), (SELECT count(*) FROM jobs_jobevent WHERE wanted) FROM webhooks_delivery d {healthy} "
            "WHERE d.finished_at IS NULL"
        ).fetchone()
        return found == (0, 0)

    wait_until(done, "everything is delivered", DRAIN_SECONDS, 0.25)
    rows = sql.execute(
        "SELECT 1000 * ((a.response_body::json->>'at')::float8 - extract(epoch FROM m.at)::float8) "
        f"FROM webhooks_attempt a JOIN webhooks_delivery d ON d.id = a.delivery_id {healthy} "
        "JOIN webhooks_message m ON m.id = d.message_id WHERE a.response_status = 200"
    ).fetchall()
    return [value for (value,) in rows if isinstance(value, float)]
