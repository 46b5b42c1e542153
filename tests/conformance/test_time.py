"""Schedules in the engine: what a scheduler makes of occurrences that are due, late, missed or crowded.

The clock is moved, the code is the scheduler's own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from core.clock import database_now
from core.errors import Invalid
from core.ids import encode
from core.times import to_ms
from core.zones import TZDATA_VERSION
from jobs.api.shapes import run_shape
from jobs.ended import ended_runs, last_event
from jobs.lifecycle import intervene
from jobs.lifecycle.claim import claim
from jobs.lifecycle.promote import PUT_OFF, next_due, promote_due
from jobs.lifecycle.reschedule import reschedule as transition
from jobs.lifecycle.settle import Finished, settle
from jobs.models import Execution, Job
from jobs.schedule import first_occurrence, parse_schedule, preview
from tests.conformance.clockwork import DAY, HOUR, MINUTE, Time, down_for, history, promote_all, run_through
from tests.conformance.world import claim_one, complete, fail, fresh, new_job, postpone, runs_of, worker

pytestmark = pytest.mark.django_db(transaction=True)

# --- misfire ---------------------------------------------------------------------------------


def test_once_runs_the_latest_of_what_was_missed_and_tells_the_rest_in_one_row(time: Time) -> None:
    job = down_for(time, HOUR + 30 * timedelta(seconds=1))
    anchor = fresh(job).anchor_at
    assert anchor is not None

    promote_all()

    missed, late, due = Execution.objects.filter(job=job, number__isnull=True).order_by("scheduled_at")
    assert (missed.status, missed.count, missed.skip_reason) == ("missed", 58, "no scheduler was there in time")
    assert (missed.scheduled_at, missed.last_scheduled_at) == (anchor + MINUTE, anchor + 58 * MINUTE)
    assert (late.status, late.scheduled_at) == ("queued", anchor + 59 * MINUTE)
    assert (due.status, due.skip_reason) == ("skipped", "previous run still running")  # the 60th, 30 s late
    assert fresh(job).next_run_at == anchor + 61 * MINUTE


def test_skip_waits_for_the_next_and_tells_what_was_missed(time: Time) -> None:
    job = down_for(time, HOUR + timedelta(seconds=2), misfire="skip", misfire_grace=0)
    promote_all()
    assert history(job) == [("completed", 1), ("missed", 60)]
    assert fresh(job).status == "scheduled"


def test_what_a_scheduler_comes_to_within_a_second_is_not_missed_whatever_the_grace(time: Time) -> None:
    job = down_for(time, MINUTE + timedelta(milliseconds=500), misfire="skip", misfire_grace=0)
    promote_all()
    assert history(job) == [("completed", 1), ("queued", 1)]


def test_all_runs_each_one_after_the_other_oldest_first(time: Time) -> None:
    job = down_for(time, HOUR, misfire="all")
    anchor = fresh(job).anchor_at
    assert anchor is not None
    promote_all()
    assert run_through(time) == 59  # the 60th is not missed, only due: it meets the run before it
    ran = [run.scheduled_at for run in runs_of(job) if run.status == "completed"]
    assert ran == [anchor + index * MINUTE for index in range(60)]
    assert [(run.status, run.scheduled_at - anchor) for run in runs_of(job) if run.number is None] == [
        ("skipped", HOUR)
    ]


def test_all_makes_up_for_a_thousand_and_tells_the_older_ones(time: Time) -> None:
    job = down_for(time, 1_200 * MINUTE, misfire="all")
    promote_all()
    assert [(run.status, run.count) for run in runs_of(job)][:3] == [("completed", 1), ("missed", 199), ("queued", 1)]


@pytest.mark.parametrize(("late", "status"), [(59, "queued"), (61, "missed")])
def test_less_late_than_the_grace_is_simply_late(time: Time, late: int, status: str) -> None:
    job = new_job({"every": 3_600_000, "misfire": "skip"})
    complete(claim_one(job))
    time.pass_(HOUR + timedelta(seconds=late))
    promote_all()
    assert runs_of(job)[1].status == status


def test_a_one_off_runs_however_late(time: Time) -> None:
    job = new_job({"start_at": int((database_now() + HOUR).timestamp() * 1000)})
    time.pass_(30 * DAY)
    promote_all()
    assert fresh(job).status == "queued"


# --- overlap, jitter, limit, end -------------------------------------------------------------


def test_an_interval_that_began_in_the_past_runs_at_once_and_is_not_late_by_that(time: Time) -> None:
    now = database_now()
    job = new_job({"every": 3_600_000, "start_at": to_ms(now - timedelta(hours=5, minutes=30))})

    run = Execution.objects.get(job=job)
    assert (run.status, now <= run.due_at == job.created_at) == ("queued", True)
    assert to_ms(run.scheduled_at) == to_ms(now - timedelta(minutes=30)) == to_ms(job.scheduled_at)
    assert fresh(job).next_run_at == run.scheduled_at + HOUR
    assert complete(claim_one(job))
    lateness = run_shape(Execution.objects.get(job=job))["lateness_ms"]
    assert 0 <= lateness < 60_000
    assert ended_runs(0, last_event(), limit=1)[0].lateness_ms == pytest.approx(lateness, abs=1)  # each rounds


def test_a_start_in_the_past_is_now_for_a_one_off_and_nothing_for_a_cron(time: Time) -> None:
    past = to_ms(database_now() - timedelta(days=3))
    once, cron = new_job({"start_at": past}), new_job({"start_at": past, "cron": "0 0 1 1 *"})
    assert (once.status, once.scheduled_at) == ("queued", once.created_at)
    assert (cron.status, cron.next_run_at) == ("scheduled", datetime(cron.created_at.year + 1, 1, 1, tzinfo=UTC))


def test_a_run_longer_than_its_interval_skips_what_comes_due_meanwhile(time: Time) -> None:
    job = new_job({"every": 60_000})
    taken = claim_one(job)
    for _ in range(3):
        time.pass_(MINUTE)
        promote_all()
    complete(taken)
    time.pass_(MINUTE)
    promote_all()
    assert history(job) == [("completed", 1), ("skipped", 3), ("queued", 1)]
    row = runs_of(job)[1]
    assert row.last_scheduled_at == row.scheduled_at + 2 * MINUTE
    assert (row.number, row.skip_reason) == (None, "previous run still running")
    assert fresh(job).execution_count == 1


def test_with_overlap_queue_one_waits_and_the_rest_is_one_row(time: Time) -> None:
    job = new_job({"every": 60_000, "overlap": "queue"})
    anchor = fresh(job).anchor_at
    assert anchor is not None
    taken = claim_one(job)
    for _ in range(4):
        time.pass_(MINUTE)
        promote_all()
    assert history(job) == [("running", 1), ("queued", 1), ("skipped", 3)]
    skipped = runs_of(job)[2]
    assert (skipped.scheduled_at, skipped.last_scheduled_at) == (anchor + 2 * MINUTE, anchor + 4 * MINUTE)
    complete(taken)
    assert claim_one(job).run_id == runs_of(job)[1].pk
    assert fresh(job).next_run_at == anchor + 5 * MINUTE


def test_the_last_run_that_a_limit_allows_leaves_no_row_for_what_follows(time: Time) -> None:
    job = down_for(time, HOUR, misfire="all", limit=3)
    promote_all()
    assert run_through(time) == 2
    assert history(job) == [("completed", 1)] * 3
    assert fresh(job).status == "completed"


def test_limit_counts_what_started_and_not_what_was_skipped(time: Time) -> None:
    job = new_job({"every": 60_000, "limit": 3})
    taken = claim_one(job)
    time.pass_(2 * MINUTE)
    promote_all()
    complete(taken)
    for _ in range(5):
        time.pass_(MINUTE)
        promote_all()
        run_through(time)
    after = fresh(job)
    assert (after.status, after.execution_count, after.occurrences_opened) == ("completed", 3, 3)


@pytest.mark.parametrize(("ends", "status"), [(complete, "completed"), (fail, "failed")])
def test_a_recurring_job_ends_by_how_its_last_run_ended(time: Time, ends: Any, status: str) -> None:
    job = new_job({"every": 60_000, "limit": 2})
    complete(claim_one(job))
    time.pass_(MINUTE)
    promote_all()
    ends(claim_one(job))
    assert fresh(job).status == status


def test_an_occurrence_at_exactly_the_end_date_runs_and_none_after(time: Time) -> None:
    start = database_now().replace(microsecond=0) + MINUTE
    end = start + 2 * MINUTE
    job = new_job({"every": 60_000, "start_at": start.isoformat(), "endDate": end.isoformat()})
    for _ in range(6):
        time.pass_(MINUTE)
        promote_all()
        run_through(time)
    assert [run.scheduled_at for run in runs_of(job)] == [start, start + MINUTE, end]
    assert fresh(job).status == "completed"


def test_a_schedule_that_ends_while_nobody_was_there_ends_by_its_last_run(time: Time) -> None:
    end = database_now() + 90 * timedelta(seconds=1)
    job = new_job({"every": 60_000, "endDate": end.isoformat(), "misfire": "skip"})
    fail(claim_one(job))
    time.pass_(DAY)
    promote_all()
    assert (fresh(job).status, history(job)) == ("failed", [("failed", 1), ("missed", 1)])


def test_jitter_moves_when_a_run_is_due_and_nothing_else(time: Time) -> None:
    job = new_job({"every": 3_600_000, "jitter": 1_800_000})
    complete(claim_one(job)) if fresh(job).status == "queued" else None
    before = fresh(job)
    assert before.next_run_at is not None
    assert before.next_due_at is not None
    assert before.anchor_at is not None
    assert timedelta(0) <= before.next_due_at - before.next_run_at <= timedelta(minutes=30)
    assert (before.next_run_at - before.anchor_at) % HOUR == timedelta(0)
    time.to(before.next_due_at + timedelta(milliseconds=1))
    promote_all()
    assert runs_of(job)[-1].scheduled_at == before.next_run_at


# --- pause, resume, reschedule ---------------------------------------------------------------


def test_occurrences_in_a_pause_are_dropped_and_resume_goes_on_on_the_same_grid(time: Time) -> None:
    job = new_job({"every": 60_000, "limit": 4})
    anchor = fresh(job).anchor_at
    assert anchor is not None
    complete(claim_one(job))
    time.pass_(MINUTE)
    promote_all()
    complete(claim_one(job))
    intervene.pause(job.pk)
    time.pass_(10 * MINUTE + timedelta(seconds=20))
    promote_all()
    assert history(job) == [("completed", 1), ("completed", 1)]

    intervene.resume(job.pk)

    assert fresh(job).next_run_at == anchor + 12 * MINUTE
    for _ in range(4):
        time.pass_(MINUTE)
        promote_all()
        run_through(time)
    assert [run.scheduled_at - anchor for run in runs_of(job)] == [0 * MINUTE, MINUTE, 12 * MINUTE, 13 * MINUTE]
    assert fresh(job).status == "completed"


def test_resumed_after_its_schedule_ended_it_is_finished(time: Time) -> None:
    job = new_job({"every": 60_000, "endDate": (database_now() + 2 * MINUTE).isoformat()})
    complete(claim_one(job))
    intervene.pause(job.pk)
    time.pass_(HOUR)
    intervene.resume(job.pk)
    assert fresh(job).status == "completed"


def test_a_new_interval_never_runs_at_once(time: Time) -> None:
    from jobs.operations.reschedule import reschedule

    job = new_job({"cron": "0 0 1 1 *"})
    now = database_now()
    reschedule(job.pk, {"every": 60_000})
    upcoming = fresh(job).next_run_at
    assert upcoming is not None
    assert MINUTE - timedelta(seconds=1) < upcoming - now < MINUTE + timedelta(seconds=10)


def test_a_new_interval_with_a_start_is_anchored_there(time: Time) -> None:
    from jobs.operations.reschedule import reschedule

    job = new_job({"every": 60_000})
    complete(claim_one(job))
    start = database_now().replace(microsecond=0) + HOUR
    reschedule(job.pk, {"every": 7_000, "start_at": start.isoformat()})
    assert (fresh(job).anchor_at, fresh(job).next_run_at) == (start, start)


def test_a_new_end_date_leaves_the_grid_where_it_is(time: Time) -> None:
    from jobs.operations.reschedule import reschedule

    job = new_job({"every": 60_000, "limit": 9})
    complete(claim_one(job))
    before = fresh(job)
    time.pass_(timedelta(seconds=30))
    reschedule(job.pk, {"endDate": (database_now() + DAY).isoformat()})
    after = fresh(job)
    assert (after.next_run_at, after.limit, after.execution_count) == (before.next_run_at, 9, 1)


def test_a_recurring_job_becomes_a_one_off_and_back(time: Time, settings: Settings) -> None:
    from jobs.operations.reschedule import reschedule

    settings.EXTRA_EXECUTORS = {"noop": "benchmarks.noop.NoOp"}  # asked whether it may recur
    job = new_job({"cron": "0 0 1 1 *", "tz": "Asia/Tokyo"})
    start = database_now().replace(microsecond=0) + HOUR
    reschedule(job.pk, {"cron": None, "start_at": start.isoformat()})
    once = fresh(job)
    assert (once.recurring, once.cron, once.next_run_at, once.scheduled_at) == (False, "", start, start)
    reschedule(job.pk, {"cron": "0 9 * * *", "tz": "Asia/Tokyo"})
    again = fresh(job)
    assert again.recurring
    assert again.next_run_at is not None
    assert (again.next_run_at.hour, again.next_run_at.minute) == (0, 0)  # nine in Tokyo


def test_a_limit_that_is_reached_already_cannot_be_asked_for(time: Time) -> None:
    from jobs.operations.reschedule import reschedule

    job = new_job({"every": 60_000})
    complete(claim_one(job))
    with pytest.raises(Invalid) as refused:
        reschedule(job.pk, {"every": 60_000, "limit": 1})
    assert refused.value.errors[0].field == "limit"


def test_a_back_off_does_not_move_the_grid(time: Time) -> None:
    job = new_job({"every": 60_000}, retries=1)
    grid = fresh(job).next_run_at
    postpone(claim_one(job), delay_ms=90_000)
    time.pass_(MINUTE)
    promote_all()
    assert history(job) == [("waiting", 1), ("skipped", 1)]
    time.pass_(timedelta(seconds=31))
    promote_all()
    complete(claim_one(job))
    assert grid is not None
    assert fresh(job).next_run_at == grid + MINUTE


# --- the clock of a zone ---------------------------------------------------------------------


def test_lateness_is_told_only_while_it_is_known_when_the_run_was_due(time: Time) -> None:
    jobs = {
        "punctual": new_job(),
        "retried": new_job({"every": 3_600_000, "start_at": to_ms(database_now() - HOUR / 2)}, retries=3),
        "dropped": new_job({"every": 3_600_000}, retries=3),
    }
    claims = {taken.job_id: taken for taken in claim(worker(), "default", 3)}
    punctual, retried, dropped = (claims[job.pk] for job in jobs.values())
    assert complete(punctual)
    assert postpone(retried, delay_ms=0)
    assert postpone(dropped, delay_ms=3_600_000)
    transition(jobs["dropped"].pk, parse_schedule({"every": 7_200_000}, now=database_now()))
    promote_due()
    assert complete(claim_one(jobs["retried"]))

    for name, job in jobs.items():
        run = Execution.objects.get(job=job, finished_at__isnull=False)
        assert ("lateness_ms" in run_shape(run)) == (name == "punctual"), name
    counted = [run.lateness_ms is not None for run in ended_runs(0, last_event(), limit=9)]
    assert counted == [True, False, False]


def test_a_year_of_schedules_runs_as_previewed(time: Time) -> None:
    """From New Year 2027 to New Year 2028, the scheduler's own code, a clock that is moved from due time to due time."""
    time.to(datetime(2027, 1, 1, tzinfo=UTC) - timedelta(seconds=1))
    begin = database_now()
    end = datetime(2028, 1, 1, tzinfo=UTC)
    given: list[dict[str, Any]] = [
        {"cron": "30 2 * * *", "tz": "America/New_York"},
        {"cron": "30 1 * * *", "tz": "America/New_York", "dst_overlap": "both"},
        {"cron": "15 2 * * SUN", "tz": "Australia/Lord_Howe", "dst_gap": "skip"},
        {"cron": "*/30 1-3 28-31 3,10 *", "tz": "Europe/Berlin"},  # a wildcard around both of its changes
        {"cron": "0 12 L * *", "tz": "Pacific/Apia"},
        {"every": 7 * 86_400_000, "limit": 20},
    ]
    jobs = [new_job(schedule) for schedule in given]
    owner = worker()
    while (due := next_due().first) is not None and due < end:
        if due > database_now():
            time.to(due)
        promote_all()
        taken = claim(owner, "default", 100)
        settle([Finished.completed(one.run_id, one.job_id, one.fence, "{}") for one in taken])

    for schedule, job in zip(given, jobs, strict=True):
        parsed = parse_schedule(schedule, now=begin)
        after = (first_occurrence(parsed, now=job.created_at) or begin) - timedelta(microseconds=1)
        expected: list[datetime] = []
        anchor = fresh(job).anchor_at
        anchored = parse_schedule({**schedule, "start_at": anchor.isoformat()}, now=begin) if anchor else parsed
        while True:
            told = preview(anchored, count=100, after=after if not expected else expected[-1]).occurrences
            expected += [at for at in told if at < end]
            if len(told) < 100 or told[-1] >= end:
                break
        ran = [(run.status, run.scheduled_at) for run in runs_of(job)]
        assert ran == [("completed", at) for at in expected[: schedule.get("limit", len(expected))]], schedule


