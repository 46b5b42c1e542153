"""Every parameter of the calls that read jobs, given wrongly: 400 that names the field and says what is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from core.ids import encode
from jobs.api.parameters import FILTER, FORCE, HISTORY_STATUS, STATS, WAIT, limit_and_offset, list_paging
from jobs.models import Job
from tests.conformance.world import fresh, new_job, snapshot
from tests.integration.api import OPERATOR, Api

pytestmark = pytest.mark.django_db

LONG = "x" * 301
TEXTS = ["%00", LONG]
TIMES = ["yesterday", "-1", "1e3", "99999999999999999", "%00", "2026-13-01"]
FLAGS = ["maybe", "2", "%00"]
# What is wrong with each parameter, and a word that the answer must have: what is allowed.
WRONG: dict[str, tuple[list[str], str]] = {
    "status": (["done", "failed,gone", "%00"], "one of"),
    "recurring": (FLAGS, "true or false"),
    "retrying": (FLAGS, "true or false"),
    "force": (FLAGS, "true or false"),
    **dict.fromkeys(("product", "env", "namespace", "target", "queue", "q"), (TEXTS, "at most 300 characters")),
    "from": (TIMES, ""),
    "to": (TIMES, ""),
    "label": (["x", ":x"], "key:value"),
    "last_run_status": (["running", "lost"], "one of"),
    "consecutive_failures": (["0", "x", "1.5", "1000000001"], "from 1 to 1000000000"),
    "limit": (["0", "1001", "-1", "x", "1.0", "%D9%A1"], "from 1 to 1000"),
    "offset": (["-1", "100001", "x"], "from 0 to 100000"),
    "cursor": (["xyz", LONG], ""),
    "order": (["name", "-id"], "one of"),
    "wait": (["-1", "60001", "x"], "from 0 to 60000"),
    "interval": (["0", "999", "x"], "from 1000 to"),
}
LISTS = {"status", "label"}  # may be given twice
CALLS: dict[str, tuple[str, str, set[str]]] = {
    "list": ("GET", "/v1/jobs", {each.name for each in (*FILTER, *list_paging())}),
    "stats": ("GET", "/v1/jobs/stats", {each.name for each in STATS}),
    "series": ("GET", "/v1/jobs/stats/series", {each.name for each in STATS} | {"interval"}),
    "history": ("GET", "/v1/jobs/{id}/history", {each.name for each in (*limit_and_offset(), HISTORY_STATUS)}),
    "get": ("GET", "/v1/jobs/{id}", {WAIT.name}),
    "delete": ("DELETE", "/v1/jobs/{id}", {FORCE.name}),
}
CONTRADICTIONS = {"from=2000&to=1000": "from", "cursor=&offset=1": "offset"}


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    settings.EXTRA_EXECUTORS = {"noop": "tests.acceptance.executors.Echo"}


@pytest.fixture
def job() -> Job:
    return new_job()


def refused(method: str, path: str, job: Job, query: str) -> list[dict[str, Any]]:
    answer = Api()(method, f"{path.format(id=encode('job', job.pk))}?{query}")
    assert answer.status_code == 400, (query, answer.content)
    errors: list[dict[str, Any]] = answer.json()["errors"]
    return errors


@pytest.mark.parametrize("call", CALLS)
def test_each_parameter_out_of_its_bounds_or_of_another_type_is_named_with_what_is_allowed(call: str, job: Job) -> None:
    method, path, names = CALLS[call]
    before = snapshot(job)
    for name in sorted(names):
        values, allowed = WRONG[name]
        for value in values:
            errors = refused(method, path, job, f"{name}={value}")
            assert [error["field"] for error in errors] == [name], (name, value)
            detail = errors[0]["detail"]
            assert allowed in detail or "characters, without NUL" in detail, (name, value, errors)
    assert snapshot(job) == before


@pytest.mark.parametrize("call", CALLS)
def test_an_unknown_parameter_and_one_that_is_given_twice_are_named(call: str, job: Job) -> None:
    method, path, names = CALLS[call]
    for name in sorted(names - LISTS):
        errors = refused(method, path, job, f"{name}=1&{name}=1")
        assert {error["field"] for error in errors} == {name}
        assert "duplicate" in {error["code"] for error in errors}
    for name in sorted(names):
        [error] = refused(method, path, job, f"{name}x=1")
        assert (error["field"], error["code"]) == (f"{name}x", "unknown_field")
        assert f"did you mean {name!r}" in error["detail"]
    assert fresh(job).status == "queued"


@pytest.mark.parametrize("call", ["list", "stats", "series"])
def test_parameters_that_contradict_each_other_are_named(call: str, job: Job) -> None:
    method, path, names = CALLS[call]
    for query, field in CONTRADICTIONS.items():
        if {part.partition("=")[0] for part in query.split("&")} <= names:
            assert [error["field"] for error in refused(method, path, job, query)] == [field]


def test_all_that_is_wrong_is_told_at_once(job: Job) -> None:
    errors = refused("GET", "/v1/jobs", job, "limit=0&offset=-1&status=done&recurring=maybe")
    assert {error["field"] for error in errors} == {"limit", "offset", "status", "recurring"}


FILTER_WRONG: dict[str, list[Any]] = {
    "status": [5, "done", [], ["done"], {}],
    "label": [5, "x", [], [1], {}],
    "recurring": ["true", 1, []],
    "retrying": ["true", 1, []],
    "from": [True, [], "yesterday", -1, 1.5],
    "to": [True, {}, "yesterday", -1, 10**17],
    **{name: [5, [], True, " ", "a\x00", LONG] for name in ("product", "env", "namespace", "target", "queue", "q")},
    "last_run_status": ["lost", 5],
    "consecutive_failures": [0, "1", 1.5, True, 10**9 + 1],
    "dry_run": ["yes", 1],
}


@pytest.mark.parametrize("call", ["cancel", "pause", "resume", "retry", "reschedule", "delete"])
def test_each_field_of_a_filter_for_many_is_named_when_it_is_wrong_and_nothing_is_done(call: str, job: Job) -> None:
    before = snapshot(job)
    more = {"schedule": {"every": 60_000}} if call == "reschedule" else {}
    for name, values in FILTER_WRONG.items():
        for value in values:
            body = {"env": "prd", **more, name: value}
            answer = Api().post(f"/v1/jobs/{call}-many", body)
            assert answer.status_code == 400, (name, value, answer.content)
            found = {error["field"] for error in answer.json()["errors"]}
            assert found == {name} or (not found and "\x00" in str(value)), (name, value, found)
    assert snapshot(job) == before


def test_no_filter_of_the_list_is_left_out_of_those_for_many() -> None:
    assert {each.name for each in FILTER} <= set(FILTER_WRONG)
