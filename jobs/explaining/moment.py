"""Why a job ran, waits or did not run at a moment: the decision.

Never guesses. Where what would tell has been pruned, or was told by a schedule that the job no longer has, the
answer is `not_known`. What wins where several things are true: the row of the occurrence; cancelled; paused;
why an occurrence found no run; a run under way; the bounds of the schedule.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core.times import later
from jobs.explaining.grid import neighbours, occurrence_at
from jobs.explaining.model import MILLISECOND, Explanation, Facts, Intervention, Reason
from jobs.explaining.rows import cancelled, not_opened, of_open, of_row, paused_now
from jobs.explaining.words import capital, ending, named, noted, when
from jobs.lifecycle.create import schedule_of
from jobs.models import Execution
from jobs.schedule import ClockChange, clock_change
from jobs.states import FINAL, NEVER_RAN, EventType, RunStatus, Trigger


def explain(facts: Facts) -> Explanation:
    """The reason, in a sentence and as data."""
    if facts.current:
        return _now(facts)
    if facts.row is not None:
        return of_row(facts, facts.row)
    return _ahead(facts) if facts.at > facts.now else _past(facts)


def _now(facts: Facts) -> Explanation:
    """How the job is at this moment."""
    job = facts.job
    if job.cancelled_at is not None:
        return cancelled(facts)
    if facts.open:
        return of_open(facts, facts.open[0])
    if job.paused_at is not None:
        return paused_now(facts)
    if job.next_run_at is None:
        return _bounds(facts) or _ended(facts)
    if job.next_run_at <= facts.now:
        return not_opened(facts)
    return _scheduled(facts, job.next_run_at)


def _ahead(facts: Facts) -> Explanation:
    """A moment that is to come, as things are now."""
    job = facts.job
    if job.cancelled_at is not None:
        return cancelled(facts)
    if job.paused_at is not None:
        return paused_now(facts)
    for run in facts.open:
        if run.status == RunStatus.WAITING and run.due_at >= facts.at:
            return of_open(facts, run)
    if (bound := _bounds(facts)) is not None:
        return bound
    if job.status in FINAL:
        return _ended(facts)
    schedule = schedule_of(job)
    occurrence = occurrence_at(schedule, facts.at)
    if occurrence is None:
        change = clock_change(schedule, facts.at)
        return _clock_changed(facts, change) if change is not None else _no_occurrence(facts)
    if job.next_run_at is None or occurrence < job.next_run_at:
        return _not_known(facts, "it is to come, but the job waits for no such occurrence")
    return _scheduled(facts, occurrence)


def _past(facts: Facts) -> Explanation:
    """A moment that has been, and that no row names."""
    job, schedule = facts.job, schedule_of(facts.job)
    if facts.until <= job.created_at:
        sentence = f"The job did not exist yet: it was made at {when(job, job.created_at)}."
        return Explanation(reason=Reason.BEFORE_CREATION, sentence=sentence, until=job.created_at)
    known = _grid_is_known(facts)
    occurrence = occurrence_at(schedule, facts.at) if known else None
    row = facts.latest
    if row is not None and row.status in NEVER_RAN and facts.at <= (row.last_scheduled_at or row.scheduled_at):
        if occurrence is not None or facts.until > (row.last_scheduled_at or row.scheduled_at):
            return of_row(facts, row)
        if not known:
            return _not_known(facts, "it lies among occurrences that never ran, of a schedule that has been replaced")
    if job.cancelled_at is not None and facts.at >= job.cancelled_at:
        return cancelled(facts)
    pause = _pause_at(facts, occurrence or facts.at)
    if pause is not None:
        return _paused_then(facts, pause)
    if not known:
        return _not_known(facts, "the job has been rescheduled since, or what would tell has been pruned")
    if occurrence is not None:
        return _without_a_row(facts, occurrence)
    change = clock_change(schedule, facts.at)
    return _clock_changed(facts, change) if change is not None else _between_occurrences(facts)


def _grid_is_known(facts: Facts) -> bool:
    """Whether the job's schedule of today is the one that it had at that moment."""
    rescheduled = [each.at for each in facts.interventions if each.type == EventType.RESCHEDULED]
    return facts.at >= facts.events_since and all(at <= facts.at for at in rescheduled)


