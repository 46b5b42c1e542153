"""Whatever is sent to dispatch: a clear answer, never a 500, and nothing is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from jobs.operations.dispatch import dispatch
from jobs.operations.request import DispatchRequest
from tests.integration.api import OPERATOR, Api
from tests.integration.dispatch_world import ACTIONS, BODY, MANY, catalog, counts

pytestmark = pytest.mark.django_db

HUGE = 10**400
BEYOND_64_BITS = 2**63
TEXT = json.dumps(BODY)


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    catalog()


def raw(field: str, value: str) -> bytes:
    """The body with one more field, written as it stands."""
    return f'{TEXT[:-1]},"{field}":{value}}}'.encode()


UNREADABLE: dict[str, tuple[bytes, int, str]] = {
    "no JSON": (b"{'a': 1}", 400, "malformed_body"),
    "cut": (TEXT[:-5].encode(), 400, "malformed_body"),
    "a list": (b"[]", 400, "malformed_body"),
    "a number": (b"7", 400, "malformed_body"),
    "null": (b"null", 400, "malformed_body"),
    "not UTF-8": (b'{"product": "\xff\xfe"}', 400, "malformed_body"),
    "UTF-16": (TEXT.encode("utf-16"), 400, "malformed_body"),
    "NaN": (raw("retries", "NaN"), 400, "malformed_body"),
    "Infinity": (raw("retries", "-Infinity"), 400, "malformed_body"),
    "1e999": (raw("retries", "1e999"), 400, "malformed_body"),
    "too many digits": (raw("retries", "9" * 5000), 400, "malformed_body"),
    "NUL": (raw("queue", '"a\\u0000b"'), 400, "malformed_body"),
    "NUL in a key": (raw("labels", '{"a\\u0000b":"c"}'), 400, "malformed_body"),
    "lone surrogate": (raw("queue", '"\\ud800"'), 400, "malformed_body"),
    "a key twice": (raw("env", '"dev"'), 400, "malformed_body"),
    "10 000 deep": (raw("labels", "[" * 10_000 + "]" * 10_000), 400, "malformed_body"),
    "100 000 objects deep": (raw("labels", '{"a":' * 100_000 + "1" + "}" * 100_000), 400, "malformed_body"),
    "65 deep": (raw("labels", "[" * 64 + "]" * 64), 400, "malformed_body"),
    "10 MiB and a byte": (b" " * (10 * 1024 * 1024) + b"{", 413, "too_large"),
    "an input of more than 1 MiB": (
        json.dumps({**BODY, "input": {"body": "x" * 1024 * 1024}}).encode(), 413, "input_too_large",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_body_that_cannot_be_read_is_told(name: str) -> None:
    body, status, code = UNREADABLE[name]
    response = Api().post(ACTIONS, body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert counts() == (0, 0)


WRONG: list[tuple[str, Any, str]] = [
    # (field, value, the field that is named)
    *((name, 7, name) for name in ("product", "env", "app", "event", "input", "schedule", "retryConfig", "labels")),
    *((name, [], name) for name in ("product", "env", "app", "event", "input", "schedule", "retryConfig", "labels")),
    *((name, True, name) for name in ("product", "app", "schedule", "retries", "timeout", "priority", "queue")),
    *((name, {"a": 1}, name) for name in ("product", "retries", "timeout", "queue", "on_lost", "unique_key")),
    *((name, "", name) for name in ("product", "env", "app", "event", "queue", "on_lost")),
    *((name, "x" * 300, name) for name in ("product", "env", "app", "queue", "unique_key", "concurrency_key")),
    *((name, "5", name) for name in ("retries", "timeout", "priority", "input", "schedule")),
    *((name, 1.5, name) for name in ("retries", "timeout", "priority")),
    *((name, HUGE, name) for name in ("retries", "timeout", "priority", "product", "labels")),
    *((name, BEYOND_64_BITS, name) for name in ("retries", "timeout", "priority")),
    *((name, -1, name) for name in ("retries", "timeout", "priority")),
    ("app", None, "app"),
    ("event", None, "event"),
    ("retries", 101, "retries"),
    ("timeout", 0, "timeout"),
    ("timeout", 86_400_001, "timeout"),
    ("priority", 10, "priority"),
    ("on_lost", "die", "on_lost"),
    ("on_conflict", "replace", "on_conflict"),
    ("concurrency_limit", 2, "concurrency_limit"),
    ("queue", "a b", "queue"),
    ("queue", "ä", "queue"),
    ("queue", "webhooks", "queue"),  # deliveries have it to themselves
    ("unique_key", "a\nb", "unique_key"),
    ("idempotency_key", "x" * 256, "idempotency_key"),
    ("idempotency_key", 5, "idempotency_key"),
    ("labels", {str(n): "x" for n in range(17)}, "labels"),
    ("labels", {"a": {"b": "c"}}, "labels.a"),
    ("labels", {"a": 1}, "labels.a"),
    ("labels", {"a": "x" * 300}, "labels.a"),
    ("labels", {"": "x"}, "labels."),
    ("labels", {"a:b": "x"}, "labels.a:b"),
    ("session", {"tag": "user", "token": "jwt"}, "session"),
    ("session", {"tag": "user"}, "session.token"),
    ("session", {"tag": 1, "token": "jwt"}, "session.tag"),
    ("session", {"tag": "user", "token": "jwt", "tokn": 1}, "session.tokn"),
    ("session", "user:jwt", "session"),
    ("session", ["user"], "session"),
    ("session", "", "session"),
    ("cache", "", "cache"),
    ("cache", 5, "cache"),
    ("cache", "x" * 121, "cache"),
    ("namespace", "actions", "namespace"),
    ("retires", 3, "retires"),
    ("retryConfig", {"maxDelayy": 1}, "retryConfig.maxDelayy"),
    ("retryConfig", {"initialDelay": "1000"}, "retryConfig.initialDelay"),
    ("retryConfig", {"initialDelay": -1}, "retryConfig.initialDelay"),
    ("retryConfig", {"initialDelay": HUGE}, "retryConfig.initialDelay"),
    ("retryConfig", {"initialDelay": True}, "retryConfig.initialDelay"),
    ("retryConfig", {"initialDelay": 400_000}, "retryConfig.initialDelay"),
    ("retryConfig", {"initialDelay": 10, "maxDelay": 5}, "retryConfig.initialDelay"),
    ("retryConfig", {"maxDelay": 86_400_001}, "retryConfig.maxDelay"),
    ("retryConfig", {"backoffMultiplier": 0.5}, "retryConfig.backoffMultiplier"),
    ("retryConfig", {"jitter": 1}, "retryConfig.jitter"),
    ("retryConfig", {"jitterPercent": 30}, "retryConfig.jitterPercent"),
    ("retryConfig", {"retryableErrors": "TIMEOUT"}, "retryConfig.retryableErrors"),
    ("retryConfig", {"nonRetryableErrors": [1]}, "retryConfig.nonRetryableErrors"),
    ("schedule", {"every": 5}, "schedule.every"),
    ("schedule", {"every": HUGE}, "schedule.every"),
    ("schedule", {"every": BEYOND_64_BITS}, "schedule.every"),
    ("schedule", {"every": "1000"}, "schedule.every"),
    ("schedule", {"every": True}, "schedule.every"),
    ("schedule", {"every": 1000, "cron": "* * * * *"}, "schedule.every"),
    ("schedule", {"cron": "0 0 30 2 *"}, "schedule.cron"),
    ("schedule", {"cron": "every day"}, "schedule.cron"),
    ("schedule", {"cron": "* " * 5000}, "schedule.cron"),
    ("schedule", {"cron": ["0"]}, "schedule.cron"),
    ("schedule", {"cron": "0 9 * * *", "tz": ""}, "schedule.tz"),
    ("schedule", {"cron": "0 9 * * *", "tz": "Europe/Berlim"}, "schedule.tz"),
    ("schedule", {"cron": "0 9 * * *", "tz": "../../etc/passwd"}, "schedule.tz"),
    ("schedule", {"cron": "0 9 * * *", "tz": 5}, "schedule.tz"),
    ("schedule", {"every": 1000, "limit": 0}, "schedule.limit"),
    ("schedule", {"every": 1000, "limit": BEYOND_64_BITS}, "schedule.limit"),
    ("schedule", {"limit": 3}, "schedule.limit"),
    ("schedule", {"every": 1000, "endDate": 1}, "schedule.endDate"),
    ("schedule", {"every": 1000, "misfire_grace": HUGE}, "schedule.misfire_grace"),
    ("schedule", {"every": 1000, "jitter": BEYOND_64_BITS}, "schedule.jitter"),
    ("schedule", {"every": 1000, "overlap": ["skip"]}, "schedule.overlap"),
    ("schedule", {"start_at": HUGE}, "schedule.start_at"),
    ("schedule", {"start_at": -1}, "schedule.start_at"),
    ("schedule", {"start_at": "tomorrow"}, "schedule.start_at"),
    ("schedule", {"start_at": {}}, "schedule.start_at"),
    ("schedule", {"start_at": "9999-12-31T23:59:59-23:00"}, "schedule.start_at"),
    ("schedule", {"strat_at": 5}, "schedule.strat_at"),
]


@pytest.mark.parametrize(("field", "value", "named"), WRONG, ids=lambda value: str(value)[:30])
def test_a_wrong_field_is_named_alone_and_in_a_list(field: str, value: Any, named: str) -> None:
    response = Api().post(ACTIONS, {**BODY, field: value})
    assert response.status_code == 400, response.content
    assert named in [error["field"] for error in response.json()["errors"]]
    assert response.json()["detail"]
    if field != "namespace":
        many = Api().post(
            MANY, {"jobs": [{"namespace": "actions", **BODY}, {"namespace": "actions", **BODY, field: value}]}
        )
        assert many.status_code == 400
        assert f"jobs.1.{named}" in [error["field"] for error in many.json()["errors"]]
    assert counts() == (0, 0)


def test_an_unknown_field_is_told_with_the_one_that_was_meant() -> None:
    response = Api().post(ACTIONS, {**BODY, "retryconfig": {}, "Priority": 3})
    errors = {error["field"]: (error["code"], error["detail"]) for error in response.json()["errors"]}
    assert errors == {
        "retryconfig": ("unknown_field", "there is no such field: did you mean 'retryConfig'?"),
        "Priority": ("unknown_field", "there is no such field: did you mean 'priority'?"),
    }


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("TIMEOTU", "TIMEOUT"),
        ("timeout", "TIMEOUT"),
        ("RATELIMITED", "RATE_LIMITED"),
        ("SERVICE_UNAVAILBLE", "SERVICE_"),
    ],
)
def test_a_misspelt_code_would_switch_retries_off_and_is_refused(code: str, meant: str) -> None:
    for name in ("retryableErrors", "nonRetryableErrors"):
        response = Api().post(ACTIONS, {**BODY, "retries": 3, "retryConfig": {name: ["NOT_FOUND", code]}})
        assert response.status_code == 400
        (error,) = response.json()["errors"]
        assert error["field"] == f"retryConfig.{name}.1"
        assert error["detail"].startswith(f"there is no code '{code}': did you mean '{meant}")
    assert counts() == (0, 0)


def test_a_code_of_another_world_is_refused_where_it_would_switch_retries_off() -> None:
    """The documents' examples name codes of payment providers among those that are not tried again."""
    foreign = ["CARD_DECLINED", "INVALID_CARD", "CONNECTION_LOST", "FRAUD_DETECTED"]
    assert Api().post(ACTIONS, {**BODY, "retryConfig": {"nonRetryableErrors": foreign}}).status_code == 201
    response = Api().post(ACTIONS, {**BODY, "retryConfig": {"retryableErrors": ["TIMEOUT", "DEADLOCK"]}})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "retryConfig.retryableErrors.1"
    assert "CONNECTION_ERROR" in response.json()["detail"]
    many = {"jobs": [{**BODY, "namespace": "actions", "retryConfig": {"retryableErrors": ["DEADLOCK"]}}]}
    (error,) = Api().post(MANY, many).json()["errors"]
    assert error["field"] == "jobs.0.retryConfig.retryableErrors.0"


