"""How the client sends: tries, pauses, keys of idempotency, times, and what each failure is called."""

from __future__ import annotations

import json
import random
from typing import Any

import httpx
import pytest

from ductape import errors
from ductape._async.transport import AsyncTransport
from ductape._sync.transport import Transport
from ductape.call import Call, plain
from ductape.configuration import Configuration
from ductape.retrying import FIRST_PAUSE, LONGEST_PAUSE, RetryPolicy
from tests.unit.client_harness import DISPATCHED, JOB, Surface, in_order, problem


@pytest.fixture(params=["sync", "async"])
def surface(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Surface:
    return Surface(request.param, monkeypatch)


def ok(body: Any = DISPATCHED, status: int = 201) -> httpx.Response:
    return httpx.Response(status, json=body)


def test_a_dispatch_carries_the_key_json_and_a_key_of_idempotency(surface: Surface) -> None:
    client = surface.client(in_order(ok()), product="shop", env="prd")

    done = surface.ask(client.actions.dispatch(app="mail", event="send", input={"body": {"to": "ü"}}, retries=3))

    (request,) = surface.requests
    assert (request.method, request.url.path) == ("POST", "/v1/actions/dispatch")
    assert request.headers["authorization"] == "Bearer key"
    assert request.headers["content-type"] == "application/json"
    assert len(request.headers["idempotency-key"]) == 36
    assert json.loads(request.content) == {
        "product": "shop", "env": "prd", "app": "mail", "event": "send", "input": {"body": {"to": "ü"}}, "retries": 3,
    }  # fmt: skip
    assert (done.job_id, done.status, done.recurring) == ("job_1", "queued", False)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("hung up"),
        httpx.ReadTimeout("slow"),
        problem(503, "database_unavailable"),
        httpx.Response(502, text="<html>bad gateway</html>"),
        problem(500, "internal_error"),
        problem(429, "too_many_waiting", headers={"Retry-After": "0"}),
        problem(409, "idempotency_in_progress", headers={"Retry-After": "0"}),
    ],
    ids=lambda failure: type(failure).__name__ if isinstance(failure, Exception) else str(failure.status_code),
)
def test_a_dispatch_is_sent_again_under_the_same_key_after_whatever_may_pass(
    surface: Surface, failure: httpx.Response | Exception
) -> None:
    client = surface.client(in_order(failure, failure, ok()))

    assert surface.ask(client.actions.dispatch(app="mail", event="send")).job_id == "job_1"

    assert len(surface.requests) == 3
    assert len({request.headers["idempotency-key"] for request in surface.requests}) == 1
    assert len({request.content for request in surface.requests}) == 1
    assert FIRST_PAUSE / 2 <= surface.pauses[0] <= FIRST_PAUSE <= surface.pauses[1] <= 2 * FIRST_PAUSE


def test_a_key_of_idempotency_that_is_given_is_the_one_that_is_sent(surface: Surface) -> None:
    client = surface.client(in_order(ok()))

    surface.ask(client.features.dispatch(tag="f", idempotency_key="mine"))

    assert json.loads(surface.requests[0].content)["idempotency_key"] == "mine"
    assert "idempotency-key" not in surface.requests[0].headers


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ReadTimeout("slow"), errors.TimedOut),
        (httpx.RemoteProtocolError("hung up"), errors.ConnectionFailed),
        (problem(503, "database_unavailable", headers={"Retry-After": "1"}), errors.DatabaseUnavailable),
        (problem(500, "internal_error"), errors.InternalError),
    ],
)
def test_what_may_have_been_done_and_cannot_be_repeated_is_sent_once(
    surface: Surface, failure: httpx.Response | Exception, kind: type[Exception]
) -> None:
    client = surface.client(in_order(failure))

    with pytest.raises(kind):
        surface.ask(client.jobs.trigger("job_1"))
    assert len(surface.requests) == 1


