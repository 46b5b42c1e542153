"""Two at once, on both databases: transactions that end late, replays of the same range, an attempt that was taken over."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from core.clock import database_now
from jobs.lifecycle.lease import register_worker
from jobs.lifecycle.reap import reap as reap_runs
from jobs.models import Worker
from tests.conformance.beside import PATIENCE_SECONDS, Beside
from tests.conformance.webhook_world import all_handed_out, claim_some, endpoint, happened, owed, place, settled
from webhooks import fanout
from webhooks.fanout import fan_out
from webhooks.models import Attempt, Delivery, Endpoint
from webhooks.operations.removal import remove
from webhooks.operations.replay import replay_range
from webhooks.queries import DeliveryFilter
from webhooks.reaping import reap

pytestmark = pytest.mark.django_db(transaction=True)


def worker() -> int:
    return register_worker(host="test", pid=1, queues=["webhooks"], concurrency=500)


def test_an_event_whose_transaction_ends_after_later_ones_were_handed_out_is_told() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time: ids are given in the order of the commits")
    to, _ = endpoint(), place()
    written, let_go = threading.Event(), threading.Event()

    def late() -> None:
        with transaction.atomic():
            happened("job.failed")
            written.set()
            assert let_go.wait(PATIENCE_SECONDS)

    writing = Beside(late)
    assert written.wait(PATIENCE_SECONDS)
    happened("job.completed")
    assert all_handed_out().deliveries == 1
    let_go.set()
    writing.done()
    assert all_handed_out().deliveries == 1
    assert set(to.deliveries.values_list("type", flat=True)) == {"job.completed", "job.failed"}


@pytest.mark.parametrize("place_of", ["_listeners", "insert_deliveries"])
def test_endpoints_that_are_removed_while_events_are_handed_out_take_none_from_others(
    monkeypatch: pytest.MonkeyPatch, place_of: str
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time: nobody is in the middle of anything")
    keep, others = endpoint(), [endpoint(f"http://127.0.0.1:9/{number}") for number in range(3)]
    step, removing = getattr(fanout, place_of), list[Beside]()

    def then_remove(*of: Any) -> Any:
        done = step(*of)
        if others:
            removing.append(Beside(partial(remove, others.pop(), actor="ada")))
            removing[-1].join(1.0)  # or it waits for the end of this
        return done

    monkeypatch.setattr(fanout, place_of, then_remove)
    happened()
    while fan_out().events:
        pass
    for one in removing:
        one.done()
    assert keep.deliveries.count() == 1
    assert Endpoint.objects.count() == 3


def test_a_range_that_two_replay_at_once_is_sent_again_once() -> None:
    to, owner = endpoint(), worker()
    owed(to, 600)
    while claims := claim_some(owner, share=200):
        settled(owner, claims)
    counts: list[int] = []
    together = threading.Barrier(2)

    def replay() -> None:
        together.wait(PATIENCE_SECONDS)
        counts.append(replay_range(to, DeliveryFilter(), actor="ada"))

    for one in [Beside(replay), Beside(replay)]:
        one.done()
    assert sum(counts) == 600
    assert Delivery.objects.filter(status="pending", attempt=0).count() == 600


def test_a_replay_of_what_a_lost_worker_still_sends_is_not_ended_by_it() -> None:
    to, lost = endpoint(), worker()
    owed(to)
    claims = claim_some(lost)
    Worker.objects.filter(pk=lost).update(lease_until=database_now() - timedelta(seconds=1))
    reap_runs()
    reap()
    other = worker()
    settled(other, claim_some(other), 200)
    assert replay_range(to, DeliveryFilter(), actor="ada") == 1
    assert settled(lost, claims, 200) == set()  # it comes to itself again
    assert Delivery.objects.get().status == "pending"
    again = claim_some(other)
    assert settled(lost, claims, 410) == set()
    assert settled(other, again, 200) == {again[0].delivery_id}
    assert Attempt.objects.count() == 3  # the lost one, and one for each round
    to.refresh_from_db()
    assert to.enabled
