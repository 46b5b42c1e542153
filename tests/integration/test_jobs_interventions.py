"""Interventions over HTTP: what each does, who may, and what is said where the state forbids it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from core.clock import database_now
from core.ids import encode
from core.shortcache import forget_everything
from core.tenancy import scopes
from core.times import to_ms
from jobs import notices, wakeup
from jobs.lifecycle import intervene
from jobs.models import Execution, Job, JobEvent
from tests.conformance.world import claim_one, complete, fail, fresh, make_due, new_job, postpone, runs_of
from tests.integration.api import OPERATOR, Api, key_of, told
from tests.integration.dispatch_world import ACTIONS, BODY, catalog, job_of

pytestmark = pytest.mark.django_db

HOURLY = {"every": 3_600_000}
VERBS = ("cancel", "pause", "resume", "reschedule", "retry", "trigger")


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    forget_everything()
    yield
    forget_everything()


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What was told to workers, schedulers and queues."""
    heard: list[tuple[str, Any]] = []
    monkeypatch.setattr(notices, "tell_stopped", lambda runs: heard.append(("stopped", list(runs))))
    monkeypatch.setattr(notices, "tell_due", lambda: heard.append(("due", None)))
    monkeypatch.setattr(wakeup, "wake", lambda queues: heard.append(("wake", list(queues))))
    return heard


def url(job: Job, verb: str = "") -> str:
    return f"/v1/jobs/{encode('job', job.pk)}" + (f"/{verb}" if verb else "")


def later(**schedule: Any) -> Job:
    return new_job({**schedule, "start_at": to_ms(database_now() + timedelta(hours=1))})


def asked(job: Job, verb: str, body: Any = None) -> dict[str, Any]:
    answer = Api().post(url(job, verb), body)
    assert answer.status_code == 200, answer.content
    shown: dict[str, Any] = answer.json()
    assert shown["id"] == encode("job", job.pk)
    return shown


def test_cancel_keeps_the_reason_and_tells_the_worker(
    notes: list[tuple[str, Any]], django_capture_on_commit_callbacks: Any
) -> None:
    job = new_job()
    claim_one(job)

    with django_capture_on_commit_callbacks(execute=True):
        shown = asked(job, "cancel", {"reason": "Campaign ended early"})

    assert (shown["status"], shown["cancel_reason"]) == ("cancelled", "Campaign ended early")
    assert shown["completed_at"] == shown["cancelled_at"]
    assert notes == [("stopped", [run.pk for run in runs_of(job)])]
    (event,) = JobEvent.objects.filter(job_id=job.pk, type="job.cancelled")
    assert event.actor == "operator"


def test_pause_and_resume(notes: list[tuple[str, Any]], django_capture_on_commit_callbacks: Any) -> None:
    job = later(**HOURLY)

    paused = asked(job, "pause", {"note": "maintenance"})
    with django_capture_on_commit_callbacks(execute=True):
        resumed = asked(job, "resume")

    assert (paused["status"], paused["pause_note"]) == ("paused", "maintenance")
    assert "next_run_at" not in paused
    assert (resumed["status"], resumed["next_run_at"]) == ("scheduled", to_ms(job.scheduled_at))
    assert "pause_note" not in resumed
    assert notes == [("wake", ["default"]), ("due", None)]


def test_a_one_off_cannot_be_paused_or_triggered() -> None:
    job = later()

    assert told(Api().post(url(job, "pause"))) == (409, "not_recurring")
    assert told(Api().post(url(job, "trigger"))) == (409, "not_recurring")


def test_retry_runs_a_failed_job_again_now_or_later() -> None:
    now_job, later_job = new_job(), new_job()
    fail(claim_one(now_job))
    fail(claim_one(later_job))

    assert asked(now_job, "retry")["status"] == "queued"
    delayed = asked(later_job, "retry", {"delay": 60_000})
    assert (delayed["status"], delayed["retry_count"]) == ("scheduled", 0)
    assert delayed["next_attempt_at"] - delayed["updated_at"] == 60_000
    complete(claim_one(now_job))
    assert [run["trigger"] for run in Api().get(url(now_job, "history")).json()["executions"]] == ["retry", "schedule"]


def test_trigger_runs_once_more_and_leaves_the_grid() -> None:
    job = later(**HOURLY)

    shown = asked(job, "trigger")

    assert (shown["status"], shown["next_run_at"]) == ("queued", to_ms(job.scheduled_at))


