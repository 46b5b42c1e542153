"""Runs that name a cache: made once for the same call, and answered from there while that holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from pytest_django import Settings

from core import clock
from core.clock import database_now
from core.tenancy.models import AuditEntry, Environment
from executors import caching
from executors.base import Session
from executors.catalog import document
from executors.catalog.models import Cache, CacheEntry
from executors.catalog.schema import read_document
from jobs import wakeup
from jobs.models import Execution, Job
from jobs.operations.dispatch import dispatch
from jobs.operations.request import DispatchRequest
from jobs.runner.loop import Runner
from tests.conformance.world import make_due
from tests.integration.api import OPERATOR, Api, key_of, told
from tests.integration.run_world import Probe, ended, running
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db(transaction=True)

CACHES = "/v1/products/shop/caches"
CATALOG: dict[str, Any] = {
    "envs": [{"slug": "prd"}, {"slug": "dev"}],
    "secrets": [{"key": "KEY", "value": "planted-secret"}],
    "sessions": [{"tag": "user", "selector": "$Session{id}", "expiry": 1, "period": "hours"}],
    "caches": [{"tag": "prices", "expiry": 60_000}, {"tag": "pages", "expiry": 1_000}],
}


@pytest.fixture(autouse=True)
def _here(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.EXTRA_EXECUTORS = {
        "probe": "tests.integration.run_world.Probe",
        "resolving": "tests.integration.run_world.Resolving",
    }
    monkeypatch.setattr(wakeup, "wake", lambda queues: None)
    store()


@pytest.fixture
def runner() -> Iterator[Runner]:
    with running() as runner:
        yield runner


def store(**changes: Any) -> None:
    document.store("shop", read_document({**CATALOG, **changes}, "shop"))


def run(runner: Runner, input: Any = None, *, namespace: str = "probe", **options: Any) -> Execution:
    fields: dict[str, Any] = {"target": {"event": "e"}, "product": "shop", "env": "prd", "cache": "prices", **options}
    dispatched = dispatch(DispatchRequest(namespace=namespace, input=input or {}, **fields))
    return ended(runner, Job.objects.get(pk=dispatched.job_id))


def number(runner: Runner, input: Any = None, **options: Any) -> int:
    """Which of the executor's calls answered the run."""
    result = run(runner, input, **options).result
    assert result is not None
    return int(result["number"])


def shown(execution: Execution) -> dict[str, Any]:
    history = Api().get(f"/v1/jobs/{execution.job}/history").json()
    row: dict[str, Any] = history["executions"][0]
    return row


def test_the_same_call_again_is_answered_without_being_made_and_says_so(runner: Runner) -> None:
    first, second = run(runner, {"a": 1, "b": [2]}), run(runner, {"b": [2], "a": 1}, labels={"x": "y"}, retries=3)
    assert (first.status, second.status) == ("completed", "completed")
    assert first.result == second.result == {"number": 1, "text": ""}
    assert len(Probe.calls) == 1
    assert "cached" not in shown(first)
    assert (shown(second)["cached"], shown(second)["result"]) == (True, {"number": 1, "text": ""})
    assert "steps" not in shown(second)
    job = Job.objects.get(pk=second.job_id)
    assert (job.successful_executions, job.cache) == (1, "prices")


def test_calls_that_differ_in_anything_are_made(runner: Runner) -> None:
    calls: list[dict[str, Any]] = [
        {"input": {"a": 1}},
        {"input": {"a": "1"}},
        {"input": {"a": 1}, "target": {"event": "f"}},
        {"input": {"a": 1}, "env": "dev"},
        {"input": {"a": 1}, "namespace": "resolving"},
        {"input": {"a": 1}, "cache": "pages"},
        {"input": {"a": 1}, "cache": None},
    ]
    assert [number(runner, **call) for call in calls] == [1, 2, 3, 4, 5, 6, 7]
    assert number(runner, {"a": 1}, cache=None) == 8


def test_a_session_has_results_of_its_own(runner: Runner) -> None:
    def token(**data: Any) -> str:
        answer = Api().post("/v1/products/shop/sessions/user/start", {"env": "prd", "data": data})
        return str(answer.json()["token"])

    numbers = [number(runner, session=token(id=whose)) for whose in ("u_1", "u_2", "u_1")]
    assert numbers == [1, 2, 1]
    assert [call.session for call in Probe.calls] == [Session("user", {"id": "u_1"}), Session("user", {"id": "u_2"})]


def test_a_result_is_given_again_until_it_expires(runner: Runner) -> None:
    assert number(runner) == 1
    with clock.shift(timedelta(seconds=59)):
        assert number(runner) == 1
    with clock.shift(timedelta(seconds=61)):
        assert number(runner) == 2
        assert number(runner) == 2
    assert CacheEntry.objects.count() == 1


