"""Pruning: what ended long ago goes, with its history; what is open, or young, stays as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from pytest_django.fixtures import Settings

from core import clock
from core.clock import database_now
from core.ids import new_uuid
from jobs import chores, fsck
from jobs.lifecycle import intervene
from jobs.lifecycle import prune as pruning
from jobs.lifecycle.prune import Pruned, prune
from jobs.listening import listen, take_wanted
from jobs.models import Chore, Execution, IdempotencyKey, Job, JobEvent
from jobs.operations import idempotency
from jobs.outbox import accounts
from jobs.states import FINAL, EventType
from tests.conformance.world import STATES, claim_one, complete, fresh, make_due, new_job, runs_of

pytestmark = pytest.mark.django_db(transaction=True)

KEPT = timedelta(days=90)
LATER = timedelta(days=100)


@pytest.mark.parametrize(("state", "recurring"), list(STATES))
def test_of_every_state_only_final_jobs_go(state: str, recurring: bool) -> None:
    job = STATES[state, recurring]()
    with clock.shift(LATER):
        pruned = prune(KEPT)
    gone = state in FINAL
    assert (pruned.jobs, pruned.finished) == (int(gone), True)
    assert Job.objects.filter(pk=job.pk).exists() is not gone
    if gone:
        assert not Execution.objects.filter(job_id=job.pk).exists()
        assert not JobEvent.objects.filter(job_id=job.pk).exists()
    else:
        assert fresh(job).status == state
        assert [run.status for run in runs_of(job)] == [run.status for run in runs_of(job) if run.finished_at is None]


def test_what_ended_lately_stays() -> None:
    job = new_job()
    assert complete(claim_one(job))
    with clock.shift(timedelta(days=89)):
        assert prune(KEPT) == Pruned()
    assert len(runs_of(job)) == 1


def test_an_old_job_that_ended_lately_stays() -> None:
    job = new_job()
    with clock.shift(timedelta(days=99)):
        assert complete(claim_one(job))
    with clock.shift(LATER):
        assert prune(KEPT).jobs == 0
    assert fresh(job).status == "completed"


def test_a_job_that_goes_on_keeps_its_last_run_and_event() -> None:
    job = new_job({"every": 3_600_000})
    for _ in range(2):
        assert complete(claim_one(job), '{"n": 1}')
        make_due(job)
    assert complete(claim_one(job), '{"n": 3}')
    events = JobEvent.objects.filter(job_id=job.pk)
    before = events.count()
    with clock.shift(LATER):
        pruned = prune(KEPT)
    assert (pruned.jobs, pruned.runs, pruned.events) == (0, 2, before - events.count())
    assert [run.result for run in runs_of(job)] == [{"n": 3}]
    assert fresh(job).last_run_id == runs_of(job)[0].pk
    assert list(events.values_list("seq", flat=True)) == [fresh(job).event_seq]
    assert [check.name for check in fsck.CHECKS if check.find(10)] == []


def test_events_of_a_deleted_job_go_too() -> None:
    JobEvent.objects.create(
        job_id="00000000-0000-7000-8000-000000000000", seq=1, type="job.deleted", status="completed",
        at=clock.database_now(),
    )  # fmt: skip
    with clock.shift(LATER):
        assert prune(KEPT).events == 1


def test_more_than_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    for _ in range(5):
        job = new_job()
        assert complete(claim_one(job))
    with clock.shift(LATER):
        assert prune(KEPT).jobs == 5
    assert (Job.objects.count(), Execution.objects.count(), JobEvent.objects.count()) == (0, 0, 0)


def test_when_the_time_is_over_the_next_call_goes_on() -> None:
    assert complete(claim_one(new_job()))
    with clock.shift(LATER):
        assert prune(KEPT, seconds=-1.0) == Pruned(finished=False)
        assert prune(KEPT).jobs == 1


class Clockwork:
    """A clock for `prune` that each breath moves on by a second, and nothing else."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += 1.0


@pytest.fixture
def clockwork(monkeypatch: pytest.MonkeyPatch) -> Clockwork:
    made = Clockwork()
    monkeypatch.setattr(pruning, "time", made)
    return made


