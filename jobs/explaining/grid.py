"""The occurrences of a schedule around a moment."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.times import MICROSECOND, later
from jobs.explaining.model import MILLISECOND, Facts
from jobs.lifecycle.create import schedule_of
from jobs.schedule import Schedule, latest_occurrence, next_occurrence, next_on_grid
from jobs.states import EventType

LOOK_BACK = timedelta(days=8 * 366)  # no cron pauses longer; what is farther back is not looked through


def occurrence_at(schedule: Schedule, at: datetime) -> datetime | None:
    """The occurrence within that millisecond, as if the schedule had neither end nor limit; None where there is none."""
    found = next_on_grid(schedule, after=at - MICROSECOND)
    return found if found is not None and found < later(at, MILLISECOND) else None


def neighbours(facts: Facts) -> tuple[datetime | None, datetime | None]:
    """The occurrences before and after a moment that is none, of the schedule as it is today."""
    job, schedule = facts.job, schedule_of(facts.job)
    if not job.recurring:
        opened = facts.opened_last.scheduled_at if facts.opened_last is not None else None
        times = [at for at in (opened, job.next_run_at) if at is not None]
        return (
            max((at for at in times if at <= facts.at), default=None),
            min((at for at in times if at > facts.at), default=None),
        )
    begins = [job.created_at, *(each.at for each in facts.interventions if each.type == EventType.RESCHEDULED)]
    since = max([at for at in begins if at <= facts.at], default=facts.at)
    since = max(since - MILLISECOND, facts.at - LOOK_BACK)
    previous = latest_occurrence(schedule, after=since, until=facts.at) if since < facts.at else None
    return previous, next_occurrence(schedule, after=facts.at)
