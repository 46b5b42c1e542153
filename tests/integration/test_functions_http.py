"""Functions behind HTTP on a real receiver: what is sent, how it ends, what is refused when it is stored and dispatched."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import Invalid, NotFound
from executors.base import AttemptFailed, Done, Failed
from executors.catalog import document
from executors.catalog.components import open_one
from executors.catalog.schema import read_document
from tests.integration.function_world import World
from tests.servers.local import free_port
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def told(caught: pytest.ExceptionInfo[Invalid]) -> dict[str, str]:
    return {error.field: error.code for error in caught.value.errors}


def test_a_payload_is_posted_with_the_functions_login_and_the_runs_own_headers(receiver: Receiver) -> None:
    world = World(
        {"method": "PUT"}, url=f"{receiver.url}/resize/:id?v=1", headers={"X-From": "shop"}, query={"page": 2},
        auth={"headers": {"X-Key": "$Secret{TOKEN}"}, "query": {"k": "$Secret{TOKEN}"}},
    )  # fmt: skip
    input: dict[str, Any] = {
        "payload": {"n": 1.5},
        "params": {"id": "a/b"},
        "query": {"tag": ["x"]},
        "headers": {"X-Mine": 1},
    }
    world.check(**input)

    outcome = world.run(input=input)

    assert isinstance(outcome, Done)
    assert (outcome.result["status"], outcome.result["body"]) == (200, {"ok": True})
    request = receiver.requests[-1]
    assert (request.method, request.path) == ("PUT", "/resize/a%2Fb?v=1&page=2&k=tok-live-secret&tag=x")
    assert request.json() == {"n": 1.5}
    expected = {
        "content-type": "application/json", "x-from": "shop", "x-key": "tok-live-secret", "x-mine": "1",
        "idempotency-key": "job_1:7", "x-job-id": "job_1", "x-attempt": "1", "x-scheduled-for": "1767323045000",
    }  # fmt: skip
    assert {name: request.headers.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        ({"type": "bearer", "token": "tok-of-mine"}, "Bearer tok-of-mine"),
        ({"type": "bearer", "token": "$Secret{TOKEN}"}, "Bearer tok-live-secret"),
        ({"type": "basic", "user": "bob", "pass": "pass-of-bob"}, f"Basic {base64.b64encode(b'bob:pass-of-bob').decode()}"),
    ],
)  # fmt: skip
def test_each_login_is_sent_and_never_told(receiver: Receiver, auth: dict[str, str], sent: str) -> None:
    world = World({}, url=f"{receiver.url}/f", auth=auth)
    receiver.answer("/f", Answer(echo=True), Answer(status=500, body=f"no {sent}"))

    done, failed = world.run(input={"payload": {}}), world.run(input={"payload": {}})

    assert receiver.requests[-1].headers["authorization"] == sent
    assert isinstance(done, Done)
    assert isinstance(failed, Failed)
    for secret in (sent.split()[1], "pass-of-bob", "tok-live-secret", "tok-of-mine"):
        assert secret not in json.dumps(done.result)
        assert secret not in failed.message


def test_a_login_of_the_body_is_added_to_what_the_input_says(receiver: Receiver) -> None:
    world = World({}, url=f"{receiver.url}/f", auth={"body": {"key": "$Secret{TOKEN}"}})

    world.run(input={"payload": {"n": 1}})
    outcome = world.run(input={"payload": [1]})

    assert receiver.requests[-1].json() == {"n": 1, "key": "tok-live-secret"}
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)


def test_expressions_of_an_input_are_what_they_stand_for(receiver: Receiver) -> None:
    world = World({}, url=f"{receiver.url}/f")
    input: dict[str, Any] = {"body": {"token": "$Secret{TOKEN}", "at": "$Now()"}}
    world.check(**input)

    before = time.time_ns() // 1_000_000
    world.run(input=input)

    sent = receiver.requests[-1].json()
    assert sent["token"] == "tok-live-secret"
    assert before <= sent["at"] <= before + 5000


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        (Answer(status=404), "NOT_FOUND", False), (Answer(status=503), "SERVICE_UNAVAILABLE", True),
        (Answer(status=401), "UNAUTHORIZED", False), (Answer(status=302), "VALIDATION_ERROR", False),
        (Answer(reset=True), "CONNECTION_ERROR", True), (Answer(hang=True), "TIMEOUT", True),
        (Answer(size=3_000_000), "RESPONSE_TOO_LARGE", False),
    ],
)  # fmt: skip
def test_each_end_has_its_code(receiver: Receiver, answer: Answer, code: str, retryable: bool) -> None:
    receiver.answer("/f", answer)
    world = World({}, url=f"{receiver.url}/f", timeout=400)

    outcome = world.run(input={})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == (code, retryable)


def test_a_function_that_asks_to_wait_is_waited_for(receiver: Receiver) -> None:
    receiver.answer("/f", Answer(status=429, headers={"Retry-After": "7"}))

    outcome = World({}, url=f"{receiver.url}/f").run(input={})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retry_after) == ("RATE_LIMITED", 7.0)
    assert outcome.message.startswith("POST of function 'nightly' answered 429")


@pytest.mark.parametrize(
    ("input", "errors"),
    [
        ({"paylod": {}}, {"input.paylod": "unknown_field"}),
        ({"payload": {}, "body": {}}, {"input.payload": "duplicate"}),
        ({"query": [1], "params": {"id": 1}}, {"input.query": "invalid"}),
        ({"params": {"other": 1}}, {"input.params.id": "required", "input.params.other": "unknown_field"}),
        ({"params": {"id": ".."}}, {"input.params.id": "invalid"}),
        ({"params": {"id": 1}, "headers": {"X-Attempt": "9"}}, {"input.headers.X-Attempt": "invalid"}),
        ({"params": {"id": 1}, "payload": {"a": "$Nothing{x}"}}, {"input.payload.a": "expression_unsupported"}),
    ],
)  # fmt: skip
def test_an_input_that_does_not_fit_is_told_at_dispatch(input: dict[str, Any], errors: dict[str, str]) -> None:
    world = World({}, url="https://fn.example/resize/:id")
    with pytest.raises(Invalid) as caught:
        world.check(**input)
    assert told(caught) == errors


@pytest.mark.parametrize("part", ["payload", "body"])
def test_a_secret_that_is_not_set_is_told_at_the_field_that_names_it(part: str) -> None:
    world = World({}, url="https://fn.example/f")
    input: dict[str, Any] = {part: {"a": "$Secret{NOT_THERE}"}}
    with pytest.raises(NotFound) as caught:
        world.check(**input)
    assert [(error.field, error.code) for error in caught.value.errors] == [(f"input.{part}.a", "secret_not_found")]


def test_a_name_that_is_nearly_right_is_told() -> None:
    world = World({}, url="https://fn.example/f")
    where = {**world.where, "target": {"function": "nigthly"}}
    with pytest.raises(NotFound) as caught:
        world.executor.check(**where, input={}, recurring=False)
    assert caught.value.code == "function_not_found"
    assert caught.value.detail == "no function 'nigthly' in product 'shop': did you mean 'nightly'?"


@pytest.mark.parametrize(
    ("function", "connection", "field"),
    [
        ({}, {}, "url"),
        ({}, {"url": "ftp://fn.example"}, "url"),
        ({}, {"url": "https://bob:pw@fn.example"}, "url"),
        ({}, {"url": "https://fn.example", "auth": {"headers": {"X-Key": "in the clear"}}}, "auth.headers.X-Key"),
        ({}, {"url": "https://fn.example", "auth": {"type": "basic", "username": "bob"}}, "auth.password"),
        ({}, {"url": "https://fn.example", "auth": {"token": "t"}}, "auth.token"),
        ({}, {"url": "https://fn.example", "headers": {"Idempotency-Key": "mine"}}, "headers.Idempotency-Key"),
        ({}, {"url": "https://fn.example", "headers": {"X": "a\nb"}}, "headers.X"),
        ({}, {"url": "https://fn.example", "broker_url": "redis://x"}, "broker_url"),
        ({"type": "celery", "tasks": ["a.b"]}, {"broker_url": "sqs://"}, "broker_url"),
        ({"type": "celery", "tasks": ["a.b"]}, {"broker_url": "memory://x"}, "broker_url"),
        ({"type": "celery", "tasks": ["a.b"]}, {"broker_url": "redis://h/0", "result_backend": "rpc://"}, "result_backend"),
        ({"type": "celery", "tasks": ["a.b"]}, {"broker_url": "redis://h/0", "result_backend": "db+sqlite:////etc/x.db"}, "result_backend"),
        ({"type": "celery", "tasks": ["a.b"]}, {"broker_url": "redis://h/0", "serializer": "pickle"}, "serializer"),
        ({"type": "lambda"}, {"region": "eu-west-1", "function_name": "f"}, "access_key_id"),
        ({"type": "lambda"}, {"region": "../x", "function_name": "f", "access_key_id": "a", "secret_access_key": "b"}, "region"),
    ],
)  # fmt: skip
def test_a_connection_that_cannot_work_is_refused_when_it_is_stored(
    function: dict[str, Any], connection: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        World(function, **connection)
    assert f"functions.0.envs.prd.{field}" in told(caught)


@pytest.mark.parametrize(
    ("function", "field"),
    [
        ({"type": "celery"}, "tasks"), ({"type": "celery", "tasks": ["a b"]}, "tasks.0"),
        ({"type": "http", "tasks": ["a.b"]}, "tasks"), ({"type": "celery", "tasks": ["a.b"], "method": "POST"}, "method"),
        ({"type": "cron"}, "type"), ({"sample": {"a": "$Secret{"}}, "sample"), ({"events": []}, "events"),
    ],
)  # fmt: skip
def test_a_function_that_cannot_work_is_refused_when_it_is_stored(function: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        World(function, url="https://fn.example", broker_url="redis://h/0")
    assert f"functions.0.{field}" in told(caught)


def test_a_private_address_is_refused_before_a_socket_opens(settings: Any, receiver: Receiver) -> None:
    settings.EGRESS_ALLOW_CIDRS = []

    outcome = World({}, url=f"{receiver.url}/f").run(input={})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("FORBIDDEN", False)
    assert len(receiver.requests) == 0


def test_a_check_asks_without_running_the_function(receiver: Receiver) -> None:
    receiver.answer("/f", Answer(status=405), Answer(status=403))
    world = World({}, url=f"{receiver.url}/f", auth={"type": "bearer", "token": "t-secret"})

    assert world.tried() == "reached: it answered 405 to OPTIONS, and the function was not run"
    assert (receiver.requests[0].method, receiver.requests[0].headers["authorization"]) == (
        "OPTIONS",
        "Bearer t-secret",
    )
    with pytest.raises(AttemptFailed, match="reached, but it answered 403") as caught:
        world.tried()
    assert caught.value.failed.code == "FORBIDDEN"
    with pytest.raises(AttemptFailed) as caught:
        World({}, url=f"http://127.0.0.1:{free_port()}/f").tried()
    assert caught.value.failed.code == "CONNECTION_ERROR"


def test_a_catalog_with_functions_can_be_exported_and_stored_again() -> None:
    world = World({"type": "celery", "tasks": ["a.b"]}, broker_url="redis://:pass-secret@h/0", queue="q")
    exported = document.export(world.product)

    (function,) = exported["functions"]
    assert function["envs"]["prd"] == {"broker_url": {"set": True}, "queue": "q"}
    document.store("shop", read_document(exported, "shop"), prune=True)

    assert document.export(world.product) == exported
    opened = open_one("function", product_id=world.product.pk, environment_id=world.env.pk, tag="nightly")
    assert opened.connection["broker_url"] == "redis://:pass-secret@h/0"
    assert "pass-secret" not in repr(opened)