@pytest.mark.parametrize(
    "failure",
    [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), problem(429, "x"), problem(409, "conflict", headers={"Retry-After": "1"})],
)  # fmt: skip
def test_what_surely_was_not_done_is_sent_again_whatever_it_is(
    surface: Surface, failure: httpx.Response | Exception
) -> None:
    client = surface.client(in_order(failure, ok(JOB, 200)))

    assert surface.ask(client.jobs.trigger("job_1")).id == "job_1"


def test_a_refusal_is_not_sent_again(surface: Surface) -> None:
    for answer in (
        problem(400, "invalid"),
        problem(404, "job_not_found"),
        problem(409, "illegal_state"),
        problem(422, "x"),
    ):
        client = surface.client(in_order(answer))
        with pytest.raises(errors.ApiError):
            surface.ask(client.jobs.get("job_1"))
    assert (len(surface.requests), surface.pauses) == (4, [])


def test_a_deletion_whose_first_answer_was_lost_is_no_error(surface: Surface) -> None:
    client = surface.client(in_order(httpx.ReadTimeout("slow"), problem(404, "job_not_found")))
    surface.ask(client.jobs.delete("job_1"))

    client = surface.client(in_order(problem(404, "job_not_found")))
    with pytest.raises(errors.JobNotFound):
        surface.ask(client.jobs.delete("job_1"))


def test_after_the_last_try_the_failure_is_told_with_the_way_out(surface: Surface) -> None:
    client = surface.client(in_order(httpx.ConnectError("refused")), retries=2)

    with pytest.raises(errors.ConnectionFailed) as raised:
        surface.ask(client.jobs.get("job_1"))

    assert len(surface.requests) == 3
    assert str(raised.value) == (
        "GET http://jobs.test:8000/v1/jobs/job_1, tried 3 times: ConnectError: refused – "
        "check `base_url`, that the server runs (GET /healthz), and the network between"
    )


def test_a_server_that_asks_for_more_time_than_there_is_gets_none(surface: Surface) -> None:
    client = surface.client(in_order(problem(429, "too_many_waiting", headers={"Retry-After": "60"})), total_timeout=30)

    with pytest.raises(errors.TooManyWaiting) as raised:
        surface.ask(client.jobs.get("job_1"))

    assert raised.value.retry_after == 60
    assert (len(surface.requests), surface.pauses) == (1, [])


def test_a_try_has_its_timeout_and_the_wait_that_was_asked_for(surface: Surface) -> None:
    client = surface.client(in_order(ok(JOB, 200)), timeout=5)

    surface.ask(client.jobs.get("job_1", wait=20_000))

    (request,) = surface.requests
    assert str(request.url) == "http://jobs.test:8000/v1/jobs/job_1?wait=20000"
    assert request.extensions["timeout"]["read"] == 25


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"", b"[1, 2]", b'{"id": 7}', b"\xff\xfe"])
def test_an_answer_that_is_not_the_apis_is_a_broken_answer(surface: Surface, body: bytes) -> None:
    client = surface.client(in_order(httpx.Response(200, content=body)))

    with pytest.raises(errors.BrokenAnswer):
        surface.ask(client.jobs.get("job_1"))


def test_a_time_that_is_no_time_is_a_broken_answer_that_names_it(surface: Surface) -> None:
    client = surface.client(in_order(ok({**JOB, "created_at": "yesterday"}, 200)))

    with pytest.raises(errors.BrokenAnswer, match=r"Job\.created_at"):
        surface.ask(client.jobs.get("job_1"))


@pytest.mark.parametrize("body", ["", "<html>", "[]", "null", '{"detail": 7, "errors": {"a": 1}}', '{"errors": [3]}'])
def test_an_error_that_is_no_problem_is_of_the_class_of_its_status(surface: Surface, body: str) -> None:
    for status, kind in (
        (401, errors.Unauthenticated),
        (404, errors.NotFound),
        (418, errors.ApiError),
        (507, errors.ServerError),
    ):
        client = surface.client(in_order(httpx.Response(status, text=body)), retries=0)
        with pytest.raises(errors.ApiError) as raised:
            surface.ask(client.jobs.get("job_1"))
        assert (type(raised.value), raised.value.status, raised.value.code) == (kind, status, "")


