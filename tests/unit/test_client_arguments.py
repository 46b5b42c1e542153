"""Wrong arguments: refused with their name before anything is sent. Right ones: as the API spells them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from ductape import InvalidArgument
from tests.unit.client_harness import DISPATCHED, JOB, Surface, in_order

Calls = dict[str, Any]


@pytest.fixture
def surface(monkeypatch: pytest.MonkeyPatch) -> Surface:
    return Surface("sync", monkeypatch)


@pytest.fixture
def client(surface: Surface) -> Any:
    return surface.client(in_order(httpx.Response(200, json={**DISPATCHED, **JOB, "jobs": [], "limit": 50})))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"app": ""}, "app"), ({"app": None}, "app"), ({"app": 7}, "app"), ({"event": "x" * 251}, "event"),
        ({"event": "a\0b"}, "event"), ({"input": [1]}, "input"), ({"input": {1: 2}}, "input"),
        ({"input": {"a": float("nan")}}, "input"), ({"input": {"a": object()}}, "input"),
        ({"input": {"a": "\ud800"}}, "input"), ({"input": {"at": datetime.now(UTC)}}, "input"),
        ({"retires": 3}, "retires"), ({"retries": -1}, "retries"), ({"retries": 101}, "retries"),
        ({"retries": True}, "retries"), ({"retries": 1.0}, "retries"), ({"priority": 10}, "priority"),
        ({"timeout": 0}, "timeout"), ({"timeout": timedelta(days=2)}, "timeout"), ({"timeout": "5s"}, "timeout"),
        ({"on_conflict": "ignore"}, "on_conflict"), ({"on_lost": 1}, "on_lost"), ({"labels": {"a": 1}}, "labels.a"),
        ({"labels": {str(n): "" for n in range(17)}}, "labels"), ({"session": {"tag": "t"}}, "session.token"),
        ({"session": {"tag": "t", "token": "x", "user": "y"}}, "session.user"), ({"session": ""}, "session"),
        ({"schedule": "daily"}, "schedule"), ({"schedule": {"evry": 1}}, "schedule.evry"),
        ({"schedule": {"every": 99}}, "schedule.every"), ({"schedule": {"limit": 0}}, "schedule.limit"),
        ({"schedule": {"start_at": datetime(2026, 1, 1)}}, "schedule.start_at"),
        ({"schedule": {"start_at": "tomorrow"}}, "schedule.start_at"), ({"schedule": {"start_at": -1}}, "schedule.start_at"),
        ({"schedule": {"start_at": 1.5}}, "schedule.start_at"), ({"schedule": {"endDate": True}}, "schedule.endDate"),
        ({"schedule": {"overlap": "both"}}, "schedule.overlap"),
        ({"retry_config": {"initialDely": 1}}, "retry_config.initialDely"),
        ({"retry_config": {"initialDelay": 1, "initial_delay": 1}}, "retry_config.initial_delay"),
        ({"retry_config": {"backoffMultiplier": 0.5}}, "retry_config.backoffMultiplier"),
        ({"retryConfig": {"jitter": 1}}, "retryConfig.jitter"), ({"retryConfig": {"jitterPercent": 2}}, "retryConfig.jitterPercent"),
        ({"retryConfig": {"retryableErrors": []}}, "retryConfig.retryableErrors"),
        ({"retryConfig": {}, "retry_config": {}}, "retry_config"), ({"concurrency_limit": 0}, "concurrency_limit"),
    ],
)  # fmt: skip
def test_a_wrong_argument_of_a_dispatch_is_named_and_nothing_is_sent(
    surface: Surface, client: Any, given: Calls, named: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        client.actions.dispatch(**{"app": "mail", "event": "send", **given})

    assert raised.value.argument == named
    assert str(raised.value).startswith(f"{named}: ")
    assert isinstance(raised.value, (TypeError, ValueError))
    assert surface.requests == []


def test_a_misspelt_option_is_told_the_one_that_was_meant(client: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^retires: does not exist: did you mean 'retries'\?$"):
        client.actions.dispatch(app="mail", event="send", retires=3)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda d: d.jobs.get(""), "job_id"), (lambda d: d.jobs.get(".."), "job_id"), (lambda d: d.jobs.get(None), "job_id"),
        (lambda d: d.jobs.get("j", wait=60_001), "wait"), (lambda d: d.jobs.list(status="done"), "status"),
        (lambda d: d.jobs.list(limit=1_001), "limit"), (lambda d: d.jobs.list(label="team"), "label"),
        (lambda d: d.jobs.list(from_="soon"), "from_"), (lambda d: d.jobs.list(stauts="failed"), "stauts"),
        (lambda d: d.jobs.list(cursor=3), "cursor"), (lambda d: d.jobs.list(order="id"), "order"),
        (lambda d: d.jobs.list(status=[]), "status"), (lambda d: d.jobs.cancel("j", reason=3), "reason"),
        (lambda d: d.jobs.retry("j", delay=-1), "delay"), (lambda d: d.jobs.reschedule("j"), "start_at"),
        (lambda d: d.jobs.reschedule("j", every=1), "every"), (lambda d: d.jobs.delete("j", force="yes"), "force"),
        (lambda d: d.jobs.cancel_many(), "filter"), (lambda d: d.jobs.cancel_many(status=None), "filter"),
        (lambda d: d.jobs.cancel_many(limit=5), "limit"), (lambda d: d.jobs.reschedule_many(schedule={}, q="x"), "schedule"),
        (lambda d: d.jobs.wait("j", timeout=-1), "timeout"), (lambda d: d.jobs.get_stats(status="failed"), "status"),
        (lambda d: d.jobs.dispatch_many([]), "jobs"), (lambda d: d.jobs.dispatch_many({"namespace": "actions"}), "jobs"),
        (lambda d: d.jobs.dispatch_many([{}]), "jobs.0.namespace"),
        (lambda d: d.jobs.dispatch_many([{"namespace": "actions", "app": "a"}]), "jobs.0.event"),
        (lambda d: d.jobs.dispatch_many([{"namespace": "actions", "app": "a", "event": "e", "x": 1}]), "jobs.0.x"),
        (lambda d: d.schedules.preview({}), "schedule"), (lambda d: d.schedules.preview("0 9 * * *", count=101), "count"),
        (lambda d: d.product(), "product"), (lambda d: d.product("s").jobs.create(
            name="n", tag="t", event_type="ACTION", event_tag="e", executions=-1), "executions"),
        (lambda d: d.product("s").sessions.revoke("t"), "token"), (lambda d: d.product("s").apps.get("/.."[1:]), "tag"),
        (lambda d: d.webhooks.create(url="https://a", events=["job.done"]), "events"),
        (lambda d: d.webhooks.deliveries("w", status="sent"), "status"), (lambda d: d.catalog.put("s", 3), "document"),
        (lambda d: d.keys.create(name=""), "name"), (lambda d: list(d.events_stream(event="job.done")), "event"),
        (lambda d: d.processor.job.schedule(event=None), "event"),
        (lambda d: d.processor.job.run(event="e", wait=0), "wait"),
    ],
)  # fmt: skip
def test_a_wrong_argument_of_any_call_is_named_and_nothing_is_sent(
    surface: Surface, client: Any, call: Any, named: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        call(client)
    assert (raised.value.argument, surface.requests) == (named, [])


def test_times_and_durations_are_sent_as_milliseconds_and_texts_as_they_are(surface: Surface, client: Any) -> None:
    zone = timezone(timedelta(hours=-5))

    client.actions.dispatch(
        app="mail", event="send", timeout=timedelta(seconds=2), input={},
        schedule={
            "start_at": datetime(2026, 1, 1, 12, tzinfo=zone), "every": timedelta(hours=1), "endDate": "2026-12-31T23:59:59",
            "tz": "America/New_York", "jitter": 5, "limit": None,
        },
        retry_config={"initial_delay": timedelta(milliseconds=500), "retryable_errors": ("TIMEOUT",), "maxDelay": 1_000},
    )  # fmt: skip

    assert json.loads(surface.requests[0].content) == {
        "app": "mail", "event": "send", "timeout": 2_000, "input": {},
        "schedule": {
            "start_at": 1_767_286_800_000, "every": 3_600_000, "endDate": "2026-12-31T23:59:59", "tz": "America/New_York",
            "jitter": 5,
        },
        "retryConfig": {"initialDelay": 500, "retryableErrors": ["TIMEOUT"], "maxDelay": 1_000},
    }  # fmt: skip


def test_a_filter_is_spelled_as_a_list_and_as_a_body_want_it(surface: Surface, client: Any) -> None:
    wanted: Calls = {
        "status": ["failed", "cancelled"], "label": {"team": "a&b", "tier": "1"}, "recurring": False,
        "from_": datetime(1970, 1, 2, tzinfo=UTC), "to": 172_800_000,
    }  # fmt: skip

    client.jobs.list(limit=5, **wanted)
    assert dict(surface.requests[0].url.params.multi_items()) == {
        "status": "failed,cancelled", "label": "tier:1", "recurring": "false", "from": "86400000", "to": "172800000", "limit": "5",
    }  # fmt: skip
    assert surface.requests[0].url.params.get_list("label") == ["team:a&b", "tier:1"]

    client.jobs.cancel_many(reason="over", **wanted)
    assert json.loads(surface.requests[1].content) == {
        "status": ["failed", "cancelled"], "label": ["team:a&b", "tier:1"], "recurring": False, "from": 86_400_000,
        "to": 172_800_000, "reason": "over",
    }  # fmt: skip


def test_a_reschedule_tells_none_from_not_given(surface: Surface, client: Any) -> None:
    client.jobs.reschedule("job_1", start_at=5, cron=None)

    assert json.loads(surface.requests[0].content) == {"start_at": 5, "cron": None}


def test_a_tag_is_one_part_of_the_path(surface: Surface, client: Any) -> None:
    client.product("a/b?c").jobs.delete("d#e", force=True)

    assert surface.requests[0].url.raw_path == b"/v1/products/a%2Fb%3Fc/jobs/d%23e?force=true"


def test_the_clients_product_and_environment_go_with_what_makes_a_job_and_with_nothing_else(surface: Surface) -> None:
    client = surface.client(
        in_order(httpx.Response(200, json={**DISPATCHED, **JOB, "jobs": [], "limit": 50})), product="shop", env="prd"
    )

    client.graphs.action.dispatch(graph="g", event="e", env="dev")
    client.jobs.dispatch_many([{"namespace": "actions", "app": "a", "event": "e", "product": "other"}])
    client.processor.job.schedule(event="nightly", start_at=0)
    client.jobs.list()
    client.product.jobs.fetch_all()

    sent = [json.loads(each.content) if each.content else str(each.url.raw_path, "ascii") for each in surface.requests]
    assert sent == [
        {"product": "shop", "env": "dev", "graph": "g", "event": "e", "input": {}},
        {"jobs": [{"namespace": "actions", "product": "other", "env": "prd", "app": "a", "event": "e"}]},
        {"product_tag": "shop", "env": "prd", "event": "nightly", "start_at": 0},
        "/v1/jobs",
        "/v1/products/shop/jobs",
    ]
