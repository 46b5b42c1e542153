"""…-many calls beside everybody else: nobody waits for a chunk of other jobs, and two calls over the same jobs end.

PostgreSQL only: SQLite has one writer at a time, so that nothing can come between.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.db import connection

from core import failpoints
from jobs.lifecycle import intervene
from jobs.models import Job, JobEvent, Operation
from jobs.operations import many
from jobs.operations.many import Asked
from jobs.queries import JobFilter
from jobs.states import Verb
from tests.conformance.test_races import elsewhere
from tests.conformance.world import claim_one, complete, environment, fresh, new_job

pytestmark = pytest.mark.django_db(transaction=True)

WAIT_SECONDS = 20


@pytest.fixture(autouse=True)
def _postgresql() -> Iterator[None]:
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time: nothing can come between a read and a write")
    yield
    failpoints.clear()


def asked(verb: Verb, **wanted: object) -> Asked:
    only = JobFilter(environment_ids=frozenset({environment().pk}), **wanted)  # type: ignore[arg-type]
    return Asked(verb=verb, wanted=only, actor="ada", product_id=None, environment_ids=None)


def test_nobody_waits_for_a_chunk_of_other_jobs() -> None:
    mine = [new_job(queue="slow") for _ in range(3)]
    other = new_job()
    written, go_on = threading.Event(), threading.Event()

    def stop_here() -> None:
        written.set()
        assert go_on.wait(WAIT_SECONDS)

    failpoints.register("many:before_commit", stop_here)
    calling = elsewhere(lambda: many.start(asked(Verb.CANCEL, queue="slow")))
    assert written.wait(WAIT_SECONDS)

    def all_that_others_do() -> None:
        taken = claim_one(other)
        assert complete(taken)
        intervene.cancel(new_job().pk)
        new_job(queue="slow")

    elsewhere(all_that_others_do).result(WAIT_SECONDS)
    assert [fresh(job).status for job in mine] == ["queued"] * 3  # not committed yet
    go_on.set()
    operation = calling.result(WAIT_SECONDS)

    assert (operation.count, operation.skipped) == (3, 0)
    assert Job.objects.filter(status="queued").count() == 1  # made after the call


def test_two_calls_over_the_same_jobs_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "CHUNK", 7)
    for _ in range(60):
        new_job({"every": 3_600_000})
    ready = threading.Barrier(3)

    def call(verb: Verb) -> Operation:
        ready.wait(WAIT_SECONDS)
        return many.start(asked(verb))

    calls = [elsewhere(lambda verb=verb: call(verb)) for verb in (Verb.CANCEL, Verb.CANCEL, Verb.DELETE)]  # type: ignore[misc]
    done = [each.result(WAIT_SECONDS * 3) for each in calls]

    assert [operation.status for operation in done] == ["completed"] * 3
    assert done[2].count == 60
    assert not Job.objects.exists()
    assert JobEvent.objects.filter(type="job.cancelled").count() == done[0].count + done[1].count


def test_two_who_take_operations_at_once_do_each_job_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "CHUNK", 7)
    monkeypatch.setattr(many, "MOST_AT_ONCE", 0)
    for _ in range(40):
        new_job()
    operation = many.start(asked(Verb.CANCEL))
    ready = threading.Barrier(2)

    def work() -> bool:
        ready.wait(WAIT_SECONDS)
        return many.go_on_with_one()

    workers = [elsewhere(work) for _ in range(2)]

    assert sorted(each.result(WAIT_SECONDS * 3) for each in workers) == [False, True]
    operation.refresh_from_db()
    assert (operation.status, operation.total, operation.count, operation.skipped) == ("completed", 40, 40, 0)
    assert JobEvent.objects.filter(type="job.cancelled").count() == 40