def test_an_error_tells_its_fields_and_its_request(surface: Surface) -> None:
    wrong = [{"field": "schedule.every", "code": "invalid", "detail": "must be at least 100"}]
    client = surface.client(in_order(problem(400, "invalid", errors=wrong, extra=1)))

    with pytest.raises(errors.Invalid) as raised:
        surface.ask(client.jobs.get("job_1"))

    error = raised.value
    assert (error.status, error.code, error.request_id, error.raw["extra"]) == (400, "invalid", "r1", 1)
    assert error.errors == (errors.FieldProblem(field="schedule.every", code="invalid", detail="must be at least 100"),)
    assert str(error) == (
        "invalid happened (schedule.every: must be at least 100) – read `errors`: each wrong field is named with what "
        "is allowed [400 invalid, request r1]"
    )


def test_a_code_that_is_newer_than_the_client_is_of_the_class_of_its_status(surface: Surface) -> None:
    client = surface.client(in_order(problem(409, "of_next_year")))

    with pytest.raises(errors.Conflict) as raised:
        surface.ask(client.jobs.get("job_1"))
    assert raised.value.code == "of_next_year"


def test_pauses_grow_have_an_end_and_differ() -> None:
    policy = RetryPolicy(retries=20, random=random.Random(7))
    call = Call(method="GET", path="/", read=plain)
    failure = httpx.ReadTimeout("slow")

    pauses = [policy.pause_after_failure(call, failure, tries=tries, left=1e9) for tries in range(1, 20)]

    for tries, pause in enumerate(pauses):
        usual = min(LONGEST_PAUSE, FIRST_PAUSE * 2**tries)
        assert pause is not None
        assert usual / 2 <= pause <= usual
    assert len(set(pauses)) == len(pauses)
    assert policy.pause_after_failure(call, failure, tries=21, left=1e9) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_url", "jobs.test"), ("base_url", "ftp://jobs.test"), ("base_url", None), ("api_key", ""), ("api_key", "a\nb"),
        ("api_key", "schlüssel"), ("timeout", 0), ("timeout", "5"), ("total_timeout", -1), ("retries", -1), ("retries", True),
        ("max_connections", 0), ("product", ""), ("env", 3),
    ],
)  # fmt: skip
def test_a_client_that_cannot_work_is_not_made(surface: Surface, name: str, value: object) -> None:
    from ductape import AsyncDuctape, Ductape

    arguments: dict[str, Any] = {"base_url": "http://jobs.test", "api_key": "key", name: value}
    with pytest.raises(errors.InvalidArgument) as raised:
        (AsyncDuctape if surface.kind == "async" else Ductape)(**arguments)
    assert raised.value.argument == name


def test_the_address_may_be_given_with_a_slash_or_the_version() -> None:
    for given in ("http://jobs.test", "http://jobs.test/", "http://jobs.test/v1", "http://jobs.test/v1/"):
        made = Configuration(
            base_url=given,
            api_key="k",
            product=None,
            env=None,
            timeout=1,
            total_timeout=1,
            retries=0,
            max_connections=1,
        )
        assert made.address == "http://jobs.test"


def test_a_client_closes_its_own_connections_and_no_others(surface: Surface) -> None:
    client = surface.client(in_order(ok(JOB, 200)))
    given = client._transport._http
    surface.ask(client.aclose() if surface.kind == "async" else client.close())
    assert not given.is_closed

    own: Any = (AsyncTransport if surface.kind == "async" else Transport)(client._transport.configuration)
    surface.ask(own.aclose() if surface.kind == "async" else own.close())
    assert own._http.is_closed
