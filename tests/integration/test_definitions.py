"""Definitions of jobs: made, read, changed with their jobs, removed (api.md §3; S0, S2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from core.clock import database_now
from core.tenancy import scopes
from core.times import from_ms, to_ms
from jobs.models import Execution, Job, JobDefinition, JobEvent
from tests.conformance.world import claim_one, complete, fail
from tests.integration.api import OPERATOR, Api, key_of, told
from tests.integration.definition_world import (
    DEFINITION,
    DEFINITIONS,
    HOUR,
    catalog,
    define,
    events,
    field_told,
    row,
    schedule,
    shown,
)

pytestmark = pytest.mark.django_db
ONE = f"{DEFINITIONS}/example_job"


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    settings.LOCAL_PATHS_ALLOW = ["/tmp"]
    catalog()


# --- made ------------------------------------------------------------------------------------


def test_a_definition_is_made_as_the_documents_write_it() -> None:
    before = to_ms(database_now())
    made = define()

    assert made == {
        **DEFINITION,
        "product": "shop",
        "namespace": "actions",
        "target": {"app": "mail", "event": "action_tag"},
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert before <= made["created_at"] <= to_ms(database_now())
    assert Api().get(ONE).json() == made
    assert Api().get(DEFINITIONS).json() == {"jobs": [made]}
    assert not Job.objects.exists()


TYPES = [
    ("ACTION", "mail:other", "actions", {"app": "mail", "event": "other"}),
    ("action", "other", "actions", {"app": "mail", "event": "other"}),
    ("NOTIFICATION", "alerts:order_update", "notifications", {"notification": "alerts", "event": "order_update"}),
    ("DATABASE_ACTION", "stock:sync", "databases.action", {"database": "stock", "event": "sync"}),
    ("Db_Action", "sync", "databases.action", {"database": "stock", "event": "sync"}),
    ("database", "sync", "databases.action", {"database": "stock", "event": "sync"}),
    ("FUNCTION", "resize", "functions", {"function": "resize"}),
    ("MESSAGEBROKER", "bus:news", "events", {"broker": "bus", "event": "news"}),
    ("publish", "news", "events", {"broker": "bus", "event": "news"}),
    ("message_broker", "news", "events", {"broker": "bus", "event": "news"}),
    ("STORAGE", "files:upload", "storage", {"storage": "files", "event": "upload"}),
    ("storage", "list_files", "storage", {"storage": "files", "event": "list_files"}),
    ("FEATURE", "report", "features", {"tag": "report"}),
    ("GRAPH_ACTION", "people:find", "graphs.action", {"graph": "people", "event": "find"}),
]


@pytest.mark.parametrize(("type", "tag", "namespace", "target"), TYPES)
def test_every_type_of_event_is_found_whole_or_bare(
    type: str, tag: str, namespace: str, target: dict[str, str]
) -> None:
    """Contracts §5.2, rows 14 to 17: the union of the documents' JobEventTypes, in any case."""
    made = define(event_type=type, event_tag=tag)
    assert (made["namespace"], made["target"], made["event_tag"]) == (namespace, target, tag)


def test_the_newer_names_of_the_fields_are_taken() -> None:
    given = {name: value for name, value in DEFINITION.items() if not name.startswith("event")}
    assert Api().post(DEFINITIONS, {**given, "type": "action", "event": "other"}).json()["event_type"] == "ACTION"


WRONG: list[tuple[dict[str, Any], tuple[int, str, str]]] = [
    ({"name": None}, (400, "name", "required")),
    ({"name": ""}, (400, "name", "invalid")),
    ({"tag": None}, (400, "tag", "required")),
    ({"tag": "a b"}, (400, "tag", "invalid")),
    ({"tag": 5}, (400, "tag", "invalid")),
    ({"event_type": None}, (400, "event_type", "required")),
    ({"event_type": "JOB"}, (400, "event_type", "invalid")),
    ({"event_tag": None}, (400, "event_tag", "required")),
    ({"event_tag": ""}, (400, "event_tag", "invalid")),
    ({"event": "other"}, (400, "event", "invalid")),
    ({"executions": None}, (400, "executions", "required")),
    ({"executions": -1}, (400, "executions", "invalid")),
    ({"executions": True}, (400, "executions", "invalid")),
    ({"intervals": None}, (400, "intervals", "required")),
    ({"intervals": 99}, (400, "intervals", "invalid")),
    ({"intervals": 99, "executions": 0}, (400, "intervals", "invalid")),
    ({"intervals": "60000"}, (400, "intervals", "invalid")),
    ({"interval": 60_000}, (400, "interval", "unknown_field")),
    ({"event_tag": "ping"}, (400, "event_tag", "ambiguous")),
    ({"event_tag": "nothing"}, (404, "event_tag", "not_found")),
    ({"event_tag": "mail:nothing"}, (404, "event_tag", "not_found")),
    ({"event_tag": "nobody:action_tag"}, (404, "event_tag", "not_found")),
    ({"event_type": "FEATURE"}, (404, "event_tag", "not_found")),
]


