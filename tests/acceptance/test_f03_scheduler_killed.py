"""F3: a scheduler is killed before, in and after its promotion."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.acceptance.matching import grid, match
from tests.acceptance.system import System
from tests.servers.local import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

# Before the insert, after it, before the commit, and after the commit but before the wake-up.
POINTS = ("promote:before_insert", "promote:inserted", "promote:before_commit", "promote:committed")
# The interval is longer than it takes to start four schedulers: no occurrence finds the one before it open.
EVERY_MS, LIMIT, JOBS, ONE_OFFS = 15_000, 2, 40, 60


def test_f3_no_occurrence_is_lost_or_doubled_by_schedulers_that_die_in_a_promotion(
    house: System, note: Callable[[str, str], None]
) -> None:
    for scheduler in house.schedulers():  # until the doomed ones have died, nobody else promotes
        scheduler.freeze()
    first = int(time.time() * 1000) + 8_000
    jobs = {}
    for number in range(JOBS):
        at = first + number * EVERY_MS // JOBS
        schedule = {"every": EVERY_MS, "limit": LIMIT, "start_at": at}
        jobs[house.dispatch("f3", schedule=schedule)] = grid(at, EVERY_MS, LIMIT)
    for number in range(ONE_OFFS):
        at = first + number * EVERY_MS // ONE_OFFS
        jobs[house.dispatch("f3", schedule={"start_at": at})] = [at]

    doomed = [house.scheduler(FAILPOINT=f"{point}=kill") for point in POINTS]
    wait_until(lambda: not any(one.alive for one in doomed), "each scheduler died at its point", 60)
    for scheduler in house.schedulers():
        scheduler.thaw()

    assert [one.wait(1) for one in doomed] == [-9] * len(POINTS)
    house.wait_for(list(jobs), seconds=60)
    matched = match(house, jobs)
    house.fsck()
    note("F3", f"killed at {len(POINTS)} points of a promotion: {matched}, no occurrence lost or doubled")
