"""POST /v1/<namespace>/dispatch: what becomes of a request, who may, and what is told after the commit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from core.clock import database_now
from core.errors import NotFound
from core.tenancy import scopes
from core.times import from_ms, to_ms
from executors import registry
from executors.catalog import document
from executors.catalog.schema import read_document
from jobs import notices, wakeup
from jobs.models import Execution, Job, JobEvent
from jobs.operations.dispatch import dispatch
from jobs.operations.request import DispatchRequest
from tests.integration.api import OPERATOR, Api, key_of, told
from tests.integration.dispatch_world import ACTIONS, BODY, at_once, catalog, counts, job_of

pytestmark = pytest.mark.django_db

HOUR = 3_600_000


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    catalog()


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was told after the commit: sets of queues, and `due`."""
    said: list[Any] = []
    monkeypatch.setattr(wakeup, "wake", lambda queues: said.append(set(queues)))
    monkeypatch.setattr(notices, "tell_due", lambda: said.append("due"))
    return said


def test_without_a_schedule_a_job_is_queued_with_its_first_run() -> None:
    before = to_ms(database_now())
    response = Api().post(ACTIONS, BODY)
    after = to_ms(database_now())
    assert response.status_code == 201
    assert response["Content-Type"] == "application/json"
    assert response["X-Request-Id"]
    answer = response.json()
    assert answer == {
        "job_id": answer["job_id"], "status": "queued", "scheduled_at": answer["scheduled_at"], "recurring": False,
    }  # fmt: skip
    assert before <= answer["scheduled_at"] <= after
    job = job_of(response)
    assert (job.status, job.namespace, job.target) == ("queued", "actions", {"app": "mail", "event": "ping"})
    assert (job.input, job.queue, job.priority, job.timeout, job.retries) == (
        {"body": {"n": 1}},
        "default",
        5,
        60_000,
        0,
    )
    run = Execution.objects.get(job=job)
    assert (run.status, run.trigger, run.number, run.due_at) == ("queued", "schedule", None, job.scheduled_at)
    assert (run.product_id, run.environment_id) == (job.product_id, job.environment_id)
    assert not JobEvent.objects.exists()


def test_a_start_in_the_future_is_scheduled_and_has_no_run_yet() -> None:
    at = to_ms(database_now()) + HOUR
    response = Api().post(ACTIONS, {**BODY, "schedule": {"start_at": at}})
    answer = response.json()
    assert (response.status_code, answer["status"], answer["scheduled_at"]) == (201, "scheduled", at)
    assert (answer["recurring"], "next_run_at" in answer) == (False, False)
    job = job_of(response)
    assert (job.next_run_at, job.next_due_at, job.schedule) == (from_ms(at), from_ms(at), {"start_at": at})
    assert counts() == (1, 0)


def test_an_interval_starts_now_and_tells_the_next_run() -> None:
    answer = Api().post(ACTIONS, {**BODY, "schedule": {"every": HOUR, "limit": 3}}).json()
    assert (answer["status"], answer["recurring"]) == ("queued", True)
    assert answer["next_run_at"] == answer["scheduled_at"] + HOUR
    assert Job.objects.get().occurrences_opened == 1


def test_a_cron_tells_its_first_occurrence_as_the_next_run() -> None:
    answer = Api().post(ACTIONS, {**BODY, "schedule": {"cron": "0 9 * * *", "tz": "America/New_York"}}).json()
    assert (answer["status"], answer["recurring"]) == ("scheduled", True)
    assert answer["next_run_at"] == answer["scheduled_at"]
    assert Job.objects.get().tzdata_version != ""


def test_every_option_reaches_the_job_and_its_run() -> None:
    options = {
        "retries": 100, "on_lost": "fail", "timeout": 86_400_000, "priority": 9, "queue": "slow.1", "unique_key": "u 1",
        "retryConfig": {
            "initialDelay": 500, "maxDelay": 9000.5, "backoffMultiplier": 1, "jitter": False, "jitterPercent": 0.3,
            "retryableErrors": ["TIMEOUT"], "nonRetryableErrors": ["DEADLOCK"],
        },
        "concurrency_key": "tenant-7", "concurrency_limit": 3, "labels": {"team": "billing", "empty": ""},
        "session": None, "cache": None,
    }  # fmt: skip
    response = Api().post(ACTIONS, {**BODY, **options})
    assert response.status_code == 201, response.content
    job, run = Job.objects.get(), Execution.objects.get()
    assert (job.retries, job.on_lost, job.timeout, job.priority, job.queue) == (100, "fail", 86_400_000, 9, "slow.1")
    assert job.retry_config == options["retryConfig"]
    assert (job.concurrency_key, job.concurrency_limit, job.unique_key) == ("tenant-7", 3, "u 1")
    assert job.labels == {"team": "billing", "empty": ""}
    assert (run.priority, run.queue, run.concurrency_limit) == (9, "slow.1", 3)
    assert run.concurrency_key == f"{job.product_id}:{job.environment_id}:tenant-7"


