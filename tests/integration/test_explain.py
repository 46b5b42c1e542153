"""`GET /v1/jobs/{id}/explain`: every reason, as data and in a sentence, for a moment and for now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from core import clock
from core.clock import database_now
from core.ids import encode
from core.shortcache import forget_everything
from core.times import to_ms
from jobs.explaining import Reason
from jobs.lifecycle import hold, intervene
from jobs.lifecycle.claim import claim
from jobs.lifecycle.promote import promote_due
from jobs.lifecycle.prune import prune
from jobs.lifecycle.reap import Reaped, lose
from jobs.lifecycle.reschedule import reschedule
from jobs.models import Execution, Job, JobEvent, Scheduler
from jobs.schedule import parse_schedule
from jobs.schedule.parsing import FURTHEST
from tests.conformance.clockwork import HOUR, MINUTE, Time, promote_all
from tests.conformance.world import claim_one, complete, environment, fail, fresh, new_job, postpone, runs_of, worker
from tests.documented import ROOT
from tests.integration.api import OPERATOR, Api

pytestmark = pytest.mark.django_db

HOURLY = {"every": 3_600_000}
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    forget_everything()
    yield
    forget_everything()


@pytest.fixture
def time() -> Iterator[Time]:
    with ExitStack() as stack:
        yield Time(stack)


def explained(job: Job, at: datetime | int | str | None = None) -> dict[str, Any]:
    moment = to_ms(at) if isinstance(at, datetime) else at
    answer = Api().get(f"/v1/jobs/{encode('job', job.pk)}/explain" + ("" if moment is None else f"?at={moment}"))
    assert answer.status_code == 200, answer.content
    shown: dict[str, Any] = answer.json()
    assert (shown["job_id"], shown["status"]) == (encode("job", job.pk), fresh(job).status)
    assert shown["sentence"].endswith((".", '."', '".')), shown["sentence"]
    return shown


def reason(job: Job, at: datetime | int | str | None = None) -> str:
    return str(explained(job, at)["reason"])


def scheduler() -> None:
    now = database_now()
    Scheduler.objects.update_or_create(host="h", pid=1, defaults={"started_at": now, "seen_at": now})


def hourly(time: Time, **schedule: Any) -> tuple[Job, datetime]:
    """A job every hour whose first run is done, and its first occurrence."""
    job = new_job({**HOURLY, **schedule})
    complete(claim_one(job))
    time.pass_(MINUTE)
    anchor = fresh(job).anchor_at
    assert anchor is not None
    return job, anchor


# --- runs ---------------------------------------------------------------------------------------


def test_an_occurrence_that_ran_is_told_with_its_run(time: Time) -> None:
    job = new_job(HOURLY)
    time.pass_(5 * SECOND)
    complete(claim_one(job), '{"n": 1}')

    shown = explained(job, job.scheduled_at)

    assert (shown["reason"], shown["at"], shown["occurrence"]) == ("ran", to_ms(job.scheduled_at), shown["at"])
    assert (shown["execution"]["number"], shown["execution"]["result"]) == (1, {"n": 1})
    assert (
        re.fullmatch(
            r"The occurrence of .* UTC ran: run 1 began at .* UTC, 5\d{3} milliseconds after it was due, and completed\.",
            shown["sentence"],
        )
        or "5 seconds after it was due" in shown["sentence"]
    )


def test_a_triggered_run_and_a_failed_one_tell_so(time: Time) -> None:
    job, _ = hourly(time)
    intervene.trigger(job.pk)
    at = runs_of(job)[-1].scheduled_at
    fail(claim_one(job))
    shown = explained(job, at)
    assert shown["reason"] == "ran"
    assert "Somebody triggered the job" in shown["sentence"]
    assert shown["sentence"].endswith("and failed (VALIDATION_ERROR).")


def test_a_run_under_way_is_running(time: Time) -> None:
    job = new_job()
    claim_one(job)
    time.pass_(MINUTE)
    for at in (None, job.scheduled_at, database_now() - 30 * SECOND):
        assert reason(job, at) == "running"
    assert explained(job)["execution"]["number"] == 1


def test_moments_within_a_run_are_told_by_its_attempts(time: Time) -> None:
    job = new_job(HOURLY, retries=1)
    time.pass_(10 * SECOND)
    first = claim_one(job)
    time.pass_(10 * SECOND)
    postpone(first, delay_ms=10_000)
    time.pass_(12 * SECOND)
    promote_due()
    complete(claim_one(job))
    begin = job.scheduled_at
    assert [reason(job, begin + after * SECOND) for after in (5, 15, 25)] == [
        "waited_to_begin", "ran", "between_attempts",
    ]  # fmt: skip


# --- what waits ---------------------------------------------------------------------------------


def test_a_queued_run_says_what_it_waits_for() -> None:
    job = new_job(concurrency_key="disk")
    assert (reason(job), explained(job)["queue"]) == ("no_worker", "default")
    owner = worker()
    assert reason(job) == "waits_for_worker"
    other = new_job(concurrency_key="disk", priority=9)
    assert [taken.job_id for taken in claim(owner, "default", 2)] == [other.pk]
    shown = explained(job)
    assert (shown["reason"], shown["concurrency_key"]) == ("concurrency_limit", "disk")
    place = environment()
    hold.hold(product_id=place.product_id, environment_id=None, namespace="", note="upgrade", actor="ann")
    shown = explained(job, job.scheduled_at)
    assert (shown["reason"], shown["note"], shown["by"], shown["hold"]["note"]) == ("held", "upgrade", "ann", "upgrade")


def test_an_occurrence_behind_an_open_run_waits_for_it(time: Time) -> None:
    job = new_job({**HOURLY, "overlap": "queue"})
    claim_one(job)
    time.pass_(HOUR)
    promote_all()
    shown = explained(job, runs_of(job)[1].scheduled_at)
    assert shown["reason"] == "previous_run_open"
    assert "run 1" in shown["sentence"]


def test_a_back_off_and_a_delayed_retry_say_until_when(time: Time) -> None:
    waiting = new_job(retries=1)
    postpone(claim_one(waiting), delay_ms=60_000)
    shown = explained(waiting)
    assert (shown["reason"], shown["until"]) == ("backoff", to_ms(runs_of(waiting)[0].due_at))
    assert reason(waiting, database_now() + 30 * SECOND) == "backoff"
    delayed = new_job()
    fail(claim_one(delayed))
    intervene.retry(delayed.pk, delay=MINUTE)
    assert reason(delayed) == "delayed"
    time.pass_(2 * MINUTE)
    assert reason(waiting) == "no_scheduler"


def test_an_occurrence_that_nobody_opens_waits_for_a_scheduler(time: Time) -> None:
    job, anchor = hourly(time)
    time.to(anchor + HOUR + MINUTE)
    for at in (None, anchor + HOUR, anchor + HOUR + SECOND):
        assert reason(job, at) == "no_scheduler"
    scheduler()
    assert reason(job) == "not_opened_yet"


def test_an_occurrence_waits_for_its_jitter(time: Time) -> None:
    start = database_now().replace(microsecond=0) + HOUR
    jobs = [new_job({**HOURLY, "start_at": to_ms(start), "jitter": 1_800_000}) for _ in range(5)]
    due, job = max((job.next_due_at, job) for job in jobs if job.next_due_at is not None)
    time.to(start + SECOND)
    for at in (None, start):
        shown = explained(job, at)
        assert (shown["reason"], shown["until"]) == ("jitter", to_ms(due))


def test_a_job_that_waits_for_its_time_and_moments_to_come(time: Time) -> None:
    job, anchor = hourly(time)
    assert (explained(job)["reason"], explained(job)["next"]) == ("scheduled", to_ms(anchor + HOUR))
    assert reason(job, anchor + 2 * HOUR) == "scheduled"
    shown = explained(job, anchor + 90 * MINUTE)
    assert (shown["reason"], shown["previous"], shown["next"]) == (
        "not_an_occurrence", to_ms(anchor + HOUR), to_ms(anchor + 2 * HOUR),
    )  # fmt: skip


# --- what never ran -------------------------------------------------------------------------------


def test_skipped_occurrences_are_found_anywhere_in_their_row(time: Time) -> None:
    job = new_job(HOURLY)
    taken = claim_one(job)
    for _ in range(3):
        time.pass_(HOUR)
        promote_all()
    complete(taken)
    anchor = job.scheduled_at
    for hours in (1, 2, 3):
        shown = explained(job, anchor + hours * HOUR)
        assert (shown["reason"], shown["execution"]["count"]) == ("skipped_previous_running", 3)
        assert shown["occurrence"] == to_ms(anchor + hours * HOUR)
    assert reason(job, anchor + 90 * MINUTE) == "ran"


def test_what_a_lost_run_and_a_hold_crowd_out(time: Time) -> None:
    lost = new_job(HOURLY)
    owner = worker()
    taken = claim_one(lost, worker_id=owner)
    lose([(taken.run_id, taken.job_id)], error="gone", counted=True, reaped=Reaped(), owner_id=owner)
    place = environment()
    held = new_job(HOURLY, namespace="echo")
    hold.hold(product_id=place.product_id, environment_id=None, namespace="echo", note="", actor="ann")
    time.pass_(HOUR)
    promote_all()
    assert reason(lost, lost.scheduled_at + HOUR) == "skipped_previous_lost"
    assert reason(held, held.scheduled_at + HOUR) == "skipped_held"


def test_what_was_missed_while_no_scheduler_was_up(time: Time) -> None:
    job, anchor = hourly(time)
    time.to(anchor + 5 * HOUR + 2 * MINUTE)
    promote_all()
    for hours in (1, 2, 3, 4):
        shown = explained(job, anchor + hours * HOUR)
        assert (shown["reason"], shown["execution"]["count"]) == ("missed", 4)
        assert "no scheduler was there in time" in shown["sentence"]
    assert reason(job, anchor + 5 * HOUR) == "no_worker"  # `misfire: once` makes up for the latest


def test_what_was_given_up_by_a_pause_or_a_reschedule(time: Time) -> None:
    paused, anchor = hourly(time, misfire="all", misfire_grace=0)
    moved, other = hourly(time, misfire="all", misfire_grace=0)
    time.to(other + 5 * HOUR + 10 * MINUTE)
    intervene.pause(paused.pk)
    reschedule(moved.pk, parse_schedule({"every": 60_000}, now=database_now() + MINUTE))
    assert reason(paused, anchor + 4 * HOUR) == "missed_paused"
    assert [reason(moved, other + hours * HOUR) for hours in (2, 4, 5)] == [
        "missed_rescheduled", "not_known", "missed_rescheduled",
    ]  # fmt: skip


def test_a_pause_is_told_with_who_and_why_also_when_it_is_over(time: Time) -> None:
    job, anchor = hourly(time)
    path = f"/v1/jobs/{encode('job', job.pk)}"
    Api().post(f"{path}/pause", {"note": "stock-taking"})
    time.to(anchor + 90 * MINUTE)
    for at in (None, anchor + HOUR, anchor + 2 * HOUR):
        shown = explained(job, at)
        assert (shown["reason"], shown["note"], shown["by"]) == ("paused", "stock-taking", "operator")
    assert explained(job)["sentence"].endswith(", and no occurrence runs until it is resumed.")  # a trigger does
    Api().post(f"{path}/resume")
    time.to(anchor + 150 * MINUTE)
    shown = explained(job, anchor + HOUR)
    assert (shown["reason"], shown["note"], shown["by"]) == ("paused", "stock-taking", "operator")
    assert 'with the note "stock-taking" until' in shown["sentence"]
    assert reason(job, anchor + 30 * MINUTE) == "paused"
    assert reason(job, anchor + 2 * HOUR) == "no_scheduler"


def test_a_cancelled_job_tells_the_reason(time: Time) -> None:
    job, anchor = hourly(time)
    Api().post(f"/v1/jobs/{encode('job', job.pk)}/cancel", {"reason": "campaign over"})
    time.pass_(2 * HOUR)
    for at in (None, anchor + HOUR, anchor + 90 * MINUTE, anchor + 50 * HOUR):
        shown = explained(job, at)
        assert (shown["reason"], shown["note"], shown["by"]) == ("cancelled", "campaign over", "operator")
    assert reason(job, anchor) == "ran"


def test_a_run_that_was_cancelled_before_it_began(time: Time) -> None:
    job = new_job()
    time.pass_(MINUTE)
    intervene.cancel(job.pk)
    assert reason(job, job.scheduled_at) == "cancelled"
    assert reason(job, job.scheduled_at + 30 * SECOND) == "waited_to_begin"


def test_the_bounds_of_a_schedule(time: Time) -> None:
    start = database_now().replace(microsecond=0) + HOUR
    job = new_job({**HOURLY, "start_at": to_ms(start), "limit": 2})
    ends = new_job({**HOURLY, "start_at": to_ms(start), "endDate": to_ms(start + HOUR)})
    assert reason(job, job.created_at - HOUR) == "before_creation"
    assert reason(job, start - 10 * MINUTE) == "before_start"
    assert reason(ends, start + 2 * HOUR) == "after_end_date"
    for hours in (0, 1):
        time.to(start + hours * HOUR)
        promote_all()
        complete(claim_one())
        complete(claim_one())
    time.pass_(2 * HOUR + MINUTE)
    for at in (None, start + 2 * HOUR, start + 2 * HOUR + MINUTE, start + 90 * HOUR):
        assert reason(job, at) == "limit_reached"
        assert reason(ends, at) == "after_end_date"


def test_a_limit_of_one_is_of_one_run(time: Time) -> None:
    job, anchor = hourly(time, limit=1)
    assert explained(job)["sentence"].startswith("The limit of 1 run was reached with the occurrence of ")
    assert reason(job, anchor + HOUR) == "limit_reached"


def test_a_one_off_before_and_after_its_run(time: Time) -> None:
    start = database_now().replace(microsecond=0) + HOUR
    job = new_job({"start_at": to_ms(start)})
    assert reason(job, start - MINUTE) == "before_start"
    assert reason(job, start) == "scheduled"
    assert explained(job, start + MINUTE)["previous"] == to_ms(start)
    time.to(start)
    promote_all()
    complete(claim_one(job))
    time.pass_(HOUR)
    assert reason(job, start) == "ran"
    assert (reason(job), reason(job, start + 90 * HOUR)) == ("ended", "ended")
    shown = explained(job, start + MINUTE)
    assert (shown["reason"], shown["previous"]) == ("not_an_occurrence", to_ms(start))


@pytest.mark.parametrize(
    ("policy", "instead"), [({}, datetime(2035, 3, 11, 7, tzinfo=UTC)), ({"dst_gap": "skip"}, None)]
)
def test_a_reading_that_the_clock_does_not_show(policy: dict[str, Any], instead: datetime | None) -> None:
    job = new_job({"cron": "30 2 * * *", "tz": "America/New_York", **policy})
    shown = explained(job, datetime(2035, 3, 11, 7, 30, tzinfo=UTC))
    assert shown["reason"] == "dst_gap"
    assert shown["sentence"].startswith("2035-03-11 02:30 does not exist in America/New_York")
    assert shown.get("instead") == (to_ms(instead) if instead else None)
    assert reason(job, datetime(2035, 3, 11, 7, tzinfo=UTC)) == ("scheduled" if instead else "not_an_occurrence")


@pytest.mark.parametrize(
    "schedule",
    [
        {"cron": "30 2,14 * * *", "dst_gap": "skip"},
        {"cron": "*/15 2,14 * * *"},
        {"cron": "30 2 * * *", "dst_gap": "skip"},
    ],
)
def test_of_a_reading_that_is_left_out_nothing_is_said_about_the_rest_of_the_day(schedule: dict[str, Any]) -> None:
    job = new_job({"tz": "America/New_York", **schedule})
    shown = explained(job, datetime(2035, 3, 11, 7, 30, tzinfo=UTC))
    assert shown["sentence"] == (
        "2035-03-11 02:30 does not exist in America/New_York: the clock was put forward; no run takes its place."
    )


def test_a_reading_that_comes_twice_is_written_with_its_offset() -> None:
    job = new_job({"cron": "30 1 * * *", "tz": "America/New_York"})
    shown = explained(job, datetime(2035, 11, 4, 6, 30, tzinfo=UTC))
    assert shown["sentence"] == (
        "2035-11-04 01:30 comes twice in America/New_York, where the clock is put back; "
        "it runs at 2035-11-04 01:30:00-04:00 America/New_York."
    )
    wildcard = new_job({"cron": "*/30 1 * * *", "tz": "America/New_York"})
    shown = explained(wildcard, datetime(2035, 11, 4, 6, 30, tzinfo=UTC))
    assert shown["sentence"] == "It is to run at 2035-11-04 01:30:00-05:00 America/New_York, and waits for that time."
    hourly = new_job({"cron": "0 * * * *", "tz": "America/New_York"})
    shown = explained(hourly, datetime(2035, 11, 4, 7, tzinfo=UTC))
    assert shown["sentence"] == "It is to run at 2035-11-04 02:00:00 America/New_York, and waits for that time."


@pytest.mark.parametrize(("policy", "left_out", "runs"), [("first", 6, 5), ("last", 5, 6)])
def test_a_reading_that_comes_twice(policy: str, left_out: int, runs: int) -> None:
    job = new_job({"cron": "30 1 * * *", "tz": "America/New_York", "dst_overlap": policy})
    shown = explained(job, datetime(2035, 11, 4, left_out, 30, tzinfo=UTC))
    assert (shown["reason"], shown["instead"]) == ("dst_overlap", to_ms(datetime(2035, 11, 4, runs, 30, tzinfo=UTC)))
    assert reason(job, datetime(2035, 11, 4, runs, 30, tzinfo=UTC)) == "scheduled"


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2035-03-10T02:30", "scheduled"),
        ("2035-03-10T02:30:00Z", "not_an_occurrence"),
        ("2035-03-10T07:30:00Z", "scheduled"),
        ("2035-03-11T02:30", "dst_gap"),
        ("2035-03-11T03:00", "scheduled"),
        ("2035-03-12T02:30", "scheduled"),
        ("2035-11-04T02:30", "scheduled"),
    ],
)
def test_a_moment_without_an_offset_is_a_reading_of_the_jobs_clock(at: str, expected: str) -> None:
    assert reason(new_job({"cron": "30 2 * * *", "tz": "America/New_York"}), at) == expected


def test_a_moment_without_an_offset_and_without_a_time_zone_is_utc() -> None:
    job = new_job({"cron": "30 2 * * *"})
    assert reason(job, "2035-03-11T02:30") == "scheduled"
    assert explained(job, "2035-03-11T02:30")["at"] == to_ms(datetime(2035, 3, 11, 2, 30, tzinfo=UTC))


# --- what is not known ----------------------------------------------------------------------------


def test_what_was_before_a_reschedule_is_told_by_its_rows_alone(time: Time) -> None:
    job, anchor = hourly(time)
    time.to(anchor + 90 * MINUTE)
    promote_all()
    complete(claim_one(job))
    reschedule(job.pk, parse_schedule({"every": 60_000}, now=database_now() + MINUTE))
    assert reason(job, anchor) == "ran"
    assert reason(job, anchor + HOUR) == "ran"
    assert reason(job, anchor + 30 * MINUTE) == "not_known"
    assert reason(job, database_now() + MINUTE * 60 + 30 * SECOND) == "not_an_occurrence"


def test_what_has_been_pruned_is_not_known(time: Time) -> None:
    job, anchor = hourly(time)
    for hours in (1, 2):
        time.to(anchor + hours * HOUR)
        promote_all()
        complete(claim_one(job))
    assert reason(job, anchor) == "ran"
    time.pass_(MINUTE)
    prune(timedelta(0))
    assert [run.number for run in Execution.objects.filter(job=job)] == [3]
    assert JobEvent.objects.filter(job_id=job.pk).count() == 1
    assert reason(job, anchor) == "not_known"
    assert reason(job, anchor + 30 * MINUTE) == "not_known"
    assert reason(job, anchor + 2 * HOUR) == "ran"


# --- the call -------------------------------------------------------------------------------------


def test_a_moment_is_milliseconds_or_iso_8601() -> None:
    job = new_job({"cron": "0 9 * * *"})
    assert reason(job, "2099-01-01T09:00:00Z") == reason(job, 4_070_941_200_000) == "scheduled"


@pytest.mark.parametrize("schedule", [None, HOURLY, {"cron": "0 9 * * *", "tz": "America/New_York"}])
def test_the_first_and_the_furthest_moments_are_answered(schedule: dict[str, Any] | None) -> None:
    job = new_job(schedule)
    assert reason(job, 0) == "before_creation"
    furthest = (database_now() + FURTHEST).replace(microsecond=0)
    assert reason(job, furthest - SECOND) == "not_an_occurrence"


@pytest.mark.parametrize(
    "query", ["at=x", "at=-1", "at=253402300800000", "at=253402300799999", "at=1&at=2", "when=5", "at=1e3"]
)
def test_a_wrong_moment_is_400_and_names_the_field(query: str) -> None:
    job = new_job()
    answer = Api().get(f"/v1/jobs/{encode('job', job.pk)}/explain?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] in {"at", "when"}


def test_the_page_tells_every_reason_and_no_other() -> None:
    page = (ROOT / "docs" / "explain.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == ["reason", *map(str, Reason)]


def test_a_long_history_costs_a_few_looks_at_indexes(time: Time) -> None:
    job, anchor = hourly(time)
    past = Execution.objects.get(job=job)
    Execution.objects.bulk_create(
        Execution(
            job=job, number=number, trigger="schedule", status="completed", scheduled_at=anchor + number * HOUR,
            due_at=anchor, product_id=past.product_id, environment_id=past.environment_id, namespace="noop",
            queue="default", priority=5, attempt=1, created_at=anchor, run_started_at=anchor + number * HOUR,
            started_at=anchor + number * HOUR, finished_at=anchor + number * HOUR + MINUTE,
        )
        for number in range(2, 1_002)
    )  # fmt: skip
    Job.objects.filter(pk=job.pk).update(execution_count=1_001, next_run_at=anchor + 1_002 * HOUR)
    with clock.shift(1_001 * HOUR), CaptureQueriesContext(connection) as queries:
        assert reason(job, anchor + 500 * HOUR + SECOND) == "ran"
    assert len(queries) <= 20
