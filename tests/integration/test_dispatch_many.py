"""POST /v1/jobs/dispatch-many: all or none, and every problem with its place."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from core.tenancy import scopes
from core.times import to_ms
from jobs import notices, wakeup
from jobs.models import Execution, Job
from tests.integration.api import OPERATOR, Api, key_of, told
from tests.integration.dispatch_world import BODY, MANY, catalog, counts

pytestmark = pytest.mark.django_db

ITEM = {"namespace": "actions", **BODY}


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    catalog()


def fields(response: Any) -> list[str]:
    return [error["field"] for error in response.json()["errors"]]


@pytest.mark.parametrize("count", [1, 4, 5, 1000])
def test_the_answers_come_in_the_order_of_the_jobs(count: int) -> None:
    jobs = [{**ITEM, "input": {"body": {"n": n}}} for n in range(count)]
    response = Api().post(MANY, {"jobs": jobs})
    assert response.status_code == 201
    stored = {job["job_id"] for job in response.json()["jobs"]}
    assert len(stored) == count
    assert [job.input["body"]["n"] for job in Job.objects.order_by("id")] == list(range(count))
    assert counts() == (count, count)
    assert Execution.objects.filter(status="queued").count() == count


def test_scheduled_and_queued_jobs_go_together(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(wakeup, "wake", lambda queues: said.append(set(queues)))
    monkeypatch.setattr(notices, "tell_due", lambda: said.append("due"))
    jobs = [
        ITEM, {**ITEM, "queue": "slow"}, {**ITEM, "schedule": {"every": 500}}, {**ITEM, "schedule": {"cron": "0 9 * * *"}},
        {**ITEM, "env": "dev", "labels": {"a": "b\tc\\d"}}, {**ITEM, "schedule": {"start_at": "2090-01-01T00:00:00Z"}},
    ]  # fmt: skip
    with django_capture_on_commit_callbacks(execute=True):
        answer = Api().post(MANY, {"jobs": jobs}).json()["jobs"]
    assert [job["status"] for job in answer] == ["queued", "queued", "queued", "scheduled", "queued", "scheduled"]
    assert [job["recurring"] for job in answer] == [False, False, True, True, False, False]
    assert counts() == (6, 4)
    assert said == [{"default", "slow"}, "due"]
    job = Job.objects.get(environment__slug="dev")
    assert job.labels == {"a": "b\tc\\d"}
    assert to_ms(job.scheduled_at) == answer[4]["scheduled_at"]


def test_one_bad_job_stores_none_and_each_problem_has_its_place() -> None:
    jobs: list[Any] = [dict(ITEM) for _ in range(6)]
    jobs[1] = {**ITEM, "retires": 3}
    jobs[3] = {**ITEM, "timeot": 3}
    response = Api().post(MANY, {"jobs": jobs})
    assert told(response) == (400, "unknown_field")
    assert fields(response) == ["jobs.1.retires", "jobs.3.timeot"]
    jobs = [dict(ITEM) for _ in range(6)]
    jobs[0] = {**ITEM, "event": "nothing"}
    jobs[3] = {**ITEM, "schedule": {"every": 5}}
    jobs[4] = {**ITEM, "retries": -1}
    jobs[5] = {**ITEM, "env": "prod"}
    response = Api().post(MANY, {"jobs": jobs})
    assert told(response) == (404, "event_not_found")
    assert fields(response) == ["jobs.0.event", "jobs.3.schedule.every", "jobs.4.retries", "jobs.5.env"]
    assert response.json()["detail"].startswith("jobs.0: app 'mail' of product 'shop' has no event")
    assert counts() == (0, 0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "jobs"),
        ({"jobs": []}, "jobs"),
        ({"jobs": {}}, "jobs"),
        ({"jobs": [ITEM] * 1001}, "jobs"),
        ({"jobs": [7]}, "jobs.0"),
        ({"jobs": [ITEM, None]}, "jobs.1"),
        ({"jobs": [{**BODY}]}, "jobs.0.namespace"),
        ({"jobs": [{**BODY, "namespace": 7}]}, "jobs.0.namespace"),
        ({"jobs": [{**ITEM, "namespace": "acts"}]}, "jobs.0.namespace"),
        ({"jobs": [ITEM], "extra": 1}, "extra"),
    ],
)
def test_a_call_that_is_no_list_of_jobs_is_told(body: Any, field: str) -> None:
    response = Api().post(MANY, body)
    assert (response.status_code, fields(response)) == (400, [field])
    assert counts() == (0, 0)


def test_a_stranger_finds_nothing_in_any_of_the_jobs() -> None:
    catalog("other")
    mine = {**ITEM, "product": "other"}
    response = key_of("other").post(MANY, {"jobs": [mine, ITEM]})
    assert told(response) == (404, "product_not_found")
    assert fields(response) == ["jobs.1.product"]
    assert told(key_of(envs=("dev",)).post(MANY, {"jobs": [ITEM]})) == (404, "env_not_found")
    assert told(key_of(scopes_={scopes.JOBS_READ}).post(MANY, {"jobs": [ITEM]})) == (403, "scope_missing")
    assert told(Api(None).post(MANY, {"jobs": [ITEM]})) == (401, "unauthenticated")
    assert counts() == (0, 0)


def test_a_body_may_be_longer_than_that_of_a_single_call_up_to_32_mib() -> None:
    item = {**ITEM, "input": {"body": "x" * 900_000}}
    assert Api().post(MANY, {"jobs": [item] * 12}).status_code == 201
    assert told(Api().post(MANY, {"jobs": [item] * 40})) == (413, "too_large")
    assert counts() == (12, 12)
