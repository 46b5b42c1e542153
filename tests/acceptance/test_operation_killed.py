"""A …-many call whose process is killed between two chunks: a scheduler finishes it, and asks no job twice."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.acceptance.system import System
from tests.servers.local import free_port, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

JOBS = 180  # four chunks: the last is not full, and ends the operation in its own commit
LATER_MS = 3_600_000


def test_a_cancellation_of_many_survives_the_process_that_does_it(
    house: System, note: Callable[[str, str], None]
) -> None:
    port = free_port()
    doomed = house.api(PORT=str(port), FAILPOINT="many:before_commit=kill@3")
    wait_until(lambda: house.healthy(port), "the API that will die answers", 30)
    at = int(time.time() * 1000) + LATER_MS
    jobs = house.dispatch_many(JOBS, schedule={"start_at": at}, labels={"for": "many"})

    with pytest.raises(OSError):
        house.call("POST", "/v1/jobs/cancel-many", {"label": "for:many", "reason": "enough"}, port=port)
    began = time.monotonic()
    assert house.statuses(jobs)["cancelled"] == 100  # two chunks of 50
    doomed.end()
    house.wait_for(jobs, "cancelled", seconds=90)
    took = time.monotonic() - began
    (counts,) = house.rows(
        "SELECT status, total, count, skipped FROM jobs_operation WHERE verb = 'cancel' ORDER BY created_at DESC LIMIT 1"
    )
    assert counts == ("completed", JOBS, JOBS, 0)
    assert house.count("jobs_jobevent", "type = 'job.cancelled' AND data->>'reason' = 'enough'") == JOBS
    house.fsck()
    note("many", f"killed after 2 of 4 chunks: all {JOBS} cancelled once, after {took:.1f} s")
