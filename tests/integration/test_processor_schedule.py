"""`POST /v1/processor/jobs/schedule`: what its event, its time and its repetition come to (api.md §3; S1)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from pytest_django import Settings

from core.clock import database_now
from core.tenancy import scopes
from core.tenancy.auth import Principal
from core.times import to_ms
from jobs.models import Job, JobDefinition
from jobs.operations import scheduling, waiting
from jobs.operations.dispatch import Dispatched, dispatch
from jobs.operations.request import DispatchRequest
from jobs.operations.waiting import TooManyWaiting
from tests.conformance.world import claim_one, complete, fail
from tests.integration.api import OPERATOR, Api, key_of, told
from tests.integration.definition_world import (
    DEFINITIONS,
    HOUR,
    JOB,
    SCHEDULE,
    catalog,
    define,
    field_told,
    schedule,
    shown,
)
from tests.integration.dispatch_world import at_once

pytestmark = pytest.mark.django_db
EVENT: dict[str, Any] = {**JOB, "event": "action_tag"}
S1: dict[str, Any] = {
    "env": "prd",
    "product_tag": "shop",
    "event": "send_notification",
    "input": {"slug": "order_update", "callback": {"body": {"a": "XYZ987"}}},
    "start_at": 198_766_789,
}  # S1's example, with what the message of these tests has in place of its push


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    settings.LOCAL_PATHS_ALLOW = ["/tmp"]
    catalog()


# --- what runs -------------------------------------------------------------------------------


def test_a_definition_gives_its_event_its_limit_and_its_interval() -> None:
    define()
    at = to_ms(database_now()) + HOUR
    answer = Api().post(SCHEDULE, {**JOB, "start_at": at})

    result = answer.json()
    assert (answer.status_code, result) == (
        201,
        {
            "job_id": result["job_id"],
            "status": "scheduled",
            "scheduled_at": at,
            "recurring": True,
            "next_run_at": at,
        },
    )
    job = shown(result["job_id"])
    assert (job["definition"], job["namespace"], job["target"], job["env"]) == (
        "example_job",
        "actions",
        {"app": "mail", "event": "action_tag"},
        "prd",
    )
    assert (job["every"], job["limit"], job["schedule"]) == (
        60_000,
        5,
        {"every": 60_000, "limit": 5, "start_at": at},
    )


def test_a_definition_comes_before_an_event_of_the_same_name() -> None:
    define(tag="action_tag", event_tag="mail:other", executions=1)
    job = schedule(event="action_tag")
    assert (job["definition"], job["target"]["event"]) == ("action_tag", "other")


def test_an_event_of_the_catalog_needs_no_definition() -> None:
    job = schedule(event="action_tag")
    assert ("definition" in job, job["target"], job["recurring"]) == (
        False,
        {"app": "mail", "event": "action_tag"},
        False,
    )


@pytest.mark.parametrize(
    ("event", "app", "target"),
    [
        ("ping", "crm", {"app": "crm", "event": "ping"}),
        ("ping", "mail", {"app": "mail", "event": "ping"}),
        ("crm:ping", None, {"app": "crm", "event": "ping"}),
        ("crm:ping", "crm", {"app": "crm", "event": "ping"}),
        ("resize", None, {"function": "resize"}),
        ("find", None, {"graph": "people", "event": "find"}),
    ],
)
def test_an_app_or_its_name_before_a_colon_says_which_event(
    event: str, app: str | None, target: dict[str, str]
) -> None:
    assert schedule(event=event, app=app)["target"] == target


def test_an_event_of_several_components_is_refused() -> None:
    assert field_told(Api().post(SCHEDULE, {**JOB, "event": "ping"})) == (400, "event", "ambiguous")


def test_the_slug_of_a_notification_s_input_names_the_message() -> None:
    for event in ("send_notification", "alerts", "alerts:send_notification"):
        job = schedule(**{**S1, "event": event})
        assert (job["namespace"], job["target"]) == (
            "notifications",
            {"notification": "alerts", "event": "order_update"},
        )
    define(tag="notify", event_type="NOTIFICATION", event_tag="send_notification", executions=1)
    assert schedule(**{**S1, "event": "notify"})["target"]["event"] == "order_update"
    unknown = {**S1, "input": {**S1["input"], "slug": "nothing"}}
    assert told(Api().post(SCHEDULE, unknown)) == (404, "event_not_found")
    assert field_told(Api().post(SCHEDULE, {**unknown, "event": "alerts"})) == (404, "input.slug", "not_found")


# --- when ------------------------------------------------------------------------------------


@pytest.mark.parametrize("start_at", [0, None, 198_766_789, 0.0])
def test_nothing_0_and_the_past_are_now(start_at: Any) -> None:
    before = to_ms(database_now())
    job = schedule(**{**EVENT, "start_at": start_at})
    assert job["status"] == "queued"
    assert before <= job["scheduled_at"] <= to_ms(database_now())


@pytest.mark.parametrize(
    ("start_at", "at"),
    [
        (4_000_000_000, 4_000_000_000_000),  # a number below 1e11: seconds
        (4_000_000_000.5, 4_000_000_000_500),
        (4_000_000_000_000, 4_000_000_000_000),
        ("2096-10-02T07:06:40Z", 4_000_000_000_000),
    ],
)
def test_seconds_milliseconds_and_iso_8601_name_the_same_time(start_at: Any, at: int) -> None:
    job = schedule(**{**EVENT, "start_at": start_at})
    assert (job["status"], job["scheduled_at"]) == ("scheduled", at)


def test_1e11_is_the_first_number_that_is_milliseconds() -> None:
    """Below it the time is beyond a hundred years from now, and refused; from it on it is in 1973."""
    assert field_told(Api().post(SCHEDULE, {**EVENT, "start_at": 10**11 - 1})) == (400, "start_at", "invalid")
    assert schedule(**{**EVENT, "start_at": 10**11})["status"] == "queued"


def test_one_execution_is_a_one_off_and_none_is_without_end() -> None:
    at = to_ms(database_now()) + HOUR
    define(tag="once", executions=1)
    define(tag="for_ever", executions=0)
    once, for_ever = schedule(event="once", start_at=at), schedule(event="for_ever", start_at=at)
    assert (once["recurring"], once["scheduled_at"], "every" in once) == (False, at, False)
    assert (for_ever["recurring"], for_ever["every"], "limit" in for_ever) == (True, 60_000, False)


def test_an_event_is_repeated_as_repeat_says() -> None:
    at = to_ms(database_now()) + HOUR
    job = schedule(**{**EVENT, "start_at": at, "repeat": {"every": 60_000, "limit": 3, "endDate": at + HOUR}})
    assert (job["every"], job["limit"], job["end_date"], job["scheduled_at"]) == (60_000, 3, at + HOUR, at)
    job = schedule(**{**EVENT, "repeat": {"cron": "0 9 * * *", "timezone": "Europe/Berlin", "end_date": None}})
    assert (job["cron"], job["tz"]) == ("0 9 * * *", "Europe/Berlin")


# --- the rest of the call --------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], tuple[int, str, str]]] = [
    ({"event": None}, (400, "event", "required")),
    ({"event": ""}, (400, "event", "invalid")),
    ({"event": 5}, (400, "event", "invalid")),
    ({"event": "nothing"}, (404, "event", "not_found")),
    ({"app": "nobody"}, (404, "event", "not_found")),
    ({"event": "crm:ping", "app": "mail"}, (400, "event", "invalid")),
    ({"product_tag": "nothing"}, (404, "product_tag", "not_found")),
    ({"product_tag": None}, (400, "product_tag", "required")),
    ({"product": "other"}, (400, "product", "invalid")),
    ({"env": "nothing"}, (404, "env", "not_found")),
    ({"env": None}, (400, "env", "required")),
    ({"start_at": -1}, (400, "start_at", "invalid")),
    ({"start_at": True}, (400, "start_at", "invalid")),
    ({"start_at": "soon"}, (400, "start_at", "invalid")),
    ({"repeat": 5}, (400, "repeat", "invalid")),
    ({"repeat": {}}, (400, "repeat", "invalid")),
    ({"repeat": {"every": 99}}, (400, "repeat.every", "invalid")),
    ({"repeat": {"every": 100, "cron": "0 9 * * *"}}, (400, "repeat.every", "invalid")),
    ({"repeat": {"cron": "x"}}, (400, "repeat.cron", "invalid_cron")),
    ({"repeat": {"every": 100, "start_at": 5}}, (400, "repeat.start_at", "unknown_field")),
    ({"retries": 101}, (400, "retries", "invalid")),
    ({"cache": "nothing"}, (404, "cache", "not_found")),
    ({"input": []}, (400, "input", "invalid")),
    ({"shedule": {}}, (400, "shedule", "unknown_field")),
    ({"event": "strict"}, (400, "input.body.email", "schema_required")),
]


@pytest.mark.parametrize(("changes", "problem"), WRONG)
def test_what_is_wrong_is_told_of_the_call_s_own_fields(changes: dict[str, Any], problem: tuple[int, str, str]) -> None:
    answer = Api().post(SCHEDULE, {**EVENT, **changes})
    assert field_told(answer) == problem
    assert "schedule." not in answer.json()["detail"]
    assert not Job.objects.exists()


def test_an_app_that_has_no_such_event_is_told_the_one_that_has() -> None:
    answer = Api().post(SCHEDULE, {**EVENT, "app": "mial"})
    assert answer.json()["detail"].endswith(f"in 'mial': did you mean 'mail:{EVENT['event']}'?")


def test_a_definition_cannot_be_contradicted() -> None:
    define()
    assert field_told(Api().post(SCHEDULE, {**JOB, "repeat": {"every": 100}})) == (400, "repeat", "invalid")
    assert field_told(Api().post(SCHEDULE, {**JOB, "app": "crm"})) == (400, "app", "invalid")
    assert schedule(app="mail")["definition"] == "example_job"


def test_retries_and_the_product_s_newer_name_are_taken() -> None:
    define()
    answer = Api().post(
        SCHEDULE, {"product": "shop", "env": "dev", "event": "example_job", "input": {"body": {}}, "retries": 2}
    )
    job = shown(answer.json()["job_id"])
    assert (job["retries"], job["env"], job["input"]) == (2, "dev", {"body": {}})


def test_the_call_is_not_carried_out_twice_with_one_key() -> None:
    define()
    first = Api().post(SCHEDULE, JOB, **{"Idempotency-Key": "k"})
    again = Api().post(SCHEDULE, {**JOB, "idempotency_key": "k"})
    assert (first.status_code, again.status_code, again["Idempotent-Replayed"]) == (201, 200, "true")
    assert first.json() == again.json()
    assert Job.objects.count() == 1
    assert told(Api().post(SCHEDULE, {**JOB, "retries": 1}, **{"Idempotency-Key": "k"})) == (
        422,
        "idempotency_key_reused",
    )


def test_what_a_key_does_not_see_cannot_be_scheduled() -> None:
    define()
    assert told(key_of("elsewhere").post(SCHEDULE, JOB)) == (404, "product_not_found")
    assert told(key_of(envs=("dev",)).post(SCHEDULE, JOB)) == (404, "env_not_found")
    assert told(key_of(scopes_={scopes.JOBS_READ}).post(SCHEDULE, JOB)) == (403, "scope_missing")
    assert key_of(scopes_={scopes.JOBS_DISPATCH}).post(SCHEDULE, JOB).status_code == 201


# --- wait ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ends", "status"), [(complete, "completed"), (fail, "failed")])
def test_wait_answers_the_job_after_its_run(monkeypatch: pytest.MonkeyPatch, ends: Any, status: str) -> None:
    waited: list[float] = []

    def run(job: Job, seconds: float) -> None:
        waited.append(seconds)
        ends(claim_one())

    monkeypatch.setattr(waiting.watcher, "wait", run)
    answer = Api().post(f"{SCHEDULE}?wait=1500", EVENT)
    assert (answer.status_code, answer.json()["status"], waited) == (201, status, [1.5])
    assert answer.json()["execution_count"] == 1


def test_wait_ends_with_the_job_as_it_is() -> None:
    answer = Api().post(f"{SCHEDULE}?wait=1", EVENT)
    assert (answer.status_code, answer.json()["status"]) == (201, "queued")


def test_a_job_that_is_made_is_answered_where_no_place_to_wait_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(job: Job, seconds: float) -> None:
        raise TooManyWaiting("full", retry_after=1)

    monkeypatch.setattr(waiting.watcher, "wait", full)
    answer = Api().post(f"{SCHEDULE}?wait=60000", EVENT)
    assert (answer.status_code, answer.json()["status"]) == (201, "queued")


def test_a_wait_is_bounded_and_needs_the_scope_to_read() -> None:
    assert field_told(Api().post(f"{SCHEDULE}?wait=60001", EVENT)) == (400, "wait", "invalid")
    assert field_told(Api().post(f"{SCHEDULE}?wiat=1", EVENT)) == (400, "wiat", "unknown_field")
    key = key_of(scopes_={scopes.JOBS_DISPATCH})
    assert told(key.post(f"{SCHEDULE}?wait=1", EVENT)) == (403, "scope_missing")
    assert not Job.objects.exists()


def test_definitions_do_not_hide_what_they_are_for() -> None:
    """A definition's path is not one of a job: a tag may be any word."""
    define(tag="stats")
    assert Api().get(f"{DEFINITIONS}/stats").json()["tag"] == "stats"


# --- two at once -----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_definition_is_held_until_its_job_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one that is deleted at that moment leaves a job behind. SQLite's transaction keeps all other writers out."""
    define()
    found: list[str] = []

    def take() -> str:
        try:
            with transaction.atomic():
                JobDefinition.objects.select_for_update(nowait=True).get()
        except OperationalError:
            return "held"
        return "free"

    def look(request: DispatchRequest, *, principal: Principal) -> Dispatched:
        assert connection.in_atomic_block
        found.extend(at_once(1, lambda _: take()) if connection.vendor == "postgresql" else ["held"])
        return dispatch(request, principal=principal)

    monkeypatch.setattr(scheduling, "dispatch", look)
    assert schedule()["definition"] == "example_job"
    assert found == ["held"]