@pytest.mark.parametrize(("changes", "problem"), WRONG)
def test_what_is_wrong_is_told_when_it_is_made(changes: dict[str, Any], problem: tuple[int, str, str]) -> None:
    assert field_told(Api().post(DEFINITIONS, {**DEFINITION, **changes})) == problem
    assert not JobDefinition.objects.exists()


def test_an_ambiguous_event_names_those_that_it_may_be() -> None:
    detail = Api().post(DEFINITIONS, {**DEFINITION, "event_tag": "ping"}).json()["detail"]
    assert "crm:ping (ACTION), mail:ping (ACTION)" in detail
    assert define(event_tag="crm:ping")["target"] == {"app": "crm", "event": "ping"}


def test_one_execution_needs_no_interval() -> None:
    given = {name: value for name, value in DEFINITION.items() if name != "intervals"}
    made = Api().post(DEFINITIONS, {**given, "executions": 1})
    assert (made.status_code, made.json()["intervals"]) == (201, 0)


def test_a_tag_is_given_once_in_a_product() -> None:
    define()
    assert told(Api().post(DEFINITIONS, DEFINITION)) == (409, "exists")


def test_what_a_key_does_not_see_does_not_exist() -> None:
    define()
    other = key_of("elsewhere")
    for method, path, body in (
        ("GET", DEFINITIONS, None),
        ("POST", DEFINITIONS, DEFINITION),
        ("GET", ONE, None),
        ("PATCH", ONE, {"name": "x"}),
        ("DELETE", ONE, None),
    ):
        assert told(other(method, path, body)) == (404, "product_not_found")
    assert told(Api().get(f"{DEFINITIONS}/exampel_job")) == (404, "definition_not_found")
    assert told(Api().get(f"{DEFINITIONS}/%00")) == (404, "definition_not_found")


def test_reading_and_changing_definitions_need_their_scopes() -> None:
    define()
    reader = key_of(scopes_={scopes.JOBS_READ})
    assert reader.get(ONE).status_code == 200
    assert told(reader("PATCH", ONE, {"name": "x"})) == (403, "scope_missing")
    assert told(reader.delete(ONE)) == (403, "scope_missing")
    assert told(key_of(scopes_={scopes.JOBS_MANAGE}).get(DEFINITIONS)) == (403, "scope_missing")
    assert told(reader.post(DEFINITIONS, DEFINITION)) == (403, "scope_missing")


def test_a_key_of_some_environments_reads_definitions_and_changes_none() -> None:
    define()
    key = key_of(envs=("dev",))
    assert key.get(ONE).status_code == 200
    assert told(key("PATCH", ONE, {"name": "x"})) == (403, "forbidden")
    assert told(key.delete(ONE)) == (403, "forbidden")


# --- changed ---------------------------------------------------------------------------------


def changed(**changes: Any) -> dict[str, Any]:
    answer = Api()("PATCH", ONE, changes)
    assert answer.status_code == 200, answer.content
    after: dict[str, Any] = answer.json()
    return after


def test_a_change_reschedules_unfinished_recurring_jobs_on_the_same_anchor() -> None:
    define()
    anchor = to_ms(database_now()) + HOUR
    first, second = schedule(start_at=anchor), schedule(start_at=anchor + 1)
    cancelled = schedule(start_at=anchor)
    Api().post(f"/v1/jobs/{cancelled['id']}/cancel", {})

    after = changed(name="Updated Job Name", executions=10, intervals=120_000)

    assert (after["name"], after["executions"], after["intervals"], after["rescheduled"]) == (
        "Updated Job Name",
        10,
        120_000,
        2,
    )
    for job, at in ((first, anchor), (second, anchor + 1)):
        now = shown(job["id"])
        assert (now["status"], now["every"], now["limit"], now["next_run_at"]) == ("scheduled", 120_000, 10, at)
        assert now["schedule"] == {"every": 120_000, "limit": 10, "start_at": at}
        assert row(job["id"]).anchor_at == from_ms(at)
    assert shown(cancelled["id"])["every"] == 60_000
    [event] = events(first["id"])
    assert (event.type, event.data) == ("job.rescheduled", {"definition": "example_job", "first": anchor})