def test_newer_time_zone_data_moves_what_the_old_put_elsewhere_and_says_so(time: Time) -> None:
    stays, moves = (new_job({"cron": "0 9 * * *", "tz": "Europe/Berlin"}) for _ in range(2))
    right = fresh(moves).next_run_at
    assert right is not None
    Job.objects.filter(pk__in=[stays.pk, moves.pk]).update(tzdata_version="2020.1")
    Job.objects.filter(pk=moves.pk).update(next_run_at=right + HOUR, next_due_at=right + HOUR)
    out = StringIO()

    call_command("recompute_schedules", stdout=out)

    after = fresh(moves)
    assert (after.next_run_at, after.next_due_at, after.tzdata_version) == (right, right, TZDATA_VERSION)
    assert fresh(stays).tzdata_version == TZDATA_VERSION
    assert out.getvalue().splitlines()[-1] == f"tzdata {TZDATA_VERSION}: 1 schedules moved"
    call_command("recompute_schedules", stdout=out)
    assert out.getvalue().splitlines()[-1] == f"tzdata {TZDATA_VERSION}: 0 schedules moved"


def test_older_time_zone_data_leaves_what_newer_computed() -> None:
    job = new_job({"cron": "0 9 * * *", "tz": "Europe/Berlin"})
    Job.objects.filter(pk=job.pk).update(tzdata_version="2999.1")
    call_command("recompute_schedules", stdout=StringIO())
    assert fresh(job).tzdata_version == "2999.1"


