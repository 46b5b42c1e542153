"""Deadlines, cancellation and the number of connections, seen from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.acceptance.matching import match
from tests.acceptance.system import Process, System
from tests.acceptance.test_outages import cancelled_after
from tests.servers.local import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def test_a_call_is_given_up_at_its_deadline(house: System, note: Callable[[str, str], None]) -> None:
    house.answer("slow", {"hang": True})
    job_id = house.dispatch("slow", timeout=1_000)
    house.wait_for([job_id], "failed", 10)
    (run,) = house.history(job_id)
    (call,) = house.calls(job_id)
    assert (run["code"], run["retryable"]) == ("TIMEOUT", True)
    assert call.hung_up_at is not None
    told = f"run 1 of {job_id} failed with TIMEOUT at attempt 1: no answer within"
    assert any(told in worker.said() for worker in house.workers())
    note("P-D", f"a time-out of 1 s: hung up after {call.hung_up_at - call.at:.2f} s")


def test_a_cancel_reaches_a_running_call_within_a_second(house: System, note: Callable[[str, str], None]) -> None:
    after = cancelled_after(house, "cancelled")
    assert after < 1.0
    house.fsck()
    note("P-C", f"cancelled with Redis: the worker hung up after {after:.2f} s")


def test_a_scheduler_that_is_told_again_and_again_to_end_ends(house: System) -> None:
    """A process whose parent died hears of it from each of the parent's threads."""
    ready = [house.scheduler() for _ in range(3)]
    wait_until(lambda: house.count("jobs_scheduler") >= 5, "they are there", 60)
    starting = [house.scheduler() for _ in range(3)]
    for scheduler in starting:
        wait_until(partial(_has_begun, scheduler), "its thread has started", 60, 0.01)
        _tell_to_end(scheduler)
    for scheduler in ready:
        _tell_to_end(scheduler)
    wait_until(lambda: not any(one.alive for one in (*ready, *starting)), "they have ended", 15)


def _has_begun(scheduler: Process) -> bool:
    return "scheduler started" in scheduler.said()


def _tell_to_end(scheduler: Process) -> None:
    for _ in range(20):
        scheduler.terminate()
        time.sleep(0.0005)


@pytest.mark.parametrize(("queues", "allowed"), [("default", 4), ("default,webhooks", 6)])
def test_a_worker_holds_four_connections_at_most_and_two_to_deliver_whatever_its_concurrency(
    house: System, note: Callable[[str, str], None], queues: str, allowed: int
) -> None:
    for worker in house.workers():
        worker.end()
    house.worker(DATABASE_URL=f"{house.database_url}?application_name=counted", CONCURRENCY="1000", QUEUES=queues)
    house.wait_for_workers(1)
    house.answer("counted", {"delay": 0.2})
    job_ids = house.dispatch_many(3_000, "counted", retries=1)
    most = 0
    until = time.monotonic() + 60
    while house.statuses(job_ids)["completed"] < len(job_ids) and time.monotonic() < until:
        rows = house.rows("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted'")
        most = max(most, rows[0][0])
        time.sleep(0.02)
    matched = match(house, job_ids)
    assert 0 < most <= allowed
    house.fsck()
    note("P-N", f"a worker with 1000 places that serves {queues}: at most {most} connections; {matched}")
