"""`run_due` does what the scheduler and the workers would have done: the same rows, for the same schedules and outcomes.

Beside it the real steps, one after the other, with the clock stopped at each moment at which something is due.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from core import clock
from executors.base import Call, Done, Failed, Outcome
from jobs.lifecycle import intervene
from jobs.lifecycle.claim import claim
from jobs.lifecycle.hold import hold, release
from jobs.lifecycle.promote import next_due
from jobs.lifecycle.settle import settle
from jobs.listening import listen
from jobs.models import Execution, Job, JobEvent
from jobs.runner.outcome import decide
from jobs.scheduler import waiting_queues
from jobs.states import EventType
from jobs.testing import clock_at, run_due
from tests.conformance.clockwork import promote_all
from tests.conformance.world import environment, new_job, worker

pytestmark = pytest.mark.django_db

BEGIN = datetime(2026, 3, 7, 12, 30, tzinfo=UTC)  # the day before New York's clocks go forward
HOUR, MINUTE, DAY = 3_600_000, 60_000, 86_400_000
Answering = Callable[[int, int], Outcome]
Until = Callable[[datetime], None]


def completed(number: int, attempt: int) -> Outcome:
    return Done({"number": number, "attempt": attempt})


def failing(number: int, attempt: int) -> Outcome:
    """Each third run fails, for good."""
    if number % 3:
        return completed(number, attempt)
    return Failed(code="VALIDATION_ERROR", message=f"no {number}", retryable=False, result={"half": number})


def unsteady(number: int, attempt: int) -> Outcome:
    """Each second run fails at its first two attempts, each fourth at all."""
    if number % 2 or (attempt > 2 and number % 4):
        return completed(number, attempt)
    return Failed(code="TIMEOUT", message="slow", retryable=True)


RETRIED = {"retries": 2, "retry_config": {"initialDelay": 150_000, "backoffMultiplier": 1, "jitter": False}}

# What is dispatched at BEGIN, what its runs answer, and for how many hours time passes.
CASES: dict[str, tuple[list[dict[str, Any]], Answering, float]] = {
    "an hourly cron where the clocks change": ([{"cron": "0 * * * *", "tz": "America/New_York"}], completed, 30),
    "a daily cron in the hour that is left out": ([{"cron": "30 2 * * *", "tz": "America/New_York"}], completed, 72),
    "a limit": ([{"every": HOUR, "limit": 5}], completed, 24),
    "a limit that a failure ends": ([{"every": HOUR, "limit": 6}], failing, 24),
    "an end date": ([{"every": HOUR, "endDate": "2026-03-07T20:30:00Z"}], completed, 24),
    "a jitter": ([{"every": HOUR, "jitter": HOUR // 2}], completed, 48),
    "runs that fail": ([{"every": HOUR}], failing, 30),
    "runs that are tried again": ([{"every": HOUR}], unsteady, 12),
    "back-offs over the next occurrence": ([{"every": MINUTE}], unsteady, 0.4),
    "back-offs, one occurrence waits": ([{"every": MINUTE, "overlap": "queue"}], unsteady, 0.4),
    "several schedules": (
        [{"every": HOUR, "start_at": "2026-03-07T13:10:00Z"}, {"cron": "*/20 * * * *", "limit": 20}, {"every": DAY}, {}],
        unsteady,
        5,
    ),
    "one-offs": ([{"start_at": "2026-03-07T18:00:00Z"}, {"start_at": "2026-03-07T15:00:00Z"}, {}], failing, 24),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _noop(settings: Any) -> None:
    settings.EXTRA_EXECUTORS = {"noop": "tests.acceptance.executors.Echo"}


def the_real_steps(answering: Answering) -> Until:
    """A scheduler and a worker, each thing done when it is due."""

    def until(end: datetime) -> None:
        owner = worker()
        with clock.stopped(clock.database_now()) as move:
            while True:
                promote_all()
                for queue in waiting_queues():
                    while taken := claim(owner, queue, 100):
                        for each in taken:
                            settle([decide(each, answering(each.number, each.attempt), random=0.0)])
                following = next_due().first
                if following is None or following > end:
                    return
                if following > clock.database_now():
                    move(following)
                else:
                    promote_all()

    return until


def the_driver(answering: Answering) -> Until:
    def until(end: datetime) -> None:
        run_due(end, answer=lambda call: answering(_number(call), call.attempt))

    return until


def the_driver_through_executors(answering: Answering) -> Until:
    """No stand-in: the executor is asked in the event loop."""
    from tests.acceptance.executors import Echo

    async def execute(self: Echo, call: Call) -> Outcome:
        return answering(_number(call), call.attempt)

    def until(end: datetime) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Echo, "execute", execute)
            run_due(end)

    return until


def _number(call: Call) -> int:
    return int(call.run_key.split(":")[1])


def rows(jobs: list[Job]) -> list[Any]:
    """All that is known of the jobs, without the ids of rows."""
    known: list[Any] = []
    for job in jobs:
        (found,) = Job.objects.filter(pk=job.pk).values()
        columns: dict[str, Any] = dict(found)
        last = Execution.objects.filter(pk=columns.pop("last_run_id")).values_list("number", flat=True).first()
        runs = [{**run, "id": None} for run in Execution.objects.filter(job=job).order_by("id").values()]
        events = [{**event, "id": None} for event in JobEvent.objects.filter(job_id=job.pk).order_by("id").values()]
        known.append((columns, last, runs, events))
    return known


def rehearsed(jobs: list[Job], steps: Callable[[Until], None], until: Until) -> list[Any]:
    """What the steps leave behind, taken back afterwards."""
    with transaction.atomic():
        steps(until)
        left = rows(jobs)
        transaction.set_rollback(True)
    return left


@pytest.fixture
def begun() -> Iterator[None]:
    with clock_at(BEGIN):
        yield


@pytest.mark.parametrize("name", CASES)
def test_the_history_is_the_one_of_the_real_steps(name: str, begun: None) -> None:
    schedules, answering, hours = CASES[name]
    jobs = [new_job(schedule, **RETRIED) for schedule in schedules]

    def steps(until: Until) -> None:
        until(BEGIN + timedelta(hours=hours))

    expected = rehearsed(jobs, steps, the_real_steps(answering))
    assert sum(len(runs) for _, _, runs, _ in expected) >= 2
    assert rehearsed(jobs, steps, the_driver(answering)) == expected
    assert rehearsed(jobs, steps, the_driver_through_executors(answering)) == expected


def test_a_pause_drops_occurrences_and_a_hold_lets_one_wait_as_ever(begun: None) -> None:
    jobs = [new_job({"every": HOUR}), new_job({"cron": "15 * * * *"})]
    place = environment()

    def steps(until: Until) -> None:
        until(BEGIN + timedelta(hours=3))
        with clock_at(BEGIN + timedelta(hours=3, minutes=10)):
            intervene.pause(jobs[0].pk)
            until(BEGIN + timedelta(hours=7))
        with clock_at(BEGIN + timedelta(hours=7, minutes=10)):
            intervene.resume(jobs[0].pk)
            hold(product_id=place.product_id, environment_id=place.pk, namespace="noop", note="", actor="")
            until(BEGIN + timedelta(hours=12))
        with clock_at(BEGIN + timedelta(hours=12, minutes=20)):
            release(product_id=place.product_id, environment_id=place.pk, namespace="noop")
            until(BEGIN + timedelta(hours=20))

    expected = rehearsed(jobs, steps, the_real_steps(completed))
    assert {run["status"] for run in expected[1][2]} == {"completed", "skipped"}
    assert rehearsed(jobs, steps, the_driver(completed)) == expected


def test_a_concurrency_key_is_kept(begun: None) -> None:
    jobs = [new_job({"every": HOUR}, concurrency_key="one") for _ in range(3)]

    def steps(until: Until) -> None:
        until(BEGIN + timedelta(hours=6))

    assert rehearsed(jobs, steps, the_driver(completed)) == rehearsed(jobs, steps, the_real_steps(completed))


def test_each_run_sees_its_own_time_and_the_clock_is_afterwards_what_it_was(begun: None) -> None:
    new_job({"cron": "0 9 * * *", "tz": "America/New_York"})
    seen: list[datetime] = []
    ran = run_due("2026-03-10T00:00Z", answer=lambda call: seen.append(clock.database_now()))
    assert [at.isoformat() for at in seen] == [
        "2026-03-07T14:00:00+00:00",
        "2026-03-08T13:00:00+00:00",  # nine o'clock there is an hour earlier from now on
        "2026-03-09T13:00:00+00:00",
    ]
    assert [each.at for each in ran] == [each.scheduled_at for each in ran] == seen
    assert clock.database_now() == BEGIN


def test_a_run_that_looks_at_the_jobs_sees_itself_running_and_those_before_it_ended(begun: None) -> None:
    job = new_job({"every": HOUR})
    seen: list[list[str]] = []

    def look(call: Call) -> None:
        seen.append(list(Execution.objects.filter(job=job).order_by("id").values_list("status", flat=True)))

    run_due(BEGIN + timedelta(hours=3), answer=look)
    assert seen == [["completed"] * before + ["running"] for before in range(4)]


def test_a_run_may_cancel_its_own_job_and_its_outcome_counts_no_more(begun: None) -> None:
    job = new_job({"every": HOUR})

    def third(call: Call) -> None:
        if _number(call) == 3:
            intervene.cancel(job.pk, reason="enough")

    ran = run_due(BEGIN + timedelta(hours=9), answer=third)
    assert [each.status for each in ran] == ["completed", "completed", "cancelled"]
    job.refresh_from_db()
    assert (job.status, job.execution_count, job.successful_executions) == ("cancelled", 3, 2)


def test_what_is_cancelled_by_the_run_before_it_is_not_made(begun: None) -> None:
    first, second = new_job(priority=9), new_job(priority=1)

    def cancel(call: Call) -> None:
        intervene.cancel(second.pk, reason="first")

    ran = run_due(answer=cancel)
    assert [(each.number, each.status) for each in ran] == [(1, "completed")]
    second.refresh_from_db()
    first.refresh_from_db()
    assert (first.status, second.status) == ("completed", "cancelled")


def test_what_a_run_rolls_back_takes_nothing_else_with_it(begun: None) -> None:
    job = new_job({"every": HOUR})

    def undone(call: Call) -> None:
        with transaction.atomic():
            assert Job.objects.get(pk=job.pk).status == "running"
            Job.objects.filter(pk=job.pk).update(cancel_reason="never")
            transaction.set_rollback(True)

    run_due(BEGIN + timedelta(hours=4), answer=undone)
    job.refresh_from_db()
    assert (job.execution_count, job.successful_executions, job.cancel_reason) == (5, 5, "")


def test_time_goes_on_from_call_to_call_and_overdue_runs_are_made_at_their_own_time() -> None:
    with clock_at(BEGIN):
        job = new_job({"every": HOUR})
    run_due(answer={})  # months later: an occurrence at each hour, none is missed
    assert set(Execution.objects.filter(job=job).values_list("status", flat=True)) == {"completed"}
    made = Execution.objects.filter(job=job)
    assert made.count() == (clock.database_now() - BEGIN) // timedelta(hours=1) + 1
    assert all(run.started_at == run.scheduled_at for run in made)


@pytest.mark.parametrize("wraps", [False, True])
def test_a_year_of_an_hourly_schedule_is_a_moment(wraps: bool) -> None:
    with clock_at("2026-01-01T00:00Z"):
        job = new_job({"cron": "0 * * * *", "tz": "America/New_York"})
        began = time.process_time()
        ran = run_due("2026-12-31T23:59Z", answer=None if wraps else {"ok": True})
        took = time.process_time() - began
    assert len(ran) == 8_760
    assert Execution.objects.filter(job=job, status="completed").count() == 8_760
    assert [each.number for each in ran] == list(range(1, 8_761))
    assert JobEvent.objects.filter(job_id=job.pk).count() == 8_760
    job.refresh_from_db()
    assert (job.status, job.execution_count) == ("scheduled", 8_760)
    assert job.next_run_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert took < 4.0  # of this process's own time; a second or so, where nothing else runs


@pytest.mark.django_db(transaction=True)
def test_without_a_transaction_around_it_each_outcome_is_committed(begun: None) -> None:
    job = new_job({"every": HOUR})

    def committed(call: Call) -> None:
        assert Job.objects.get(pk=job.pk).successful_executions == _number(call) - 1

    ran = run_due(BEGIN + timedelta(hours=5), answer=committed)
    assert [each.status for each in ran] == ["completed"] * 6
    assert not connection.in_atomic_block
    assert Execution.objects.filter(job=job, status="completed").count() == 6


def test_a_clock_that_is_stopped_again_inside_goes_back_to_where_it_stood() -> None:
    with ExitStack() as stack:
        stack.enter_context(clock_at(BEGIN))
        with clock_at("2030-01-01"):
            assert clock.machine_now() == datetime(2030, 1, 1, tzinfo=UTC)
        assert clock.machine_now() == BEGIN
    assert abs(clock.machine_now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_somebody_who_listens_is_told_of_each_run(begun: None) -> None:
    job = new_job({"every": HOUR, "start_at": BEGIN.isoformat()})
    listen([(0, type) for type in (EventType.STARTED, EventType.COMPLETED)])
    run_due(BEGIN + timedelta(hours=3, minutes=1))
    events = JobEvent.objects.filter(job_id=job.pk).order_by("seq")
    assert list(events.values_list("type", "number", "wanted")) == [
        (type, number, True) for number in (1, 2, 3, 4) for type in ("job.started", "job.completed")
    ]