def _pause_at(facts: Facts, moment: datetime) -> Intervention | None:
    """The pause that the moment lies in, where that is known."""
    if facts.at < facts.events_since:
        return None
    before = [each for each in facts.interventions if each.at < moment]
    if not (before[-1].paused if before else facts.paused_before):
        return None
    told = [each for each in before if each.type == EventType.PAUSED]
    unknown = Intervention(type=EventType.PAUSED, at=facts.events_since, actor="", note="", paused=True)
    return told[-1] if told else unknown


def _paused_then(facts: Facts, pause: Intervention) -> Explanation:
    job = facts.job
    ended = next((each.at for each in facts.interventions if each.at >= facts.at and not each.paused), None)
    till = f" until {when(job, ended)}" if ended is not None else ", and still is"
    sentence = f"The job was paused at that moment: from {when(job, pause.at)}{noted(pause.actor, pause.note)}{till}."
    return Explanation(
        reason=Reason.PAUSED, sentence=sentence, since=pause.at, until=ended, note=pause.note, by=pause.actor,
        run=_under_way(facts),
    )  # fmt: skip


def _without_a_row(facts: Facts, occurrence: datetime) -> Explanation:
    """An occurrence of the schedule that became no run, was not skipped and not missed, as far as is known."""
    job = facts.job
    if (bound := _bounds(facts)) is not None:
        return bound
    if job.next_run_at is not None and occurrence >= job.next_run_at:
        return not_opened(facts)
    return _not_known(facts, "it is an occurrence of the schedule, but nothing is kept of what became of it")


def _clock_changed(facts: Facts, change: ClockChange) -> Explanation:
    tz, job = facts.job.tz, facts.job
    if change.gap:
        reason, what = Reason.DST_GAP, f"{change.reading} does not exist in {tz}: the clock was put forward"
    else:
        reason, what = Reason.DST_OVERLAP, f"{change.reading} comes twice in {tz}, where the clock is put back"
    instead = f"it runs at {when(job, change.runs_at)}" if change.runs_at is not None else "no run takes its place"
    return Explanation(reason=reason, sentence=f"{what}; {instead}.", instead=change.runs_at)


def _between_occurrences(facts: Facts) -> Explanation:
    """A moment that is no occurrence of the schedule: what the job was about."""
    job, run = facts.job, _under_way(facts)
    if run is not None:
        return _during(facts, run)
    if not facts.runs_complete:
        return _not_known(facts, "a run that could have been under way has been pruned")
    for waiting in _that_waited(facts):
        then = f"it began at {when(job, waiting.run_started_at)}" if waiting.run_started_at else "it has not begun"
        sentence = f"{capital(named(waiting))} was due and waited to begin; {then}."
        return Explanation(
            reason=Reason.WAITED_TO_BEGIN, sentence=sentence, occurrence=waiting.scheduled_at, run=waiting,
            until=waiting.run_started_at,
        )  # fmt: skip
    if job.next_run_at is not None and job.next_run_at <= facts.at:
        return not_opened(facts)
    return _bounds(facts) or _no_occurrence(facts)


def _under_way(facts: Facts) -> Execution | None:
    """The run that had begun and not ended at the moment."""
    run = facts.begun
    return run if run is not None and (run.finished_at is None or facts.at < run.finished_at) else None


def _during(facts: Facts, run: Execution) -> Explanation:
    """A moment between the beginning of a run and its end."""
    at = facts.at
    what: dict[str, Any] = {"occurrence": run.scheduled_at, "run": run}
    if run.status == RunStatus.RUNNING and run.started_at is not None and run.started_at < facts.until:
        return of_open(facts, run)
    if _in_an_attempt(run, at):
        then = f"which {ending(run)}" if run.finished_at is not None else "which has not ended"
        sentence = f"{capital(named(run))} was running, {then}."
        return Explanation(
            reason=Reason.RAN, sentence=sentence, since=run.run_started_at, until=run.finished_at, **what
        )
    sentence = (
        f"{capital(named(run))} was between two attempts: one had failed or lost its worker, the next had not begun."
    )
    return Explanation(reason=Reason.BETWEEN_ATTEMPTS, sentence=sentence, **what)


