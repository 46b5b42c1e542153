"""A webhook removed with its log, on both databases, while others settle its deliveries and make new ones."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from core.clock import database_now
from core.tenancy.models import AuditEntry
from jobs.lifecycle.lease import register_worker
from jobs.models import Listener
from tests.conformance.beside import PATIENCE_SECONDS, Beside
from tests.conformance.webhook_world import all_handed_out, claim_some, endpoint, happened, owed, settled
from webhooks import listening
from webhooks.fanout import fan_out
from webhooks.models import Attempt, Delivery, Endpoint
from webhooks.operations import removal
from webhooks.operations.removal import remove

pytestmark = pytest.mark.django_db(transaction=True)


def worker() -> int:
    return register_worker(host="test", pid=1, queues=["webhooks"], concurrency=500)


def test_nothing_is_left_of_it_and_nothing_of_others_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "BATCH", 3)
    to, other, owner = endpoint(), endpoint("http://127.0.0.1:9/other"), worker()
    for _ in range(8):
        happened()
    all_handed_out()
    settled(owner, claim_some(owner, share=4), 500)
    under_way = claim_some(owner, share=2)
    listening.follow()
    remove(to, actor="ada")
    remove(to, actor="ada")  # somebody did so at the same time
    assert list(Endpoint.objects.all()) == [other]
    assert Delivery.objects.count() == other.deliveries.count() == 8
    assert Attempt.objects.filter(delivery__endpoint=other).count() == Attempt.objects.count() == 4
    assert Listener.objects.exists()
    assert AuditEntry.objects.get(action="webhook.removed").actor == "ada"
    of_other = {one.delivery_id for one in under_way if one.endpoint_id == other.pk}
    assert settled(owner, under_way) == of_other


def test_an_attempt_that_is_recorded_at_this_moment_does_not_keep_it_from_being_removed() -> None:
    to, owner = endpoint(), worker()
    owed(to, 2)
    claims = claim_some(owner)
    written, let_go = threading.Event(), threading.Event()

    def settle_slowly() -> None:
        with transaction.atomic():
            settled(owner, claims, 200)  # of a healthy one, whose own row is not held by it
            written.set()
            assert let_go.wait(PATIENCE_SECONDS)

    settling = Beside(settle_slowly)
    assert written.wait(PATIENCE_SECONDS)
    removing = Beside(lambda: remove(to, actor="ada"))
    removing.join(0.3)
    assert removing.is_alive()
    let_go.set()
    settling.done()
    removing.done()
    assert not Endpoint.objects.exists()
    assert not Attempt.objects.exists()


def test_who_changes_it_at_this_moment_does_so_before_it_is_removed() -> None:
    to = endpoint()
    read, let_go = threading.Event(), threading.Event()

    def change_slowly() -> None:
        with listening.changing():
            row = Endpoint.objects.get(pk=to.pk)
            read.set()
            assert let_go.wait(PATIENCE_SECONDS)
            row.description = "changed"
            row.save(update_fields=["description"])

    removal._disable(to)
    changing = Beside(change_slowly)
    assert read.wait(PATIENCE_SECONDS)
    removing = Beside(lambda: removal._remove_itself(to, "ada"))
    removing.join(0.3)
    let_go.set()
    changing.done()
    removing.done()
    assert not Endpoint.objects.exists()


def test_who_is_ended_in_the_middle_leaves_it_disabled_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    to = endpoint()
    owed(to, 2)

    def ended(endpoint: Endpoint) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(removal, "_remove_batch", ended)
        with pytest.raises(KeyboardInterrupt):
            remove(to, actor="ada")
    to.refresh_from_db()
    assert (to.enabled, to.disabled_reason) == (False, removal.REASON)
    assert claim_some(worker()) == []
    remove(to, actor="ada")
    assert not Endpoint.objects.exists()


def test_webhooks_that_are_removed_under_load_take_no_event_from_the_others() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time: nobody is in the middle of anything")
    keep, others = endpoint(), [endpoint(f"http://127.0.0.1:9/{number}") for number in range(20)]
    stop, events = threading.Event(), []

    def hand_out() -> None:
        while not stop.is_set():
            events.append(happened(at=database_now() - timedelta(seconds=1)).pk)
            fan_out(5)

    def deliver() -> None:
        owner, rounds = worker(), 0
        while not stop.is_set():
            rounds += 1
            settled(owner, claim_some(owner, room=100), 500 if rounds % 2 else 200)

    beside = [Beside(hand_out), Beside(hand_out), Beside(deliver), Beside(deliver)]
    try:
        for other in others:
            remove(other, actor="ada")
    finally:
        stop.set()
    for one in beside:
        one.done()
    all_handed_out()
    assert list(Endpoint.objects.all()) == [keep]
    assert keep.deliveries.count() == len(events)
