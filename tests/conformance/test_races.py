"""Every cell of states × verbs against a racing claim: two connections, one stopped in the middle.

PostgreSQL only: SQLite has one writer at a time, so that nothing can come between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from core import failpoints
from core.errors import Conflict
from jobs.lifecycle import intervene
from jobs.lifecycle.claim import Claim, claim
from jobs.models import Execution, Job, JobEvent
from jobs.states import Verb
from tests.conformance.test_state_machine import CELLS, LEGAL, VERBS
from tests.conformance.world import STATES, fresh, new_job, runs_of, worker

pytestmark = pytest.mark.django_db(transaction=True)

WAIT_SECONDS = 10


@pytest.fixture(autouse=True)
def _postgresql() -> Iterator[None]:
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time: nothing can come between a read and a write")
    yield
    failpoints.clear()


def elsewhere(function: Callable[[], Any]) -> Future[Any]:
    """Run in a thread with a connection of its own."""

    def run() -> Any:
        try:
            return function()
        finally:
            connection.close()

    with_one = ThreadPoolExecutor(1)
    future = with_one.submit(run)
    with_one.shutdown(wait=False)
    return future


def claim_default() -> list[Claim]:
    return claim(worker(), "default", 10)


@pytest.mark.parametrize(("verb", "state", "recurring"), CELLS)
def test_a_claim_between_the_read_and_the_write_of_a_verb_takes_nothing(
    verb: Verb, state: str, recurring: bool
) -> None:
    job = STATES[state, recurring]()
    reading, go_on = threading.Event(), threading.Event()

    def stop_here() -> None:
        reading.set()
        assert go_on.wait(WAIT_SECONDS)

    failpoints.register("intervene:locked", stop_here)

    def act() -> str:
        try:
            VERBS[verb](job.pk)
        except Conflict:
            return "refused"
        return "done"

    acting = elsewhere(act)
    assert reading.wait(WAIT_SECONDS)
    before = [(run.status, run.fence) for run in runs_of(job)]

    taken = claim_default()

    assert taken == []
    assert [(run.status, run.fence) for run in runs_of(job)] == before
    go_on.set()
    assert acting.result(WAIT_SECONDS) == ("done" if (verb, state, recurring) in LEGAL else "refused")
    consistent(job)


@pytest.mark.parametrize(("verb", "state", "recurring"), CELLS)
def test_a_verb_that_meets_an_uncommitted_claim_waits_and_decides_by_what_it_finds_then(
    verb: Verb, state: str, recurring: bool
) -> None:
    job = STATES[state, recurring]()
    claimed, go_on = threading.Event(), threading.Event()

    def hold_a_claim() -> list[Claim]:
        with transaction.atomic():
            taken = claim_default()
            claimed.set()
            assert go_on.wait(WAIT_SECONDS)
        return taken

    claiming = elsewhere(hold_a_claim)
    assert claimed.wait(WAIT_SECONDS)
    outcome: list[str] = []

    def act() -> None:
        try:
            VERBS[verb](job.pk)
        except Conflict as refused:
            outcome.append(str(refused.extra.get("status_found", refused.code)))
        else:
            outcome.append("done")

    acting = elsewhere(act)
    if state == "queued":  # the claim holds the job's row: the verb can only wait
        wait_until_somebody_waits()
        assert outcome == []
    go_on.set()
    taken = claiming.result(WAIT_SECONDS)
    acting.result(WAIT_SECONDS)

    assert [one.job_id for one in taken] == ([job.pk] if state == "queued" else [])
    found = "running" if state == "queued" else state
    if (verb, found, recurring) in LEGAL:
        assert outcome == ["done"]
    elif verb in {Verb.PAUSE, Verb.TRIGGER} and not recurring:
        assert outcome == ["not_recurring"]
    else:
        assert outcome == [found]
    consistent(job)


def test_an_occurrence_opened_while_a_cancel_waits_is_cancelled_too() -> None:
    job = new_job({"every": 3_600_000})
    intervene.cancel(job.pk)
    assert fresh(job).next_due_at is None
    assert not Execution.objects.filter(job=job, status="queued").exists()


def wait_until_somebody_waits() -> None:
    """Until a backend of this database waits for a lock."""
    deadline = threading.Event()
    for _ in range(WAIT_SECONDS * 100):
        with connection.cursor() as sql:
            sql.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if sql.fetchone()[0]:
                return
        deadline.wait(0.01)
    raise AssertionError("nobody waited for the claim")


def consistent(job: Job) -> None:
    """What must hold of a job whoever came first."""
    if not Job.objects.filter(pk=job.pk).exists():
        assert not Execution.objects.filter(job_id=job.pk).exists()
        return
    after, runs = fresh(job), runs_of(job)
    running = [run for run in runs if run.status == "running"]
    assert len(running) <= 1
    if after.status in {"completed", "failed", "cancelled"}:
        assert not [run for run in runs if run.finished_at is None]
    if after.status == "running":
        assert len(running) == 1
    if after.status == "queued":
        assert next(run.status for run in runs if run.finished_at is None) == "queued"
    seqs = list(JobEvent.objects.filter(job_id=job.pk).order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))