def _in_an_attempt(run: Execution, at: datetime) -> bool:
    """Whether one of its attempts was running; those that ended are kept in whole milliseconds."""
    moment, ended = at.timestamp() * 1000, run.attempts or []
    if any(each["started_at"] <= moment < each["completed_at"] for each in ended):
        return True
    current = not ended or ended[-1]["attempt"] != run.attempt  # else it waits between two, or ended there
    return current and run.started_at is not None and run.started_at < later(at, MILLISECOND)


def _that_waited(facts: Facts) -> list[Execution]:
    """Runs that were due at the moment and had not begun."""
    unbegun = [run for run in facts.open if run.run_started_at is None]
    candidates = [*([facts.following] if facts.following is not None else []), *unbegun, *facts.dropped]
    return [
        run
        for run in candidates
        if (run.scheduled_at if run.trigger == Trigger.SCHEDULE else run.created_at) <= facts.at
        and (run.finished_at is None or facts.at < run.finished_at)
    ]


def _bounds(facts: Facts) -> Explanation | None:
    """Where the schedule does not reach the moment: before its start, after its end, its limit used up."""
    job, at = facts.job, facts.at
    start = job.start_at or (job.anchor_at if job.every is not None else None)
    if start is not None and at < start and not facts.current:
        sentence = f"The schedule begins at {when(job, start)}."
        return Explanation(reason=Reason.BEFORE_START, sentence=sentence, until=start, next=job.next_run_at)
    if job.end_date is not None and at > job.end_date:
        sentence = f"The schedule ended at {when(job, job.end_date)}, its endDate."
        return Explanation(reason=Reason.AFTER_END, sentence=sentence, since=job.end_date, previous=_last(facts))
    if (
        job.limit is not None
        and job.occurrences_opened >= job.limit
        and (last := _last(facts)) is not None
        and at > last
    ):
        sentence = f"The limit of {job.limit} run{'s' if job.limit > 1 else ''} was reached with the occurrence of {when(job, last)}."
        return Explanation(reason=Reason.LIMIT, sentence=sentence, since=last, previous=last)
    return None


def _last(facts: Facts) -> datetime | None:
    return facts.opened_last.scheduled_at if facts.opened_last is not None else None


def _ended(facts: Facts) -> Explanation:
    job, run = facts.job, facts.begun
    last = f": {named(run)} {ending(run)}" if run is not None else ""
    sentence = f"The job has ended, with no occurrence left{last}."
    return Explanation(reason=Reason.ENDED, sentence=sentence, since=job.completed_at, run=run, previous=_last(facts))


def _scheduled(facts: Facts, occurrence: datetime) -> Explanation:
    sentence = f"It is to run at {when(facts.job, occurrence)}, and waits for that time."
    return Explanation(reason=Reason.SCHEDULED, sentence=sentence, occurrence=occurrence, next=occurrence)


def _no_occurrence(facts: Facts) -> Explanation:
    job = facts.job
    previous, following = neighbours(facts)
    told = [
        *([f"the one before was {when(job, previous)}"] if previous is not None else []),
        *([f"the one after is {when(job, following)}"] if following is not None else []),
    ]
    around = f": {', '.join(told)}" if told else ""
    sentence = f"That moment is no occurrence of the schedule{around}."
    return Explanation(reason=Reason.NOT_AN_OCCURRENCE, sentence=sentence, previous=previous, next=following)


def _not_known(facts: Facts, why: str) -> Explanation:
    run = _under_way(facts)
    also = f" {capital(named(run))} was under way." if run is not None else ""
    return Explanation(reason=Reason.NOT_KNOWN, sentence=f"It is not known: {why}.{also}", run=run)
