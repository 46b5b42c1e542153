"""The full product of states and verbs: each cell is legal with its effect, or refused with nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from core.clock import database_now
from core.errors import Conflict
from jobs.lifecycle import intervene
from jobs.lifecycle.promote import promote_due
from jobs.lifecycle.reap import Reaped, lose
from jobs.lifecycle.reschedule import reschedule as transition
from jobs.models import Execution, Job, JobEvent
from jobs.schedule import parse_schedule
from jobs.states import ALLOWED, TRANSITIONS, JobStatus, RunStatus, Verb, project
from tests.conformance.clockwork import HOUR, Time, promote_all
from tests.conformance.world import (
    STATES,
    claim_one,
    complete,
    fail,
    fresh,
    make_due,
    new_job,
    postpone,
    runs_of,
    snapshot,
    worker,
)

pytestmark = pytest.mark.django_db(transaction=True)


def reschedule(job_id: Any) -> object:
    return transition(job_id, parse_schedule({"every": 60_000}, now=database_now() + timedelta(minutes=1)))


VERBS: dict[Verb, Callable[[Any], object]] = {
    Verb.CANCEL: intervene.cancel,
    Verb.PAUSE: intervene.pause,
    Verb.RESUME: intervene.resume,
    Verb.RESCHEDULE: reschedule,
    Verb.RETRY: intervene.retry,
    Verb.TRIGGER: intervene.trigger,
    Verb.DELETE: intervene.delete,
}

# (verb, state, recurring) → the state afterwards; None: the job is gone. What is not here is refused.
LEGAL: dict[tuple[str, str, bool], str | None] = {
    ("cancel", "scheduled", False): "cancelled",
    ("cancel", "scheduled", True): "cancelled",
    ("cancel", "queued", False): "cancelled",
    ("cancel", "queued", True): "cancelled",
    ("cancel", "running", False): "cancelled",
    ("cancel", "running", True): "cancelled",
    ("cancel", "paused", True): "cancelled",
    ("pause", "scheduled", True): "paused",
    ("pause", "queued", True): "paused",
    ("pause", "running", True): "paused",
    ("resume", "paused", True): "scheduled",
    ("reschedule", "scheduled", False): "scheduled",
    ("reschedule", "scheduled", True): "scheduled",
    ("reschedule", "queued", False): "scheduled",
    ("reschedule", "queued", True): "scheduled",
    ("reschedule", "running", True): "running",
    ("reschedule", "paused", True): "paused",
    ("retry", "failed", False): "queued",
    ("retry", "failed", True): "queued",
    ("trigger", "scheduled", True): "queued",
    ("trigger", "completed", True): "queued",
    ("trigger", "failed", True): "queued",
    ("trigger", "paused", True): "paused",
    ("delete", "scheduled", False): None,
    ("delete", "scheduled", True): None,
    ("delete", "queued", False): None,
    ("delete", "queued", True): None,
    ("delete", "completed", False): None,
    ("delete", "completed", True): None,
    ("delete", "failed", False): None,
    ("delete", "failed", True): None,
    ("delete", "cancelled", False): None,
    ("delete", "cancelled", True): None,
    ("delete", "paused", True): None,
}

CELLS = [(verb, state, recurring) for verb in Verb for state, recurring in STATES]


@pytest.mark.parametrize(("verb", "state", "recurring"), CELLS)
def test_every_verb_in_every_state_is_legal_with_its_effect_or_refused_without_one(
    verb: Verb, state: str, recurring: bool
) -> None:
    job = STATES[state, recurring]()
    assert fresh(job).status == state
    before = snapshot(job)

    if (verb, state, recurring) in LEGAL:
        VERBS[verb](job.pk)
        expected = LEGAL[verb, state, recurring]
        if expected is None:
            assert not Job.objects.filter(pk=job.pk).exists()
            assert not Execution.objects.filter(job_id=job.pk).exists()
            assert JobEvent.objects.filter(job_id=job.pk).latest("seq").type == "job.deleted"
        else:
            assert fresh(job).status == expected
            assert expected == state or JobStatus(expected) in TRANSITIONS[JobStatus(state)]
    else:
        with pytest.raises(Conflict) as refused:
            VERBS[verb](job.pk)
        assert snapshot(job) == before
        if not (verb in {Verb.PAUSE, Verb.TRIGGER} and not recurring):
            assert refused.value.extra["status_found"] == state


def test_the_table_of_verbs_covers_what_is_legal() -> None:
    for verb, state, _ in LEGAL:
        assert JobStatus(state) in ALLOWED[Verb(verb)]


def test_retry_of_a_recurring_job_whose_last_run_failed_leaves_the_grid_alone() -> None:
    job = new_job({"every": 3_600_000})
    fail(claim_one(job))
    before = fresh(job)
    assert (before.status, before.last_run_status) == ("scheduled", "failed")

    intervene.retry(job.pk)

    after = fresh(job)
    assert (after.status, after.next_run_at) == ("queued", before.next_run_at)
    assert [run.trigger for run in runs_of(job)] == ["schedule", "retry"]
    assert runs_of(job)[1].scheduled_at == runs_of(job)[0].scheduled_at


def test_retry_with_a_delay_waits_as_scheduled() -> None:
    job = STATES["failed", False]()
    intervene.retry(job.pk, delay=timedelta(minutes=1))
    after = fresh(job)
    assert after.status == "scheduled"
    assert after.next_attempt_at is not None


def test_a_running_run_goes_on_through_a_pause_and_is_recorded() -> None:
    job = new_job({"every": 3_600_000})
    taken = claim_one(job)
    intervene.pause(job.pk, note="maintenance")
    assert complete(taken, '{"n":1}')
    after = fresh(job)
    assert (after.status, after.last_run_status, after.successful_executions) == ("paused", "completed", 1)
    assert after.next_run_at is None


def test_a_resume_while_the_run_still_runs_shows_running() -> None:
    job = new_job({"every": 3_600_000})
    taken = claim_one(job)
    intervene.pause(job.pk)
    intervene.resume(job.pk)
    assert fresh(job).status == "running"
    assert complete(taken)
    assert fresh(job).status == "scheduled"


def test_a_pause_freezes_a_back_off_and_resume_continues_it() -> None:
    job = new_job({"every": 3_600_000}, retries=1)
    postpone(claim_one(job), delay_ms=60_000)
    due = runs_of(job)[0].due_at
    intervene.pause(job.pk)
    assert runs_of(job)[0].status == RunStatus.FROZEN
    intervene.resume(job.pk)
    run = runs_of(job)[0]
    assert (run.status, run.due_at) == (RunStatus.WAITING, due)
    assert fresh(job).next_attempt_at == due


def test_a_paused_job_can_be_triggered_and_stays_paused() -> None:
    job = STATES["paused", True]()
    intervene.trigger(job.pk)
    taken = claim_one(job)
    assert fresh(job).status == "paused"
    assert postpone(taken, delay_ms=0)
    promote_due()
    assert complete(claim_one(job))
    assert fresh(job).status == "paused"


def test_nothing_of_a_cancelled_run_is_recorded() -> None:
    job = new_job()
    taken = claim_one(job)
    assert intervene.cancel(job.pk, reason="stop").stopped_runs == (taken.run_id,)
    assert not complete(taken)
    run = runs_of(job)[0]
    assert (run.status, run.code, run.fence) == (RunStatus.CANCELLED, "CANCELLED", taken.fence + 1)
    assert fresh(job).cancel_reason == "stop"


def test_reschedule_drops_a_back_off_and_its_run_ends_as_failed() -> None:
    job = new_job(retries=3)
    postpone(claim_one(job))
    reschedule(job.pk)
    after = fresh(job)
    assert (after.status, after.recurring, after.failed_executions) == ("scheduled", True, 1)
    assert runs_of(job)[0].status == RunStatus.FAILED


def test_a_forced_delete_stops_the_running_run_first() -> None:
    job = new_job()
    taken = claim_one(job)
    assert intervene.delete(job.pk, force=True) == (taken.run_id,)
    assert not complete(taken)
    assert not Job.objects.filter(pk=job.pk).exists()


def test_the_third_loss_ends_a_run_as_poison_and_the_losses_use_up_no_retries() -> None:
    job = new_job()
    owner = worker()
    for loss in range(3):
        taken = claim_one(job, worker_id=owner)
        assert taken.attempt == loss + 1
        lose([(taken.run_id, taken.job_id)], error="gone", counted=True, reaped=Reaped(), owner_id=owner)
        assert not complete(taken)
    run = runs_of(job)[0]
    assert (run.status, run.code, run.losses) == (RunStatus.FAILED, "POISON", 3)
    assert [attempt["status"] for attempt in run.attempts] == ["lost", "lost"]
    assert fresh(job).status == "failed"


def test_a_run_that_must_not_be_tried_twice_ends_at_its_first_loss() -> None:
    job = new_job(on_lost="fail")
    owner = worker()
    taken = claim_one(job, worker_id=owner)
    lose([(taken.run_id, taken.job_id)], error="gone", counted=True, reaped=Reaped(), owner_id=owner)
    run = runs_of(job)[0]
    assert (run.status, run.code) == (RunStatus.FAILED, "LOST")


def test_a_run_that_is_handed_back_does_not_count_as_lost() -> None:
    job = new_job()
    owner = worker()
    for _ in range(5):
        taken = claim_one(job, worker_id=owner)
        lose([(taken.run_id, taken.job_id)], error="handed back", counted=False, reaped=Reaped(), owner_id=owner)
    run = runs_of(job)[0]
    assert (run.status, run.losses, run.number) == (RunStatus.QUEUED, 0, 1)


def test_an_outcome_is_recorded_once_also_when_it_is_written_twice() -> None:
    job = new_job({"every": 3_600_000})
    taken = claim_one(job)
    assert complete(taken)
    assert not complete(taken)
    after = fresh(job)
    assert (after.successful_executions, after.execution_count, after.event_seq) == (1, 1, 1)


def test_limit_ends_a_recurring_job_by_how_its_last_run_ended() -> None:
    job = new_job({"every": 3_600_000, "limit": 2})
    fail(claim_one(job))
    assert fresh(job).status == "scheduled"
    make_due(job)
    complete(claim_one(job))
    after = fresh(job)
    assert (after.status, after.execution_count, after.occurrences_opened) == ("completed", 2, 2)
    assert [run.number for run in runs_of(job)] == [1, 2]


def test_an_occurrence_that_is_due_while_the_previous_runs_is_skipped_once_in_history(time: Time) -> None:
    job = new_job({"every": 3_600_000})
    taken = claim_one(job)
    for _ in range(3):
        time.pass_(HOUR)
        promote_all()
    complete(taken)
    first, skipped = runs_of(job)
    assert (first.status, skipped.status, skipped.count) == (RunStatus.COMPLETED, RunStatus.SKIPPED, 3)
    assert (skipped.number, skipped.skip_reason) == (None, "previous run still running")


def test_with_overlap_queue_one_occurrence_waits_and_runs_next() -> None:
    job = new_job({"every": 3_600_000, "overlap": "queue"})
    taken = claim_one(job)
    make_due(job)
    make_due(job)
    assert [run.status for run in runs_of(job)] == ["running", "queued", "skipped"]
    assert fresh(job).status == "running"
    complete(taken)
    assert fresh(job).status == "queued"
    complete(claim_one(job))
    assert [run.number for run in runs_of(job)] == [1, 2, None]


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("ends", [complete, fail])
def test_the_projection_in_sql_agrees_with_the_one_in_python(
    paused: bool, left: bool, behind: bool, ends: Callable[..., bool]
) -> None:
    job = new_job({"every": 3_600_000, "overlap": "queue", **({} if left else {"limit": 2 if behind else 1})})
    taken = claim_one(job)
    if behind:
        make_due(job)
    if paused:
        intervene.pause(job.pk)
    assert ends(taken)

    after = fresh(job)
    turn = next((run for run in runs_of(job) if run.finished_at is None), None)
    assert after.status == project(
        cancelled=False,
        paused=paused,
        open_run=RunStatus(turn.status) if turn else None,
        schedule_left=after.next_run_at is not None,
        last_run=RunStatus(after.last_run_status),
    )