def test_text_of_every_kind_is_stored_as_it_came() -> None:
    hostile = {
        "body": {"t": "tab\t line\n back\\slash \\N %s ' \" ü 🎉 \\u0000", "n": 10**40, "nested": {"a": [None, True]}}
    }
    response = Api().post(ACTIONS, {**BODY, "input": hostile})
    assert response.status_code == 201
    assert job_of(response).input == hostile


def test_an_alias_names_the_same_target() -> None:
    body = {name: value for name, value in BODY.items() if name != "event"} | {"action": "ping"}
    assert job_of(Api().post(ACTIONS, body)).target == {"app": "mail", "event": "ping"}
    twice = Api().post(ACTIONS, {**body, "event": "welcome"})
    assert told(twice) == (400, "invalid")
    assert twice.json()["errors"][0]["field"] == "action"


def test_the_event_of_a_broker_may_be_called_its_topic() -> None:
    broker = {"tag": "main", "type": "redis", "envs": {"prd": {"url": "redis://127.0.0.1"}}, "topics": [{"tag": "t"}]}
    document.store("shop", read_document({"brokers": [broker]}, "shop"))
    body = {"product": "shop", "env": "prd", "broker": "main", "input": {"message": {}}}
    assert job_of(Api().post("/v1/events/dispatch", {**body, "topic": "main:t"})).target == {
        "broker": "main", "event": "main:t",
    }  # fmt: skip
    twice = Api().post("/v1/events/dispatch", {**body, "topic": "t", "event": "u"})
    assert (told(twice), twice.json()["errors"][0]["field"]) == ((400, "invalid"), "topic")


def test_a_namespace_without_an_executor_says_which_ones_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(registry.BUILT_IN, "graphs")
    body = {"product": "shop", "env": "prd", "input": {}, "graph": "x", "operation": "x"}
    response = Api().post("/v1/graphs/dispatch", body)
    assert told(response) == (400, "unknown_namespace")
    assert "actions" in response.json()["detail"]
    assert counts() == (0, 0)


def test_product_and_environment_may_be_left_out_where_the_key_allows_one() -> None:
    bare = {name: value for name, value in BODY.items() if name not in {"product", "env"}}
    only_prd = key_of(envs=("prd",))
    job = job_of(only_prd.post(ACTIONS, bare))
    assert (job.product.tag, job.environment.slug) == ("shop", "prd")
    both = key_of().post(ACTIONS, bare)
    assert (both.status_code, both.json()["errors"][0]["field"]) == (400, "env")
    operator = Api().post(ACTIONS, bare)
    assert (operator.status_code, operator.json()["errors"][0]["field"]) == (400, "product")


def test_a_stranger_finds_nothing_and_stores_nothing() -> None:
    catalog("other")
    assert told(key_of("other").post(ACTIONS, BODY)) == (404, "product_not_found")
    assert told(key_of(envs=("dev",)).post(ACTIONS, BODY)) == (404, "env_not_found")
    assert told(Api(None).post(ACTIONS, BODY)) == (401, "unauthenticated")
    assert told(Api("jk_unknown0_key").post(ACTIONS, BODY)) == (401, "unauthenticated")
    assert told(key_of(scopes_={scopes.JOBS_READ, scopes.JOBS_MANAGE}).post(ACTIONS, BODY)) == (403, "scope_missing")
    assert counts() == (0, 0)


