"""The health of an endpoint, on both databases: what counts against which address, and when it is too much."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import database_now
from jobs.lifecycle.lease import register_worker
from jobs.lifecycle.reap import reap as reap_runs
from jobs.models import Worker
from tests.conformance.clockwork import Time
from tests.conformance.webhook_world import claim_some, endpoint, owed, settled
from webhooks import reaping
from webhooks.models import Delivery, Endpoint
from webhooks.outcome import ATTEMPTS
from webhooks.reaping import reap

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
