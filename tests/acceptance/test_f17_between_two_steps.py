"""F17: a crash between the commit and the wake-up; after the side effect and before its record."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.client import RemoteDisconnected
from urllib.error import URLError

import pytest

from tests.acceptance.matching import match
from tests.acceptance.system import System, id_of
from tests.servers.local import free_port, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def test_f17_a_job_whose_dispatcher_died_before_the_wakeup_runs_within_two_seconds(
    house: System, note: Callable[[str, str], None]
) -> None:
    port = free_port()
    doomed = house.api(PORT=str(port), FAILPOINT="dispatch:committed=kill")
    wait_until(lambda: house.healthy(port), "the second API answers")
    before = time.time()
    with pytest.raises((RemoteDisconnected, ConnectionError, URLError)):
        house.try_dispatch("f17-commit", port=port)
    died = time.time()

    (row,) = house.rows("SELECT id FROM jobs_job WHERE input #>> '{params,path}' = 'f17-commit'")
    job_id = id_of(row[0])
    wait_until(lambda: bool(house.calls(job_id)), "the job runs", 10, 0.02)
    waited = house.calls(job_id)[0].at - before
    house.wait_for([job_id])
    match(house, [job_id])
    doomed.end()
    assert house.calls(job_id)[0].at - died < 2.0
    house.fsck()
    note("F17", f"killed between commit and wake-up: ran after {waited:.2f} s")


def test_f17_a_call_made_but_not_recorded_is_made_again_under_the_same_key(
    house: System, note: Callable[[str, str], None]
) -> None:
    for worker in house.workers():
        worker.end()
    doomed = house.worker(FAILPOINT="settle:before=kill")
    house.wait_for_workers(1)
    job_id = house.dispatch("f17-record")
    wait_until(lambda: not doomed.alive, "the worker died between the call and its record")
    died = time.time()
    assert len(house.calls(job_id)) == 1
    house.replenish()

    wait_until(lambda: len(house.calls(job_id)) == 2, "the call is made again", 30, 0.05)
    waited = house.calls(job_id)[1].at - died
    house.wait_for([job_id])
    matched = match(house, [job_id], again=[job_id])
    assert waited < 20.0
    house.fsck()
    note("F17", f"killed between call and record: called again after {waited:.1f} s under the same key; {matched}")