def test_only_post_is_answered_and_others_are_told_so() -> None:
    assert told(Api().get(ACTIONS)) == (405, "method_not_allowed")
    assert told(Api().post(f"{ACTIONS}?dry=1", BODY)) == (400, "unknown_field")


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"app": "mial"}, "app_not_found", "app"),
        ({"event": "pong"}, "event_not_found", "event"),
        ({"env": "prod"}, "env_not_found", "env"),
        ({"product": "shopp"}, "product_not_found", "product"),
    ],
)
def test_a_target_that_does_not_exist_is_told_now(change: dict[str, Any], code: str, field: str) -> None:
    response = Api().post(ACTIONS, {**BODY, **change})
    assert told(response) == (404, code)
    assert response.json()["errors"][0]["field"] == field
    assert counts() == (0, 0)


def test_an_input_that_does_not_fit_the_action_is_told_now() -> None:
    response = Api().post(ACTIONS, {**BODY, "event": "welcome", "input": {"body": {"email": 7}}})
    assert response.status_code == 400
    assert {error["field"] for error in response.json()["errors"]} == {"input.params.userId", "input.body.email"}
    assert counts() == (0, 0)


def test_workers_are_woken_after_the_commit(
    woken: list[Any], django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        Api().post(ACTIONS, {**BODY, "queue": "slow"})
        assert woken == []
    assert woken == [{"slow"}]


def test_the_scheduler_is_told_only_of_what_is_due_before_it_looks_anyway(
    woken: list[Any], django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    soon, late = (to_ms(database_now() + timedelta(seconds=seconds)) for seconds in (1, 60))
    with django_capture_on_commit_callbacks(execute=True):
        Api().post(ACTIONS, {**BODY, "schedule": {"start_at": late}})
    assert woken == []
    with django_capture_on_commit_callbacks(execute=True):
        Api().post(ACTIONS, {**BODY, "schedule": {"start_at": soon}})
    assert woken == ["due"]


@pytest.mark.django_db(transaction=True)
def test_a_busy_caller_costs_one_statement(woken: list[Any]) -> None:
    Api().post(ACTIONS, BODY)  # key, place and target are known now
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert Api().post(ACTIONS, BODY).status_code == 201
    expected = 1 if connection.vendor == "postgresql" else 4  # BEGIN, the job, the run, COMMIT
    assert len(queries) == expected, [query["sql"][:80] for query in queries]


def test_python_code_dispatches_by_the_same_operation() -> None:
    request = DispatchRequest(
        namespace="actions", product="shop", env="prd", target={"app": "mail", "event": "ping"},
        input={"body": {"n": 2}}, schedule={"every": HOUR}, retries=3,
    )  # fmt: skip
    done = dispatch(request)
    job = Job.objects.get(pk=done.job_id)
    assert (done.status, done.created, done.next_run_at) == ("queued", True, done.scheduled_at + timedelta(hours=1))
    assert (job.retries, job.every, job.input) == (3, HOUR, {"body": {"n": 2}})
    with pytest.raises(NotFound, match="there is no product 'nowhere'"):
        dispatch(DispatchRequest(namespace="actions", product="nowhere", env="prd", target={"app": "a", "event": "b"}))


class Isolated:
    """An executor whose runs may take their process down with them."""

    isolated = True

    def check(self, **_: Any) -> None:
        """Everything is fine."""


def test_what_may_crash_its_process_goes_to_the_isolated_queue(settings: Settings) -> None:
    settings.EXTRA_EXECUTORS = {"crashing": f"{__name__}.Isolated"}
    request = {"product": "shop", "env": "prd", "target": {"event": "x"}, "namespace": "crashing"}
    assert Job.objects.get(pk=dispatch(DispatchRequest(**request)).job_id).queue == "isolated"  # type: ignore[arg-type]
    with pytest.raises(Exception, match="needs a process of its own: isolated"):
        dispatch(DispatchRequest(**request, queue="default"))  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
def test_calls_at_once_each_get_their_own_job(woken: list[Any]) -> None:
    def call(index: int) -> list[str]:
        bodies = [{**BODY, "input": {"body": {"n": index * 10 + n}}} for n in range(10)]
        return [Api().post(ACTIONS, body).json()["job_id"] for body in bodies]

    answers = at_once(8, call)
    assert len({job_id for ids in answers for job_id in ids}) == 80
    assert sorted(job.input["body"]["n"] for job in Job.objects.all()) == list(range(80))
    assert Execution.objects.filter(status="queued").count() == 80
    assert set(map(frozenset, woken)) == {frozenset({"default"})}