def test_a_grid_that_has_begun_goes_on_from_its_anchor_and_runs_nothing_at_once() -> None:
    define(executions=0)
    job = schedule(start_at=to_ms(database_now() - timedelta(seconds=90)))
    complete(claim_one())
    runs = Execution.objects.count()

    changed(intervals=40_000)

    now = shown(job["id"])
    assert Execution.objects.count() == runs
    assert (now["next_run_at"] - job["start_at"]) % 40_000 == 0
    assert 0 < now["next_run_at"] - to_ms(database_now()) <= 40_000


def test_a_new_name_alone_touches_no_job() -> None:
    define()
    schedule(start_at=to_ms(database_now()) + HOUR)
    assert changed(name="Other")["rescheduled"] == 0
    assert changed(executions=5, intervals=60_000)["rescheduled"] == 0
    assert not JobEvent.objects.exists()


def test_a_change_leaves_the_running_run() -> None:
    define()
    job = schedule()
    taken = claim_one()

    assert changed(intervals=120_000, event_tag="other")["rescheduled"] == 1

    assert shown(job["id"])["status"] == "running"
    assert complete(taken)
    now = shown(job["id"])
    assert (now["status"], now["execution_count"], now["next_run_at"]) == (
        "scheduled",
        1,
        job["scheduled_at"] + 120_000,
    )


def test_a_run_that_is_due_and_not_claimed_stays() -> None:
    define()
    job = schedule()
    changed(intervals=120_000)
    now = shown(job["id"])
    assert (now["status"], now["scheduled_at"]) == ("queued", job["scheduled_at"])
    complete(claim_one())
    assert shown(job["id"])["execution_count"] == 1


@pytest.mark.parametrize(
    ("ends", "status", "type"), [(complete, "completed", "job.completed"), (fail, "failed", "job.failed")]
)
def test_no_more_executions_than_there_were_end_the_job(ends: Any, status: str, type: str) -> None:
    define()
    job = schedule()
    ends(claim_one())
    assert shown(job["id"])["status"] == "scheduled"

    assert changed(executions=1)["rescheduled"] == 1

    now = shown(job["id"])
    assert (now["status"], "next_run_at" in now, now["limit"]) == (status, False, 1)
    assert events(job["id"])[-1].type == type


def test_a_job_that_is_running_its_last_execution_ends_with_it() -> None:
    define()
    job = schedule()
    taken = claim_one()
    changed(executions=1)
    assert shown(job["id"])["status"] == "running"
    complete(taken)
    assert shown(job["id"])["status"] == "completed"


def test_a_paused_job_stays_paused_unless_it_ends() -> None:
    define()
    job = schedule()
    complete(claim_one())
    Api().post(f"/v1/jobs/{job['id']}/pause", {"note": "n"})

    changed(intervals=120_000)
    now = shown(job["id"])
    assert (now["status"], now["every"], "next_run_at" in now) == ("paused", 120_000, False)
    assert Api().post(f"/v1/jobs/{job['id']}/resume", {}).json()["next_run_at"] == job["scheduled_at"] + 120_000

    Api().post(f"/v1/jobs/{job['id']}/pause", {})
    changed(executions=1)
    assert shown(job["id"])["status"] == "completed"


def test_more_executions_let_a_job_go_on_that_runs_its_last() -> None:
    define(executions=2)
    job = schedule(start_at=to_ms(database_now()) - 60_000)
    Job.objects.filter(pk=row(job["id"]).pk).update(limit=1, next_run_at=None, next_due_at=None)
    claim_one()
    changed(executions=0)
    now = shown(job["id"])
    assert ("limit" in now, now["next_run_at"]) == (False, job["scheduled_at"] + 60_000)


def test_another_event_holds_from_the_next_run() -> None:
    define()
    at = to_ms(database_now()) + HOUR
    job = schedule(start_at=at)
    assert changed(event_type="FUNCTION", event_tag="resize")["rescheduled"] == 1
    now = shown(job["id"])
    assert (now["namespace"], now["target"], now["next_run_at"]) == ("functions", {"function": "resize"}, at)


def test_the_run_that_waits_is_of_the_new_namespace_for_holds_too() -> None:
    define()
    schedule()
    changed(event_type="FUNCTION", event_tag="resize")
    assert Execution.objects.get().namespace == "functions"


def test_an_event_that_a_job_s_input_does_not_fit_changes_nothing() -> None:
    define()
    job = schedule(start_at=to_ms(database_now()) + HOUR)
    answer = Api()("PATCH", ONE, {"event_tag": "strict", "intervals": 120_000})
    assert field_told(answer) == (400, "event_tag", "invalid")
    assert job["id"] in answer.json()["detail"]
    assert shown(job["id"]) == job
    assert Api().get(ONE).json()["event_tag"] == "action_tag"


