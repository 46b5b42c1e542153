"""What a webhook was never told of is found in the outbox and told (api.md §4: a replay of all missing)."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from pytest_django import Settings

from core.clock import database_now
from core.ids import encode
from core.tenancy.models import Environment, Product
from core.times import to_ms
from jobs.lifecycle import intervene
from tests.conformance import world
from tests.integration.api import OPERATOR, Api, key_of, told
from tests.integration.webhook_world import HOOKS, hook, row
from webhooks import fanout
from webhooks.models import Delivery, Message

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"


def missing(id: str, **of: object) -> int:
    answer = Api().post(f"{HOOKS}/{id}/replay", {"from": 0, "status": ["missing"], **of})
    assert answer.status_code == 200, answer.content
    count: int = answer.json()["count"]
    return count


def test_what_happened_before_a_webhook_was_there_is_told_on_request_and_once() -> None:
    fine, bad, gone = world.new_job(), world.new_job(), world.new_job()
    world.complete(world.claim_one(fine))
    world.fail(world.claim_one(bad), error="it broke")
    intervene.cancel(gone.pk, reason="no need", actor="ada")
    made = hook(Api(), events=["job.completed", "job.failed"])
    assert missing(made["id"]) == 2
    assert missing(made["id"]) == 0
    bodies = {body["job"]["id"]: body for body in map(json.loads, Message.objects.values_list("body", flat=True))}
    assert bodies.keys() == {encode("job", fine.pk), encode("job", bad.pk)}
    failed = bodies[encode("job", bad.pk)]
    assert failed["event"] == "job.failed"
    assert failed["job"]["error"] == "it broke"
    assert (failed["job"]["number"], failed["job"]["execution_count"]) == (1, 1)


def test_what_was_told_is_not_missing_and_shares_its_message() -> None:
    early = row(hook(Api(), events=["job.completed"]))
    job = world.new_job()
    world.complete(world.claim_one(job))
    fanout.fan_out()
    late = hook(Api(), events=["*"])
    assert missing(str(early)) == 0
    assert missing(late["id"]) == 1
    assert Message.objects.count() == 1
    assert Delivery.objects.count() == 2


def test_a_time_before_and_a_filter_leave_out_what_is_not_meant() -> None:
    world.complete(world.claim_one(world.new_job(labels={"team": "billing"})))
    world.complete(world.claim_one(world.new_job()))
    now = to_ms(database_now() + timedelta(seconds=5))
    assert missing(hook(Api(), events=["*"])["id"], **{"from": now}) == 0
    assert missing(hook(Api(), events=["*"], labels={"team": "billing"})["id"]) == 1
    assert missing(hook(Api(), events=["*"])["id"]) == 2


def test_what_happened_in_another_product_is_not_missing() -> None:
    other = Environment.objects.create(product=Product.objects.create(tag="other", name="Other"), slug="prd", name="P")
    world.complete(world.claim_one(world.new_job(product_id=other.product_id, environment_id=other.pk)))
    world.complete(world.claim_one(world.new_job()))
    assert missing(hook(key_of("shop"))["id"]) == 1
    assert missing(hook(key_of("other", name="o"))["id"]) == 1
    assert Delivery.objects.count() == 2


def test_too_wide_a_time_and_a_disabled_webhook_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.operations.recovery.MOST_EVENTS", 1)
    for _ in range(2):
        world.complete(world.claim_one(world.new_job()))
    one = f"{HOOKS}/{hook(Api())['id']}"
    assert told(Api().post(f"{one}/replay", {"from": 0, "status": ["missing"]})) == (400, "too_many_deliveries")
    Api()("PATCH", one, {"enabled": False})
    assert told(Api().post(f"{one}/replay", {"from": 0, "status": ["missing"]})) == (409, "webhook_disabled")
