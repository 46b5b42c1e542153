"""Workers that die, hang or come back: what is taken back, when, and what they may still do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection

from core import clock, failpoints
from jobs.lifecycle import promote, reap
from jobs.lifecycle.claim import claim
from jobs.lifecycle.lease import owned_runs, renew, stop_worker
from jobs.models import Execution, Job, Worker
from jobs.scheduler import SchedulerThread
from tests.conformance.world import RECURRING, complete, environment, fresh, new_job, runs_of, worker

pytestmark = pytest.mark.django_db(transaction=True)


def expire(worker_id: int) -> None:
    Worker.objects.filter(pk=worker_id).update(lease_until="2020-01-01T00:00:00Z")


@pytest.mark.parametrize("keyed", [False, True])
def test_a_worker_that_was_taken_for_dead_claims_nothing(keyed: bool) -> None:
    owner = worker()
    new_job(concurrency_key="one" if keyed else "")
    expire(owner)
    reap.reap()
    assert claim(owner, "default", 1) == []
    assert len(claim(worker(), "default", 1)) == 1


def test_a_claim_that_was_on_its_way_when_its_worker_was_stopped_is_still_taken_back() -> None:
    owner, job = worker(), new_job()
    (taken,) = claim(owner, "default", 1)
    Worker.objects.filter(pk=owner).update(running=0)
    Execution.objects.filter(job=job).update(owner_id=owner + 1_000)  # as if not committed yet
    stop_worker(owner)
    reap.reap()
    Execution.objects.filter(job=job).update(owner_id=owner)

    assert reap.reap().returned == 1

    assert fresh(job).status == "queued"
    assert not complete(taken)


def test_a_stopped_worker_is_settled_once_no_claim_of_it_can_be_on_its_way() -> None:
    owner = worker()
    stop_worker(owner)
    reap.reap()
    assert not Worker.objects.get(pk=owner).settled
    with clock.shift(timedelta(seconds=61)):
        reap.reap()
    assert Worker.objects.get(pk=owner).settled


def test_one_look_takes_back_more_runs_than_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reap, "BATCH", 3)
    owner = worker()
    for _ in range(8):
        new_job()
    assert len(claim(owner, "default", 8)) == 8
    expire(owner)
    assert reap.reap().returned == 8


def test_a_run_that_cannot_be_taken_back_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = worker()
    jobs = [new_job() for _ in range(3)]
    claim(owner, "default", 3)
    expire(owner)
    lose_one = reap._lose_one

    def contradicts(job: Job, *args: Any, **kwargs: Any) -> None:
        if job.pk == jobs[1].pk:
            raise RuntimeError("the rows contradict each other")
        lose_one(job, *args, **kwargs)

    monkeypatch.setattr(reap, "_lose_one", contradicts)
    assert reap.reap().returned == 2
    assert [fresh(job).status for job in jobs] == ["queued", "running", "queued"]


def test_a_loss_is_written_only_under_the_fence_it_was_seen_with() -> None:
    owner, job = worker(), new_job()
    (taken,) = claim(owner, "default", 1)
    pair = [(taken.run_id, taken.job_id)]
    lose = reap.lose(pair, error="died", counted=True, reaped=reap.Reaped(), owner_id=owner, fence=taken.fence - 1)
    assert lose == 0
    assert fresh(job).status == "running"


class Away:
    """A database that does not answer while `away`, for a scheduler's rounds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr("jobs.scheduler.time.monotonic", lambda: self.now)


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> tuple[SchedulerThread, Away]:
    away = Away(monkeypatch)
    monkeypatch.setattr("jobs.scheduler.wakeup.wake", lambda queues: None)
    thread = SchedulerThread()
    away.now += 16  # it has been there for a whole lease
    thread._answered = away.now
    return thread, away


def orphan() -> Job:
    owner, job = worker(), new_job()
    claim(owner, "default", 1)
    expire(owner)
    return job


def test_a_scheduler_takes_back_what_a_dead_worker_held(scheduler: tuple[SchedulerThread, Away]) -> None:
    job = orphan()
    scheduler[0].step()
    assert fresh(job).status == "queued"


def test_after_a_database_that_hung_a_scheduler_waits_a_lease_before_it_takes_anything_back(
    scheduler: tuple[SchedulerThread, Away],
) -> None:
    thread, away = scheduler
    job = orphan()
    away.now += 60  # no error: the statement came back after a minute
    thread.step()
    assert fresh(job).status == "running"
    for _ in range(4):
        away.now += 4
        thread.step()
    assert fresh(job).status == "queued"


@pytest.mark.parametrize("error", [IntegrityError("refused"), RuntimeError("a bug")])
def test_a_batch_that_cannot_be_promoted_does_not_stop_the_rest_of_the_round(
    scheduler: tuple[SchedulerThread, Away], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(due: promote.Due | None) -> promote.Promoted:
        raise error

    job = orphan()
    monkeypatch.setattr("jobs.scheduler.promote_due", fails)
    scheduler[0].step()
    assert fresh(job).status == "queued"


def test_a_scheduler_without_its_database_says_so_to_its_caller(
    scheduler: tuple[SchedulerThread, Away], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(due: promote.Due | None) -> promote.Promoted:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr("jobs.scheduler.promote_due", away)
    with pytest.raises(OperationalError):
        scheduler[0].step()


def in_thread(function: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            function()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_second_scheduler_passes_over_the_jobs_that_the_first_is_promoting() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time: the second one waits for the first")
    job = new_job(RECURRING)
    taken = claim(worker(), "default", 1)
    complete(taken[0])
    now = clock.database_now()
    Job.objects.filter(pk=job.pk).update(next_run_at=now, next_due_at=now)
    inserted, go_on = threading.Event(), threading.Event()

    def stop_here() -> None:
        if threading.current_thread() is first:
            inserted.set()
            go_on.wait(10)

    failpoints.register("promote:inserted", stop_here)
    first = in_thread(promote.open_due_runs)
    assert inserted.wait(10)
    second = promote.open_due_runs()
    go_on.set()
    first.join()

    assert second.runs == 0
    assert [run.trigger for run in runs_of(job)] == ["schedule", "schedule"]


def test_a_beat_answers_with_the_fences_of_what_is_owned() -> None:
    owner = worker()
    new_job(), environment()
    (taken,) = claim(owner, "default", 1)
    assert renew(owner, running=1)
    assert owned_runs(owner) == {taken.run_id: taken.fence}