def test_a_one_off_keeps_what_it_was_made_with() -> None:
    define(executions=1)
    job = schedule(start_at=to_ms(database_now()) + HOUR)
    assert changed(executions=3, event_tag="other")["rescheduled"] == 0
    assert shown(job["id"]) == job


CHANGES_WRONG: list[tuple[dict[str, Any], tuple[int, str, str]]] = [
    ({"tag": "other"}, (400, "tag", "invalid")),
    ({"intervals": 99}, (400, "intervals", "invalid")),
    ({"executions": -1}, (400, "executions", "invalid")),
    ({"event_type": "QUOTA"}, (400, "event_type", "invalid")),
    ({"event_type": "FUNCTION"}, (404, "event_tag", "not_found")),
    ({"event_tag": "nothing"}, (404, "event_tag", "not_found")),
    ({"nmae": "x"}, (400, "nmae", "unknown_field")),
]


@pytest.mark.parametrize(("changes", "problem"), CHANGES_WRONG)
def test_a_wrong_change_is_told_and_nothing_changes(changes: dict[str, Any], problem: tuple[int, str, str]) -> None:
    made = define()
    assert field_told(Api()("PATCH", ONE, changes)) == problem
    assert Api().get(ONE).json() == made


def test_a_change_of_nothing_is_refused_and_its_own_tag_is_none() -> None:
    define()
    assert told(Api()("PATCH", ONE, {})) == (400, "nothing_to_change")
    assert changed(tag="example_job", name="n")["name"] == "n"
    assert told(Api()("PATCH", f"{DEFINITIONS}/nothing", {"name": "n"})) == (404, "definition_not_found")


def test_an_interval_below_the_least_is_taken_with_one_execution_and_leaves_the_grid_of_jobs() -> None:
    define()
    at = to_ms(database_now()) + HOUR
    job = schedule(start_at=at)
    assert changed(executions=1, intervals=0)["rescheduled"] == 1
    now = shown(job["id"])
    assert (now["every"], now["limit"], now["next_run_at"]) == (60_000, 1, at)


def test_a_job_that_was_rescheduled_to_a_cron_keeps_it_until_the_interval_changes() -> None:
    define()
    job = schedule(start_at=to_ms(database_now()) + HOUR)
    Api().post(f"/v1/jobs/{job['id']}/reschedule", {"cron": "0 9 * * *", "tz": "Europe/Berlin"})
    changed(executions=7)
    now = shown(job["id"])
    assert (now["cron"], now["tz"], now["limit"]) == ("0 9 * * *", "Europe/Berlin", 7)
    changed(intervals=120_000)
    now = shown(job["id"])
    assert ("cron" in now, now["every"], now["tz"]) == (False, 120_000, "UTC")


# --- removed ---------------------------------------------------------------------------------


def test_a_definition_with_unfinished_jobs_goes_only_by_force_which_cancels_them() -> None:
    define()
    waiting = schedule(start_at=to_ms(database_now()) + HOUR)
    running = schedule()
    claim_one()

    refused = Api().delete(ONE)
    assert (told(refused), refused.json()["jobs"]) == ((409, "in_use"), 2)
    assert Api().get(ONE).status_code == 200

    assert Api().delete(f"{ONE}?force=true").status_code == 204
    for job in (waiting, running):
        now = shown(job["id"])
        assert (now["status"], now["cancel_reason"]) == ("cancelled", "its definition example_job was deleted")
        assert now["definition"] == "example_job"
    assert told(Api().get(ONE)) == (404, "definition_not_found")
    assert told(Api().delete(ONE)) == (404, "definition_not_found")


def test_a_definition_whose_jobs_have_ended_goes_and_their_history_stays() -> None:
    define(executions=1)
    job = schedule()
    complete(claim_one())
    assert Api().delete(ONE).status_code == 204
    assert (shown(job["id"])["status"], shown(job["id"])["definition"]) == ("completed", "example_job")


def test_another_product_s_jobs_of_that_tag_are_none_of_it() -> None:
    define()
    schedule(start_at=to_ms(database_now()) + HOUR)
    key_of("elsewhere")
    made = JobDefinition.objects.get()
    JobDefinition.objects.create(
        product_id=Job.objects.get().product_id + 1,
        **{
            name: getattr(made, name)
            for name in (*DEFINITION, "target", "created_at", "updated_at")
        },
    )  # fmt: skip
    assert Api().delete("/v1/products/elsewhere/jobs/example_job").status_code == 204
    assert shown(schedule(start_at=to_ms(database_now()) + HOUR)["id"])["status"] == "scheduled"
