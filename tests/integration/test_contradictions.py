"""Where the documents contradict each other or say nothing (contracts §5.2), the API does what is decided: one test a row.

Rows of values, executors and back-offs are tested where these are, by tests that cite them; the last test here looks
that each row is cited. Rows 12, 13, 14, 16 and 17 have tests in `test_definitions`, too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from core.clock import database_now
from core.times import to_ms
from jobs.lifecycle.promote import promote_due
from jobs.models import Job
from tests.conformance.world import claim_one, complete, fail
from tests.integration.api import OPERATOR, Api, told
from tests.integration.definition_world import (
    DEFINITION,
    DEFINITIONS,
    HOUR,
    JOB,
    SCHEDULE,
    catalog,
    define,
    field_told,
    row,
    schedule,
    shown,
)

pytestmark = pytest.mark.django_db
ACTIONS = "/v1/actions/dispatch"
BODY: dict[str, Any] = {"product": "shop", "env": "prd", "app": "mail", "event": "action_tag", "input": {"body": {}}}
FUTURE = 4_000_000_000_000  # ms

ROWS = {
    1: "unit of start_at", 2: "is start_at required", 3: "executions and limit", 4: "unit of intervals", 5: "what a limit counts",
    6: "repeats after a failure", 7: "status between runs", 8: "arrows of the lifecycle", 9: "what can be paused",
    10: "job_id and id, endDate and end_date", 11: "what a list answers", 12: "definitions and jobs", 13: "update and fetch",
    14: "types of events", 15: "functions", 16: "features", 17: "graphs", 18: "event of a storage", 19: "event of an app",
    20: "tag of a feature", 21: "forms of a session", 22: "first name of $Session", 23: "deleteMany and deleteNodes",
    24: "operators of conditions", 25: "input of a database action", 26: "fields of notifications", 27: "input of an action",
    28: "$Format and $Dateformat", 29: "type of $Now", 30: "retryConfig at a dispatch", 31: "linear back-off", 32: "are retries required",
    33: "what schedule answers", 34: "status of a dispatch", 35: "scheduled_at of a cron", 36: "calls in the wrong state",
    37: "one-off and recurring", 38: "webhooks", 39: "scale of stats", 40: "statuses in history", 41: "tz and timezone",
    42: "jobs.dispatch with a handler", 43: "pages in preview", 44: "slugs of environments",
}  # fmt: skip
ASK_FOR_NOTHING = {42, 43}  # a page that nothing else knows; a promise that things may change
TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    settings.LOCAL_PATHS_ALLOW = ["/tmp"]
    catalog(envs=("prd", "dev", "staging"))


def dispatched(path: str = ACTIONS, **changes: Any) -> dict[str, Any]:
    """The result of a dispatch."""
    answer = Api().post(path, {**BODY, **changes})
    assert answer.status_code == 201, answer.content
    result: dict[str, Any] = answer.json()
    return result


def of(path: str, **body: Any) -> dict[str, Any]:
    """The job of a dispatch of another namespace."""
    answer = Api().post(f"/v1/{path}/dispatch", {"product": "shop", "env": "prd", **body})
    assert answer.status_code == 201, answer.content
    return shown(answer.json()["job_id"])


def act(job_id: str, verb: str, body: dict[str, Any] | None = None) -> Any:
    return Api().post(f"/v1/jobs/{job_id}/{verb}", body or {})


def next_run(job_id: str) -> None:
    """The next occurrence is due now, and opened."""
    now = database_now()
    Job.objects.filter(pk=row(job_id).pk).update(next_run_at=now, next_due_at=now)
    promote_due()


def test_row_1_the_older_call_takes_seconds_and_a_dispatch_milliseconds() -> None:
    assert schedule(event="action_tag", start_at=FUTURE // 1000)["scheduled_at"] == FUTURE
    assert schedule(event="action_tag", start_at=FUTURE)["scheduled_at"] == FUTURE
    assert schedule(event="action_tag", start_at=0)["status"] == "queued"
    assert dispatched(schedule={"start_at": FUTURE})["scheduled_at"] == FUTURE
    assert dispatched(schedule={"start_at": FUTURE // 1000})["status"] == "queued"  # in February 1970


def test_row_2_a_start_may_be_left_out() -> None:
    body = {name: value for name, value in JOB.items() if name != "start_at"}
    assert Api().post(SCHEDULE, {**body, "event": "action_tag"}).json()["status"] == "queued"
    assert dispatched()["status"] == "queued"


def test_row_3_no_executions_are_no_limit_and_a_limit_of_none_is_wrong() -> None:
    define(executions=0)
    assert "limit" not in schedule(start_at=FUTURE)
    define(tag="five", executions=5)
    assert schedule(event="five", start_at=FUTURE)["limit"] == 5
    answer = Api().post(ACTIONS, {**BODY, "schedule": {"every": 60_000, "limit": 0}})
    assert field_told(answer) == (400, "schedule.limit", "invalid")


def test_row_4_intervals_and_every_are_milliseconds() -> None:
    define(intervals=60_000)
    assert schedule()["every"] == 60_000
    assert shown(dispatched(schedule={"every": 60_000})["job_id"])["every"] == 60_000


def test_row_5_a_limit_is_of_runs_in_all() -> None:
    job_id = dispatched(schedule={"every": HOUR, "limit": 2})["job_id"]
    complete(claim_one())
    assert shown(job_id)["status"] == "scheduled"
    next_run(job_id)
    complete(claim_one())
    job = shown(job_id)
    assert (job["status"], job["execution_count"]) == ("completed", 2)


def test_row_6_a_recurring_job_goes_on_after_a_failed_run() -> None:
    define(executions=0, intervals=HOUR)
    job = schedule()
    fail(claim_one())
    job = shown(job["id"])
    assert (job["status"], job["failed_executions"], job["next_run_at"] > job["created_at"]) == ("scheduled", 1, True)
    next_run(job["id"])
    assert complete(claim_one())


def test_row_7_a_recurring_job_is_scheduled_between_runs_and_ends_as_its_last_one() -> None:
    job_id = dispatched(schedule={"every": HOUR, "limit": 2})["job_id"]
    fail(claim_one())
    job = shown(job_id)
    assert (job["status"], job["last_run_status"], "last_error" in job) == ("scheduled", "failed", True)
    next_run(job_id)
    fail(claim_one())
    assert shown(job_id)["status"] == "failed"


def test_row_8_what_is_scheduled_queued_running_or_paused_can_be_cancelled() -> None:
    later = {"every": HOUR, "start_at": FUTURE}
    scheduled, paused = (dispatched(schedule=later)["job_id"] for _ in range(2))
    act(paused, "pause")
    running = dispatched()["job_id"]
    claim_one()
    queued = dispatched()["job_id"]
    for job_id, found in ((scheduled, "scheduled"), (paused, "paused"), (running, "running"), (queued, "queued")):
        assert shown(job_id)["status"] == found
        assert act(job_id, "cancel").json()["status"] == "cancelled"
    assert told(act(scheduled, "cancel")) == (409, "illegal_state")


def test_row_9_only_a_recurring_job_is_paused() -> None:
    assert told(act(dispatched(schedule={"start_at": FUTURE})["job_id"], "pause")) == (409, "not_recurring")


def test_row_10_a_dispatch_answers_job_id_a_job_its_id_and_both_end_dates_are_taken() -> None:
    for name in ("endDate", "end_date"):
        result = dispatched(schedule={"every": HOUR, name: FUTURE})
        assert "id" not in result
        job = shown(result["job_id"])
        assert (job["id"], job["end_date"], "endDate" in job) == (result["job_id"], FUTURE, False)


def test_row_11_a_list_is_an_object_with_its_jobs() -> None:
    dispatched()
    page = Api().get("/v1/jobs").json()
    assert (len(page["jobs"]), page["total"], page["limit"], page["offset"]) == (1, 1, 50, 0)


def test_row_12_definitions_and_jobs_are_resources_of_their_own() -> None:
    define()
    job = schedule(start_at=FUTURE)
    assert [each["tag"] for each in Api().get(DEFINITIONS).json()["jobs"]] == ["example_job"]
    assert [each["id"] for each in Api().get("/v1/jobs").json()["jobs"]] == [job["id"]]
    assert Api().delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert Api().get(f"{DEFINITIONS}/example_job").status_code == 200


def test_row_13_a_definition_is_updated_in_part_and_one_or_all_are_fetched() -> None:
    made = define()
    after = Api()("PATCH", f"{DEFINITIONS}/example_job", {"name": "Updated Job Name"}).json()
    assert after == {**made, "name": "Updated Job Name", "updated_at": after["updated_at"], "rescheduled": 0}
    assert Api().get(f"{DEFINITIONS}/example_job").json() == Api().get(DEFINITIONS).json()["jobs"][0]


@pytest.mark.parametrize(
    ("spelled", "type", "tag"),
    [
        ("MESSAGEBROKER", "MESSAGEBROKER", "news"),
        ("publish", "MESSAGEBROKER", "news"),
        ("DATABASE_ACTION", "DATABASE_ACTION", "sync"),
        ("DB_ACTION", "DATABASE_ACTION", "sync"),
        ("database_action", "DATABASE_ACTION", "sync"),
        ("STORAGE", "STORAGE", "files:upload"),
    ],
)
def test_row_14_the_types_of_all_documents_are_taken(spelled: str, type: str, tag: str) -> None:
    assert define(event_type=spelled, event_tag=tag)["event_type"] == type


@pytest.mark.parametrize("spelled", ["JOB", "SUBSCRIBE", "QUOTA", "FALLBACK"])
def test_row_14_a_type_that_is_not_one_of_a_job_is_named(spelled: str) -> None:
    answer = Api().post(DEFINITIONS, {**DEFINITION, "event_type": spelled})
    assert field_told(answer) == (400, "event_type", "invalid")


def test_row_15_functions_run_by_a_definition_by_their_tag_and_by_a_dispatch() -> None:
    define(event_type="FUNCTION", event_tag="resize", executions=1)
    target = ("functions", {"function": "resize"})
    for job in (
        schedule(input={"payload": {}}),
        schedule(event="resize", input={"payload": {}}),
        of("functions", function="resize", input={"payload": {}}),
    ):
        assert (job["namespace"], job["target"]) == target


def test_row_16_a_feature_is_an_event_too() -> None:
    define(event_type="FEATURE", event_tag="report", executions=1)
    assert [schedule()["namespace"], schedule(event="report")["namespace"]] == ["features", "features"]


def test_row_17_an_action_of_a_graph_is_an_event_too() -> None:
    define(event_type="GRAPH_ACTION", event_tag="people:find", executions=1)
    assert schedule()["namespace"] == "graphs.action"
    assert of("graphs/action", graph="people", event="find", input={})["namespace"] == "graphs.action"


@pytest.mark.parametrize("name", ["event", "operation"])
def test_row_18_an_event_of_a_storage_is_an_operation(name: str) -> None:
    job = of("storage", storage="files", input={}, **{name: "listFiles"})
    assert job["target"] == {"storage": "files", "event": "listFiles"}


@pytest.mark.parametrize("name", ["event", "action"])
def test_row_19_an_event_of_an_app_is_an_action(name: str) -> None:
    assert of("actions", app="mail", input={}, **{name: "other"})["target"] == {"app": "mail", "event": "other"}


@pytest.mark.parametrize("name", ["tag", "feature"])
def test_row_20_a_feature_is_named_by_its_tag(name: str) -> None:
    assert of("features", input={}, **{name: "report"})["target"] == {"tag": "report"}


@pytest.mark.parametrize("form", ["object", "object with a prefix", "text"])
def test_row_21_a_session_is_an_object_or_a_text(form: str) -> None:
    at = "/v1/products/shop/sessions"
    made = {"tag": "user", "selector": "$Session{id}", "expiry": 7, "period": "days", "schema": {"id": "u_1"}}
    assert Api().post(at, made).status_code == 201
    token = Api().post(f"{at}/user/start", {"env": "prd", "data": {"id": "u_1"}}).json()["token"]
    bare = token.removeprefix("user:")
    given: Any = {"object": {"tag": "user", "token": bare}, "text": f"user:{bare}"}.get(
        form, {"tag": "user", "token": f"user:{bare}"}
    )
    assert schedule(event="action_tag", session=given)["status"] == "queued"
    assert dispatched(session=given)["status"] == "queued"


@pytest.mark.parametrize("input", [{"body": {"email": "a"}}, {"email": "a"}, {"body:email": "a"}])
def test_row_27_an_input_of_an_action_is_nested_flat_or_prefixed(input: dict[str, Any]) -> None:
    assert schedule(event="strict", input=input)["status"] == "queued"
    assert dispatched(event="strict", input=input)["status"] == "queued"


def test_row_30_a_dispatch_takes_a_retry_config_with_its_jitter() -> None:
    config = {"initialDelay": 5, "backoffMultiplier": 1, "jitter": True, "jitterPercent": 0.3}
    assert shown(dispatched(retries=1, retryConfig=config)["job_id"])["retryConfig"] == config


def test_row_32_without_retries_there_are_none() -> None:
    assert shown(dispatched()["job_id"])["retries"] == 0
    assert schedule(event="action_tag")["retries"] == 0
    assert schedule(event="action_tag", retries=3)["retries"] == 3


def test_row_33_the_older_call_answers_as_a_dispatch_does() -> None:
    result = Api().post(SCHEDULE, {**JOB, "event": "action_tag"}).json()
    assert set(result) == set(dispatched()) == {"job_id", "status", "scheduled_at", "recurring"}
    assert Api().post(f"{SCHEDULE}?wait=1", {**JOB, "event": "action_tag"}).json()["execution_count"] == 0


def test_row_34_a_job_of_later_is_scheduled_and_one_of_now_queued() -> None:
    assert dispatched(schedule={"start_at": to_ms(database_now()) + 24 * HOUR})["status"] == "scheduled"
    assert dispatched()["status"] == "queued"


def test_row_35_a_cron_is_scheduled_at_its_first_run() -> None:
    result = dispatched(schedule={"cron": "0 9 * * *"})
    assert result["scheduled_at"] == result["next_run_at"] > to_ms(database_now())


def test_row_36_a_job_that_runs_is_cancelled_and_not_deleted_and_an_ended_one_stays_as_it_is() -> None:
    ok, running = dispatched()["job_id"], dispatched()["job_id"]
    complete(claim_one())
    claim_one()
    assert told(Api().delete(f"/v1/jobs/{running}")) == (409, "illegal_state")
    assert told(act(running, "reschedule", {"start_at": FUTURE})) == (409, "illegal_state")
    assert act(running, "cancel").json()["status"] == "cancelled"
    for verb, body in (("reschedule", {"start_at": FUTURE}), ("retry", {}), ("cancel", {})):
        refused = act(ok, verb, body)
        assert (told(refused), refused.json()["status_found"]) == ((409, "illegal_state"), "completed")


def test_row_37_a_one_off_becomes_recurring_and_back_and_never_by_cron_and_interval() -> None:
    job_id = dispatched(schedule={"start_at": FUTURE})["job_id"]
    assert act(job_id, "reschedule", {"every": HOUR}).json()["recurring"] is True
    assert act(job_id, "reschedule", {"every": None, "start_at": FUTURE}).json()["recurring"] is False
    assert field_told(act(job_id, "reschedule", {"every": HOUR, "cron": "0 9 * * *"})) == (400, "every", "invalid")


def test_row_39_a_success_rate_is_of_a_hundred_and_every_state_is_counted() -> None:
    assert Api().get("/v1/jobs/stats").json()["success_rate"] is None
    for end in (complete, fail):
        dispatched()
        end(claim_one())
    stats = Api().get("/v1/jobs/stats").json()
    assert (stats["success_rate"], stats["total"]) == (50, 2)
    states = ("scheduled", "queued", "running", "completed", "failed", "cancelled", "paused")
    assert [stats[state] for state in states] == [0, 0, 0, 1, 1, 0, 0]


def test_row_40_the_history_tells_of_running_and_cancelled_runs_too() -> None:
    job_id = dispatched()["job_id"]
    claim_one()
    for status in ("running", "cancelled"):
        [run] = Api().get(f"/v1/jobs/{job_id}/history").json()["executions"]
        assert run["status"] == status
        act(job_id, "cancel")


@pytest.mark.parametrize("name", ["tz", "timezone"])
def test_row_41_a_time_zone_has_two_names(name: str) -> None:
    zone = {name: "America/New_York"}
    assert shown(dispatched(schedule={"cron": "0 9 * * *", **zone})["job_id"])["tz"] == "America/New_York"
    assert schedule(event="action_tag", repeat={"cron": "0 9 * * *", **zone})["tz"] == "America/New_York"


def test_row_44_an_environment_s_slug_may_be_longer_than_three_letters() -> None:
    assert dispatched(env="staging")["status"] == "queued"
    assert schedule(event="action_tag", env="staging")["env"] == "staging"


def test_each_row_is_cited_by_a_test() -> None:
    cited = set()
    for file in TESTS.rglob("test_*.py"):
        text = file.read_text()
        cited |= {int(number) for number in re.findall(r"^def test_row_(\d+)_", text, re.MULTILINE)}
        for numbers in re.findall(r"[Cc]ontracts §5\.2, rows? (\d+(?:(?:, | and | to )\d+)*)", text):
            found = [int(number) for number in re.findall(r"\d+", numbers)]
            cited |= set(range(found[0], found[1] + 1)) if " to " in numbers else set(found)

    expected = set(ROWS) - ASK_FOR_NOTHING
    assert {number: ROWS[number] for number in sorted(expected - cited)} == {}
    assert cited <= set(ROWS)
