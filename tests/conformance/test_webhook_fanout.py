"""Events become messages and deliveries, on both databases: to whom, once each, with the documents' payload."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.db import connection

from core.clock import database_now
from core.ids import encode
from core.tenancy.models import Environment, Product
from core.times import to_ms
from jobs.listening import EVERY_PRODUCT, listen
from jobs.models import JobEvent
from jobs.states import EventType
from tests.conformance.webhook_world import (
    all_handed_out,
    endpoint,
    happened,
    place,
)
from tests.conformance.world import RECURRING, claim_one, make_due, new_job
from webhooks import fanout
from webhooks.fanout import fan_out
from webhooks.models import Delivery, Message

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_event_becomes_one_message_with_the_documents_payload() -> None:
    to = endpoint()
    at = database_now()
    event = happened(
        "job.failed", seq=3, number=2, at=at, status="scheduled", labels={"team": "billing"}, execution_count=2,
        error="no",
    )  # fmt: skip
    assert all_handed_out() == fanout.FannedOut(events=1, deliveries=1)
    message = Message.objects.get()
    assert json.loads(message.body) == {
        "type": "job.failed",
        "event": "job.failed",
        "timestamp": int(at.timestamp() * 1000),
        "job": {
            "id": encode("job", event.job_id),
            "status": "scheduled",
            "namespace": "actions",
            "product": place().product.tag,
            "env": place().slug,
            "scheduled_at": 1_790_000_000_000,
            "execution_count": 2,
            "number": 2,
            "seq": 3,
            "labels": {"team": "billing"},
            "error": "no",
        },
    }
    assert (message.job_id, message.seq, message.at) == (event.job_id, 3, at)
    assert [delivery.endpoint_id for delivery in Delivery.objects.all()] == [to.pk]
    assert not JobEvent.objects.filter(wanted=True).exists()


def test_what_does_not_apply_is_left_out_of_the_payload() -> None:
    endpoint()
    happened("job.scheduled", number=None, execution_count=0)
    all_handed_out()
    job = json.loads(Message.objects.get().body)["job"]
    assert job["execution_count"] == 0
    assert not {"error", "number"} & job.keys()


def test_an_occurrence_that_never_runs_is_told_with_its_own_time() -> None:
    endpoint(events=["job.skipped"])
    listen([(EVERY_PRODUCT, EventType.SKIPPED)])
    job = new_job(RECURRING)
    claim_one(job)
    make_due(job)
    job.refresh_from_db()
    all_handed_out()
    told = json.loads(Message.objects.get().body)["job"]
    data = JobEvent.objects.get(type="job.skipped").data
    assert data is not None
    assert told["scheduled_at"] == data["scheduled_at"] > to_ms(job.scheduled_at)
    assert (told["status"], "number" in told, "error" in told) == ("running", False, False)


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ({}, True),
        ({"events": ["job.completed"]}, True),
        ({"events": ["job.failed", "job.started"]}, False),
        ({"env": "prd"}, True),
        ({"env": "dev"}, False),
        ({"namespaces": ["storage", "actions"]}, True),
        ({"namespaces": ["storage"]}, False),
        ({"labels": {"team": "billing"}}, True),
        ({"labels": {"team": "billing", "tier": "1"}}, False),
        ({"environment_ids": []}, False),
        ({"enabled": False, "disabled_at": "2026-01-01T00:00:00Z"}, False),
    ],
)
def test_a_filter_lets_in_what_it_names(filters: dict[str, Any], told: bool) -> None:
    endpoint(**filters)
    happened(labels={"team": "billing", "region": "eu"})
    assert all_handed_out().deliveries == int(told)
    assert Message.objects.count() == int(told)  # none of an event that nobody is told of


def test_an_endpoint_of_a_product_and_of_an_environment_hears_of_these_alone() -> None:
    other = Environment.objects.create(product=Product.objects.create(tag="other", name="O"), slug="prd", name="P")
    mine = endpoint(product=place().product, environment_ids=[place().pk])
    everything = endpoint()
    happened(environment=other)
    happened()
    all_handed_out()
    assert mine.deliveries.count() == 1
    assert everything.deliveries.count() == 2


def test_an_event_that_is_told_again_makes_no_second_delivery() -> None:
    endpoint()
    event = happened()
    about = event.about
    all_handed_out()
    JobEvent.objects.filter(pk=event.pk).update(wanted=True, about=about)
    late = endpoint()
    all_handed_out()
    assert Message.objects.count() == 1
    assert Delivery.objects.count() == 2  # the first one's, and one for who was not there
    assert late.deliveries.count() == 1


def test_an_event_that_cannot_be_told_stalls_no_other(caplog: pytest.LogCaptureFixture) -> None:
    endpoint()
    for _ in range(3):
        happened()
    broken = happened()
    JobEvent.objects.filter(pk=broken.pk).update(about={**(broken.about or {}), "labels": None})
    endpoint(labels={"team": "billing"})  # looks at the labels, which are none
    assert all_handed_out() == fanout.FannedOut(events=4, deliveries=3)
    assert "cannot be told to anybody" in caplog.text
    assert not JobEvent.objects.filter(wanted=True).exists()


def test_several_processes_hand_out_each_event_once() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time: the second one waits for the first")
    endpoint()
    for _ in range(200):
        happened()
    done: list[int] = []

    def work() -> None:
        try:
            while (one := fan_out(7)).events:
                done.append(one.deliveries)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    all_handed_out()
    assert Delivery.objects.count() == Message.objects.count() == 200