def test_a_change_of_the_catalog_begins_anew(runner: Runner) -> None:
    assert number(runner) == 1
    store()  # which changes nothing
    assert number(runner) == 1
    store(secrets=[{"key": "KEY", "value": "another"}])
    assert number(runner) == 2


def test_a_failure_is_not_kept(runner: Runner) -> None:
    for _ in range(2):
        assert run(runner, {"fail": "VALIDATION_ERROR"}).status == "failed"
    assert len(Probe.calls) == 2
    assert not CacheEntry.objects.exists()


def test_a_result_that_is_too_long_is_not_kept(runner: Runner) -> None:
    for expected in (1, 2):
        assert number(runner, {"size": caching.LONGEST_RESULT}) == expected
    assert number(runner, {"size": caching.LONGEST_RESULT - 100}) == 3
    assert number(runner, {"size": caching.LONGEST_RESULT - 100}) == 3


def test_expressions_count_by_what_they_stand_for(runner: Runner) -> None:
    assert number(runner, {"k": "$Secret{KEY}"}, namespace="resolving") == 1
    assert number(runner, {"k": "$Secret{KEY}"}, namespace="resolving") == 1
    assert number(runner, {"k": "planted-secret"}, namespace="resolving") == 1
    assert number(runner, {"k": "$Now()"}, namespace="resolving") == 2
    assert number(runner, {"k": "$Now()"}, namespace="resolving") == 3
    assert number(runner, {"k": "$Secret{NONE}"}, namespace="resolving") == 4  # whose executor would fail
    assert "planted" not in str(list(CacheEntry.objects.values()))


def test_an_executor_that_does_not_say_what_its_input_stands_for_is_not_cached_for_expressions(runner: Runner) -> None:
    assert [number(runner, {"k": "$Secret{KEY}"}) for _ in range(2)] == [1, 2]
    assert not CacheEntry.objects.exists()


