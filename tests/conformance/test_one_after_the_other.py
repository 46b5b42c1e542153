"""One run of a job after the other, whatever a reschedule, a retry or a trigger makes of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import database_now
from core.times import to_ms
from jobs.lifecycle import intervene
from jobs.lifecycle.claim import claim
from jobs.lifecycle.errors import IllegalTransition
from jobs.lifecycle.reap import Reaped, lose
from jobs.models import Execution, Job, JobEvent
from jobs.operations.reschedule import reschedule
from tests.conformance.clockwork import HOUR, MINUTE, Time, promote_all
from tests.conformance.world import claim_one, complete, fail, fresh, new_job, postpone, runs_of, worker

pytestmark = pytest.mark.django_db(transaction=True)


def once_in(minute: timedelta) -> dict[str, object]:
    return {"every": None, "start_at": to_ms(database_now() + minute)}


def test_a_running_job_that_becomes_a_one_off_runs_again_when_it_has_ended(time: Time) -> None:
    job = new_job({"every": 3_600_000})
    first = claim_one(job)
    reschedule(job.pk, once_in(MINUTE))
    time.pass_(2 * MINUTE)
    promote_all()
    assert [run.status for run in runs_of(job)] == ["running", "queued"]
    other = new_job()
    assert [taken.job_id for taken in claim(worker(), "default", 10)] == [other.pk]  # nothing waits with it
    assert complete(first)
    assert fresh(job).status == "queued"
    assert complete(claim_one(job))
    assert (fresh(job).status, fresh(job).execution_count) == ("completed", 2)


def test_a_job_that_waits_for_its_retry_becomes_a_one_off(time: Time) -> None:
    job = new_job({"every": 3_600_000}, retries=3)
    postpone(claim_one(job))
    reschedule(job.pk, once_in(MINUTE))
    assert [run.status for run in runs_of(job)] == ["failed"]
    time.pass_(2 * MINUTE)
    promote_all()
    complete(claim_one(job))
    assert fresh(job).status == "completed"


def test_a_queued_run_that_was_lost_before_gives_way_and_is_told_as_failed() -> None:
    job = new_job({"every": 3_600_000})
    taken = claim_one(job)
    lose([(taken.run_id, job.pk)], error="the worker is gone", counted=True, reaped=Reaped())
    assert fresh(job).status == "queued"
    reschedule(job.pk, {"every": 7_200_000})
    after, run = fresh(job), runs_of(job)[0]
    assert (after.status, after.failed_executions, after.last_run_status) == ("scheduled", 1, "failed")
    assert (run.status, run.code, run.error) == ("failed", "LOST", "the worker is gone")
    assert [event.type for event in JobEvent.objects.filter(job_id=job.pk).order_by("seq")] == [
        "job.failed",
        "job.rescheduled",
    ]


@pytest.mark.parametrize("verb", ["trigger", "retry"])
def test_what_is_due_is_opened_before_an_extra_run_is_asked_for(time: Time, verb: str) -> None:
    job = new_job({"every": 3_600_000})
    fail(claim_one(job))
    time.pass_(HOUR + MINUTE)  # no scheduler has looked since
    with pytest.raises(IllegalTransition, match="a job that is queued"):
        getattr(intervene, verb)(job.pk)
    promote_all()
    assert [run.status for run in runs_of(job)] == ["failed", "queued"]


@pytest.mark.parametrize("verb", ["trigger", "retry"])
def test_an_ended_job_whose_unique_key_another_has_is_not_opened_again(verb: str) -> None:
    job = new_job({"every": 3_600_000, "limit": 1}, unique_key="one")
    fail(claim_one(job))
    other = new_job({"every": 3_600_000}, unique_key="one")
    before = list(Job.objects.filter(pk=job.pk).values())
    with pytest.raises(IllegalTransition, match="unique key 'one'") as refused:
        getattr(intervene, verb)(job.pk)
    assert (refused.value.code, refused.value.extra["status_found"]) == ("unique_key_taken", "failed")
    assert list(Job.objects.filter(pk=job.pk).values()) == before
    assert Execution.objects.filter(job_id=job.pk).count() == 1
    assert fresh(other).status == "queued"