def test_delete_is_refused_while_running_unless_forced(
    notes: list[tuple[str, Any]], django_capture_on_commit_callbacks: Any
) -> None:
    job = new_job()
    claim_one(job)
    (run,) = runs_of(job)

    refused = Api().delete(url(job))
    assert told(refused) == (409, "illegal_state")
    assert refused.json()["status_found"] == "running"
    with django_capture_on_commit_callbacks(execute=True):
        assert Api().delete(url(job) + "?force=true").status_code == 204

    assert notes == [("stopped", [run.pk])]
    assert told(Api().get(url(job))) == (404, "job_not_found")
    assert not Execution.objects.filter(job_id=job.pk).exists()


@pytest.mark.parametrize("verb", ["cancel", "reschedule", "retry", "pause", "resume"])
def test_a_state_that_forbids_it_is_told(verb: str) -> None:
    job = later(**HOURLY)
    intervene.cancel(job.pk)

    answer = Api().post(url(job, verb), {"every": 1000} if verb == "reschedule" else {})

    assert told(answer) == (409, "illegal_state")
    assert answer.json()["status_found"] == "cancelled"
    assert "cancelled" in answer.json()["detail"]


@pytest.mark.parametrize("verb", VERBS)
def test_strangers_and_keys_without_the_scope_change_nothing(verb: str) -> None:
    job = later(**HOURLY)
    before = Job.objects.filter(pk=job.pk).values().get()
    body = {"every": 5_000} if verb == "reschedule" else {}

    assert told(key_of("other", envs=("prd",)).post(url(job, verb), body)) == (404, "job_not_found")
    assert told(key_of(envs=("stg",)).post(url(job, verb), body)) == (404, "job_not_found")
    assert told(key_of(scopes_={scopes.JOBS_READ}).post(url(job, verb), body)) == (403, "scope_missing")
    assert told(Api(None).post(url(job, verb), body)) == (401, "unauthenticated")
    assert Job.objects.filter(pk=job.pk).values().get() == before


def test_a_stranger_deletes_nothing() -> None:
    job = later()

    assert told(key_of("other", envs=("prd",)).delete(url(job))) == (404, "job_not_found")
    assert told(key_of(scopes_={scopes.JOBS_READ}).delete(url(job))) == (403, "scope_missing")
    assert told(Api(None).delete(url(job))) == (401, "unauthenticated")
    assert Job.objects.filter(pk=job.pk).exists()


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("cancel", {"raeson": "x"}, "raeson"), ("cancel", {"reason": 1}, "reason"), ("cancel", {"reason": "x" * 2001}, "reason"),
        ("pause", {"reason": "x"}, "reason"), ("resume", {"note": []}, "note"), ("retry", {"delay": -1}, "delay"),
        ("retry", {"delay": "soon"}, "delay"), ("retry", {"delay": 10**15}, "delay"), ("trigger", {"now": True}, "now"),
        ("reschedule", {"start": 1}, "start"), ("reschedule", {"every": 5}, "every"), ("reschedule", {"cron": "x"}, "cron"),
        ("reschedule", {"cron": "* * * * *", "every": 1000}, "every"), ("reschedule", {"tz": "Mars/Olympus"}, "tz"),
        ("reschedule", {"start_at": "tomorrow"}, "start_at"), ("reschedule", {"cron": "0 0 30 2 *"}, "cron"),
    ],
)  # fmt: skip
def test_a_wrong_body_is_named_by_its_field(verb: str, body: Any, field: str) -> None:
    answer = Api().post(url(later(**HOURLY), verb), body)

    assert answer.status_code == 400, answer.content
    assert [error["field"] for error in answer.json()["errors"]] == [field]


# --- reschedule -----------------------------------------------------------------------------------


def test_a_one_off_moves_to_its_new_time() -> None:
    job, at = later(), to_ms(database_now() + timedelta(hours=2))

    shown = asked(job, "reschedule", {"start_at": at})

    assert (shown["status"], shown["scheduled_at"], shown["recurring"]) == ("scheduled", at, False)


def test_a_cron_keeps_its_zone_limit_and_end_unless_given() -> None:
    job = later(cron="0 9 * * *", tz="America/New_York", limit=4, endDate=4_000_000_000_000)

    shown = asked(job, "reschedule", {"cron": "0 10 * * *"})

    assert (shown["cron"], shown["tz"], shown["limit"]) == ("0 10 * * *", "America/New_York", 4)
    assert shown["end_date"] == 4_000_000_000_000
    assert asked(job, "reschedule", {"tz": "UTC"})["cron"] == "0 10 * * *"
    assert asked(job, "reschedule", {"limit": 9})["limit"] == 9
    assert "limit" not in asked(job, "reschedule", {"limit": None})


