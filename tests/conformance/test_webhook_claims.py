"""Deliveries are claimed fairly over the endpoints, on both databases, each by one worker."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection

from core.clock import database_now
from jobs.models import Worker
from tests.conformance.webhook_world import (
    all_handed_out,
    claim_some,
    endpoint,
    happened,
    owed,
    worker,
)
from webhooks import claiming
from webhooks.claiming import EndpointCursor, claim
from webhooks.models import Delivery, Endpoint, Message

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_claim_takes_what_is_due_with_all_that_an_attempt_needs() -> None:
    to, owner = endpoint(), worker()
    (waiting,) = owed(to)
    (taken,) = claim_some(owner)
    assert (taken.delivery_id, taken.fence, taken.attempt, taken.url) == (waiting.pk, 1, 1, to.url)
    assert taken.body == Message.objects.get().body
    assert abs(taken.claimed_at - database_now().timestamp() * 1000) < 2_000
    assert claim_some(owner) == []
    assert claiming.owned_deliveries(owner) == {taken.delivery_id: 1}


def test_a_worker_that_was_taken_for_dead_claims_nothing() -> None:
    owner = worker()
    owed(endpoint())
    Worker.objects.filter(pk=owner).update(stopped_at=database_now())
    assert claim_some(owner) == []


def test_what_is_due_later_or_for_a_disabled_endpoint_is_not_claimed() -> None:
    owner = worker()
    (later,) = owed(endpoint())
    Delivery.objects.filter(pk=later.pk).update(due_at=database_now() + timedelta(minutes=1))
    off = endpoint()
    owed(off)
    Endpoint.objects.filter(pk=off.pk).update(enabled=False, disabled_at=database_now())
    assert claim_some(owner) == []


def test_a_backlog_for_one_endpoint_keeps_no_other_waiting() -> None:
    owner = worker()
    crowded, quiet = endpoint(), endpoint()
    owed(crowded, 100)
    owed(quiet, 2)
    taken = Counter(one.endpoint_id for one in claim_some(owner, room=20, share=100))
    assert taken == {crowded.pk: 10, quiet.pk: 2}


def test_each_endpoint_gets_no_more_than_its_places() -> None:
    owner = worker()
    first, second, third = endpoint(), endpoint(), endpoint()
    for one in (first, second, third):
        owed(one, 10)
    taken = Counter(one.endpoint_id for one in claim_some(owner, rooms={first.pk: 3, second.pk: 0}, share=4))
    assert taken == {first.pk: 3, third.pk: 4}


def test_more_endpoints_than_one_claim_looks_at_all_get_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "ENDPOINTS_AT_ONCE", 3)
    owner, cursor = worker(), EndpointCursor()
    everyone = [endpoint() for _ in range(8)]
    happened()
    assert all_handed_out().deliveries == 8
    rounds = [{one.endpoint_id for one in claim(owner, 100, {}, cursor, share=1)} for _ in range(3)]
    assert [len(some) for some in rounds] == [3, 3, 2]
    assert set[UUID]().union(*rounds) == {one.pk for one in everyone}
    assert cursor.at_start


def test_endpoints_that_rest_or_are_full_take_nothing_of_the_room_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "ENDPOINTS_AT_ONCE", 5)
    owner = worker()
    resting = [endpoint(rest_until=database_now() + timedelta(minutes=5)) for _ in range(12)]
    full = [endpoint() for _ in range(3)]
    happened()
    assert all_handed_out().deliveries == 15
    good = endpoint()
    owed(good, 40)
    rooms = {one.pk: 0 for one in full} | {good.pk: 30}
    taken = Counter(one.endpoint_id for one in claim_some(owner, room=40, rooms=rooms))
    assert taken == {good.pk: 30}
    assert resting[0].deliveries.get().status == "pending"


def test_however_many_rest_a_claim_looks_at_some_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite is asked for those that do not rest")
    monkeypatch.setattr(claiming, "ENDPOINTS_WALKED", 5)
    owner, cursor = worker(), EndpointCursor()
    for _ in range(12):
        endpoint(rest_until=database_now() + timedelta(minutes=5))
    good = endpoint()
    happened()
    assert all_handed_out().deliveries == 13
    rounds = [[one.endpoint_id for one in claim(owner, 100, {}, cursor, share=1)] for _ in range(3)]
    assert rounds == [[], [], [good.pk]]
    assert cursor.at_start


def test_several_workers_claim_each_delivery_once() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time: the second one waits for the first")
    owed(endpoint(), 200)
    owners = [worker() for _ in range(4)]
    taken: list[UUID] = []

    def work(owner: int) -> None:
        try:
            while some := claim_some(owner, share=9):
                taken.extend(one.delivery_id for one in some)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[owner]) for owner in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 200
