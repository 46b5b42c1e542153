"""What is told only where somebody listens: that a job was made, began, tries again, or passed over an occurrence."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from core.clock import database_now
from core.times import to_ms
from jobs import fsck
from jobs.lifecycle import intervene
from jobs.lifecycle.claim import claim
from jobs.lifecycle.create import NewJob, create_jobs, draft, store, store_many
from jobs.lifecycle.lease import stop_worker
from jobs.lifecycle.promote import promote_due
from jobs.lifecycle.reap import hand_back, reap
from jobs.lifecycle.settle import Finished, settle
from jobs.lifecycle.sql.inserts import FEW
from jobs.listening import EVERY_PRODUCT, listen
from jobs.models import Execution, Job, JobEvent
from jobs.operations.reschedule import reschedule
from jobs.schedule import parse_schedule
from jobs.states import EventType
from tests.conformance.clockwork import MINUTE, Time, down_for, promote_all
from tests.conformance.world import (
    RECURRING,
    claim_one,
    complete,
    environment,
    fail,
    fresh,
    make_due,
    new_job,
    postpone,
    runs_of,
    worker,
)

pytestmark = pytest.mark.django_db(transaction=True)

ONLY_HEARD = (EventType.SCHEDULED, EventType.STARTED, EventType.RETRYING, EventType.SKIPPED)


@pytest.fixture(autouse=True)
def _no_gap_in_any_job() -> Iterator[None]:
    yield
    assert fsck.events_are_gapless(20) == []
    assert fsck.wanted_says_of_what(20) == []


@pytest.fixture
def _everybody_listens() -> None:
    listen([(EVERY_PRODUCT, type) for type in EventType])


everybody_listens = pytest.mark.usefixtures("_everybody_listens")


def told(job: Job) -> list[str]:
    """The events of a job, in order, without their prefix."""
    types = JobEvent.objects.filter(job_id=job.pk).order_by("seq").values_list("type", flat=True)
    return [type.removeprefix("job.") for type in types]


def last_of(job: Job) -> JobEvent:
    return JobEvent.objects.filter(job_id=job.pk).latest("seq")


def said(event: JobEvent) -> dict[str, Any]:
    data: dict[str, Any] | None = event.data
    assert data is not None
    return data


def about(event: JobEvent) -> dict[str, Any]:
    kept: dict[str, Any] | None = event.about
    assert kept is not None
    return kept


def asked(count: int = 1, schedule: dict[str, Any] | None = None, **changes: Any) -> list[NewJob]:
    place, now = environment(), database_now()
    one = NewJob(
        product_id=place.product_id,
        environment_id=place.pk,
        namespace="noop",
        target={"event": "nothing"},
        input={},
        labels={"team": "blue"},
        schedule=parse_schedule(schedule, now=now),
        **changes,
    )
    return [one] * count


def _in_one_transaction(count: int) -> None:
    with transaction.atomic():
        create_jobs(asked(count), now=database_now())


def _each_alone(count: int) -> None:
    for request in asked(count):
        assert store(draft(request, now=database_now()))


def _at_once(count: int) -> None:
    store_many([draft(request, now=database_now()) for request in asked(count)])


WAYS = [_in_one_transaction, _each_alone, _at_once]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [1, FEW, FEW + 1])
def test_that_a_job_was_made_is_told_once_in_every_way_of_making_it(way: Callable[[int], None], count: int) -> None:
    way(count)
    assert not JobEvent.objects.exists()
    assert set(Job.objects.values_list("event_seq", flat=True)) == {0}
    Execution.objects.all().delete()
    Job.objects.all().delete()

    listen([(environment().product_id, EventType.SCHEDULED)])
    way(count)
    jobs = {job.pk: job for job in Job.objects.all()}
    events = list(JobEvent.objects.all())
    assert sorted(event.job_id for event in events) == sorted(jobs)
    for event in events:
        job = jobs[event.job_id]
        assert (event.seq, job.event_seq, event.type, event.status, event.wanted) == (
            1, 1, "job.scheduled", "queued", True,
        )  # fmt: skip
        assert event.at == job.created_at
        assert event.about == {
            "product_id": job.product_id,
            "environment_id": job.environment_id,
            "namespace": "noop",
            "labels": {"team": "blue"},
            "scheduled_at": to_ms(job.scheduled_at),
            "execution_count": 0,
            "error": None,
        }


@pytest.mark.parametrize("way", WAYS)
def test_of_jobs_of_several_products_only_those_are_told_that_somebody_listens_to(way: Callable[[int], None]) -> None:
    listen([(environment().product_id + 1, EventType.SCHEDULED), (EVERY_PRODUCT, EventType.STARTED)])
    way(FEW + 1)
    assert not JobEvent.objects.exists()


@everybody_listens
def test_a_job_that_was_not_stored_is_not_told() -> None:
    (request,) = asked(unique_key="only one")
    assert store(draft(request, now=database_now()))
    assert not store(draft(request, now=database_now()))
    assert JobEvent.objects.count() == 1


@everybody_listens
def test_a_job_without_a_run_is_told_when_it_is_made() -> None:
    job = new_job({"start_at": to_ms(database_now() + 60 * MINUTE)})
    (event,) = JobEvent.objects.filter(job_id=job.pk)
    assert (event.type, event.status) == ("job.scheduled", "scheduled")
    (request,) = asked(schedule={"start_at": to_ms(database_now() + 60 * MINUTE)})
    assert store(draft(request, now=database_now()))
    assert JobEvent.objects.filter(type="job.scheduled").count() == 2


@everybody_listens
def test_a_run_is_told_to_have_started_once_however_many_attempts_it_takes() -> None:
    job = new_job(retries=3)
    postpone(claim_one(job), delay_ms=0)
    promote_due()
    owner = worker()
    run = claim_one(job, worker_id=owner)
    hand_back(owner, [(run.run_id, job.pk)])
    assert complete(claim_one(job))
    assert told(job) == ["scheduled", "started", "retrying", "retrying", "completed"]
    started, retrying = JobEvent.objects.filter(job_id=job.pk, seq__in=[2, 3]).order_by("seq")
    assert (started.status, started.number, started.wanted, about(started)["execution_count"]) == (
        "running",
        1,
        True,
        1,
    )
    assert (retrying.status, retrying.number) == ("scheduled", 1)


@everybody_listens
def test_each_run_of_a_job_is_told_to_have_started() -> None:
    job = new_job(RECURRING)
    complete(claim_one(job))
    make_due(job)
    fail(claim_one(job))
    intervene.trigger(job.pk)
    complete(claim_one(job))
    assert told(job) == ["scheduled", "started", "completed", "started", "failed", "started", "completed"]
    numbers = JobEvent.objects.filter(job_id=job.pk, type="job.started").order_by("seq")
    assert list(numbers.values_list("number", flat=True)) == [1, 2, 3]


@everybody_listens
def test_a_back_off_says_which_attempt_failed_why_and_when_the_next_one_is() -> None:
    job = new_job(retries=3)
    postpone(claim_one(job), delay_ms=60_000, code="TIMEOUT", error="too late")
    event, run = last_of(job), runs_of(job)[0]
    assert (event.type, event.status, event.number) == ("job.retrying", "scheduled", 1)
    assert event.data == {"attempt": 1, "code": "TIMEOUT", "next_attempt_at": to_ms(run.due_at)}
    assert about(event)["error"] == "too late"


@everybody_listens
def test_a_back_off_under_a_pause_has_no_time_yet() -> None:
    job = new_job(RECURRING, retries=3)
    run = claim_one(job)
    intervene.pause(job.pk)
    postpone(run)
    event = last_of(job)
    assert (event.type, event.status, event.data) == ("job.retrying", "paused", {"attempt": 1, "code": "TIMEOUT"})


@everybody_listens
def test_a_run_that_lost_its_worker_is_told_to_be_tried_again_until_it_ends() -> None:
    job = new_job()
    for _ in range(3):
        owner = worker()
        claim_one(job, worker_id=owner)
        stop_worker(owner)
        reap()
    assert told(job) == ["scheduled", "started", "retrying", "retrying", "failed"]
    event = JobEvent.objects.filter(job_id=job.pk, type="job.retrying").latest("seq")
    assert (said(event)["attempt"], said(event)["code"], event.status) == (2, "LOST", "queued")
    assert "lost its worker 3 times" in about(last_of(job))["error"]


@everybody_listens
def test_an_occurrence_that_is_skipped_is_told_each_time() -> None:
    job = new_job(RECURRING)
    claim_one(job)
    at = []
    for _ in range(2):
        make_due(job)
        at.append(said(last_of(job))["scheduled_at"])
    assert told(job) == ["scheduled", "started", "skipped", "skipped"]
    event = last_of(job)
    assert event.data == {
        "run_status": "skipped", "reason": "previous run still running", "scheduled_at": at[1], "count": 1,
    }  # fmt: skip
    assert (event.status, event.number, event.wanted) == ("running", None, True)


@everybody_listens
def test_occurrences_that_are_missed_are_told_together(time: Time) -> None:
    job = down_for(time, 10 * MINUTE)
    promote_all()
    assert told(job) == ["scheduled", "started", "completed", "skipped", "skipped"]
    row = runs_of(job)[1]
    missed, skipped = JobEvent.objects.filter(job_id=job.pk, type="job.skipped").order_by("seq")
    assert row.last_scheduled_at is not None
    assert (said(skipped)["run_status"], said(skipped)["count"]) == ("skipped", 1)
    assert missed.data == {
        "run_status": "missed",
        "reason": "no scheduler was there in time",
        "scheduled_at": to_ms(row.scheduled_at),
        "last_scheduled_at": to_ms(row.last_scheduled_at),
        "count": row.count,
    }
    assert row.count > 1


@everybody_listens
def test_what_a_pause_or_a_reschedule_gives_up_is_told(time: Time) -> None:
    paused = down_for(time, 10 * MINUTE, misfire="all")
    intervene.pause(paused.pk)
    assert told(paused)[-2:] == ["skipped", "paused"]
    moved = down_for(time, 10 * MINUTE)
    reschedule(moved.pk, {"cron": "0 0 1 1 *"})
    assert told(moved)[-3:] == ["skipped", "skipped", "rescheduled"]


def test_nothing_of_all_this_is_written_where_nobody_listens(time: Time) -> None:
    listen([(environment().product_id + 1, type) for type in EventType])
    job = down_for(time, 10 * MINUTE)
    promote_all()
    owner = worker()
    run = claim_one(job, worker_id=owner)
    hand_back(owner, [(run.run_id, job.pk)])
    postpone(claim_one(job), delay_ms=0)
    promote_all()
    complete(claim_one(job))
    assert told(job) == ["completed", "completed"]
    assert not JobEvent.objects.filter(wanted=True).exists()
    assert not JobEvent.objects.filter(about__isnull=False).exists()


@everybody_listens
def test_a_retry_by_a_call_is_told_and_does_not_make_the_job_anew() -> None:
    job = new_job()
    fail(claim_one(job))
    intervene.retry(job.pk, actor="ada")
    complete(claim_one(job))
    assert told(job) == ["scheduled", "started", "failed", "retrying", "started", "completed"]


def test_a_listener_that_comes_while_a_batch_runs_hears_the_next_one() -> None:
    """What is under way is told as it was when it began; nothing is told by halves."""
    jobs = [new_job() for _ in range(40)]
    owner, stop = worker(), threading.Event()

    def run_all() -> None:
        try:
            while not stop.is_set():
                taken = claim(owner, "default", 3)
                settle([Finished.completed(run.run_id, run.job_id, run.fence, "{}") for run in taken])
                if not taken:
                    return
        finally:
            connection.close()

    thread = threading.Thread(target=run_all)
    thread.start()
    listen([(EVERY_PRODUCT, type) for type in EventType])
    late = new_job()
    thread.join(60)
    stop.set()
    assert told(late)[0] == "scheduled"
    for job in jobs:
        assert told(job) in (["completed"], ["started", "completed"])
        assert fresh(job).event_seq == len(told(job))