def test_a_promotion_reads_what_it_needs_at_once(time: Time) -> None:
    """Not a query more for a job more: nothing that it uses is read later, job by job."""
    given: list[dict[str, Any]] = [
        {"every": 60_000, "overlap": "queue"},
        {"cron": "* * * * *"},
        {"every": 60_000, "limit": 2},
    ]
    for schedule in given * 4:
        new_job(schedule)
    promote_all()
    run_through(time)
    time.pass_(MINUTE)
    with CaptureQueriesContext(connection) as queries:
        promoted = promote_due()
    assert promoted.runs == 12
    assert [
        query["sql"] for query in queries if 'FROM "jobs_job"' in query["sql"] and "next_due_at" not in query["sql"]
    ] == []


def test_a_new_grid_through_an_occurrence_that_ran_goes_on_after_it(time: Time) -> None:
    job = new_job({"every": 60_000})
    run_through(time)
    (ran,) = runs_of(job)
    time.pass_(timedelta(seconds=30))
    again = {"every": 120_000, "start_at": to_ms(ran.scheduled_at)}
    transition(job.pk, parse_schedule(again, now=database_now()), as_given=again)
    assert fresh(job).next_run_at == ran.scheduled_at + timedelta(minutes=2)
    time.pass_(2 * MINUTE)
    run_through(time)
    assert [run.scheduled_at for run in runs_of(job)] == [ran.scheduled_at, ran.scheduled_at + 2 * MINUTE]


