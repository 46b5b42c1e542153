"""The same mistake has the same code wherever it is made: of the answer, and of the field."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import OF_ANSWERS
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
    assert _codes("POST", ACTIONS, {**BODY, "cache": "c"}) == ("invalid", "not_supported")
    assert _codes("PUT", f"{SHOP}/catalog", {"databases": [{}]}) == ("invalid", "not_supported")


def _codes(method: str, path: str, body: dict[str, Any]) -> tuple[str, str]:
    if "{job}" in path:
        made = Api().post(ACTIONS, {**BODY, "schedule": {"every": 60_000, "start_at": "2099-01-01T00:00:00Z"}})
        path = path.replace("{job}", made.json()["job_id"])
    return codes(Api()(method, path, body if method != "GET" else None))
