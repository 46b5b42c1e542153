"""Deliveries on both databases: settled under the fence, taken back, given up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from core.clock import database_now
from core.ids import new_uuid
from core.tenancy.models import AuditEntry
from jobs.lifecycle.reap import reap as reap_runs
from jobs.models import Worker
from tests.conformance.clockwork import Time
from tests.conformance.webhook_world import (
    all_handed_out,
    answered,
    claim_some,
    disabled,
    endpoint,
    happened,
    owed,
    settled,
    statuses,
    worker,
)
from webhooks import claiming, reaping, retention, settling
from webhooks.models import Attempt, AttemptTally, Delivery, Endpoint, Message, Notice
from webhooks.operations.replay import replay_one
from webhooks.reaping import fold_tallies, hand_back, reap
from webhooks.retention import prune_messages
from webhooks.settling import settle

pytestmark = pytest.mark.django_db(transaction=True)


# --- outcomes -------------------------------------------------------------------------------


def test_an_outcome_is_recorded_once_with_its_attempt() -> None:
    to, owner = endpoint(), worker()
    owed(to)
    claims = claim_some(owner)
    assert settled(owner, claims, body="thanks") == {claims[0].delivery_id}
    assert settled(owner, claims) == set()  # the answer to the commit was lost, and it is written again
    done = Delivery.objects.get()
    attempt = Attempt.objects.get()
    assert (done.status, done.reason, done.owner_id) == ("delivered", "", None)
    assert done.finished_at is not None
    assert (attempt.response_status, attempt.response_body, attempt.address) == (200, "thanks", "127.0.0.1")
    assert list(AttemptTally.objects.values_list("worker_id", "outcome", "attempts")) == [(owner, "delivered", 1)]


def test_an_outcome_that_comes_too_late_is_refused() -> None:
    owner = worker()
    owed(endpoint())
    claims = claim_some(owner)
    hand_back(owner, [claims[0].delivery_id])
    assert settled(owner, claims) == set()
    again = claim_some(owner)
    assert (again[0].fence, again[0].attempt) == (3, 1)
    assert settled(owner, claims) == set()
    assert settled(owner, again) == {again[0].delivery_id}
    assert Attempt.objects.count() == 1


def test_ten_attempts_follow_the_table_on_a_simulated_clock(time: Time) -> None:
    to = endpoint()
    (waiting,) = owed(to)
    moments = []
    for _ in range(10):
        owner = worker()
        (taken,) = claim_some(owner)
        moments.append(database_now())
        settled(owner, [taken], 500)
        assert claim_some(owner) == []
        waiting.refresh_from_db()
        time.pass_(max(waiting.due_at, _rests(to)) - database_now() + timedelta(milliseconds=50))
    gaps = [round((later - earlier).total_seconds()) for earlier, later in itertools.pairwise(moments)]
    assert gaps == [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert (waiting.status, waiting.reason) == ("failed", "attempt 10 was the last: the endpoint answered 500")
    assert Attempt.objects.count() == 10


def _rests(to: Endpoint) -> datetime:
    to.refresh_from_db()
    return to.rest_until or database_now()


# --- the circuit ----------------------------------------------------------------------------


def test_an_endpoint_that_fails_again_and_again_rests_and_then_gets_one_request(time: Time) -> None:
    to, owner = endpoint(), worker()
    owed(to, 20)
    settled(owner, claim_some(owner, share=5), 500)
    to.refresh_from_db()
    assert to.consecutive_failures == 5
    assert to.rest_until is not None
    assert claim_some(owner) == []
    time.pass_(timedelta(seconds=settling.FIRST_REST_SECONDS + 0.1))
    probe = claim_some(owner)
    assert len(probe) == 1
    assert claim_some(owner) == []  # one at a time, for every process
    settled(owner, probe, None)
    assert claim_some(owner) == []
    time.pass_(timedelta(seconds=2 * settling.FIRST_REST_SECONDS + 0.1))
    probe = claim_some(owner)
    settled(owner, probe, 200)
    to.refresh_from_db()
    assert to.consecutive_failures == 0
    assert [to.failing_since, to.rest_until] == [None, None]
    assert len(claim_some(owner, share=8)) == 8


def test_what_was_on_its_way_when_the_circuit_opened_makes_no_rest_longer(time: Time) -> None:
    to, owner = endpoint(), worker()
    owed(to, 40)
    claims = claim_some(owner, share=30)
    settled(owner, claims[:10], 500)
    to.refresh_from_db()
    rest = to.rest_until
    assert rest is not None
    assert 0 < (rest - database_now()).total_seconds() <= settling.FIRST_REST_SECONDS
    settled(owner, claims[10:], 500)
    to.refresh_from_db()
    assert (to.rest_until, to.consecutive_failures) == (rest, 30)


def test_a_probe_whose_worker_dies_is_followed_by_another(time: Time) -> None:
    to, owner = endpoint(), worker()
    owed(to, 10)
    settled(owner, claim_some(owner, share=5), 500)
    time.pass_(timedelta(seconds=settling.FIRST_REST_SECONDS + 0.1))
    assert len(claim_some(owner)) == 1
    time.pass_(timedelta(seconds=claiming.PROBE_SECONDS + 0.1))
    assert len(claim_some(owner)) == 1


def test_a_success_between_failures_begins_the_count_anew() -> None:
    to, owner = endpoint(), worker()
    owed(to, 8)
    claims = claim_some(owner, share=8)
    now = database_now()
    order = [500, 500, 500, 500, 200, 500, 500, 500]
    outcomes = [
        answered([one], status, at=now + timedelta(milliseconds=place))[0]
        for place, (one, status) in enumerate(zip(claims, order, strict=True))
    ]
    settle(owner, outcomes[::-1])  # they may be written in another order than they were sent in
    to.refresh_from_db()
    assert (to.consecutive_failures, to.failing_since) == (3, now + timedelta(milliseconds=5))


def test_a_healthy_endpoint_is_not_written() -> None:
    to, owner = endpoint(), worker()
    owed(to, 3)
    before = Endpoint.objects.filter(pk=to.pk).values().get()
    settled(owner, claim_some(owner))
    assert Endpoint.objects.filter(pk=to.pk).values().get() == before


# --- disabling ------------------------------------------------------------------------------


def test_five_days_of_nothing_but_failures_disable_and_give_up_what_waits(time: Time) -> None:
    to = endpoint("https://example.org/hook?token=hidden")
    began = database_now()
    attempts = 0
    while Endpoint.objects.get(pk=to.pk).enabled:
        owner = worker()
        owed(to)
        claims = claim_some(owner)
        attempts += len(settled(owner, claims, None))
        assert database_now() - began < timedelta(days=6)
        time.pass_(timedelta(hours=3))
    owed_now = owed_without_fan_out(to)
    reap()
    to.refresh_from_db()
    assert to.disabled_at is not None
    assert timedelta(days=5) <= to.disabled_at - began < timedelta(days=5, hours=4)
    assert to.disabled_reason == settling.FAILING_REASON
    assert attempts >= 40
    assert set(statuses()) == {"failed"}
    owed_now.refresh_from_db()
    assert owed_now.reason == f"the webhook was disabled: {settling.FAILING_REASON}"
    (notice,) = Notice.objects.all()
    assert (notice.kind, notice.endpoint_id) == ("endpoint.disabled", to.pk)
    assert notice.text == f"webhook {to} (https://example.org/hook) was disabled: {settling.FAILING_REASON}"
    assert AuditEntry.objects.get(action="webhook.disabled").detail == {"reason": settling.FAILING_REASON}
    assert claim_some(worker()) == []


def owed_without_fan_out(to: Endpoint) -> Delivery:
    """A delivery that was made in the moment in which its endpoint was disabled."""
    now = database_now()
    message = Message.objects.create(type="job.completed", body="{}", at=now, created_at=now)
    return Delivery.objects.create(message=message, endpoint=to, type=message.type, due_at=now, created_at=now)


def test_a_failure_long_ago_counts_no_more_after_a_success(time: Time) -> None:
    to, owner = endpoint(), worker()
    owed(to, 2)
    settled(owner, claim_some(owner, room=1), 500)
    settled(owner, claim_some(owner, room=1), 200)
    time.pass_(timedelta(days=6))
    owner = worker()
    settled(owner, claim_some(owner), 500)
    to.refresh_from_db()
    assert to.enabled


def test_410_disables_and_says_so_once() -> None:
    to, owner = endpoint(), worker()
    owed(to, 3)
    claims = claim_some(owner)
    settled(owner, claims[:1], 410)
    settled(owner, claims[1:2], 410)
    to.refresh_from_db()
    assert (to.enabled, to.disabled_reason) == (False, "the endpoint answered 410 (Gone)")
    assert Notice.objects.count() == 1
    settled(owner, claims[2:], 500)  # it was under way, and waits again
    reap()
    assert statuses() == {"failed": 3}


def test_more_than_a_batch_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaping, "GIVEN_UP_AT_ONCE", 4)
    to = endpoint()
    owed(to, 10)
    disabled(to, "as told")
    reap()
    assert statuses() == {"failed": 10}


# --- lost workers ---------------------------------------------------------------------------


def test_the_deliveries_of_a_worker_that_died_are_taken_back() -> None:
    owner = worker()
    owed(endpoint(), 2)
    claims = claim_some(owner)
    reap()
    assert statuses() == {"delivering": 2}
    Worker.objects.filter(pk=owner).update(lease_until=database_now() - timedelta(seconds=1))
    reap_runs()
    reap()
    assert statuses() == {"pending": 2}
    assert {attempt.error for attempt in Attempt.objects.all()} == {reaping.GONE}
    assert settled(owner, claims) == set()
    again = claim_some(worker())
    assert {(one.fence, one.attempt) for one in again} == {(3, 2)}
    assert {one.message_id for one in again} == {one.message_id for one in claims}


def test_a_delivery_that_its_worker_does_not_answer_for_is_taken_back(time: Time) -> None:
    owner = worker()
    owed(endpoint())
    claim_some(owner)
    time.pass_(timedelta(seconds=claiming.ALLOWED_SECONDS + 1))
    reap()
    assert statuses() == {"pending": 1}
    assert Attempt.objects.get().error == reaping.OVERDUE


def test_what_a_worker_hands_back_is_due_at_once_and_has_used_no_attempt() -> None:
    owner, other = worker(), worker()
    owed(endpoint())
    (taken,) = claim_some(owner)
    hand_back(other, [taken.delivery_id])
    assert statuses() == {"delivering": 1}
    hand_back(owner, [taken.delivery_id])
    back = Delivery.objects.get()
    assert (back.status, back.attempt, back.fence, back.owner_id) == ("pending", 0, 2, None)


# --- keeping --------------------------------------------------------------------------------


def test_old_messages_go_with_what_was_sent_and_what_is_still_to_be_sent_stays(time: Time) -> None:
    to, owner = endpoint(), worker()
    owed(to, 3)
    settled(owner, claim_some(owner, room=2))
    time.pass_(timedelta(days=31))
    happened()
    all_handed_out()
    assert prune_messages(timedelta(days=30), 10) == (2, True)
    assert (Message.objects.count(), statuses(), Attempt.objects.count()) == (2, {"pending": 2}, 0)


def test_what_was_sent_again_is_kept_for_as_long_from_then_on(time: Time) -> None:
    to, owner = endpoint(), worker()
    owed(to)
    settled(owner, claim_some(owner))
    time.pass_(timedelta(days=29))
    replay_one(Delivery.objects.get(), actor="ada")
    owner = worker()
    settled(owner, claim_some(owner))
    time.pass_(timedelta(days=2))
    assert prune_messages(timedelta(days=30), 10) == (0, True)
    assert Attempt.objects.count() == 2
    time.pass_(timedelta(days=29))
    assert prune_messages(timedelta(days=30), 10) == (1, True)
    assert not Attempt.objects.exists()


def test_what_is_sent_again_at_the_moment_in_which_it_is_old_stays(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    to, owner = endpoint(), worker()
    owed(to, 3)
    settled(owner, claim_some(owner))
    time.pass_(timedelta(days=31))
    again = Delivery.objects.order_by("pk")[1]
    find = retention._delete

    def then_delete(ids: Sequence[UUID]) -> int:
        replay_one(again, actor="ada")  # after it was found, and before it is gone
        return find(ids)

    monkeypatch.setattr(retention, "_delete", then_delete)
    assert prune_messages(timedelta(days=30), 10) == (2, True)
    assert list(Delivery.objects.values_list("pk", "status")) == [(again.pk, "pending")]
    assert Attempt.objects.count() == 1
    (taken,) = claim_some(worker())
    assert taken.delivery_id == again.pk


def test_the_counters_of_workers_that_are_gone_are_kept_together() -> None:
    to = endpoint()
    for _ in range(3):
        owed(to)
        owner = worker()
        settled(owner, claim_some(owner))
    Worker.objects.exclude(pk=owner).delete()
    fold_tallies()
    fold_tallies()
    rows = AttemptTally.objects.order_by("worker_id").values_list("worker_id", "outcome", "attempts")
    assert list(rows) == [(0, "delivered", 2), (owner, "delivered", 1)]


def test_an_id_that_nobody_holds_is_settled_by_nobody() -> None:
    to, owner = endpoint(), worker()
    owed(to)
    (taken,) = claim_some(owner)
    strange = taken._replace(delivery_id=new_uuid())
    assert settled(owner, [strange, taken]) == {taken.delivery_id}