def test_a_new_grid_through_what_was_missed_does_not_tell_it_again(time: Time) -> None:
    job = down_for(time, 10 * MINUTE, misfire="skip")
    promote_all()
    begin = runs_of(job)[0].scheduled_at
    missed = Execution.objects.get(job=job, status="missed")
    ninth = begin + 9 * MINUTE
    assert missed.scheduled_at < ninth <= (missed.last_scheduled_at or begin)
    again = {"every": 180_000, "start_at": to_ms(begin)}
    transition(job.pk, parse_schedule(again, now=database_now()), as_given=again)
    assert fresh(job).next_run_at == ninth + 3 * MINUTE


@pytest.mark.parametrize("schedule", [{"every": 60_000}, {"start_at": 1_000}])
def test_a_job_that_cannot_be_promoted_keeps_no_other_from_it(
    time: Time, schedule: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A bug made it due at an occurrence that the history has: the database refuses the row."""
    bad = new_job(schedule)
    run_through(time)
    (ran,) = runs_of(bad)
    good = [new_job({"every": 60_000}) for _ in range(3)]
    once = new_job({"start_at": to_ms(database_now() + MINUTE)})
    run_through(time)
    time.pass_(2 * MINUTE)
    Job.objects.filter(pk=bad.pk).update(
        status="scheduled", next_run_at=ran.scheduled_at, next_due_at=database_now() - HOUR, completed_at=None
    )
    promote_all()
    assert all("queued" in [run.status for run in runs_of(job)] for job in (*good, once))
    assert [run.pk for run in runs_of(bad)] == [ran.pk]
    put_off = fresh(bad)
    assert (put_off.status, put_off.next_run_at) == ("scheduled", ran.scheduled_at)
    assert put_off.next_due_at is not None
    assert timedelta(seconds=50) < put_off.next_due_at - database_now() <= PUT_OFF
    assert f"{encode('job', bad.pk)} cannot be promoted" in caplog.text
