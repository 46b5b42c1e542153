"""The same mistake has the same code wherever it is made, of the answer and of the field; and a sentence that reads."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import OF_ANSWERS, Invalid
from executors import registry
from jobs.operations.dispatch import dispatch_many
from jobs.operations.request import DispatchRequest
from tests.integration.api import OPERATOR, Api
from tests.integration.dispatch_world import ACTIONS, BODY, MANY, catalog

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.api")]

SHOP = "/v1/products/shop"
PREVIEW = "/v1/schedules/preview"


@pytest.fixture(autouse=True)
def _here(settings: Any) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    catalog()


def codes(answer: Any) -> tuple[str, str]:
    """Of the answer, and of its first field."""
    assert answer.status_code == 400, answer.content
    body = answer.json()
    return body["code"], body["errors"][0]["code"]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in BODY.items() if key != name}


# Where, and with what; `{job}` is the id of a job that exists.
TYPOS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", ACTIONS, {**BODY, "tmeout": 5}),
    ("POST", ACTIONS, {**BODY, "schedule": {"evry": 5}}),
    ("POST", ACTIONS, {**BODY, "retryConfig": {"intialDelay": 5}}),
    ("POST", MANY, {"jobs": [{**BODY, "namespace": "actions", "tmeout": 5}]}),
    ("POST", MANY, {"jbs": []}),
    ("POST", PREVIEW, {"schedule": {}, "cout": 3}),
    ("POST", PREVIEW, {"schedule": {"evry": 5}}),
    ("POST", "/v1/jobs/{job}/cancel", {"raeson": "x"}),
    ("POST", "/v1/jobs/{job}/pause", {"nte": "x"}),
    ("POST", "/v1/jobs/{job}/retry", {"dely": 5}),
    ("POST", "/v1/jobs/{job}/trigger", {"now": True}),
    ("POST", "/v1/jobs/{job}/reschedule", {"evry": 60_000}),
    ("POST", f"{SHOP}/hold", {"enviroment": "prd"}),
    ("POST", f"{SHOP}/release", {"enviroment": "prd"}),
    ("POST", "/v1/keys", {"name": "k", "scops": []}),
    ("POST", f"{SHOP}/apps", {"tag": "x", "evnts": []}),
    ("PUT", f"{SHOP}/catalog", {"aps": []}),
    ("GET", "/v1/jobs?limt=5", {}),
    ("GET", "/v1/jobs/{job}/history?limt=5", {}),
]
MISSING: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", ACTIONS, without("event")),
    ("POST", ACTIONS, without("product")),
    ("POST", MANY, {}),
    ("POST", MANY, {"jobs": [BODY]}),  # without a namespace
    ("POST", MANY, {"jobs": [{**without("event"), "namespace": "actions"}]}),
    ("POST", PREVIEW, {}),
    ("POST", "/v1/keys", {}),
    ("POST", f"{SHOP}/apps", {"name": "x"}),
    ("PUT", f"{SHOP}/apps/mail/envs/prd", {}),
    ("GET", f"{SHOP}/apps/mail/check", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), TYPOS)
def test_a_field_that_does_not_exist(method: str, path: str, body: dict[str, Any]) -> None:
    assert _codes(method, path, body) == ("unknown_field", "unknown_field")


@pytest.mark.parametrize(("method", "path", "body"), MISSING)
def test_a_field_that_is_missing(method: str, path: str, body: dict[str, Any]) -> None:
    assert _codes(method, path, body) == ("invalid", "required")


@pytest.mark.parametrize(
    ("schedule", "code"),
    [
        ({"cron": "61 * * * *"}, "invalid_cron"),
        ({"cron": "0 0 30 2 *"}, "no_occurrence"),
        ({"cron": "0 0 * * *", "tz": "Mars/Olympus"}, "unknown_time_zone"),
        ({"every": 5}, "invalid"),
    ],
)
def test_a_schedule_that_cannot_be(schedule: dict[str, Any], code: str) -> None:
    assert _codes("POST", ACTIONS, {**BODY, "schedule": schedule}) == (code, code)
    assert _codes("POST", MANY, {"jobs": [{**BODY, "namespace": "actions", "schedule": schedule}]}) == (code, code)
    assert _codes("POST", PREVIEW, {"schedule": schedule}) == (code, code)
    assert _codes("POST", "/v1/jobs/{job}/reschedule", schedule) == (code, code)
    assert code in OF_ANSWERS | {"invalid"}


def test_what_is_not_supported_is_a_code_of_fields_alone() -> None:
    event = {"tag": "e", "method": "POST", "resource": "/", "body": {"$ref": "http://x/y"}}
    app = {"tag": "x", "events": [event]}
    assert _codes("PUT", f"{SHOP}/catalog", {"apps": [app]}) == ("invalid", "not_supported")


def detail(method: str, path: str, body: Any = None) -> str:
    return str(Api()(method, path, body).json()["detail"])


def test_a_problem_in_a_list_of_jobs_is_a_sentence() -> None:
    item = {**BODY, "namespace": "actions"}
    assert detail("POST", MANY, {"jobs": [item, {**item, "retries": -1}]}) == (
        "jobs.1.retries: must be a whole number from 0 to 100"
    )
    assert detail("POST", MANY, {"jobs": [item, {**item, "product": "shpo"}]}) == (
        "jobs.1: there is no product 'shpo': did you mean 'shop'?"
    )
    assert detail("POST", MANY, {"jobs": [{**item, "event": "pong"}]}).startswith("jobs.0: app 'mail' of product")
    # In Python's own call an unknown namespace comes through the same way.
    wanted = DispatchRequest(namespace="acts", product="shop", env="prd", target={"event": "x"})
    with pytest.raises(Invalid) as caught:
        dispatch_many([wanted])
    known = ", ".join(registry.known())
    assert caught.value.detail == f"jobs.0: there is no namespace 'acts': did you mean 'actions'? (known: {known})"


def test_a_word_that_is_none_of_a_few_is_told_once() -> None:
    assert detail("GET", "/v1/jobs?last_run_status=nope") == (
        "last_run_status: 'nope' is not one of completed, failed, cancelled"
    )
    assert detail("GET", "/v1/jobs?status=complete").endswith(", paused: did you mean 'completed'?")
    app = {"tag": "x", "events": [{"tag": "e", "method": "FETCH", "resource": "/"}]}
    assert detail("POST", f"{SHOP}/apps", app).count("DELETE") == 1


def test_a_namespace_that_does_not_exist_is_told_by_hold_as_by_dispatch() -> None:
    assert _codes("POST", f"{SHOP}/hold", {"namespace": "bogus"}) == ("unknown_namespace", "unknown_namespace")
    assert detail("POST", f"{SHOP}/hold", {"namespace": "bogus"}) == (
        f"namespace: there is no namespace 'bogus': known: {', '.join(registry.known())}"
    )


def test_a_name_that_is_too_long_is_not_told_about_its_letters() -> None:
    assert detail("POST", f"{SHOP}/apps", {"tag": "a" * 121}) == "tag: has 121 characters, at most 120 are accepted"
    assert detail("PUT", f"{SHOP}/catalog", {"envs": [{"slug": "p" * 61}]}).startswith("envs.0.slug: has 61 characters")
    assert "longer than 120" in detail("PUT", f"/v1/products/{'p' * 121}/catalog", {"name": "x"})
    assert "letters, digits" in detail("POST", f"{SHOP}/apps", {"tag": "a b"})


@pytest.mark.parametrize("moment", ["9999-12-01T00:00:00Z", 253_402_300_799_999, "2400-01-01T00:00:00Z"])
def test_a_preview_from_too_far_away_does_not_blame_the_cron(moment: Any) -> None:
    answer = Api().post(PREVIEW, {"schedule": {"cron": "0 9 * * *"}, "from": moment})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "from")
    assert "more than 100 years away" in answer.json()["detail"]


def _codes(method: str, path: str, body: dict[str, Any]) -> tuple[str, str]:
    if "{job}" in path:
        made = Api().post(ACTIONS, {**BODY, "schedule": {"every": 60_000, "start_at": "2099-01-01T00:00:00Z"}})
        path = path.replace("{job}", made.json()["job_id"])
    return codes(Api()(method, path, body if method != "GET" else None))