def test_a_new_interval_never_runs_at_once_and_a_given_start_is_its_anchor() -> None:
    job = later(**HOURLY)
    before = to_ms(database_now())

    shown = asked(job, "reschedule", {"every": 7_200_000})

    assert shown["status"] == "scheduled"
    assert 7_200_000 <= shown["next_run_at"] - before < 7_260_000
    at = to_ms(database_now() + timedelta(minutes=5))
    assert asked(job, "reschedule", {"every": 60_000, "start_at": at})["next_run_at"] == at


def test_one_off_and_recurring_turn_into_each_other(settings: Settings) -> None:
    settings.EXTRA_EXECUTORS = {"noop": "tests.acceptance.executors.Echo"}
    job = later()

    recurring = asked(job, "reschedule", {"every": 60_000, "limit": 3})
    assert (recurring["recurring"], recurring["every"], recurring["limit"]) == (True, 60_000, 3)
    at = to_ms(database_now() + timedelta(hours=3))
    assert asked(job, "reschedule", {"start_at": at})["every"] == 60_000
    once = asked(job, "reschedule", {"every": None, "start_at": at})
    assert (once["recurring"], once["scheduled_at"]) == (False, at)
    assert "limit" not in once


@pytest.mark.parametrize("grid", [{"cron": "0 9 * * *"}, {"every": 3_600_000}])
def test_a_start_without_an_offset_is_a_reading_of_the_clock_that_the_job_went_by(grid: dict[str, Any]) -> None:
    zone = {"tz": "America/New_York"} if "cron" in grid else {}
    job = new_job({**grid, **zone})
    once = asked(job, "reschedule", {**dict.fromkeys(grid), "start_at": "2035-07-01T09:00"})
    at = datetime(2035, 7, 1, 13 if zone else 9, tzinfo=UTC)
    assert (once["recurring"], once["scheduled_at"], once["schedule"]["start_at"]) == (False, to_ms(at), to_ms(at))


def test_a_one_off_with_a_key_of_its_own_does_not_become_recurring() -> None:
    catalog()
    given = {**BODY, "input": {"headers": {"Idempotency-Key": "mine"}}, "schedule": {"start_at": "2100-01-01T00:00Z"}}
    job = job_of(Api().post(ACTIONS, given))

    answer = Api().post(url(job, "reschedule"), {"every": 60_000})

    assert [error["field"] for error in answer.json()["errors"]] == ["input.headers.Idempotency-Key"]
    assert (answer.status_code, fresh(job).recurring) == (400, False)
    assert not JobEvent.objects.filter(job_id=job.pk, type="job.rescheduled").exists()


def test_a_paused_job_stays_paused_and_a_limit_already_reached_is_400() -> None:
    job = later(**HOURLY)
    asked(job, "pause")
    assert asked(job, "reschedule", {"every": 60_000})["status"] == "paused"
    ran = new_job({"every": 60_000, "limit": 5})
    complete(claim_one(ran))

    answer = Api().post(url(ran, "reschedule"), {"limit": 1})

    assert [error["field"] for error in answer.json()["errors"]] == ["limit"]


def test_an_occurrence_that_ran_does_not_run_again_on_the_same_grid() -> None:
    job = new_job(HOURLY)
    complete(claim_one(job))
    upcoming = fresh(job).next_run_at

    shown = asked(job, "reschedule", {"limit": 10})

    assert shown["next_run_at"] == to_ms(upcoming)  # type: ignore[arg-type]  # it recurs
    make_due(job)
    assert Execution.objects.filter(job=job).count() == 2


def test_a_back_off_is_dropped_and_a_running_one_off_has_no_next_run() -> None:
    job = later(**HOURLY)
    make_due(job)
    postpone(claim_one(job))

    assert "next_attempt_at" not in asked(job, "reschedule", {"every": 60_000})
    running = new_job()
    claim_one(running)
    assert told(Api().post(url(running, "reschedule"), {"start_at": 1})) == (409, "illegal_state")


def test_nothing_to_change_is_told() -> None:
    assert told(Api().post(url(later(), "reschedule"), {})) == (400, "nothing_to_change")
