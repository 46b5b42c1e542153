"""Unique keys: one unfinished job of a key, what a second dispatch gets, and races for it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
from pytest_django import Settings

from core.tenancy import scopes
from jobs import notices
from jobs.lifecycle import intervene
from jobs.models import Execution, Job, JobEvent
from jobs.operations import unique
from jobs.operations.dispatch import dispatch
from jobs.operations.request import DispatchRequest
from tests.conformance.world import claim_one, complete
from tests.integration.api import OPERATOR, Api, key_of, told
from tests.integration.dispatch_world import ACTIONS, BODY, MANY, at_once, catalog, counts, job_of

pytestmark = pytest.mark.django_db

UNIQUE = {**BODY, "unique_key": "sync"}
ITEM = {"namespace": "actions", **UNIQUE}
REJECT = {**UNIQUE, "on_conflict": "reject"}
REPLACE = {**UNIQUE, "on_conflict": "replace"}


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    catalog()


def _post(body: dict[str, Any], _: int) -> Any:
    return Api().post(ACTIONS, body)


def test_return_answers_the_job_that_is_there() -> None:
    first = Api().post(ACTIONS, UNIQUE)
    second = Api().post(ACTIONS, {**UNIQUE, "on_conflict": "return", "input": {"body": {"n": 2}}})
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert counts() == (1, 1)
    claim_one(job_of(first))
    assert Api().post(ACTIONS, UNIQUE).json() == {**first.json(), "status": "running"}


def test_reject_names_the_job_that_is_there() -> None:
    first = Api().post(ACTIONS, UNIQUE)
    second = Api().post(ACTIONS, REJECT)
    assert told(second) == (409, "unique_conflict")
    assert (second.json()["job_id"], second.json()["status_found"]) == (first.json()["job_id"], "queued")
    assert counts() == (1, 1)


def test_replace_cancels_the_old_job_also_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    stopped: list[int] = []
    monkeypatch.setattr(notices, "tell_stopped", stopped.extend)
    old = job_of(Api().post(ACTIONS, UNIQUE))
    taken = claim_one(old)
    with django_capture_on_commit_callbacks(execute=True):
        response = Api().post(ACTIONS, REPLACE)
    assert response.status_code == 201
    new = job_of(response)
    old.refresh_from_db()
    assert (old.status, old.cancel_reason) == ("cancelled", f"replaced by {response.json()['job_id']}")
    assert (new.status, new.unique_key) == ("queued", "sync")
    assert stopped == [taken.run_id]
    assert not complete(taken)  # what it still returns is dropped
    assert JobEvent.objects.get(job_id=old.pk).actor == "operator"


@pytest.mark.parametrize("end", ["complete", "cancel"])
def test_a_key_is_free_when_its_job_has_ended(end: str) -> None:
    first = job_of(Api().post(ACTIONS, UNIQUE))
    if end == "complete":
        assert complete(claim_one(first))
    else:
        intervene.cancel(first.pk)
    second = Api().post(ACTIONS, REJECT)
    assert second.status_code == 201
    assert job_of(second).pk != first.pk


def test_a_key_holds_in_one_environment() -> None:
    assert Api().post(ACTIONS, UNIQUE).status_code == 201
    assert Api().post(ACTIONS, {**REJECT, "env": "dev"}).status_code == 201
    assert Api().post(ACTIONS, {**REJECT, "unique_key": "Sync"}).status_code == 201


def test_in_a_list_each_policy_holds_and_a_conflict_stores_nothing() -> None:
    there = Api().post(ACTIONS, UNIQUE).json()
    answer = Api().post(MANY, {"jobs": [ITEM, {**ITEM, "unique_key": "b"}, {**ITEM, "unique_key": "b"}]}).json()["jobs"]
    assert answer[0] == there
    assert answer[1] == answer[2]
    assert counts() == (2, 2)
    refused = Api().post(MANY, {"jobs": [{"namespace": "actions", **BODY}, {**ITEM, "on_conflict": "reject"}]})
    assert told(refused) == (409, "unique_conflict")
    assert refused.json()["errors"][0]["field"] == "jobs.1.unique_key"
    assert counts() == (2, 2)
    replaced = Api().post(MANY, {"jobs": [{**ITEM, "on_conflict": "replace"}]}).json()["jobs"][0]
    assert replaced["job_id"] != there["job_id"]
    assert Counter(Job.objects.values_list("status", flat=True)) == {"queued": 2, "cancelled": 1}


def test_to_replace_a_key_must_be_allowed_to_cancel() -> None:
    there = Api().post(ACTIONS, UNIQUE)
    dispatcher = key_of(scopes_={scopes.JOBS_DISPATCH}, name="shop-web")
    both = key_of(scopes_={scopes.JOBS_DISPATCH, scopes.JOBS_MANAGE})

    refused = dispatcher.post(ACTIONS, REPLACE)
    assert told(refused) == (403, "scope_missing")
    assert refused.json()["detail"] == "the API key 'shop-web' lacks the scope 'jobs:manage'"
    of_many = dispatcher.post(MANY, {"jobs": [{"namespace": "actions", **BODY}, {**ITEM, "on_conflict": "replace"}]})
    assert told(of_many) == (403, "scope_missing")
    assert of_many.json()["detail"] == "jobs.1: the API key 'shop-web' lacks the scope 'jobs:manage'"
    # Nor where there is no job of the key: the answer must not hang on that.
    assert told(dispatcher.post(ACTIONS, {**REPLACE, "unique_key": "free"})) == (403, "scope_missing")
    assert (counts(), job_of(there).status) == ((1, 1), "queued")

    assert dispatcher.post(ACTIONS, UNIQUE).json() == there.json()
    assert told(dispatcher.post(ACTIONS, REJECT)) == (409, "unique_conflict")
    assert both.post(ACTIONS, REPLACE).status_code == 201
    assert job_of(there).status == "cancelled"


def test_in_process_a_job_is_replaced_without_a_key() -> None:
    there = job_of(Api().post(ACTIONS, UNIQUE))
    wanted = DispatchRequest(
        namespace="actions", product="shop", env="prd", target={"app": "mail", "event": "ping"},
        unique_key="sync", on_conflict="replace",
    )  # fmt: skip
    made = dispatch(wanted)
    there.refresh_from_db()
    assert (there.status, Job.objects.get(pk=made.job_id).status) == ("cancelled", "queued")


def test_a_key_that_changes_hands_all_the_time_is_nobodys_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every time another dispatch was first, and its job has ended by the time it is looked for.
    monkeypatch.setattr(unique, "store", lambda new: False)
    for body in (UNIQUE, REJECT, REPLACE):
        answer = Api().post(ACTIONS, body)
        assert told(answer) == (409, "conflict")
        assert answer["Retry-After"] == "1"
    assert counts() == (0, 0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("body", "others"), [(UNIQUE, 200), (REJECT, 409)])
def test_of_calls_at_once_one_makes_the_job(body: dict[str, Any], others: int) -> None:
    for turn in range(4):
        key = f"{others}-{turn}"
        responses = at_once(6, partial(_post, {**body, "unique_key": key}))
        assert Counter(response.status_code for response in responses) == {201: 1, others: 5}
        assert len({response.json()["job_id"] for response in responses}) == 1
        assert Job.objects.filter(unique_key=key).count() == 1
    assert Execution.objects.count() == Job.objects.count()


@pytest.mark.django_db(transaction=True)
def test_of_replacements_at_once_each_makes_a_job_and_one_is_left() -> None:
    for turn in range(3):
        key = f"k{turn}"
        responses = at_once(5, partial(_post, {**REPLACE, "unique_key": key}))
        assert [response.status_code for response in responses] == [201] * 5
        found = Counter(Job.objects.filter(unique_key=key).values_list("status", flat=True))
        assert found == {"queued": 1, "cancelled": 4}


@pytest.mark.django_db(transaction=True)
def test_lists_that_share_keys_in_another_order_do_not_wait_for_each_other_in_a_circle() -> None:
    names = [f"k{n}" for n in range(20)]

    def call(index: int) -> int:
        order = names if index % 2 else names[::-1]
        jobs = [{**ITEM, "unique_key": name, "on_conflict": "replace"} for name in order]
        return int(Api().post(MANY, {"jobs": jobs}).status_code)

    assert at_once(4, call) == [201] * 4
    assert Job.objects.filter(status="queued").count() == 20
