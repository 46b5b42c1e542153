"""F6, F7, F22 and the loss of the database: what takes long to happen, four systems side by side.

Each scenario has a system of its own, with its own Redis (one also its own PostgreSQL), and runs in a
thread that begins with the first test of this module; each test waits for its scenario to end.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from tests.acceptance.matching import grid, match
from tests.acceptance.system import Answer, Cluster, System
from tests.servers.breakable import Redis
from tests.servers.local import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(420)]

F6_SECONDS, F7_SECONDS = 60.0, 30.0
BACK_SECONDS = 60.0
FROZEN_SECONDS = 31.0  # longer than a lease, and than a worker may take to end
LEASE_SECONDS, EXIT_SECONDS = 15.0, 30.0


@dataclass
class Load:
    """Dispatches one after the other, and how each was answered."""

    jobs: dict[str, float] = field(default_factory=dict)  # id → when it was answered, Unix time
    seconds: list[float] = field(default_factory=list)

    def dispatch(self, system: System, path: str) -> None:
        answer: Answer = system.try_dispatch(path)
        assert answer.status == 201, answer
        self.jobs[answer.body["job_id"]] = time.time()
        self.seconds.append(answer.seconds)

    def go_on(self, system: System, path: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.dispatch(system, path)
            time.sleep(0.25)

    def lateness(self, system: System) -> list[float]:
        """Seconds from the answer to the call."""
        return [max(0.0, call.at - self.jobs[call.job_id]) for call in system.calls(*self.jobs)]

    def __str__(self) -> str:
        ms = sorted(1000 * one for one in self.seconds)
        return f"{len(ms)} dispatches, p50 {statistics.median(ms):.0f} ms, p95 {ms[int(0.95 * len(ms))]:.0f}, max {ms[-1]:.0f}"


def consumers(system: System) -> int:
    """Workers that wait for a message in Redis."""
    with redis.Redis.from_url(system.redis.url, socket_timeout=2) as broker:
        try:
            return sum(client["cmd"] == "brpop" for client in broker.client_list())
        except redis.RedisError:
            return 0


def back_on_redis(system: System, workers: int) -> float:
    """Wait until the workers listen again; the seconds it took."""
    began = time.monotonic()
    wait_until(lambda: consumers(system) >= workers, "workers are back on Redis", BACK_SECONDS)
    return time.monotonic() - began


def cancelled_after(system: System, path: str) -> float:
    """A call that is never answered, and its cancellation: seconds until the worker hung up."""
    system.answer(path, {"hang": True})
    job_id = system.dispatch(path)
    wait_until(lambda: bool(system.calls(job_id)), "the call is out", 10)
    at = time.time()
    system.cancel(job_id)
    wait_until(lambda: system.calls(job_id)[0].hung_up_at is not None, "the worker hangs up", 10)
    hung_up = system.calls(job_id)[0].hung_up_at
    assert hung_up is not None
    (run,) = system.history(job_id)
    assert (run["status"], run["code"]) == ("cancelled", "CANCELLED")
    return hung_up - at


def redis_killed(system: System) -> list[tuple[str, str]]:
    system.redis.start()
    system.start()
    load = Load()
    system.redis.kill()
    load.go_on(system, "f6", F6_SECONDS / 2)
    stopped = cancelled_after(system, "f6-cancel")
    load.go_on(system, "f6", F6_SECONDS / 2)
    in_outage = system.statuses(load.jobs)
    system.redis.start()
    back = back_on_redis(system, 2)
    system.wait_for(list(load.jobs))
    matched = match(system, list(load.jobs))
    late = load.lateness(system)
    system.fsck()
    assert in_outage["completed"] >= len(load.jobs) - 20, in_outage
    assert max(late) < 5.0, late
    assert sorted(load.seconds)[int(0.95 * len(load.seconds))] < 0.2, str(load)
    assert stopped < 6.0, stopped
    return [
        (
            "F6",
            f"Redis away {F6_SECONDS:.0f} s: {load}; {matched}, at most {max(late):.1f} s late; back after {back:.1f} s",
        ),
        ("P-C", f"cancelled without Redis: the worker hung up after {stopped:.1f} s"),
    ]


def redis_frozen(system: System) -> list[tuple[str, str]]:
    system.redis.start()
    system.start()
    load = Load()
    load.go_on(system, "f7", 1)
    system.redis.freeze()
    load.go_on(system, "f7", F7_SECONDS)
    system.redis.thaw()
    back = back_on_redis(system, 2)
    load.go_on(system, "f7", 1)
    system.wait_for(list(load.jobs))
    matched = match(system, list(load.jobs))
    system.fsck()
    assert max(load.seconds) < 2.0, str(load)
    return [("F7", f"Redis frozen {F7_SECONDS:.0f} s: {load}; {matched}; back after {back:.1f} s")]


def started_without_redis(system: System) -> list[tuple[str, str]]:
    system.start()  # an API, schedulers and workers that hold leases, without a broker
    ready = system.call("GET", "/readyz")
    assert not ready.body["checks"]["broker"]["ok"], ready
    at = int(time.time() * 1000) + 2_000
    jobs = {
        system.dispatch("f22", schedule={"start_at": at}): [at],
        system.dispatch("f22", schedule={"start_at": at, "every": 6_000, "limit": 2}): grid(at, 6_000, 2),
    }
    system.wait_for(list(jobs))
    match(system, jobs)
    system.redis.start()
    back = back_on_redis(system, 2)
    wait_until(lambda: system.call("GET", "/readyz").status == 200, "everything is ready", 30)
    job_id = system.dispatch("f22")
    system.wait_for([job_id])
    system.fsck()
    late = system.calls(next(iter(jobs)))[0].at - at / 1000
    return [("F22", f"started without Redis: promoted and run {late:.1f} s late; on Redis {back:.1f} s after it came")]


def database_away(system: System, cluster: Cluster) -> list[tuple[str, str]]:
    """Started without the database; later the database freezes for longer than a lease."""
    system.redis.start()
    postgres = cluster.copy(system.folder)
    system.environment["DATABASE_URL"] = system.database_url = postgres.url(Cluster.TEMPLATE)
    try:
        system.api()
        processes = [system.scheduler(), system.worker(), system.worker()]
        wait_until(system.healthy, "the API answers", 60)
        ready = system.call("GET", "/readyz")
        assert (ready.status, ready.body["checks"]["database"]["ok"]) == (503, False), ready
        refused = system.try_dispatch("f22-db")
        assert (refused.status, "Retry-After" in refused.headers) == (503, True), refused
        time.sleep(5)
        assert all(process.alive for process in processes)
        postgres.start()
        began = time.monotonic()
        system.wait_for_workers(2)
        wait_until(lambda: system.call("GET", "/readyz").status == 200, "everything is ready", 60)
        up = time.monotonic() - began
        system.put_catalog()
        system.wait_for([system.dispatch("f22-db")])
        notes = [("F22", f"started without PostgreSQL: all ready {up:.1f} s after it came")]

        system.answer("frozen", {"hang": True}, {"hang": True}, {})
        job_ids = [system.dispatch("frozen", timeout=600_000) for _ in range(2)]
        wait_until(lambda: len(system.calls(*job_ids)) == 2, "the calls are out")
        system.worker()
        system.wait_for_workers(3)
        (pid,) = system.rows("SELECT pid FROM jobs_worker WHERE stopped_at IS NULL ORDER BY running, id DESC LIMIT 1")[
            0
        ]
        idle = next(worker for worker in system.workers() if worker.pid == pid)
        leases = "SELECT extract(epoch FROM max(lease_until)) FROM jobs_worker WHERE stopped_at IS NULL"
        (lease,) = system.rows(leases)[0]
        postgres.freeze()
        frozen = time.time()
        idle.terminate()
        status = idle.wait(EXIT_SECONDS + 1)
        ended = time.time() - frozen
        time.sleep(max(0.0, FROZEN_SECONDS - ended))
        hung_up = [call.hung_up_at for call in system.calls(*job_ids)]
        postgres.thaw()
        assert None not in hung_up, hung_up
        latest = max(at for at in hung_up if at is not None)
        assert latest < float(lease), (latest, lease)
        assert ended < EXIT_SECONDS, (status, ended)
        system.wait_for(job_ids, seconds=60)
        matched = match(system, job_ids, again=job_ids)
        assert system.rows("SELECT max(losses) FROM jobs_execution") == [(0,)]  # nobody's fault, nobody's poison
        system.fsck()
    finally:
        system.close()
        postgres.stop()
    before = float(lease) - latest
    text = f"I/O closed after {latest - frozen:.1f} s, {before:.1f} s before the lease ended"
    notes.append(
        ("P-L", f"PostgreSQL frozen {FROZEN_SECONDS:.0f} s: {text}; SIGTERM meanwhile: {ended:.1f} s; {matched}")
    )
    return notes


Scenario = Future[list[tuple[str, str]]]


@pytest.fixture(scope="module")
def scenarios(cluster: Cluster, folder: Path) -> Iterator[dict[str, Scenario]]:
    """All of them, begun at once."""

    def play(name: str, scenario: Callable[[System], list[tuple[str, str]]]) -> list[tuple[str, str]]:
        redis = Redis(folder / name / "redis")
        try:
            with System(folder / name, databases[name], redis) as system:
                return scenario(system)
        finally:
            redis.stop()

    plays: dict[str, Callable[[System], list[tuple[str, str]]]] = {
        "killed": redis_killed,
        "frozen": redis_frozen,
        "without": started_without_redis,
        "database": lambda system: database_away(system, cluster),
    }
    databases = {name: cluster.database() for name in plays}
    with ThreadPoolExecutor(len(plays)) as pool:
        yield {name: pool.submit(play, name, scenario) for name, scenario in plays.items()}


@pytest.fixture
def tell(note: Callable[[str, str], None]) -> Callable[[Scenario], None]:
    def told(scenario: Scenario) -> None:
        for name, text in scenario.result():
            note(name, text)

    return told


def test_f6_dispatch_and_runs_go_on_while_redis_is_away_and_return_to_it(
    scenarios: dict[str, Scenario], tell: Callable[[Scenario], None]
) -> None:
    tell(scenarios["killed"])


def test_f7_a_redis_that_hangs_blocks_no_dispatch_and_doubles_no_effect(
    scenarios: dict[str, Scenario], tell: Callable[[Scenario], None]
) -> None:
    tell(scenarios["frozen"])


def test_f22_a_system_started_without_redis_promotes_and_runs(
    scenarios: dict[str, Scenario], tell: Callable[[Scenario], None]
) -> None:
    tell(scenarios["without"])


def test_f22_a_system_started_without_postgresql_waits_for_it_and_one_that_loses_it_aborts_its_calls_in_time(
    scenarios: dict[str, Scenario], tell: Callable[[Scenario], None]
) -> None:
    tell(scenarios["database"])
