"""Who may run, and in which order: priorities, holds, concurrency keys, many claimers at once."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from core.clock import shift
from jobs.lifecycle import hold
from jobs.lifecycle.claim import Claim, KeyCursor, claim
from jobs.lifecycle.lease import owned_runs, register_worker, renew, stop_worker
from jobs.lifecycle.reap import SETTLED_AFTER, hand_back, reap
from jobs.models import Execution, Job, Worker
from tests.conformance.clockwork import HOUR, Time, promote_all
from tests.conformance.world import complete, environment, fresh, make_due, new_job, postpone, runs_of, worker

pytestmark = pytest.mark.django_db(transaction=True)


def claim_all(room: int = 100, queue: str = "default") -> list[Claim]:
    return claim(worker(queue), queue, room)


def test_higher_priority_first_then_the_older() -> None:
    low, first, second = new_job(priority=1), new_job(), new_job()
    high = new_job(priority=9)
    assert [taken.job_id for taken in claim_all()] == [high.pk, first.pk, second.pk, low.pk]


def test_a_claim_takes_no_more_than_there_is_room() -> None:
    for _ in range(5):
        new_job()
    assert len(claim_all(room=3)) == 3
    assert len(claim_all(room=3)) == 2
    assert claim_all() == []


def test_a_claim_serves_its_own_queue_only() -> None:
    job = new_job(queue="slow")
    assert claim_all() == []
    assert [taken.job_id for taken in claim_all(queue="slow")] == [job.pk]


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        ({}, True),
        ({"namespace": "noop"}, True),
        ({"namespace": "actions"}, False),
        ({"environment": True}, True),
        ({"environment": True, "namespace": "noop"}, True),
    ],
)
def test_a_hold_covers_its_scope_until_it_is_released(scope: dict[str, Any], held: bool) -> None:
    job, place = new_job(), environment()
    covered = {
        "product_id": place.product_id,
        "environment_id": place.pk if scope.get("environment") else None,
        "namespace": scope.get("namespace", ""),
    }
    hold.hold(**covered, note="maintenance", actor="test")

    taken = claim_all()

    assert (taken == []) is held
    if held:
        assert fresh(job).status == "queued"
        assert hold.release(product_id=place.product_id, environment_id=None, namespace="") == 1
        assert [one.job_id for one in claim_all()] == [job.pk]


def test_occurrences_that_come_due_while_held_collapse_into_the_one_that_waits(time: Time) -> None:
    job, place = new_job({"every": 3_600_000}), environment()
    hold.hold(product_id=place.product_id, environment_id=None, namespace="", note="", actor="")
    for _ in range(2):
        time.pass_(HOUR)
        promote_all()
    assert [(run.status, run.skip_reason, run.count) for run in runs_of(job)] == [
        ("queued", "", 1),
        ("skipped", "held for maintenance", 2),
    ]


@pytest.mark.parametrize("limit", [1, 2])
def test_runs_that_share_a_key_never_exceed_its_limit(limit: int) -> None:
    jobs = [new_job(concurrency_key="tenant-1", concurrency_limit=limit) for _ in range(5)]
    free = new_job()
    first = claim_all()
    assert {one.job_id for one in first} == {job.pk for job in jobs[:limit]} | {free.pk}
    assert claim_all() == []
    complete(first[0])
    assert [one.job_id for one in claim_all()] == [jobs[limit].pk]


def test_keys_of_different_environments_do_not_meet() -> None:
    new_job(concurrency_key="a")
    other = environment().product.environments.create(slug="dev", name="Development")
    new_job(concurrency_key="a", environment_id=other.pk)
    assert len(claim_all()) == 2


def test_keyed_and_unkeyed_runs_keep_the_order_of_priorities() -> None:
    low = new_job(priority=2, concurrency_key="k")
    middle = new_job(priority=4)
    high = new_job(priority=6, concurrency_key="l")
    assert [one.job_id for one in claim_all(room=2)] == [high.pk, middle.pk]
    assert [one.job_id for one in claim_all(room=2)] == [low.pk]


def test_fifty_claimers_at_once_take_each_run_once() -> None:
    for _ in range(40):
        new_job()
    for _ in range(20):
        new_job(concurrency_key="shared", concurrency_limit=3)
    threads = 4 if connection.vendor == "sqlite" else 20
    taken: list[Claim] = []
    barrier = threading.Barrier(threads)

    def take() -> None:
        owner, cursor = worker(), KeyCursor()
        barrier.wait()
        for _ in range(5):
            taken.extend(claim(owner, "default", 4, cursor))
        connection.close()

    together = [threading.Thread(target=take) for _ in range(threads)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()

    assert max(Counter(one.run_id for one in taken).values()) == 1
    keyed = Execution.objects.filter(status="running", concurrency_key__isnull=False).count()
    assert keyed == 3
    assert len(taken) == 43


def test_a_lease_that_ran_out_is_renewed_by_a_beat_that_comes_before_the_reaper() -> None:
    owner = worker()
    job = new_job()
    (taken,) = claim(owner, "default", 1)
    expire(owner)
    assert renew(owner, running=1)
    reap()
    assert fresh(job).status == "running"
    assert owned_runs(owner) == {taken.run_id: taken.fence}


def test_the_runs_of_a_worker_that_died_run_again_under_a_higher_fence() -> None:
    owner, job = worker(), new_job()
    (taken,) = claim(owner, "default", 1)
    expire(owner)

    reaped = reap()

    assert (reaped.returned, reaped.queues) == (1, {"default"})
    assert not renew(owner, running=1)
    assert not complete(taken)
    (again,) = claim_all()
    assert (again.run_id, again.fence, again.attempt, again.number) == (taken.run_id, taken.fence + 2, 2, 1)
    assert complete(again)
    run = runs_of(job)[0]
    assert [(one["status"], one["code"]) for one in run.attempts] == [("lost", "LOST")]


def test_a_run_far_past_its_time_out_is_taken_back_whoever_beats() -> None:
    owner, job = worker(), new_job()
    claim(owner, "default", 1)
    Execution.objects.filter(job=job).update(deadline_at="2020-01-01T00:00:00Z")
    assert renew(owner, running=1)
    assert reap().returned == 1
    assert fresh(job).status == "queued"


def test_what_a_worker_hands_back_is_claimable_at_once() -> None:
    owner, job = worker(), new_job()
    (taken,) = claim(owner, "default", 1)
    assert hand_back(owner, [(taken.run_id, taken.job_id)]).returned == 1
    stop_worker(owner)
    reap()
    assert not Worker.objects.get(pk=owner).settled  # a claim of it may still be on its way
    with shift(SETTLED_AFTER + timedelta(seconds=1)):
        reap()
    assert Worker.objects.get(pk=owner).settled
    assert [one.job_id for one in claim_all()] == [job.pk]


def test_one_row_that_is_not_the_callers_does_not_spoil_a_batch() -> None:
    jobs = [new_job() for _ in range(3)]
    first, second, third = claim_all()
    assert postpone(second)
    assert complete(first)
    assert not complete(second)
    assert complete(third)
    assert [fresh(job).status for job in jobs] == ["completed", "scheduled", "completed"]


def expire(worker_id: int) -> None:
    Worker.objects.filter(pk=worker_id).update(lease_until="2020-01-01T00:00:00Z")


def test_numbers_have_no_gaps_over_losses_and_retries() -> None:
    job = new_job({"every": 3_600_000}, retries=1)
    for _ in range(2):
        owner = register_worker(host="t", pid=1, queues=["default"], concurrency=1)
        (taken,) = claim(owner, "default", 1)
        hand_back(owner, [(taken.run_id, taken.job_id)])
        (taken,) = claim(owner, "default", 1)
        complete(taken)
        make_due(job)
    assert [run.number for run in runs_of(job)] == [1, 2, None]
    assert Job.objects.get(pk=job.pk).execution_count == 2
