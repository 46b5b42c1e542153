"""F1: a worker is killed, or frozen, in mid-run."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.acceptance.matching import Matched, match
from tests.acceptance.system import Process, System
from tests.servers.local import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

TAKEN_BACK_SECONDS = 20.0


def owner_of(system: System, job_ids: list[str]) -> Process:
    """The worker that runs all those jobs, which wait for the receiver."""
    wait_until(lambda: len(system.calls(*job_ids)) == len(job_ids), "the calls are out")
    rows = system.rows(
        "SELECT DISTINCT w.pid FROM jobs_execution e JOIN jobs_worker w ON w.id = e.owner_id WHERE e.status = 'running'"
    )
    assert len(rows) == 1, rows
    return next(worker for worker in system.workers() if worker.pid == rows[0][0])


def hanging_run(system: System, path: str) -> tuple[str, Process]:
    """A job whose first call is never answered, and the worker that waits for it."""
    system.answer(path, {"hang": True}, {})
    job_id = system.dispatch(path)
    return job_id, owner_of(system, [job_id])


def test_f1_a_run_whose_worker_is_killed_runs_again_under_the_same_key(
    house: System, note: Callable[[str, str], None]
) -> None:
    job_id, worker = hanging_run(house, "f1")
    fence = house.rows("SELECT fence FROM jobs_execution WHERE status = 'running'")[0][0]

    worker.kill()
    killed = time.monotonic()

    wait_until(lambda: len(house.calls(job_id)) == 2, "the run is tried again", TAKEN_BACK_SECONDS, 0.05)
    again = time.monotonic() - killed
    house.wait_for([job_id])
    matched = match(house, [job_id], again=[job_id])
    (run,) = house.history(job_id)
    assert [(one["status"], one.get("code")) for one in run["attempts"]] == [("lost", "LOST"), ("completed", None)]
    assert (run["status"], run["number"]) == ("completed", 1)
    assert house.get(job_id)["execution_count"] == 1
    assert house.rows("SELECT fence FROM jobs_execution WHERE id = (SELECT max(id) FROM jobs_execution)")[0][0] > fence
    house.fsck()
    note("F1", f"killed: called again after {again:.1f} s under the same key; {matched}")


def late_result(system: System) -> tuple[float, Matched]:
    """A worker is frozen with an outcome in its hands; its run is taken back and runs again elsewhere;
    then it wakes up and writes. Seconds until the run was tried again."""
    system.answer("late", {"body": {"attempt": 1}}, {"delay": 6, "body": {"attempt": 2}})
    others = system.workers()
    late = system.worker(FAILPOINT="settle:before=sleep:4000")
    system.wait_for_workers(len(others) + 1)
    for worker in others:  # so that it is the late one that claims
        worker.freeze()
    job_id = system.dispatch("late")
    wait_until(lambda: len(system.calls(job_id)) == 1, "the call is out", 10)
    time.sleep(0.5)  # it has its answer, and is about to write it
    late.freeze()
    frozen = time.monotonic()
    for worker in others:
        worker.thaw()
    wait_until(lambda: len(system.calls(job_id)) == 2, "the run is tried again", TAKEN_BACK_SECONDS)
    again = time.monotonic() - frozen
    late.thaw()
    system.wait_for([job_id])
    wait_until(lambda: "it begins anew" in late.said(), "the frozen worker has begun anew")
    matched = match(system, [job_id], again=[job_id])
    (run,) = system.history(job_id)
    assert run["result"]["body"] == {"attempt": 2}
    assert [one["status"] for one in run["attempts"]] == ["lost", "completed"]
    assert system.get(job_id)["successful_executions"] == 1
    assert late.alive
    system.fsck()
    late.end()
    return again, matched


def test_f1_what_a_frozen_worker_returns_too_late_is_refused(house: System, note: Callable[[str, str], None]) -> None:
    again, matched = late_result(house)
    note("F1", f"frozen: tried again elsewhere after {again:.1f} s, its late result was refused; {matched}")
