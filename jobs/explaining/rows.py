"""What a row tells: a run that began, one that waits now and for what, occurrences that never ran."""

from __future__ import annotations

from typing import Any

from jobs.explaining.model import Explanation, Facts, Reason
from jobs.explaining.words import because, capital, ending, lateness, named, noted, when
from jobs.lifecycle import intervene, promote, reschedule
from jobs.models import Execution
from jobs.states import NEVER_RAN, EventType, RunStatus, Trigger

_NEVER_RAN = {
    promote.STILL_RUNNING: (Reason.SKIPPED_RUNNING, "skipped: the previous run was still going"),
    promote.PREVIOUS_LOST: (
        Reason.SKIPPED_LOST,
        "skipped: the previous run had lost its worker and waited to be tried again",
    ),
    promote.HELD: (Reason.SKIPPED_HELD, "skipped: a hold kept the run before it waiting, and one run waits at most"),
    promote.MISSED: (Reason.MISSED, "missed: no scheduler was there in time"),
    intervene.PAUSED: (Reason.MISSED_PAUSED, "missed: the job was paused before it was made up for"),
    reschedule.RESCHEDULED: (Reason.MISSED_RESCHEDULED, "missed: the job was rescheduled before it was made up for"),
}


def of_row(facts: Facts, row: Execution) -> Explanation:
    """Of an occurrence, the row that it became."""
    if row.status in NEVER_RAN:
        return _of_one_that_never_ran(facts, row)
    if row.finished_at is None:
        return of_open(facts, row)
    if row.number is None:
        return cancelled(facts)
    return _of_one_that_ran(facts, row)


def _of_one_that_never_ran(facts: Facts, row: Execution) -> Explanation:
    last = row.last_scheduled_at or row.scheduled_at
    reason, text = _NEVER_RAN.get(
        row.skip_reason, (Reason.NOT_KNOWN, f"{row.status}, for a reason that this version does not know")
    )
    of = ""
    if row.count > 1:
        job = facts.job
        of = f" (one of {row.count} in a row, {when(job, row.scheduled_at)} to {when(job, last)})"
    occurrence = min(max(facts.at, row.scheduled_at), last)
    sentence = f"The occurrence of {when(facts.job, occurrence)} was {text}{of}."
    return Explanation(
        reason=reason, sentence=sentence, occurrence=occurrence, run=row, since=row.scheduled_at, until=last
    )


def _of_one_that_ran(facts: Facts, run: Execution) -> Explanation:
    began = run.run_started_at or run.created_at
    why = {
        Trigger.SCHEDULE: f"the occurrence of {when(facts.job, run.scheduled_at)} ran",
        Trigger.RETRY: f"the occurrence of {when(facts.job, run.scheduled_at)} was run again because somebody asked",
        Trigger.TRIGGER: f"somebody triggered the job at {when(facts.job, run.scheduled_at)}, and it ran",
    }[Trigger(run.trigger)]
    late = ""
    if run.first_due_at is not None and began > run.first_due_at:
        late = f", {lateness(began - run.first_due_at)} after it was due"
    sentence = f"{capital(why)}: {named(run)} began at {when(facts.job, began)}{late}, and {ending(run)}."
    return Explanation(
        reason=Reason.RAN, sentence=sentence, occurrence=run.scheduled_at, run=run, since=began, until=run.finished_at
    )


def of_open(facts: Facts, run: Execution) -> Explanation:
    """Of a run that has not ended: it runs, or what it waits for now."""
    job, name = facts.job, capital(named(run))
    what: dict[str, Any] = {"occurrence": run.scheduled_at, "run": run}
    if run.status == RunStatus.RUNNING:
        began = run.started_at or run.created_at
        sentence = f"{name} has been running since {when(job, began)} (attempt {run.attempt})."
        return Explanation(reason=Reason.RUNNING, sentence=sentence, since=began, **what)
    if run.status == RunStatus.FROZEN:
        return paused_now(facts, run)
    if run.status == RunStatus.QUEUED:
        return _of_queued(facts, run)
    if run.due_at <= facts.now:
        return not_opened(facts, run)
    until = when(job, run.due_at)
    if run.attempt:
        sentence = f"{name} waits for its next attempt at {until}: attempt {run.attempt} failed ({run.code})."
        return Explanation(reason=Reason.BACKOFF, sentence=sentence, until=run.due_at, **what)
    sentence = f"{name} waits until {until}, to which it was put off."
    return Explanation(reason=Reason.DELAYED, sentence=sentence, until=run.due_at, **what)


