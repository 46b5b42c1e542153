"""What is written is wanted where somebody listens, and tells of its job when that has moved on or is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import pytest
from django.db import connection, transaction

from core.tenancy.models import Environment
from core.times import to_ms
from jobs import listening, notices
from jobs.lifecycle import intervene
from jobs.listening import EVERY_PRODUCT, listen, take_wanted
from jobs.models import Job, JobEvent, Listener
from jobs.outbox import Account, accounts
from jobs.states import EventType
from tests.conformance.world import RECURRING, claim_one, complete, environment, fail, fresh, new_job

pytestmark = pytest.mark.django_db(transaction=True)


def listen_to(*types: EventType, product_id: int = EVERY_PRODUCT) -> None:
    listen([(product_id, type) for type in types])


def wanted() -> list[tuple[str, int]]:
    """The types and `seq` of what waits to be taken, in the order in which it was written."""
    return list(JobEvent.objects.filter(wanted=True).order_by("pk").values_list("type", "seq"))


def take() -> list[JobEvent]:
    with transaction.atomic():
        return take_wanted(100)


# What leaves an event whether or not somebody listens, and its type.
ALWAYS: list[tuple[EventType, Callable[[Job], object]]] = [
    (EventType.COMPLETED, lambda job: complete(claim_one(job))),
    (EventType.FAILED, lambda job: fail(claim_one(job))),
    (EventType.CANCELLED, lambda job: intervene.cancel(job.pk)),
    (EventType.PAUSED, lambda job: intervene.pause(job.pk)),
    (EventType.DELETED, lambda job: intervene.delete(job.pk)),
]


@pytest.mark.parametrize(("type", "happen"), ALWAYS, ids=[type for type, _ in ALWAYS])
def test_an_event_is_wanted_where_somebody_listens_to_its_type_and_product(
    type: EventType, happen: Callable[[Job], object]
) -> None:
    here = environment().product_id
    listeners: list[tuple[list[tuple[int, EventType]], bool]] = [
        ([], False),
        ([(here + 1, type)], False),
        ([(here, other) for other in EventType if other != type], False),
        ([(here, type)], True),
        ([(EVERY_PRODUCT, type)], True),
    ]
    for listener, hears in listeners:
        listen(listener)
        job = new_job(RECURRING)
        happen(job)
        last = JobEvent.objects.get(job_id=job.pk, type=type)
        assert (last.wanted, last.about is not None) == (hears, hears), listener


def test_a_wanted_event_tells_of_its_job_as_it_was_also_when_that_is_gone() -> None:
    listen_to(EventType.FAILED)
    place = environment()
    job = new_job(RECURRING, labels={"team": "blue"})
    run = claim_one(job)
    assert fail(run, error="it is no use")
    told = fresh(job)
    intervene.delete(job.pk)

    (event,) = take()
    (account,) = accounts([event]).values()

    assert account == Account(
        product_id=place.product_id,
        product="shop",
        environment_id=place.pk,
        env="prd",
        namespace="noop",
        labels={"team": "blue"},
        scheduled_at=to_ms(told.scheduled_at),
        execution_count=1,
        error="it is no use",
    )
    assert (event.type, event.status, event.number) == ("job.failed", "scheduled", 1)


def test_an_event_whose_environment_is_gone_has_no_account() -> None:
    listen_to(EventType.CANCELLED)
    job = new_job()
    intervene.cancel(job.pk)
    intervene.delete(job.pk)
    Environment.objects.all().delete()
    assert accounts(take()) == {}


def test_what_is_wanted_is_taken_once_oldest_first() -> None:
    listen_to(EventType.CANCELLED)
    jobs = [new_job() for _ in range(3)]
    for job in jobs:
        intervene.cancel(job.pk)
    with transaction.atomic():
        first = take_wanted(2)
    assert [event.job_id for event in first] == [job.pk for job in jobs[:2]]
    assert all(event.about for event in first)
    assert [event.job_id for event in take()] == [jobs[2].pk]
    assert take() == []


def test_what_was_taken_by_a_transaction_that_fails_is_wanted_still() -> None:
    listen_to(EventType.CANCELLED)
    intervene.cancel(new_job().pk)
    with pytest.raises(RuntimeError), transaction.atomic():
        assert len(take_wanted(10)) == 1
        raise RuntimeError
    (again,) = take()
    assert again.about


def test_two_takers_take_different_events() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer: a second taker waits for the first")
    listen_to(EventType.CANCELLED)
    for _ in range(2):
        intervene.cancel(new_job().pk)
    other: list[JobEvent] = []

    def take_the_rest() -> None:
        other.extend(take())
        connection.close()

    with transaction.atomic():
        (mine,) = take_wanted(1)
        thread = threading.Thread(target=take_the_rest)
        thread.start()
        thread.join()
    assert len(other) == 1
    assert other[0].pk != mine.pk
    assert take() == []


def test_to_listen_says_all_that_is_listened_to() -> None:
    listen([(0, EventType.FAILED), (7, EventType.FAILED), (0, EventType.FAILED)])
    listen([(7, EventType.FAILED), (7, EventType.PAUSED)])
    rows = Listener.objects.order_by("type").values_list("product_id", "type")
    assert list(rows) == [(7, "job.failed"), (7, "job.paused")]
    listen([])
    assert not Listener.objects.exists()


def test_who_says_who_listens_waits_for_the_one_before() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer")
    under_way, may_go = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            listen_to(EventType.FAILED)
            under_way.set()
            assert may_go.wait(60)
        connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    assert under_way.wait(60)
    threading.Timer(0.2, may_go.set).start()
    with transaction.atomic():
        listening.lock()
        assert [row.type for row in Listener.objects.all()] == ["job.failed"]
        listen_to(EventType.PAUSED)
    thread.join()
    assert [row.type for row in Listener.objects.all()] == ["job.paused"]


def test_a_bell_is_rung_after_the_commit_where_somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[bool] = []
    monkeypatch.setattr(listening, "_bell", SimpleNamespace(ring=lambda: rung.append(connection.in_atomic_block)))
    intervene.cancel(new_job().pk)
    assert rung == []
    listen_to(EventType.CANCELLED)
    for happen in (new_job, claim_one, lambda: intervene.cancel(new_job().pk)):
        rung.clear()
        happen()
        assert set(rung) == {False}, happen


def test_a_bell_that_is_rung_all_the_time_is_heard_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[float] = []
    monkeypatch.setattr(notices, "_publish", lambda channel, message: published.append(time.monotonic()))
    monkeypatch.setattr(notices, "RING_SECONDS", 0.05)
    bell, deadline = notices.Bell("ductape:test"), time.monotonic() + 60
    while len(published) < 4 and time.monotonic() < deadline:
        bell.ring()
        time.sleep(0.001)
    assert len(published) >= 4
    assert all(later - earlier >= 0.05 for earlier, later in pairwise(published))
