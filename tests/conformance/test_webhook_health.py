"""The health of an endpoint, on both databases: what counts against which address, and when it is too much."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError

import jobs.listening
from core.clock import database_now
from core.tenancy.models import AuditEntry
from jobs.lifecycle.lease import register_worker
from jobs.lifecycle.reap import reap as reap_runs
from jobs.models import Listener, Worker
from tests.conformance.clockwork import Time
from tests.conformance.webhook_world import claim_some, endpoint, owed, settled
from webhooks import listening, reaping
from webhooks.models import Delivery, Endpoint, Notice
from webhooks.outcome import ATTEMPTS
from webhooks.reaping import reap
from webhooks.retention import prune

pytestmark = pytest.mark.django_db(transaction=True)


def worker() -> int:
    return register_worker(host="test", pid=1, queues=["webhooks"], concurrency=500)


@pytest.mark.parametrize("status", [410, 500])
def test_what_the_old_address_answers_does_not_count_against_the_new_one(status: int) -> None:
    to, owner = endpoint(), worker()
    owed(to)
    claims = claim_some(owner)
    Endpoint.objects.filter(pk=to.pk).update(url="http://127.0.0.1:9/new")
    settled(owner, claims, status)
    to.refresh_from_db()
    assert (to.enabled, to.consecutive_failures, to.failing_since) == (True, 0, None)


@pytest.mark.parametrize("status", [410, 500])
def test_an_attempt_is_recorded_together_with_the_end_that_it_puts_to_its_endpoint(
    time: Time, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    to, owner = endpoint(), worker()
    owed(to, 5)
    claims = claim_some(owner)
    settled(owner, claims[:4], 500)
    time.pass_(timedelta(days=5))

    def away() -> None:
        raise OperationalError("the server closed the connection")

    listening.follow()
    assert Listener.objects.exists()
    with monkeypatch.context() as patched:
        patched.setattr(jobs.listening, "lock", away)  # the moment after the commit
        assert settled(owner, claims[4:], status) == {claims[4].delivery_id}
    to.refresh_from_db()
    assert not to.enabled
    assert Notice.objects.count() == AuditEntry.objects.filter(action="webhook.disabled").count() == 1
    prune(1)
    assert not Listener.objects.exists()


def test_an_endpoint_that_somebody_gave_another_address_meanwhile_is_not_disabled_for_the_old_one(time: Time) -> None:
    to, owner = endpoint(), worker()
    owed(to, 6)
    claims = claim_some(owner)
    settled(owner, claims[:5], 500)
    time.pass_(timedelta(days=5))
    Endpoint.objects.filter(pk=to.pk).update(url="http://127.0.0.1:9/new", failing_since=None, consecutive_failures=0)
    settled(owner, claims[5:], 500)
    to.refresh_from_db()
    assert (to.enabled, to.consecutive_failures) == (True, 0)


def test_one_success_in_five_failing_days_begins_them_anew(time: Time) -> None:
    to = endpoint()
    began = database_now()

    def tried(status: int | None) -> bool:
        owner = worker()
        owed(to)
        settled(owner, claim_some(owner, room=1), status)
        Delivery.objects.exclude(status="delivered").update(status="failed", finished_at=database_now())
        Endpoint.objects.filter(pk=to.pk).update(rest_until=None)
        time.pass_(timedelta(hours=6))
        return Endpoint.objects.filter(pk=to.pk, enabled=True).exists()

    while database_now() - began < timedelta(days=4):
        assert tried(None)
    assert tried(204)
    mended = database_now()
    while tried(503):
        assert database_now() - mended < timedelta(days=6)
    to.refresh_from_db()
    assert to.disabled_at is not None
    assert timedelta(days=5) <= to.disabled_at - mended < timedelta(days=5, hours=7)


def test_two_failures_with_a_quiet_week_between_them_disable_nothing(time: Time) -> None:
    to = endpoint()
    for _ in range(2):
        owner = worker()
        owed(to)
        settled(owner, claim_some(owner, room=1), 500)
        Delivery.objects.update(status="failed", finished_at=database_now())
        time.pass_(timedelta(days=7))
    to.refresh_from_db()
    assert (to.enabled, to.consecutive_failures) == (True, 2)


def test_a_delivery_that_is_lost_with_its_worker_each_time_ends_after_its_last_attempt() -> None:
    owed(endpoint())
    for number in range(1, ATTEMPTS + 1):
        owner = worker()
        (taken,) = claim_some(owner)
        assert taken.attempt == number
        Worker.objects.filter(pk=owner).update(lease_until=database_now() - timedelta(seconds=1))
        reap_runs()
        reap()
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.attempts.count()) == ("failed", ATTEMPTS)
    assert delivery.reason == f"attempt {ATTEMPTS} was the last: {reaping.GONE}"
    assert claim_some(worker()) == []


def test_one_that_gets_too_much_is_left_alone_for_as_long_as_it_asks(time: Time) -> None:
    to, owner = endpoint(), worker()
    owed(to, 9)
    claims = claim_some(owner, share=3)
    settled(owner, claims[:1], 429, retry_after=60.0)
    settled(owner, claims[1:2], 429, retry_after=20.0)  # was on its way
    settled(owner, claims[2:], 500)
    assert claim_some(owner) == []
    time.pass_(timedelta(seconds=59))
    assert claim_some(owner) == []
    time.pass_(timedelta(seconds=1.1))
    (probe,) = claim_some(owner)
    settled(owner, [probe], 200)
    assert len(claim_some(owner, share=4)) == 4


@pytest.mark.parametrize(("status", "asked", "rests"), [(429, 10_000_000.0, 300), (429, None, 0), (503, 60.0, 0)])
def test_a_rest_that_is_asked_for_has_an_end_and_a_reason(
    time: Time, status: int, asked: float | None, rests: float
) -> None:
    to, owner = endpoint(), worker()
    owed(to, 2)
    settled(owner, claim_some(owner, share=1), status, retry_after=asked)
    to.refresh_from_db()
    left = 0.0 if to.rest_until is None else (to.rest_until - database_now()).total_seconds()
    assert rests - 1 <= left <= rests


def test_deliveries_that_were_under_way_when_all_was_down_for_a_month_are_taken_back(time: Time) -> None:
    owner = worker()
    owed(endpoint())
    claim_some(owner)
    time.pass_(timedelta(days=31))
    reap()
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.attempts.get().duration_ms) == ("pending", reaping.MOST_MS)