def test_each_call_deletes_of_every_kind_however_much_there_is_of_one(
    clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 1)
    for _ in range(4):
        assert complete(claim_one(new_job()))
    goes_on = recurring(runs=12)
    calls: list[Pruned] = []
    with clock.shift(LATER):
        while not (calls and calls[-1].finished):
            calls.append(prune(KEPT, seconds=15.0))
            assert len(calls) < 20
    assert min(calls[0].events, calls[0].runs, calls[0].jobs) > 0
    assert not calls[0].finished
    assert list(Job.objects.all()) == [goes_on]
    assert (Execution.objects.count(), JobEvent.objects.count()) == (1, 1)


def test_old_rows_that_stay_take_no_batches(clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    stay = [recurring(runs=1) for _ in range(9)]
    for job in stay:
        intervene.pause(job.pk)
    with clock.shift(LATER):
        prune(KEPT)
        clockwork.seconds = 0.0
        assert prune(KEPT) == Pruned()
        assert clockwork.seconds == 0.0
        assert complete(claim_one(new_job()))
    with clock.shift(2 * LATER):
        assert prune(KEPT).jobs == 1
        assert clockwork.seconds < 3.0
    assert Job.objects.count() == 9


def test_a_long_history_goes_in_small_pieces_also_with_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 3)
    job = recurring(runs=8)
    intervene.cancel(job.pk)
    deleted: list[int] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith("DELETE"):
            deleted.append(context["cursor"].rowcount)
        return result

    with clock.shift(LATER), connection.execute_wrapper(note):
        ended_before, pruned = database_now() - KEPT, Pruned()
        assert pruning._jobs(ended_before, pruned, lambda: False)
    assert (pruned.jobs, pruned.runs, JobEvent.objects.count()) == (1, 8, 0)
    assert max(deleted) == 3


@pytest.mark.parametrize("young", [0, 1, 5])
@pytest.mark.parametrize("old", [0, 1, 6])
def test_the_first_young_row_is_found_among_ids_with_gaps(old: int, young: int) -> None:
    now = database_now()
    for number in range(old + young):
        at = now - LATER if number < old else now
        gap = JobEvent(job_id=new_uuid(), seq=1, type="job.started", status="running", at=at)
        gap.save()
        JobEvent(job_id=new_uuid(), seq=1, type="job.started", status="running", at=at).save()
        gap.delete()
    first_young = pruning._first_young(JobEvent.objects.all(), "at", now - KEPT)
    assert JobEvent.objects.filter(pk__lt=first_young).count() == old


def recurring(*, runs: int) -> Job:
    """A job that goes on, with so many runs that ended."""
    job = new_job({"every": 3_600_000})
    for number in range(runs):
        if number:
            make_due(job)
        assert complete(claim_one(job))
    return job


def test_of_many_who_take_a_chore_at_once_one_gets_it() -> None:
    got: list[bool] = []
    start = threading.Barrier(8)

    def taker() -> None:
        start.wait(10)
        try:
            got.append(chores.take("prune", timedelta(hours=1)))
        finally:
            connection.close()

    threads = [threading.Thread(target=taker) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(got) == [False] * 7 + [True]


def test_a_chore_is_free_again_after_its_time() -> None:
    assert chores.take("prune", timedelta(hours=1))
    assert not chores.take("prune", timedelta(hours=1))
    assert chores.take("other", timedelta(hours=1))
    with clock.shift(timedelta(hours=1)):
        assert chores.take("prune", timedelta(hours=1))
    assert Chore.objects.count() == 2


def test_the_task_prunes_once_however_often_it_is_sent() -> None:
    for expected in (0, 1):
        job = new_job()
        assert complete(claim_one(job))
        with clock.shift(LATER + timedelta(minutes=expected)):
            chores._prune_in_turn()
        assert Job.objects.count() == expected


def test_the_command_says_what_it_deleted() -> None:
    assert complete(claim_one(new_job()))
    keys(1, age=idempotency.KEPT)
    out = StringIO()
    with clock.shift(LATER):
        call_command("prune", "--days=30", stdout=out)
    first, second = out.getvalue().splitlines()
    assert first == "deleted 1 idempotency keys that had expired"
    assert second.startswith("deleted 1 jobs, 1 runs and ")
    assert second.endswith(" events older than 30 days")


def test_the_command_deletes_expired_keys_in_all_their_batches_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "BATCH", 2)
    keys(5, age=idempotency.KEPT)
    (young,) = keys(1, age=idempotency.KEPT - timedelta(minutes=1))
    out = StringIO()
    call_command("prune", stdout=out)
    assert out.getvalue().startswith("deleted 5 idempotency keys")
    assert list(IdempotencyKey.objects.all()) == [young]