def test_an_executor_names_codes_of_its_own(settings: Settings) -> None:
    settings.EXTRA_EXECUTORS = {"mainframe": f"{__name__}.Mainframe"}
    wanted: dict[str, Any] = {"namespace": "mainframe", "product": "shop", "env": "prd", "target": {"event": "x"}}
    dispatch(DispatchRequest(**wanted, retry_config={"retryableErrors": ["ABEND", "TIMEOUT"]}))
    with pytest.raises(Exception, match="did you mean 'ABEND'"):
        dispatch(DispatchRequest(**wanted, retry_config={"retryableErrors": ["ABENT"]}))


class Mainframe:
    """An executor with a code of its own."""

    isolated = False
    codes = ("ABEND",)

    def check(self, **_: Any) -> None:
        """Everything is fine."""


def test_a_cache_that_is_not_there_is_told_and_a_session_is_not_echoed() -> None:
    response = Api().post(ACTIONS, {**BODY, "cache": "pages"})
    assert (response.status_code, response.json()["code"]) == (404, "cache_not_found")
    assert response.json()["errors"][0]["field"] == "cache"
    response = Api().post(ACTIONS, {**BODY, "session": "user:pss-pss"})
    assert (response.status_code, response.json()["code"]) == (400, "session_invalid")
    assert "pss-pss" not in response.content.decode()


def test_another_content_type_is_told() -> None:
    response = Client().post(
        ACTIONS, data=TEXT, content_type="text/plain", headers={"Authorization": f"Bearer {OPERATOR}"}
    )
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("input", [{"body": float("nan")}, {"body": "a\x00b"}, {"body": "\ud800"}, {"body": object()}])
def test_python_code_is_told_of_an_input_that_is_no_json(input: dict[str, Any]) -> None:
    request = DispatchRequest(
        namespace="actions", product="shop", env="prd", target={"app": "mail", "event": "ping"}, input=input,
        idempotency_key="k",
    )  # fmt: skip
    with pytest.raises(Exception, match=r"^input") as caught:
        dispatch(request)
    assert getattr(caught.value, "status", None) == 400
    assert counts() == (0, 0)
