"""The delivery log of a webhook over HTTP, replays, tests, statistics (api.md §4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from core.clock import database_now
from core.ids import encode, new_uuid
from core.tenancy.models import Environment
from core.times import to_ms
from tests.integration.api import OPERATOR, Api, key_of, told
from tests.integration.webhook_world import HOOKS, delivered, hook, row
from webhooks import disabling
from webhooks.models import Delivery, Endpoint, Message

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"


@pytest.fixture
def shop() -> Api:
    return key_of("shop", envs=("prd",))


@pytest.fixture
def endpoint(shop: Api) -> Endpoint:
    return row(hook(shop))


def log(api: Api, endpoint: Endpoint, query: str = "") -> Any:
    answer = api.get(f"{HOOKS}/{endpoint}/deliveries{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()


# --- the log -----------------------------------------------------------------------------------


def test_the_log_tells_every_attempt(shop: Api, endpoint: Endpoint) -> None:
    delivery = delivered(endpoint, "failed", seq=4)
    (shown,) = log(shop, endpoint)["deliveries"]
    assert shown == {
        "id": str(delivery),
        "message_id": encode("msg", delivery.message_id),
        "event": "job.completed",
        "job_id": encode("job", delivery.message.job_id or new_uuid()),
        "seq": 4,
        "status": "failed",
        "attempts": [
            {
                "at": to_ms(delivery.created_at),
                "duration_ms": 7,
                "response_status": 500,
                "response_body": "no",
                "error": "the endpoint answered 500",
                "address": "203.0.113.7",
            }
        ],
        "created_at": to_ms(delivery.created_at),
        "finished_at": to_ms(delivery.created_at),
    }
    one = shop.get(f"{HOOKS}/{endpoint}/deliveries/{delivery}").json()
    assert one == {**shown, "payload": {"event": "job.completed"}}


def test_one_under_way_is_pending_and_one_that_waits_says_until_when(shop: Api, endpoint: Endpoint) -> None:
    waiting = delivered(endpoint, "pending")
    under_way = delivered(endpoint, "pending")
    Delivery.objects.filter(pk=under_way.pk).update(
        status="delivering", attempt=1, fence=1, owner_id=1, deadline_at=database_now()
    )
    newest, oldest = log(shop, endpoint)["deliveries"]
    assert (newest["status"], "next_attempt_at" in newest) == ("pending", False)
    assert oldest["next_attempt_at"] == to_ms(waiting.due_at)
    assert len(log(shop, endpoint, "?status=pending")["deliveries"]) == 2
    rests_until = database_now() + HOUR
    Endpoint.objects.filter(pk=endpoint.pk).update(rest_until=rests_until)
    assert log(shop, endpoint)["deliveries"][1]["next_attempt_at"] == to_ms(rests_until)


def test_the_log_is_filtered(shop: Api, endpoint: Endpoint) -> None:
    job = new_uuid()
    old = delivered(endpoint, "failed", ago=HOUR * 2, type="job.failed")
    new = delivered(endpoint, "delivered", job_id=job)
    mid = delivered(endpoint, "failed", ago=HOUR)
    hour_ago = to_ms(database_now() - HOUR) - 60_000

    def ids(query: str) -> set[str]:
        return {each["id"] for each in log(shop, endpoint, query)["deliveries"]}

    assert ids("") == {str(old), str(new), str(mid)}
    assert ids("?status=failed") == {str(old), str(mid)}
    assert ids("?status=failed,delivered&event=job.failed") == {str(old)}
    assert ids(f"?job_id={encode('job', job)}") == {str(new)}
    assert ids(f"?from={hour_ago}") == {str(new), str(mid)}
    assert ids(f"?to={hour_ago}") == {str(old)}
    assert ids("?event=job.paused") == set()


def test_pages_go_on_from_their_cursor(shop: Api, endpoint: Endpoint) -> None:
    made = [str(delivered(endpoint)) for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = log(shop, endpoint, f"?limit=2&cursor={cursor}")
        assert len(page["deliveries"]) <= 2
        seen += [each["id"] for each in page["deliveries"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "status=sent", "event=job.done", "job_id=job_x", "from=yesterday", "to=-1", "limit=0", "limit=1001", "cursor=x",
        "offset=1", "limit=1&limit=2",
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_told_by_its_name(shop: Api, endpoint: Endpoint, query: str) -> None:
    answer = shop.get(f"{HOOKS}/{endpoint}/deliveries?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["detail"]


def test_a_delivery_of_another_endpoint_is_not_found(shop: Api, endpoint: Endpoint) -> None:
    other = delivered(row(hook(shop)))
    for id in (str(other), "dlv_nonsense", "x"):
        assert told(shop.get(f"{HOOKS}/{endpoint}/deliveries/{id}")) == (404, "delivery_not_found")
        assert told(shop.post(f"{HOOKS}/{endpoint}/deliveries/{id}/replay")) == (404, "delivery_not_found")


# --- replays -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["failed", "delivered"])
def test_a_replay_waits_again_under_the_same_id(shop: Api, endpoint: Endpoint, status: str) -> None:
    delivery = delivered(endpoint, status, ago=HOUR)
    answer = shop.post(f"{HOOKS}/{endpoint}/deliveries/{delivery}/replay")
    assert answer.status_code == 200, answer.content
    shown = answer.json()
    assert (shown["status"], shown["message_id"]) == ("pending", encode("msg", delivery.message_id))
    assert len(shown["attempts"]) == 1  # what was tried before stays in the log
    delivery.refresh_from_db()
    assert (delivery.attempt, delivery.finished_at) == (0, None)
    assert delivery.due_at <= database_now()
    again = shop.post(f"{HOOKS}/{endpoint}/deliveries/{delivery}/replay")
    assert told(again) == (409, "delivery_under_way")


def test_a_range_is_replayed_by_its_status(shop: Api, endpoint: Endpoint) -> None:
    delivered(endpoint, "failed", ago=HOUR * 5)
    failed = delivered(endpoint, "failed", ago=HOUR)
    fine = delivered(endpoint, "delivered", ago=HOUR)
    delivered(endpoint, "pending", ago=HOUR)
    since = to_ms(database_now() - HOUR * 2)
    path = f"{HOOKS}/{endpoint}/replay"
    assert shop.post(path, {"from": since, "status": ["failed"]}).json() == {"count": 1}
    assert Delivery.objects.get(pk=failed.pk).status == "pending"
    assert shop.post(path, {"from": since, "status": "delivered"}).json() == {"count": 1}
    assert Delivery.objects.get(pk=fine.pk).status == "pending"
    assert shop.post(path, {"from": since}).json() == {"count": 0}
    assert shop.post(path, {"from": 0, "to": since}).json() == {"count": 1}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "from"),
        ({"from": "soon"}, "from"),
        ({"from": 5, "to": 5}, "from"),
        ({"from": 0, "to": True}, "to"),
        ({"from": 0, "status": ["pending"]}, "status.0"),
        ({"from": 0, "status": "pending"}, "status"),
        ({"from": 0, "since": 0}, "since"),
    ],
)
def test_a_range_that_is_none_is_told(shop: Api, endpoint: Endpoint, body: dict[str, Any], field: str) -> None:
    answer = shop.post(f"{HOOKS}/{endpoint}/replay", body)
    assert answer.status_code == 400
    assert field in {error["field"] for error in answer.json()["errors"]}


def test_more_than_one_call_replays_is_told_before_anything_is(
    shop: Api, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.operations.replay.MOST_AT_ONCE", 2)
    for _ in range(3):
        delivered(endpoint, "failed")
    assert told(shop.post(f"{HOOKS}/{endpoint}/replay", {"from": 0})) == (400, "too_many_deliveries")
    assert not Delivery.objects.filter(status="pending").exists()


def test_a_disabled_webhook_sends_nothing_until_it_is_enabled(shop: Api, endpoint: Endpoint) -> None:
    ended, waiting = delivered(endpoint, "failed"), delivered(endpoint, "pending")
    shop("PATCH", f"{HOOKS}/{endpoint}", {"enabled": False})
    disabling.give_up()
    shown = shop.get(f"{HOOKS}/{endpoint}/deliveries/{waiting}").json()
    assert (shown["status"], shown["reason"]) == ("failed", "the webhook was disabled: somebody turned it off")
    for answer in (
        shop.post(f"{HOOKS}/{endpoint}/deliveries/{ended}/replay"),
        shop.post(f"{HOOKS}/{endpoint}/replay", {"from": 0}),
        shop.post(f"{HOOKS}/{endpoint}/test"),
    ):
        assert told(answer) == (409, "webhook_disabled")
    shop("PATCH", f"{HOOKS}/{endpoint}", {"enabled": True})
    assert shop.post(f"{HOOKS}/{endpoint}/replay", {"from": 0}).json() == {"count": 2}


# --- a test, and statistics ----------------------------------------------------------------------


def test_a_test_event_looks_like_a_real_one_and_says_what_it_is(shop: Api, endpoint: Endpoint) -> None:
    answer = shop.post(f"{HOOKS}/{endpoint}/test", {"event": "job.failed"})
    assert answer.status_code == 202
    sent = answer.json()
    assert (sent["status"], sent["event"], sent["job_id"], sent["attempts"]) == ("pending", "job.failed", None, [])
    payload = sent["payload"]
    assert (payload["test"], payload["event"], payload["type"]) == (True, "job.failed", "job.failed")
    assert payload["job"].keys() >= {"id", "status", "namespace", "product", "env", "scheduled_at", "error"}
    assert shop.post(f"{HOOKS}/{endpoint}/test").json()["event"] == "job.completed"
    assert told(shop.post(f"{HOOKS}/{endpoint}/test", {"event": "job.done"}))[0] == 400
    assert Message.objects.count() == 2


@pytest.mark.parametrize(
    ("event", "status", "more"),
    [
        ("job.scheduled", "queued", {}),
        ("job.started", "running", {"number"}),
        ("job.completed", "completed", {"number"}),
        ("job.failed", "failed", {"number", "error"}),
        ("job.cancelled", "cancelled", {}),
        ("job.paused", "paused", {}),
        ("job.resumed", "scheduled", {}),
        ("job.retrying", "scheduled", {"number", "error"}),
        ("job.skipped", "running", {}),
        ("job.rescheduled", "scheduled", {}),
        ("job.deleted", "completed", {}),
    ],
)
def test_a_test_event_has_the_fields_and_a_status_as_real_ones_have(
    shop: Api, endpoint: Endpoint, event: str, status: str, more: set[str]
) -> None:
    payload = shop.post(f"{HOOKS}/{endpoint}/test", {"event": event}).json()["payload"]
    assert (payload["event"], payload["job"]["status"]) == (event, status)
    always = {"id", "status", "namespace", "product", "env", "scheduled_at", "execution_count", "seq", "labels"}
    assert payload["job"].keys() == always | set(more)


def test_statistics_of_an_endpoint(shop: Api, endpoint: Endpoint) -> None:
    for duration in (10, 20, 30):
        delivered(endpoint, duration_ms=duration)
    delivered(endpoint, "failed", duration_ms=400)
    delivered(endpoint, "pending")
    delivered(endpoint, "failed", ago=HOUR * 3)
    since = to_ms(database_now() - HOUR)
    assert shop.get(f"{HOOKS}/{endpoint}/stats?from={since}").json() == {
        "pending": 1,
        "delivered": 3,
        "failed": 1,
        "attempts": 4,
        "success_rate": 75.0,
        "duration_ms": {"p50": 20, "p95": 400, "p99": 400},
        "consecutive_failures": 0,
        "failing_since": None,
        "last_error": "the endpoint answered 500",
    }
    empty = shop.get(f"{HOOKS}/{row(hook(shop))}/stats").json()
    assert (empty["success_rate"], empty["duration_ms"]["p50"], empty["last_error"]) == (None, None, None)


def test_the_queues_tell_of_what_waits_for_webhooks(shop: Api, endpoint: Endpoint) -> None:
    place = Environment.objects.get(product=endpoint.product, slug="prd")
    for ago in (timedelta(seconds=20), timedelta(seconds=10), -HOUR):  # the last is due later
        delivered(endpoint, "pending", ago=ago)
    Message.objects.update(environment_id=place.pk)
    shop.post(f"{HOOKS}/{endpoint}/test")
    under_way = delivered(endpoint, "pending")
    Delivery.objects.filter(pk=under_way.pk).update(
        status="delivering", owner_id=1, deadline_at=database_now(), fence=1, attempt=1
    )

    def waits(api: Api) -> tuple[int, int]:
        (queue,) = (one for one in api.get("/v1/queues").json()["queues"] if one["name"] == "webhooks")
        assert 20_000 <= queue["oldest_age_ms"] < 60_000
        return queue["depth"], queue["running"]

    assert waits(Api()) == (3, 1)
    assert waits(shop) == (2, 0)  # tests are of no environment
    assert key_of("other", envs=("prd",), name="o").get("/v1/queues").json() == {"queues": []}
    shop("PATCH", f"{HOOKS}/{endpoint}", {"enabled": False})
    Delivery.objects.filter(pk=under_way.pk).delete()
    assert Api().get("/v1/queues").json() == {"queues": []}
