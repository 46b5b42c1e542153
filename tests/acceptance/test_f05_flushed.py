"""F5: Redis is emptied while a thousand runs are queued."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis

from tests.acceptance.matching import match
from tests.acceptance.system import System
from tests.servers.local import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def test_f5_a_thousand_queued_runs_survive_flushall(house: System, note: Callable[[str, str], None]) -> None:
    for worker in house.workers():
        worker.freeze()  # so that the runs are queued, and their wake-ups in Redis
    job_ids = house.dispatch_many(1_000, "f5")
    with redis.Redis.from_url(house.redis.url) as broker:
        # The first messages go to the frozen workers' sockets; the scheduler's later ones stay.
        wait_until(lambda: broker.llen("ductape:default") > 0, "a wake-up waits in Redis", 8)
        broker.flushall()
    for worker in house.workers():
        worker.thaw()

    seconds = house.wait_for(job_ids, seconds=60)

    matched = match(house, job_ids)
    began = time.time()
    job_id = house.dispatch("f5")
    house.wait_for([job_id])
    after = house.calls(job_id)[0].at - began
    house.fsck()
    note("F5", f"all ran once within {seconds:.1f} s: {matched}; a job dispatched afterwards began after {after:.2f} s")