def test_where_everything_is_kept_the_command_deletes_expired_keys_alone(settings: Settings) -> None:
    settings.RETENTION_DAYS = 0
    assert complete(claim_one(new_job()))
    keys(1, age=idempotency.KEPT)
    out = StringIO()
    with clock.shift(LATER):
        call_command("prune", stdout=out)
    assert out.getvalue() == (
        "deleted 1 idempotency keys that had expired\n"
        "kept all jobs, runs and events: RETENTION_DAYS is 0 (--days or --everything deletes them all the same)\n"
    )
    assert Job.objects.count() == 1


def keys(count: int, *, age: timedelta) -> list[IdempotencyKey]:
    made_at = database_now() - age
    return [
        IdempotencyKey.objects.create(scope=1, key=f"{age} {number}", digest="0" * 64, result={}, created_at=made_at)
        for number in range(count)
    ]


def test_everything_goes_only_where_that_is_said(settings: Settings) -> None:
    assert complete(claim_one(new_job()))
    settings.RETENTION_DAYS = 0
    with clock.shift(timedelta(seconds=1)):
        with pytest.raises(CommandError, match="say --everything if that is meant"):
            call_command("prune", "--days=0")
        assert Job.objects.count() == 1
        out = StringIO()
        call_command("prune", "--everything", stdout=out)
    assert out.getvalue().splitlines()[1].startswith("deleted 1 jobs, 1 runs and ")
    assert Job.objects.count() == 0


@pytest.mark.parametrize("days", ["-1", "nan", "inf", "1e300"])
def test_an_age_that_is_none_is_refused_by_its_name(days: str, settings: Settings) -> None:
    assert complete(claim_one(new_job()))
    with pytest.raises(CommandError, match=r"--days is .*: it must be from 0 to 36500"):
        call_command("prune", f"--days={days}")
    settings.RETENTION_DAYS = -1
    with pytest.raises(CommandError, match="RETENTION_DAYS is -1: it must be from 0 to 36500"):
        call_command("prune")
    assert Job.objects.count() == 1


def test_a_negative_age_deletes_nothing(settings: Settings) -> None:
    assert complete(claim_one(new_job()))
    with pytest.raises(ValueError, match="below zero"):
        prune(timedelta(days=-1))
    settings.RETENTION_DAYS = -1  # the checks refuse to start with it; a shell may have it
    with clock.shift(LATER):
        chores._prune_in_turn()
    assert Job.objects.count() == 1


def test_what_somebody_waits_for_stays_until_it_is_taken_and_leaves_no_gap() -> None:
    before, goes_on, gone = (new_job({"every": 3_600_000}) for _ in range(3))
    intervene.pause(before.pk)
    intervene.resume(before.pk)
    listen([(0, EventType.PAUSED)])
    for job in (goes_on, gone):
        intervene.pause(job.pk)
    listen([])
    intervene.resume(goes_on.pk)
    intervene.cancel(goes_on.pk)
    Job.objects.filter(pk=goes_on.pk).update(completed_at=database_now() + LATER)
    intervene.cancel(gone.pk)
    with clock.shift(LATER):
        assert prune(KEPT).jobs == 1
        assert fsck.events_are_gapless(20) == []
        assert list(JobEvent.objects.filter(job_id=before.pk).values_list("seq", flat=True)) == [2]
        assert JobEvent.objects.filter(job_id=goes_on.pk).count() == 3
        with transaction.atomic():
            taken = take_wanted(10)
        assert [event.job_id for event in taken] == [goes_on.pk, gone.pk]
        assert [account.namespace for account in accounts(taken).values()] == ["noop", "noop"]
        prune(KEPT)
    assert list(JobEvent.objects.filter(job_id=goes_on.pk).values_list("seq", flat=True)) == [3]
    assert not JobEvent.objects.filter(job_id=gone.pk).exists()
