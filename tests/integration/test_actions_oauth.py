"""Logging in by OAuth 2.0 client credentials: one token for many runs, renewed when it is refused."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from core import http
from core.shortcache import forget_everything
from executors.base import Call, Done, Failed, Outcome
from executors.catalog.check import check_connection
from executors.catalog.models import Component
from tests.integration.action_world import SCHEDULED, World
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def auth(receiver: Receiver, **fields: Any) -> dict[str, Any]:
    return {
        "type": "oauth2_client_credentials",
        "token_url": receiver.url + "/token",
        "client_id": "me",
        "client_secret": "$Secret{TOKEN}",
        **fields,
    }


def world_of(receiver: Receiver, **fields: Any) -> World:
    forget_everything()
    receiver.answer("/token", *(Answer(body={"access_token": f"access-{n}", "expires_in": 3600}) for n in (1, 2, 3)))
    return World(receiver, auth=auth(receiver, **fields))


def run_together(world: World, count: int, **more: Any) -> list[Outcome]:
    """Runs of one process, at once."""
    resolved = world.executor.resolve(**world.where("list"))

    def call(number: int) -> Call:
        return Call(
            job_id=f"job_{number}", run_key=f"job_{number}:1", attempt=1, namespace="actions", product="shop", env="prd",
            target={}, resolved=resolved, input={}, scheduled_at=SCHEDULED, timeout=more.get("timeout", 5.0),
        )  # fmt: skip

    async def all_of_them() -> list[Outcome]:
        try:
            return await asyncio.gather(*(world.executor.execute(call(number)) for number in range(count)))
        finally:
            await http.close()

    return asyncio.run(all_of_them())


def to(receiver: Receiver, path: str) -> list[Any]:
    return [request for request in receiver.requests if request.path == path]


def test_many_runs_share_one_token(receiver: Receiver) -> None:
    world = world_of(receiver, scope="read write", audience="api")

    outcomes = run_together(world, 20)

    assert all(isinstance(outcome, Done) for outcome in outcomes)
    (asked,) = to(receiver, "/token")
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["client_credentials"], "scope": ["read write"], "audience": ["api"],
    }  # fmt: skip
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"me:tok-live").decode()
    assert {request.headers["authorization"] for request in to(receiver, "/list")} == {"Bearer access-1"}


def test_the_credentials_may_be_sent_in_the_body(receiver: Receiver) -> None:
    run_together(world_of(receiver, client_auth="body"), 1)

    (asked,) = to(receiver, "/token")
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["client_credentials"], "client_id": ["me"], "client_secret": ["tok-live"],
    }  # fmt: skip
    assert "authorization" not in asked.headers


def test_a_token_that_is_refused_is_renewed_once(receiver: Receiver) -> None:
    world = world_of(receiver)
    receiver.answer("/list", Answer(status=401), Answer())

    assert isinstance(run_together(world, 1)[0], Done)

    assert [request.headers["authorization"] for request in to(receiver, "/list")] == [
        "Bearer access-1",
        "Bearer access-2",
    ]


def test_a_second_refusal_is_the_answer(receiver: Receiver) -> None:
    world = world_of(receiver)
    receiver.answer("/list", Answer(status=401, body="no: access-2"))

    (outcome,) = run_together(world, 1)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("UNAUTHORIZED", False)
    assert "access-2" not in outcome.message
    assert (len(to(receiver, "/token")), len(to(receiver, "/list"))) == (2, 2)


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        (Answer(status=400, body={"error": "invalid_client", "sent": "tok-live"}), "UNAUTHORIZED", False),
        (Answer(status=404), "UNAUTHORIZED", False),
        (Answer(status=503), "SERVICE_UNAVAILABLE", True),
        (Answer(status=429), "RATE_LIMITED", True),
        (Answer(reset=True), "CONNECTION_ERROR", True),
        (Answer(body="text"), "UNAUTHORIZED", False),
        (Answer(body={"access_token": 5}), "UNAUTHORIZED", False),
        (Answer(size=1_000_000), "RESPONSE_TOO_LARGE", False),
    ],
)
def test_no_token_is_a_failure_with_its_code(receiver: Receiver, answer: Answer, code: str, retryable: bool) -> None:
    world = world_of(receiver)
    receiver.answer("/token", answer)

    outcomes = run_together(world, 3)

    for outcome in outcomes:
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.retryable) == (code, retryable)
        assert "tok-live" not in outcome.message
    assert (len(to(receiver, "/token")), len(to(receiver, "/list"))) == (1, 0)


def test_a_token_endpoint_that_hangs_is_a_timeout(receiver: Receiver) -> None:
    world = world_of(receiver)
    receiver.answer("/token", Answer(hang=True))

    (outcome,) = run_together(world, 1, timeout=0.2)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("TIMEOUT", True)


@pytest.mark.parametrize("life", [0.000001, 0])
def test_a_token_is_used_until_it_ends(receiver: Receiver, life: float) -> None:
    world = world_of(receiver)
    receiver.answer("/token", Answer(body={"access_token": "a", "expires_in": life}))
    resolved = world.executor.resolve(**world.where("list"))

    async def twice() -> None:
        for _ in range(2):
            call = Call(
                job_id="job_1", run_key="job_1:1", attempt=1, namespace="actions", product="shop", env="prd", target={},
                resolved=resolved, input={}, scheduled_at=SCHEDULED, timeout=5.0,
            )  # fmt: skip
            assert isinstance(await world.executor.execute(call), Done)
        await http.close()

    asyncio.run(twice())

    assert len(to(receiver, "/token")) == (2 if life else 1)  # a life of nothing is one that was not told


@pytest.mark.parametrize(
    ("path", "answer", "ok", "code"),
    [
        ("/", Answer(), True, None),
        ("/", Answer(status=404), True, None),
        ("/", Answer(status=403), False, "FORBIDDEN"),
        ("/", Answer(status=500), False, "SERVICE_UNAVAILABLE"),
        ("/", Answer(reset=True), False, "CONNECTION_ERROR"),
        ("/token", Answer(status=400), False, "UNAUTHORIZED"),
    ],
)
def test_a_connection_can_be_checked(receiver: Receiver, path: str, answer: Answer, ok: bool, code: str | None) -> None:
    world = world_of(receiver)
    receiver.answer(path, answer)

    result = check_connection(Component.objects.get(tag="mail"), world.env)

    assert (result.ok, result.code) == (ok, code)
    assert "tok-live" not in result.detail
