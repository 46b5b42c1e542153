"""The outbox is read onward without a loss while transactions commit in another order than that of their ids."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction

from jobs.lifecycle import intervene
from jobs.models import JobEvent
from jobs.outbox import Tail
from tests.conformance.world import new_job

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_event_of_a_transaction_that_took_its_time_is_read_when_it_commits() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer: its ids are in the order of the commits")
    intervene.cancel(new_job().pk)
    slow, quick = new_job(), new_job()
    before = Tail.at_end()
    written, may_commit = threading.Event(), threading.Event()

    def cancel_slowly() -> None:
        try:
            with transaction.atomic():
                intervene.cancel(slow.pk)
                written.set()
                assert may_commit.wait(60)
        finally:
            connection.close()

    other = threading.Thread(target=cancel_slowly)
    other.start()
    assert written.wait(60)
    intervene.cancel(quick.pk)
    (first,) = before.read()
    during = Tail.at_end()
    may_commit.set()
    other.join()

    late = JobEvent.objects.get(job_id=slow.pk)
    assert first.job_id == quick.pk
    assert late.pk < first.pk
    assert before.upto == late.pk - 1 == during.upto
    assert [event.pk for event in before.read()] == [late.pk]
    assert [event.pk for event in during.read()] == [late.pk]
    assert before.upto == during.upto == first.pk
    assert before.read() == during.read() == []