def test_a_cache_that_cannot_be_written_costs_no_result(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> bool:
        raise OperationalError("the database is away")

    monkeypatch.setattr(caching, "keep", away)
    assert [run(runner).status, run(runner).status] == ["completed", "completed"]
    assert len(Probe.calls) == 2


def test_the_deadline_while_a_result_is_kept_costs_no_result(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "keep", lambda *_, **__: time.sleep(1.0))
    assert run(runner, timeout=300).status == "completed"


def test_a_cache_that_is_gone_by_the_run_is_none(runner: Runner) -> None:
    soon = {"start_at": int(database_now().timestamp() * 1000) + 3_600_000}
    request = DispatchRequest(
        namespace="probe", target={"event": "e"}, product="shop", env="prd", cache="prices", schedule=soon
    )
    job = Job.objects.get(pk=dispatch(request).job_id)
    refused = Api().delete(f"{CACHES}/prices")
    assert (told(refused), refused.json()["jobs"]) == ((409, "in_use"), 1)
    assert Api().delete(f"{CACHES}/prices?force=true").status_code == 204
    make_due(job)
    assert ended(runner, job).status == "completed"
    assert not CacheEntry.objects.exists()


def test_an_action_is_sent_once(runner: Runner) -> None:
    with Receiver() as receiver:
        receiver.answer("/price", Answer(body={"price": 5}))
        event = {"tag": "price", "method": "GET", "resource": "/price"}
        app = {"tag": "market", "envs": {"prd": {"base_url": receiver.url}}, "events": [event]}
        store(apps=[app])
        target = {"app": "market", "event": "price"}
        results = [
            run(runner, {"query": {"of": of}}, namespace="actions", target=target).result
            for of in ("tea", "tea", "$Secret{KEY}", "$Secret{KEY}")
        ]
        assert [result["body"] for result in results if result] == [{"price": 5}] * 4
        assert len(receiver.requests) == 2


def test_a_feature_is_made_once_for_its_input_and_session(runner: Runner) -> None:
    with Receiver() as receiver:
        receiver.answer("/price", Answer(body={"price": 5}))
        event = {"tag": "price", "method": "GET", "resource": "/price"}
        app = {"tag": "market", "envs": {"prd": {"base_url": receiver.url}}, "events": [event]}
        step = {
            "tag": "ask", "type": "action", "app": "market", "event": "price",
            "input": {"query": {"of": "$Input{of}", "who": "$Session{user}{id}"}},
        }  # fmt: skip
        store(apps=[app], features=[{"tag": "ask", "steps": [step], "output": {"price": "$Step{ask}{body}{price}"}}])

        def asked(of: str, whose: str) -> Execution:
            body = {"env": "prd", "data": {"id": whose}}
            token = Api().post("/v1/products/shop/sessions/user/start", body).json()["token"]
            return run(runner, {"of": of}, namespace="features", target={"tag": "ask"}, session=token)

        runs = [asked("tea", "u_1"), asked("tea", "u_1"), asked("oil", "u_1"), asked("tea", "u_2")]
        assert [(each.status, each.code) for each in runs] == [("completed", "")] * 4
        assert [shown(each).get("cached", False) for each in runs] == [False, True, False, False]
        assert runs[0].result == runs[1].result
        assert [request.path for request in receiver.requests] == [
            f"/price?of={of}&who={whose}" for of, whose in (("tea", "u_1"), ("oil", "u_1"), ("tea", "u_2"))
        ]
        assert [step["step"] for step in shown(runs[0])["steps"]] == ["ask"]
        assert "steps" not in shown(runs[1])


def test_a_tag_that_is_not_there_is_told_with_the_nearest() -> None:
    body = {"namespace": "probe", "event": "e", "product": "shop", "env": "prd", "cache": "price"}
    answer = Api().post("/v1/jobs/dispatch-many", {"jobs": [body]})
    assert told(answer) == (404, "cache_not_found")
    assert answer.json()["errors"] == [
        {
            "field": "jobs.0.cache",
            "code": "not_found",
            "detail": "no cache 'price' in product 'shop': did you mean 'prices'?",
        }
    ]


def keep(key: str, *, env: str = "prd", cache: str = "prices") -> None:
    place = Environment.objects.get(slug=env, product__tag="shop")
    assert caching.keep(
        place.product_id, cache, key,
        environment_id=place.pk, namespace="probe", target={"event": "e"}, result='{"planted": 1}',
    )  # fmt: skip


def test_what_is_kept_is_listed_and_cleared() -> None:
    for key, env in (("a" * 64, "prd"), ("b" * 64, "prd"), ("c" * 64, "dev")):
        keep(key, env=env)
    keep("d" * 64, cache="pages")
    entries = Api().get(f"{CACHES}/prices/entries").json()["entries"]
    assert [entry["key"][0] for entry in entries] == ["c", "b", "a"]
    assert set(entries[0]) == {"key", "env", "namespace", "target", "size", "created_at", "expires_at"}
    assert (entries[0]["env"], entries[0]["size"]) == ("dev", 14)
    assert entries[0]["expires_at"] - entries[0]["created_at"] == 60_000
    assert [entry["key"][0] for entry in Api().get(f"{CACHES}/prices/entries?env=prd").json()["entries"]] == ["b", "a"]
    limited = key_of(envs=("dev",), name="limited")
    assert [entry["key"][0] for entry in limited.get(f"{CACHES}/prices/entries").json()["entries"]] == ["c"]

    assert Api().delete(f"{CACHES}/prices/entries?key={'a' * 64}").json() == {"cleared": 1}
    assert Api().delete(f"{CACHES}/prices/entries?env=prd").json() == {"cleared": 1}
    assert told(Api().delete(f"{CACHES}/prices/entries?env=prod")) == (404, "env_not_found")
    assert told(limited.delete(f"{CACHES}/prices/entries")) == (403, "forbidden")
    assert Api().delete(f"{CACHES}/prices/entries").json() == {"cleared": 1}
    assert Api().delete(f"{CACHES}/prices/entries").json() == {"cleared": 0}
    assert CacheEntry.objects.count() == 1
    assert AuditEntry.objects.filter(action="cache.cleared", object="shop/prices").count() == 3


def test_caches_are_made_read_changed_removed_and_exported() -> None:
    assert Api().post(CACHES, {"tag": "new", "expiry": 5}).json() == {"tag": "new", "name": "new", "expiry": 5}
    assert told(Api().post(CACHES, {"tag": "new", "expiry": 5})) == (409, "exists")
    assert Api()("PATCH", f"{CACHES}/new", {"expiry": 6, "description": "d"}).json()["description"] == "d"
    assert [cache["tag"] for cache in Api().get(CACHES).json()["caches"]] == ["new", "pages", "prices"]
    exported = Api().get("/v1/products/shop/catalog").json()
    assert exported["caches"][0] == {"tag": "new", "name": "new", "description": "d", "expiry": 6}
    again = Api()("PUT", "/v1/products/shop/catalog?prune=true", exported).json()
    assert (again["created"], again["updated"], again["removed"]) == ([], [], [])
    assert Api().delete(f"{CACHES}/new").status_code == 204
    assert told(Api().get(f"{CACHES}/new")) == (404, "cache_not_found")
    assert told(key_of("other").get(f"{CACHES}/pages")) == (404, "product_not_found")


def test_a_change_of_the_expiry_holds_for_what_is_kept_from_then_on(runner: Runner) -> None:
    assert number(runner) == 1
    Api()("PATCH", f"{CACHES}/prices", {"expiry": 1})
    assert number(runner) == 2
    with clock.shift(timedelta(seconds=1)):
        assert number(runner) == 3


def test_what_is_over_is_pruned() -> None:
    keep("a" * 64)
    keep("b" * 64, cache="pages")
    assert caching.prune() == 0
    assert caching.prune(now=database_now() + timedelta(seconds=2)) == 1
    assert Cache.objects.get(tag="prices").entries.count() == 1
    assert caching.prune(now=database_now() + timedelta(seconds=61)) == 1
