"""What every broker does: the message is there when the run is done, and each way to fail has its code."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from executors.base import Done, Failed
from executors.providers.broker.check import check
from tests.integration.broker_systems import SYSTEMS
from tests.integration.broker_world import Broker, World, together
from tests.servers.certificates import Authority
from tests.servers.local import free_port
from tests.servers.machine import needs
from tests.servers.proxy import Proxy

pytestmark = pytest.mark.django_db

OVER_TLS = {"rabbitmq", "redis", "mqtt"}


@pytest.fixture(params=SYSTEMS, ids=lambda system: system.__name__)
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    system: Any = request.param
    running: Broker = system(*(needs(system.needs_name) if system.needs_name else ("127.0.0.1", 0)))
    running.open()
    yield running
    running.close()


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    if not broker.port:
        pytest.skip("it is not reached through one address")
    with Proxy((broker.host, broker.port)) as running:
        yield running


def test_a_message_is_there_when_the_run_is_done(broker: Broker) -> None:
    world = World(broker.type, broker.connection(), {**broker.topic(), "headers": {"x-from": "shop", "x-kind": "a"}})
    key = {"key": "k-1"} if broker.carries_keys else {}
    world.check(message={"check": True}, headers={"X-Kind": "b"}, **key)

    outcome = world.run(message={"check": True, "ü": [1, None]}, headers={"X-Kind": "b"}, **key)

    assert isinstance(outcome, Done)
    assert (outcome.result["success"], outcome.result["process_id"]) == (True, "job_1:7")
    (got,) = broker.read()
    assert json.loads(got.body) == {"check": True, "ü": [1, None]}
    wanted = {
        "x-from": "shop", "X-Kind": "b", "idempotency-key": "job_1:7", "x-job-id": "job_1", "x-attempt": "1",
        "x-scheduled-for": "1767323045000",
    }  # fmt: skip
    assert {name: got.headers.get(name) for name in wanted} == wanted
    assert got.key == key.get("key")


def test_a_run_that_is_tried_again_says_so(broker: Broker) -> None:
    world = World(broker.type, broker.connection(), broker.topic())
    calls = [world.call(attempt=attempt, message={"n": 1}) for attempt in (1, 2)]

    async def both() -> list[Any]:
        return [await world.executor.execute(call) for call in calls]

    outcomes = together(both())

    assert all(isinstance(outcome, Done) for outcome in outcomes), outcomes
    seen = {got.headers["idempotency-key"] for got in broker.read()}
    assert seen == {"job_1:7"}


def test_many_at_once_share_few_connections(broker: Broker, proxy: Proxy) -> None:
    world = World(broker.type, broker.connection(proxy.port), broker.topic())
    calls = [world.call(run=run, message={"n": run}) for run in range(60)]

    async def at_once() -> tuple[list[Any], int]:
        outcomes = await asyncio.gather(*(world.executor.execute(call) for call in calls))
        return outcomes, proxy.open

    outcomes, open = together(at_once())

    assert [outcome for outcome in outcomes if not isinstance(outcome, Done)] == []
    assert int(broker.keeps) <= open <= 16
    assert sorted(json.loads(got.body)["n"] for got in broker.read()) == list(range(60))
    assert _soon(lambda: proxy.open == 0), "the connections are closed with their publisher"


def test_a_broker_that_refuses_the_connection_may_be_tried_again(broker: Broker) -> None:
    world = World(broker.type, broker.connection(free_port()), broker.topic())

    outcome = world.run(message={})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("CONNECTION_ERROR", True), outcome
    assert re.search("refused|Connect call failed", outcome.message), outcome


def test_a_broker_goes_away_and_comes_back(broker: Broker, proxy: Proxy) -> None:
    world = World(broker.type, broker.connection(proxy.port), broker.topic())
    calls = [world.call(run=run, message={"n": run}) for run in range(4)]

    async def story() -> list[Any]:
        first = await world.executor.execute(calls[0])
        proxy.down()
        away = await world.executor.execute(calls[1])
        proxy.up()
        back = await world.executor.execute(calls[2])
        proxy.cut()
        await asyncio.sleep(0.05)
        again = await world.executor.execute(calls[3])
        return [first, away, back, again]

    first, away, back, again = together(story())

    assert isinstance(first, Done)
    assert (away.code, away.retryable) == ("CONNECTION_ERROR", True), away
    assert isinstance(back, Done), back
    assert isinstance(again, Done), again
    assert [json.loads(got.body)["n"] for got in broker.read()] == [0, 2, 3]


def test_a_silent_broker_ends_at_the_deadline(broker: Broker, proxy: Proxy) -> None:
    world = World(broker.type, broker.connection(proxy.port), broker.topic())
    before, silent, after = (
        world.call(run=1, message={}), world.call(run=2, timeout=0.4, message={}), world.call(run=3, message={}),
    )  # fmt: skip

    async def story() -> tuple[Any, float, Any]:
        assert isinstance(await world.executor.execute(before), Done)
        proxy.freeze()
        began = time.monotonic()
        outcome = await world.executor.execute(silent)
        took = time.monotonic() - began
        proxy.thaw()
        return outcome, took, await world.executor.execute(after)

    outcome, took, recovered = together(story())

    assert (outcome.code, outcome.retryable) == ("TIMEOUT", True), outcome
    assert "no confirmation within 0.4 s" in outcome.message
    assert took < 2
    assert isinstance(recovered, Done), recovered


def test_a_cancelled_run_stops_at_once(broker: Broker, proxy: Proxy) -> None:
    world = World(broker.type, broker.connection(proxy.port), broker.topic())
    before, call, after = (world.call(run=run, message={"n": run}) for run in (1, 2, 3))

    async def story() -> tuple[float, Any]:
        await world.executor.execute(before)
        proxy.freeze()
        running = asyncio.ensure_future(world.executor.execute(call))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        took = time.monotonic() - began
        proxy.thaw()
        return took, await world.executor.execute(after)

    took, recovered = together(story())

    assert took < 1
    assert isinstance(recovered, Done), recovered


def test_a_wrong_password_is_told_without_it(broker: Broker) -> None:
    wrong = broker.wrong_login()
    if wrong is None:
        pytest.skip("the server here asks for no password")
    world = World(broker.type, wrong, broker.topic())

    outcome = world.run(message={})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("UNAUTHORIZED", False), outcome
    assert "wrong-password" not in outcome.message


def test_an_address_that_may_not_be_reached_is_refused_before_a_socket_opens(
    broker: Broker, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EGRESS_ALLOW_CIDRS = []
    world = World(broker.type, broker.connection(), broker.topic())

    outcome = world.run(message={})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("FORBIDDEN", False), outcome
    assert "127.0.0.1" in outcome.message
    assert broker.read() == []


def test_a_certificate_is_checked_by_the_name_and_the_authority(broker: Broker, tmp_path: Path) -> None:
    if broker.type not in OVER_TLS:
        pytest.skip("TLS begins after its greeting, or is not the driver's own")
    authority, stranger = Authority(tmp_path), tmp_path / "other"
    stranger.mkdir()
    ca = authority.path.read_text()
    with Proxy((broker.host, broker.port), tls=authority.server("localhost")) as proxy:
        at = {"host": "localhost", "port": proxy.port, "tls": True, **({"db": 9} if broker.type == "redis" else {})}
        trusted = World(broker.type, {**at, "ca": ca}, broker.topic()).run(message={})
        named_otherwise = World(broker.type, {**at, "host": "127.0.0.1", "ca": ca}, broker.topic()).run(message={})
        other = Authority(stranger).path.read_text()
        not_trusted = World(broker.type, {**at, "ca": other}, broker.topic()).run(message={})
        by_the_machine = World(broker.type, at, broker.topic()).run(message={})

    assert isinstance(trusted, Done), trusted
    for outcome in (named_otherwise, not_trusted, by_the_machine):
        assert isinstance(outcome, Failed), outcome
        assert (outcome.code, "certificate" in outcome.message) == ("CONNECTION_ERROR", True), outcome
    assert len(broker.read()) == 1


def test_a_check_says_what_was_reached(broker: Broker) -> None:
    world = World(broker.type, broker.connection(), broker.topic())

    assert together(check(world.opened())).startswith("connected: ")
    assert broker.read() == []


def _soon(ready: Any) -> bool:
    until = time.monotonic() + 3
    while not ready():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
