"""Every check of `manage.py fsck` holds on what the operations write, and goes red on a row made wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F

from core.clock import database_now
from core.ids import encode
from core.times import to_ms
from jobs import fsck
from jobs.lifecycle import hold, intervene
from jobs.lifecycle.lease import register_worker, stop_worker
from jobs.lifecycle.reap import hand_back, reap
from jobs.listening import listen
from jobs.models import Execution, Job, JobEvent, Worker
from jobs.states import EventType
from tests.conformance.world import (
    RECURRING,
    STATES,
    claim_one,
    complete,
    environment,
    fail,
    make_due,
    new_job,
    postpone,
    runs_of,
    worker,
)

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _look_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsck, "LOOK_AGAIN_SECONDS", 0.0)


@contextmanager
def without_constraints(*unique_indexes: str) -> Iterator[None]:
    """What a constraint forbids, written anyway. PostgreSQL's come back with the test's rollback."""
    checks = [
        constraint.name
        for model in (Job, Execution)
        for constraint in model._meta.constraints
        if type(constraint).__name__ == "CheckConstraint"
    ]
    with connection.cursor() as sql:
        if connection.vendor == "postgresql":
            sql.execute("SET CONSTRAINTS ALL IMMEDIATE")  # or their pending checks forbid to alter the table
        for index in unique_indexes:
            sql.execute(f"DROP INDEX {index}")
        if connection.vendor != "postgresql":
            sql.execute("PRAGMA ignore_check_constraints = ON")
        else:
            for name in checks:
                table = "jobs_job" if name.startswith("job_") else "jobs_execution"
                sql.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    try:
        yield
    finally:
        if connection.vendor != "postgresql":
            with connection.cursor() as sql:
                sql.execute("PRAGMA ignore_check_constraints = OFF")


def broken() -> dict[str, list[str]]:
    return {check.name: found for check, found in fsck.check_all() if found}


@pytest.mark.parametrize("state", STATES)
def test_a_job_in_any_state_is_sound(state: tuple[str, bool]) -> None:
    STATES[state]()
    assert broken() == {}


def test_retries_losses_skips_and_pauses_are_sound() -> None:
    postpone(claim_one(new_job(retries=2)))
    lost = new_job()
    taken = claim_one(lost, worker_id=(owner := worker()))
    hand_back(owner, [(taken.run_id, taken.job_id)])
    complete(claim_one(lost))
    skipping = new_job(RECURRING)
    claim_one(skipping)
    make_due(skipping)
    triggered = new_job({"every": 3_600_000, "start_at": to_ms(database_now() + timedelta(hours=1))})
    intervene.pause(triggered.pk)
    intervene.trigger(triggered.pk)
    complete(claim_one(triggered))
    intervene.resume(triggered.pk)
    assert broken() == {}


def run_of_one_occurrence_twice() -> Job:
    job = new_job()
    complete(claim_one(job))
    run = runs_of(job)[0]
    with without_constraints("execution_one_per_occurrence"):
        run.pk, run.number = None, 2
        run.save(force_insert=True)
    return job


def running_without_an_owner() -> Job:
    job = new_job()
    Execution.objects.filter(pk=claim_one(job).run_id).update(owner_id=12_345)
    return job


def running_under_no_fence() -> Job:
    job = new_job()
    taken = claim_one(job)
    with without_constraints():
        Execution.objects.filter(pk=taken.run_id).update(fence=0)
    return job


def final_without_a_time() -> Job:
    job = new_job()
    complete(claim_one(job))
    with without_constraints():
        Job.objects.filter(pk=job.pk).update(completed_at=None)
    return job


def final_with_an_open_run() -> Job:
    job = new_job()
    complete(claim_one(job))
    Execution.objects.filter(job=job).update(status="queued", finished_at=None)
    return job


def ended_run_without_a_time() -> Job:
    job = new_job()
    complete(claim_one(job))
    with without_constraints():
        Execution.objects.filter(job=job).update(finished_at=None)
    return job


def fence_that_a_loss_did_not_raise() -> Job:
    job, owner = new_job(), worker()
    taken = claim_one(job, worker_id=owner)
    hand_back(owner, [(taken.run_id, taken.job_id)])
    Execution.objects.filter(pk=taken.run_id).update(fence=F("fence") - 1)
    return job


def more_begun_than_the_limit() -> Job:
    job = new_job({"every": 3_600_000, "limit": 3})
    complete(claim_one(job))
    make_due(job)
    complete(claim_one(job))
    with without_constraints():
        Job.objects.filter(pk=job.pk).update(limit=1)
    return job


def begun_after_the_end() -> Job:
    job = new_job({"every": 3_600_000, "endDate": to_ms(database_now() + timedelta(hours=9))})
    complete(claim_one(job))
    Job.objects.filter(pk=job.pk).update(end_date=F("created_at") - MINUTE)
    return job


def events_with_a_gap() -> Job:
    job = new_job(RECURRING)
    for verb in (intervene.pause, intervene.resume, intervene.cancel):
        verb(job.pk)
    JobEvent.objects.filter(job_id=job.pk, seq=2).delete()
    return job


def event_that_the_job_does_not_count() -> Job:
    job = new_job(RECURRING)
    Job.objects.filter(pk=job.pk).update(event_seq=1)
    return job


def last_event_that_disagrees() -> Job:
    job = new_job()
    complete(claim_one(job))
    JobEvent.objects.filter(job_id=job.pk).update(status="failed")
    return job


def two_attempts_at_once() -> Job:
    job = new_job(RECURRING)
    complete(claim_one(job))
    make_due(job)
    claim_one(job)
    Execution.objects.filter(job=job, number=1).update(finished_at=database_now() + MINUTE)
    return job


def earlier_attempt_that_reaches_into_the_next() -> Job:
    job = new_job(retries=1)
    postpone(claim_one(job), delay_ms=0)
    run = runs_of(job)[0]
    assert run.attempts is not None
    Execution.objects.filter(pk=run.pk).update(
        status="queued", attempts=[{**run.attempts[0], "completed_at": to_ms(database_now()) + 60_000}]
    )
    Job.objects.filter(pk=job.pk).update(status="queued")
    claim_one(job)
    return job


def claimed_after_a_cancel() -> Job:
    job = new_job()
    complete(claim_one(job))
    cancelled = new_job()
    intervene.cancel(cancelled.pk)
    run = runs_of(job)[0]
    Execution.objects.filter(job=cancelled).update(
        attempt=1, number=1, fence=2, started_at=run.started_at + MINUTE if run.started_at else None
    )
    return cancelled


def claimed_in_a_pause() -> Job:
    job = new_job(RECURRING)
    intervene.pause(job.pk)
    Execution.objects.filter(job=job).update(attempt=1, number=1, fence=1, started_at=database_now() + MINUTE)
    return job


def forgotten_run() -> Job:
    Worker.objects.filter(pk=worker()).update(started_at=database_now() - MINUTE)
    job = new_job()
    Execution.objects.filter(job=job).update(due_at=database_now() - 2 * MINUTE)
    return job


def orphan() -> Job:
    job, owner = new_job(), worker()
    claim_one(job, worker_id=owner)
    Worker.objects.filter(pk=owner).update(lease_until=database_now() - MINUTE)
    return job


def wanted_event_that_says_nothing() -> Job:
    job = new_job(RECURRING)
    intervene.pause(job.pk)
    JobEvent.objects.filter(job_id=job.pk).update(wanted=True)
    return job


def event_that_waits_for_nobody() -> Job:
    job = new_job(RECURRING)
    listen([(0, EventType.PAUSED)])
    intervene.pause(job.pk)
    JobEvent.objects.filter(job_id=job.pk).update(wanted=False)
    return job


@pytest.mark.parametrize(
    ("check", "make"),
    [
        ("I1", run_of_one_occurrence_twice),
        ("I2", running_without_an_owner),
        ("I2", running_under_no_fence),
        ("I3", final_without_a_time),
        ("I3", final_with_an_open_run),
        ("I3", ended_run_without_a_time),
        ("I4", fence_that_a_loss_did_not_raise),
        ("I5", more_begun_than_the_limit),
        ("I5", begun_after_the_end),
        ("I6", events_with_a_gap),
        ("I6", event_that_the_job_does_not_count),
        ("I6", last_event_that_disagrees),
        ("I7", two_attempts_at_once),
        ("I7", earlier_attempt_that_reaches_into_the_next),
        ("I9", claimed_after_a_cancel),
        ("I9", claimed_in_a_pause),
        ("I10", forgotten_run),
        ("I10", orphan),
        ("I11", wanted_event_that_says_nothing),
        ("I11", event_that_waits_for_nobody),
    ],
)
def test_a_row_made_wrong_is_found_and_named(check: str, make: Callable[[], Job]) -> None:
    job = make()
    found = broken()
    assert [text.partition(":")[0].partition(" ")[0] for text in found.get(check, [])] == [encode("job", job.pk)], found


def test_due_runs_that_have_a_reason_to_wait_are_not_forgotten() -> None:
    place = environment()
    Worker.objects.filter(pk=worker()).update(started_at=database_now() - MINUTE)
    keyed = [new_job(concurrency_key="one") for _ in range(2)]
    claim_one()
    held = new_job(namespace="held")
    hold.hold(product_id=place.product_id, environment_id=None, namespace="held", note="", actor="")
    elsewhere = new_job(queue="nobody")
    Execution.objects.filter(job__in=[*keyed, held, elsewhere], status="queued").update(
        due_at=database_now() - 2 * MINUTE
    )
    assert broken() == {}


def test_what_a_dead_worker_left_is_sound_once_it_is_reaped() -> None:
    job, owner = new_job(), register_worker(host="test", pid=1, queues=["default"], concurrency=1)
    claim_one(job, worker_id=owner)
    stop_worker(owner)
    reap()
    assert broken() == {}
    fail(claim_one(job))
    assert broken() == {}


def test_the_command_names_the_job_and_ends_with_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("fsck")
    assert "BROKEN" not in capsys.readouterr().out
    job = running_without_an_owner()
    with pytest.raises(CommandError, match="1 of 11 invariants are broken"):
        call_command("fsck")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("I2   BROKEN")
    assert encode("job", job.pk) in lines[2]
    assert any(line.startswith("I8   ok") for line in lines)


def test_a_check_reports_no_more_rows_than_asked_for() -> None:
    for _ in range(3):
        running_without_an_owner()
    found: dict[str, Any] = {check.name: rows for check, rows in fsck.check_all(limit=2)}
    assert len(found["I2"]) == 2
    assert json.dumps(found)
