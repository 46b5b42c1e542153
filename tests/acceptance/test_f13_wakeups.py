"""F13: too many wake-ups, one that is lost, one for a queue that nobody knows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from celery import Celery

from tests.acceptance.matching import Matched, match
from tests.acceptance.system import System
from tests.servers.local import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

PUBLISHERS, JOBS = 50, 400


@contextmanager
def publisher(system: System) -> Iterator[Callable[[str], None]]:
    """A publisher with a connection of its own: `wake(queue)`."""
    with Celery(broker=system.redis.url, set_as_current=False) as app:
        app.conf.broker_transport_options = {"global_keyprefix": "ductape:"}
        with app.connection_for_write() as connection:
            connection.connect()
            yield lambda queue: app.send_task(
                "jobs.wake", args=[queue], queue="default", connection=connection, ignore_result=True
            )


def storm(system: System) -> Matched:
    """Fifty wake-ups at the same moment, for runs that have all just become claimable."""
    system.hold()
    job_ids = system.dispatch_many(JOBS, "f13")
    together = threading.Barrier(PUBLISHERS + 1)

    def publish() -> None:
        with publisher(system) as wake:
            together.wait(30)
            wake("default")

    threads = [threading.Thread(target=publish) for _ in range(PUBLISHERS)]
    for thread in threads:
        thread.start()
    together.wait(30)
    system.release()
    for thread in threads:
        thread.join(30)
    system.wait_for(job_ids)
    return match(system, job_ids)


def test_f13_fifty_wakeups_at_once_claim_each_run_once(house: System, note: Callable[[str, str], None]) -> None:
    matched = storm(house)
    owners = house.rows(
        "SELECT count(DISTINCT fence), max(fence) FROM jobs_execution e JOIN jobs_job j ON j.id = e.job_id "
        "WHERE j.input #>> '{params,path}' = 'f13'"
    )
    assert owners == [(1, 1)]
    house.fsck()
    note("F13", f"{PUBLISHERS} publishers at once: {matched}, each claimed once")


def test_f13_work_whose_wakeup_was_lost_is_found_within_two_seconds(
    house: System, note: Callable[[str, str], None]
) -> None:
    waits = []
    with redis.Redis.from_url(house.redis.url) as broker:
        for _ in range(8):
            # As if somebody had woken the queue just before, and the message had been lost.
            broker.set("ductape:wake:default", b"1", px=250)
            began = time.time()
            job_id = house.dispatch("f13-lost")
            wait_until(lambda job_id=job_id: bool(house.calls(job_id)), "the job runs", 10, 0.02)  # type: ignore[misc]
            waits.append(house.calls(job_id)[0].at - began)
    house.fsck()
    assert max(waits) < 2.0, waits
    note("F13", f"a wake-up lost: found after {max(waits):.2f} s at most, of {len(waits)}")


def test_f13_a_wakeup_for_an_unknown_queue_is_ignored(house: System, note: Callable[[str, str], None]) -> None:
    with publisher(house) as wake:
        wake("nobody")
    wait_until(
        lambda: any("'nobody', which this worker does not serve" in worker.said() for worker in house.workers()),
        "a worker says that it does not serve the queue",
    )
    job_id = house.dispatch("f13-unknown")
    house.wait_for([job_id])
    match(house, [job_id])
    assert len(house.workers()) == 2
    note("F13", "a wake-up for an unknown queue: ignored, with a line in the log")
