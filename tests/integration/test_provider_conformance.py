"""What every provider of every namespace does, on its own system: stored, checked, run, refused, away, cancelled.

A case that has no meaning for a provider stands in `conformance_cases` with the reason; the first test holds that
list to what is so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from core.errors import Invalid, NotFound
from ductape_jobs.logs import DRIVERS
from executors import registry
from executors.base import CODES, Done, Failed
from executors.catalog import document, kinds
from jobs.lifecycle.settle import result_text
from tests.integration.api import OPERATOR, Api
from tests.integration.called_providers import CALLED
from tests.integration.conformance_cases import CANNOT, can
from tests.integration.conformance_world import (
    PATIENCE_SECONDS,
    PLANTED,
    REST,
    TAG,
    Provider,
    Silent,
    World,
    execute,
    together,
    worker_loop,
)
from tests.integration.kept_providers import KEPT
from tests.integration.saved_providers import SAVED
from tests.servers.local import free_port, wait_until
from tests.servers.proxy import Proxy

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.integration.api"),
    # The mail server warns of what is right here: a login without TLS.
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
]

PROVIDERS = {**CALLED, **KEPT, **SAVED}
MOST_RESULT_BYTES = 1024 * 1024 + 4096  # of rows, and what is said about them
SENTENCE = re.compile(r"\S+ \S+ \S+")
STEPS = {name: name for name in kinds.names()} | {"app": "action", "broker": "publish"}  # kinds → types of a step
SERVERS = {"mail.log", "werkzeug"}  # what the servers of these tests log in this process


ALL = pytest.mark.parametrize("provider", PROVIDERS, indirect=True, scope="module")


@pytest.fixture(scope="module")
def provider(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with PROVIDERS[request.param](tmp_path_factory.mktemp(request.param)) as running:
        yield running


def only_where(*cases: str) -> pytest.MarkDecorator:
    return can(*cases, of=PROVIDERS)


@ALL
def test_what_is_not_tested_is_what_the_provider_has_not(provider: Provider) -> None:
    cannot = CANNOT.get(provider.name, {})
    assert ("refused" in cannot) == (provider.refusal is None)
    assert ("login" in cannot) == (provider.secrets == ())
    assert ("away" in cannot) == ("silent" in cannot) == (provider.port is None)
    assert ("event" in cannot) == (provider.target == {})
    assert ("environment" in cannot) == (not provider.kind.connected)
    assert ("check" in cannot) == (provider.kind.check == "" and provider.kind.name != "app")


def test_every_provider_that_is_left_out_of_a_case_is_one() -> None:
    assert set(CANNOT) <= set(PROVIDERS)


def test_every_type_that_a_catalog_may_name_is_here_but_mysql() -> None:
    """So are the saved actions of those whose namespaces have any."""
    found = [kinds.get(name) for name in kinds.names()]
    types = {type: each for each in found for type in getattr(each, "connections", {}) if type}
    acting = {f"{type}-action" for type, each in types.items() if len(each.namespaces) > 1}

    assert {"postgresql-action", "neo4j-action"} < acting
    assert ({*types} | acting) - set(PROVIDERS) == {"mysql", "mysql-action"}


@ALL
def test_it_is_stored_and_read_back_without_its_secrets(provider: Provider, settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    world = World(provider)
    exported = document.export(world.product)

    answer = Api().get(f"/v1/products/shop/{world.kind.plural}/{TAG}")

    assert answer.status_code == 200
    assert answer.json() == next(entry for entry in exported[world.kind.plural] if entry["tag"] == TAG)
    for secret in (PLANTED, *provider.secrets):
        assert secret not in json.dumps(exported)


@ALL
def test_an_event_that_goes_well_is_seen_by_the_system(provider: Provider) -> None:
    world = World(provider)
    before = provider.seen()
    world.check(provider.input)

    outcome = world.run()

    assert isinstance(outcome, Done), outcome
    assert provider.seen() == before + 1
    stored = result_text(outcome.result)
    assert isinstance(json.loads(stored), dict)
    assert len(stored.encode()) <= MOST_RESULT_BYTES


@ALL
def test_its_event_runs_as_the_step_of_a_feature(provider: Provider) -> None:
    named = "feature" if provider.kind.name == "feature" else provider.kind.target
    step = {"tag": "only", "type": STEPS[provider.kind.name], named: TAG, **provider.target, "input": provider.input}
    feature = {"tag": "whole", "steps": [step], "output": {"given": "$Step{only}"}}
    world = World(replace(provider, more={**provider.more, "features": [feature]}))
    executor, where = registry.get("features"), {**world.where(), "target": {"tag": "whole"}}
    before = provider.seen()
    executor.check(**where, input={}, recurring=False)

    outcome = together(
        replace(world.call({}), namespace="features", target={"tag": "whole"}, resolved=executor.resolve(**where))
    )

    assert isinstance(outcome, Done), outcome
    assert provider.seen() == before + 1
    assert isinstance(outcome.result["given"], dict)
    assert PLANTED not in str(outcome)


@ALL
def test_a_field_that_is_not_known_is_refused_by_its_name(provider: Provider) -> None:
    world = World(provider)

    with pytest.raises(Invalid) as refused:
        world.store({**provider.connection, "unknown_thing": 1})

    plural = "apps" if not world.kind.connected else world.kind.plural
    assert [(error.field, error.code) for error in refused.value.errors] == [
        (f"{plural}.0.envs.prd.unknown_thing", "unknown_field")
    ]


@ALL
def test_a_tag_that_is_mistyped_is_told_the_nearest(provider: Provider) -> None:
    world = World(provider)

    with pytest.raises(NotFound) as refused:
        world.check(provider.input, **{world.kind.target: "the-onne"})

    (error,) = refused.value.errors
    assert (error.field, refused.value.code) == (world.kind.target, f"{world.kind.name}_not_found")
    assert f"did you mean {TAG!r}?" in refused.value.detail


@only_where("event")
def test_an_event_that_is_mistyped_is_told_the_nearest(provider: Provider) -> None:
    world = World(provider)
    ((field, name),) = provider.target.items()
    mistyped = f"{name[:-1]}{name[-1]}{name[-1]}"

    with pytest.raises((NotFound, Invalid)) as refused:
        world.check(provider.input, **{field: mistyped})

    (error,) = refused.value.errors
    assert error.field == field
    assert f"did you mean {name!r}?" in error.detail


@only_where("environment")
def test_an_environment_without_a_connection_is_told_the_way_out(provider: Provider) -> None:
    world = World(provider)

    with pytest.raises(NotFound) as refused:
        world.check(provider.input, env="dev")

    assert refused.value.code == "connection_not_found"
    assert f"PUT /v1/products/shop/{world.kind.plural}/{TAG}/envs/dev" in refused.value.detail
    tried = world.tried(env="dev")
    assert (tried.ok, tried.code, tried.detail) == (False, "connection_not_found", refused.value.detail)


@ALL
def test_what_is_not_allowed_to_be_reached_is_refused_before_a_socket_opens(
    provider: Provider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(provider)
    before = provider.seen()
    call = world.call()
    if provider.port is None:
        settings.LOCAL_PATHS_ALLOW = []
        outcome = together(call)
    else:
        settings.EGRESS_ALLOW_CIDRS = []
        with Proxy(("127.0.0.1", provider.port)) as proxy:
            outcome = together(World(provider, provider.at(proxy.port)).call())
            assert proxy.accepted == 0

    assert isinstance(outcome, Failed), outcome
    assert (outcome.code, outcome.retryable) == ("FORBIDDEN", False), outcome
    assert provider.seen() == before


@only_where("away")
def test_a_system_that_is_away_may_be_tried_again(provider: Provider) -> None:
    outcome = World(provider, provider.at(free_port())).run()

    assert isinstance(outcome, Failed), outcome
    assert (outcome.code, outcome.retryable) == ("CONNECTION_ERROR", True), outcome
    assert SENTENCE.search(outcome.message)


@only_where("refused")
def test_what_the_system_refuses_is_not_tried_again(provider: Provider) -> None:
    outcome = World(provider).refused()

    assert provider.refusal is not None
    assert outcome.code in provider.refusal.codes & CODES, outcome
    assert outcome.retryable is False
    assert SENTENCE.search(outcome.message)


@only_where("silent")
def test_a_run_that_is_taken_away_ends_and_holds_nothing_up(provider: Provider) -> None:
    """It is cancelled once its system was connected to, which this loop would hear of too late if it stood still."""
    with Silent() as server:
        call = World(provider, provider.at(server.port)).call(timeout=PATIENCE_SECONDS * 2)

        async def story() -> None:
            async with worker_loop():
                running = asyncio.ensure_future(execute(call))
                await server.taken()
                assert not running.done()
                call.cancelled.set()
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running

        asyncio.run(story())


@only_where("silent")
def test_a_system_that_says_nothing_ends_the_run_at_its_deadline(provider: Provider) -> None:
    with Silent() as server:
        call = World(provider, provider.at(server.port)).call(timeout=0.5)

        async def story() -> Any:
            async with worker_loop():
                try:
                    async with asyncio.timeout(call.timeout):  # as the run loop has it
                        return await execute(call)
                except TimeoutError:
                    return None

        outcome = asyncio.run(story())

    if outcome is not None:  # the provider has told it by itself
        assert isinstance(outcome, Failed), outcome
        assert outcome.retryable is True
        assert outcome.code in {"TIMEOUT", "CONNECTION_ERROR", "SERVICE_UNAVAILABLE"}, outcome


@ALL
def test_no_secret_is_in_a_result_an_error_or_the_log(
    provider: Provider, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in DRIVERS:  # as with LOG_LEVEL=DEBUG
        monkeypatch.setattr(logging.getLogger(name), "level", logging.INFO)
    logging.getLogger("jobs").manager._clear_cache()  # type: ignore[attr-defined]
    world = World(provider)
    told = [str(world.run())]
    if provider.refusal is not None:
        told.append(str(world.refused()))
    if provider.port is not None:
        told.append(str(World(provider, provider.at(free_port())).run()))
    records = [record for record in caplog.records if record.name not in SERVERS]
    told += [f"{record.name}: {record.getMessage()}" for record in records]
    told += [logging.Formatter().formatException(record.exc_info) for record in records if record.exc_info]

    for piece in (PLANTED[:10], REST, *(secret[:10] for secret in provider.secrets)):
        assert [text for text in told if piece in text] == []


@only_where("closed")
def test_its_connections_are_closed_with_the_worker(provider: Provider) -> None:
    assert provider.port is not None
    with Proxy(("127.0.0.1", provider.port)) as proxy:
        outcome = World(provider, provider.at(proxy.port)).run()

        assert isinstance(outcome, Done), outcome
        assert proxy.accepted > 0
        wait_until(lambda: proxy.open == 0, "every connection is closed", seconds=5)


@only_where("check")
def test_a_check_says_in_a_sentence_what_was_reached(provider: Provider) -> None:
    tried = World(provider).tried()

    assert (tried.ok, tried.code) == (True, None), tried
    assert " " in tried.detail
    for secret in provider.secrets:
        assert secret not in tried.detail


@only_where("away", "check", "tried")
def test_a_check_says_in_a_sentence_what_failed(provider: Provider) -> None:
    tried = World(provider, provider.at(free_port())).tried()

    assert (tried.ok, tried.code) == (False, "CONNECTION_ERROR"), tried
    assert SENTENCE.search(tried.detail)
    for secret in provider.secrets:
        assert secret not in tried.detail
