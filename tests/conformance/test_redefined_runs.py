"""Another event of a definition holds from the next run: one that has begun keeps its own through all its attempts."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from core.clock import database_now
from jobs.lifecycle import intervene
from jobs.lifecycle.claim import Claim
from jobs.lifecycle.lease import register_worker
from jobs.lifecycle.promote import promote_due
from jobs.lifecycle.reap import reap
from jobs.lifecycle.redefine import Redefined, redefine
from jobs.models import Execution, Job, Worker
from tests.conformance.world import claim_one, complete, fail, make_due, new_job, postpone, runs_of

pytestmark = pytest.mark.django_db

OLD = ("actions", {"app": "mail", "event": "send"})
NEW = ("functions", {"function": "resize"})
NEWER = ("actions", {"app": "mail", "event": "other"})


def made() -> Job:
    return new_job({"every": 3_600_000}, namespace=OLD[0], target=OLD[1], retries=3, definition="resizing")


def changed(job: Job, to: tuple[str, dict[str, str]] = NEW) -> None:
    assert redefine(job.pk, Redefined(namespace=to[0], target=to[1])) is not None


def event_of(taken: Claim) -> tuple[str, dict[str, str]]:
    return taken.namespace, json.loads(taken.target)


def back_off_is_over() -> None:
    Execution.objects.filter(status="waiting").update(due_at=database_now() - timedelta(seconds=1))
    promote_due()


def test_a_run_that_waits_for_another_attempt_makes_it_with_what_it_began_with() -> None:
    job = made()
    postpone(claim_one(job))

    changed(job)
    back_off_is_over()

    taken = claim_one(job)
    assert (taken.attempt, event_of(taken)) == (2, OLD)
    complete(taken)
    make_due(job)
    assert event_of(claim_one(job)) == NEW


def test_a_run_that_was_running_keeps_it_for_the_attempts_to_come_also_through_a_second_change() -> None:
    job = made()
    taken = claim_one(job)
    changed(job)
    postpone(taken)
    changed(job, NEWER)
    back_off_is_over()

    taken = claim_one(job)

    assert (taken.attempt, event_of(taken)) == (2, OLD)
    fail(taken)
    make_due(job)
    assert event_of(claim_one(job)) == NEWER


def test_a_run_that_lost_its_worker_keeps_it_too() -> None:
    job = made()
    gone = register_worker(host="gone", pid=2, queues=["default"], concurrency=1)
    claim_one(job, worker_id=gone)
    changed(job)
    Worker.objects.filter(pk=gone).update(lease_until=database_now() - timedelta(seconds=1))

    assert reap().returned == 1

    assert event_of(claim_one(job)) == OLD


def test_a_run_that_has_not_begun_is_of_the_new_event() -> None:
    job = made()
    changed(job)
    assert event_of(claim_one(job)) == NEW
    assert [run.target for run in runs_of(job)] == [None]


def test_a_retry_that_is_asked_for_is_a_run_of_its_own_and_of_the_new_event() -> None:
    job = made()
    fail(claim_one(job))
    changed(job)
    intervene.retry(job.pk)
    assert event_of(claim_one(job)) == NEW


def test_a_paused_run_goes_on_with_what_it_began_with() -> None:
    job = made()
    postpone(claim_one(job))
    intervene.pause(job.pk)
    changed(job)
    intervene.resume(job.pk)
    back_off_is_over()
    assert event_of(claim_one(job)) == OLD
