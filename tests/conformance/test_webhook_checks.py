"""What fsck says of webhooks, what the metrics tell, and that both reach the processes they are for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from core.clock import database_now
from core.ids import encode, new_uuid
from jobs import chores, extensions, fsck, metrics
from jobs.lifecycle.lease import register_worker
from jobs.listening import EVERY_PRODUCT, listen
from jobs.models import Chore, JobEvent, Worker
from jobs.scheduler import SchedulerThread
from jobs.states import EventType
from tests.conformance.clockwork import Time
from tests.conformance.webhook_world import all_handed_out, claim_some, endpoint, happened, owed, settled
from tests.conformance.world import claim_one, complete, new_job
from webhooks.invariants import each_is_told
from webhooks.models import Delivery, Message

pytestmark = pytest.mark.django_db(transaction=True)


def worker() -> int:
    return register_worker(host="test", pid=1, queues=["webhooks"], concurrency=500)


def everything_is_listened_to() -> None:
    listen([(EVERY_PRODUCT, type) for type in EventType])


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.invariants.LOOK_AGAIN_SECONDS", 0.0)


# --- fsck: I8 -------------------------------------------------------------------------------


def test_a_job_that_ends_is_told_to_who_listens_and_fsck_finds_nothing_amiss() -> None:
    everything_is_listened_to()
    to = endpoint(events=["job.completed"], updated_at=database_now() - timedelta(minutes=1))
    job = new_job()
    complete(claim_one(job))
    all_handed_out()
    assert to.deliveries.get().message.job_id == job.pk
    assert each_is_told(10) == []
    assert "I8" in {check.name for check in fsck.every_check()}


def test_a_final_transition_that_an_endpoint_was_not_told_of_is_found() -> None:
    everything_is_listened_to()
    to = endpoint(updated_at=database_now() - timedelta(minutes=1))
    job = new_job()
    complete(claim_one(job))
    all_handed_out()
    Delivery.objects.filter(type="job.completed").delete()
    seq = JobEvent.objects.get(job_id=job.pk, type="job.completed").seq
    assert each_is_told(10) == [
        f"{encode('job', job.pk)} event {seq} (job.completed): {to} wants it and has no delivery of it"
    ]


def test_what_happened_before_an_endpoint_was_there_is_not_missed() -> None:
    complete(claim_one(new_job()))
    endpoint()
    endpoint(namespaces=["storage"], updated_at=database_now() - timedelta(minutes=1))
    assert each_is_told(10) == []


def test_a_wanted_event_that_nobody_takes_is_found_where_a_worker_delivers(time: Time) -> None:
    event = happened()
    time.pass_(timedelta(minutes=2))
    assert each_is_told(10) == []
    worker()
    assert [text.split(":")[0] for text in each_is_told(10)] == [
        f"{encode('job', event.job_id)} event 1 (job.completed)"
    ]


def test_a_delivery_whose_worker_is_long_gone_is_found(time: Time) -> None:
    owner = worker()
    owed(endpoint())
    (taken,) = claim_some(owner)
    Worker.objects.filter(pk=owner).update(stopped_at=database_now())
    assert each_is_told(10) == []
    time.pass_(timedelta(minutes=3))
    assert each_is_told(10) == [f"{Delivery.objects.get()}: under way, owned by worker {owner}, which is gone"]
    assert taken.delivery_id == Delivery.objects.get().pk


# --- metrics --------------------------------------------------------------------------------


def told() -> dict[str, float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        "/".join([sample.name.removeprefix("ductape_webhook_"), *sample.labels.values()]): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("ductape_webhook_")
    }


def test_the_metrics_tell_of_attempts_of_what_waits_and_of_endpoints() -> None:
    owner, to = worker(), endpoint()
    endpoint(enabled=False, disabled_at=database_now(), disabled_reason="the endpoint answered 410 (Gone)")
    endpoint(enabled=False, disabled_at=database_now())
    endpoint(rest_until=database_now() + timedelta(minutes=1))
    owed(to, 4)
    Delivery.objects.update(created_at=database_now() - timedelta(seconds=30))
    first, second, _, _ = claim_some(owner, share=4)
    settled(owner, [first])
    settled(owner, [second], 500)
    seen = told()
    age = seen.pop("oldest_pending_age_seconds")
    assert 30 <= age < 60
    assert seen == {
        "attempts_total/delivered": 1,
        "attempts_total/retried": 1,
        "attempts_total/failed": 0,
        "deliveries_pending": 3,
        "endpoints/enabled": 2,
        "endpoints/disabled": 1,
        "endpoints/off": 1,
        "endpoints/resting": 1,
    }


# --- the processes of jobs ------------------------------------------------------------------


def test_the_scheduler_takes_back_deliveries_with_the_runs() -> None:
    owner = worker()
    owed(endpoint())
    claim_some(owner)
    Worker.objects.filter(pk=owner).update(lease_until=database_now() - timedelta(seconds=1))
    SchedulerThread()._take_back()
    assert Delivery.objects.get().status == "pending"


def test_the_chore_that_prunes_jobs_prunes_messages(settings: Settings) -> None:
    settings.WEBHOOK_RETENTION_DAYS = 30
    at = database_now() - timedelta(days=31)
    Message.objects.create(type="job.completed", body="{}", job_id=new_uuid(), seq=1, at=at, created_at=at)
    Chore.objects.all().delete()
    chores._prune_in_turn()
    assert Message.objects.count() == 0


def test_nothing_is_pruned_where_everything_is_kept(settings: Settings) -> None:
    settings.WEBHOOK_RETENTION_DAYS = 0
    at = database_now() - timedelta(days=310)
    Message.objects.create(type="job.completed", body="{}", job_id=new_uuid(), seq=1, at=at, created_at=at)
    Chore.objects.all().delete()
    chores._prune_in_turn()
    assert Message.objects.count() == 1


def test_the_queue_of_the_deliveries_has_a_crew() -> None:
    assert set(extensions.crews()) == extensions.served_queues() == {"webhooks"}