def _of_queued(facts: Facts, run: Execution) -> Explanation:
    """A run that is due and unclaimed: the first condition of a claim that is not met."""
    job, load = facts.job, facts.load
    what: dict[str, Any] = {"occurrence": run.scheduled_at, "run": run, "since": run.due_at}
    due = f"It has been due since {when(job, run.due_at)} and waits"
    first = facts.open[0] if facts.open else run
    if first.pk != run.pk:
        text = f"{due} for {named(first)}, which is still open: runs of one job never overlap."
        return Explanation(reason=Reason.PREVIOUS_RUN, sentence=text, **what)
    if load.hold is not None:
        by, note = load.hold.actor, load.hold.note
        text = f"{due} for a hold to be released, made at {when(job, load.hold.created_at)}{noted(by, note)}."
        return Explanation(reason=Reason.HELD, sentence=text, hold=load.hold, note=note, by=by, **what)
    if run.concurrency_key is not None and load.key_in_use >= run.concurrency_limit:
        key, limit = job.concurrency_key, run.concurrency_limit
        text = f"{due} for its concurrency key {key!r}: {load.key_in_use} of {limit} runs at once are running."
        return Explanation(reason=Reason.CONCURRENCY, sentence=text, **what)
    if not load.served:
        text = f"{due} for a worker: none that is alive takes from the queue {run.queue!r}."
        return Explanation(reason=Reason.NO_WORKER, sentence=text, **what)
    text = f"{due} for a worker of the queue {run.queue!r} to have room for it."
    return Explanation(reason=Reason.WORKER, sentence=text, **what)


def not_opened(facts: Facts, run: Execution | None = None) -> Explanation:
    """Of what is due and waits for a scheduler: an occurrence, or a run whose delay is over."""
    job = facts.job
    due = run.due_at if run is not None else (job.next_run_at or facts.at)
    what: dict[str, Any] = {"occurrence": run.scheduled_at if run is not None else due, "run": run, "since": due}
    since = f"It has been due since {when(job, due)}"
    if run is None and job.next_due_at is not None and job.next_due_at > facts.now:
        if facts.open:
            text = f"{since} and is made up for when the run before it has ended."
            return Explanation(reason=Reason.PREVIOUS_RUN, sentence=text, **what)
        if job.jitter:
            text = f"The occurrence of {when(job, due)} waits until {when(job, job.next_due_at)} for its jitter."
            return Explanation(reason=Reason.JITTER, sentence=text, until=job.next_due_at, **what)
    elif not facts.load.scheduler:
        text = f"{since} and waits for a scheduler: none has been seen lately."
        return Explanation(reason=Reason.NO_SCHEDULER, sentence=text, **what)
    return Explanation(reason=Reason.NOT_OPENED, sentence=f"{since}; a scheduler is about to take it up.", **what)


def paused_now(facts: Facts, run: Execution | None = None) -> Explanation:
    """The job is paused, and nobody has resumed it."""
    job = facts.job
    event = next((each for each in reversed(facts.interventions) if each.type == EventType.PAUSED), None)
    by = event.actor if event is not None else ""
    since = f"since {when(job, job.paused_at)}" if job.paused_at is not None else ""
    sentence = (
        f"The job has been paused {since}{noted(by, job.pause_note)}, and no occurrence runs until it is resumed."
    )
    return Explanation(
        reason=Reason.PAUSED, sentence=sentence, since=job.paused_at, note=job.pause_note, by=by, run=run
    )


def cancelled(facts: Facts) -> Explanation:
    """The job is cancelled, for good."""
    job = facts.job
    event = next((each for each in reversed(facts.interventions) if each.type == EventType.CANCELLED), None)
    by = event.actor if event is not None else ""
    at = job.cancelled_at or facts.at
    sentence = f"The job was cancelled at {when(job, at)}{because(by, job.cancel_reason)}."
    return Explanation(
        reason=Reason.CANCELLED, sentence=sentence, since=at, note=job.cancel_reason, by=by, run=facts.begun
    )
