"""The occurrences of a schedule, one after the other. Pure arithmetic on aware UTC datetimes.

`limit` is not looked at here: it counts runs that started, which only the engine knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

from core.times import EPOCH, MICROSECOND, to_ms
from jobs.cron import LONGEST_GAP_YEARS
from jobs.schedule.model import Schedule
from jobs.schedule.wallclock import CronInZone, cron_in_zone

_SECOND = timedelta(seconds=1)


def first_occurrence(schedule: Schedule, *, now: datetime) -> datetime | None:
    """The first time that the schedule runs, seen at `now`; None when it never does.

    A one-off whose start is now or past runs now; an `every` with a past start runs now too, as the
    latest time on its grid. A cron runs at its first match at or after the start, never before now.
    """
    if not schedule.recurring:
        return now if schedule.start_at is None else max(schedule.start_at, now)
    if schedule.every is not None:
        anchor = schedule.anchor_at or schedule.start_at or now
        step = timedelta(milliseconds=schedule.every)
        return _until_end(schedule, anchor + max((now - anchor) // step, 0) * step)
    start = now if schedule.start_at is None else max(schedule.start_at, now)
    return next_occurrence(schedule, after=start - MICROSECOND)


def next_occurrence(schedule: Schedule, *, after: datetime) -> datetime | None:
    """The first occurrence on the grid strictly later than `after`, not past `end_date`."""
    return _until_end(schedule, next_on_grid(schedule, after=after))


def next_on_grid(schedule: Schedule, *, after: datetime, horizon_years: int = LONGEST_GAP_YEARS) -> datetime | None:
    """As `next_occurrence`, as if the schedule had no `end_date`."""
    try:
        if schedule.every is not None:
            anchor, step = _grid(schedule)
            return anchor + max((after - anchor) // step + 1, 0) * step
        if not schedule.cron:
            return schedule.start_at if schedule.start_at is not None and schedule.start_at > after else None
        if schedule.start_at is not None and after < schedule.start_at:
            after = schedule.start_at - MICROSECOND
        found = _where(schedule).next(_following_second(after), horizon_years=horizon_years)
        return None if found is None else EPOCH + timedelta(seconds=found)
    except OverflowError:  # past the year 9999
        return None


def occurrences(schedule: Schedule, *, after: datetime, until: datetime | None = None) -> Iterator[datetime]:
    """Every occurrence in (after, until], oldest first."""
    found = next_occurrence(schedule, after=after)
    while found is not None and (until is None or found <= until):
        yield found
        found = next_occurrence(schedule, after=found)


def count_occurrences(schedule: Schedule, *, after: datetime, until: datetime) -> int:
    """How many occurrences are in (after, until], without making each: an outage of a week costs what one of
    an hour does."""
    if schedule.end_date is not None:
        until = min(until, schedule.end_date)
    if schedule.every is not None:
        anchor, step = _grid(schedule)
        return max((until - anchor) // step + 1, 0) - max((after - anchor) // step + 1, 0) if until > after else 0
    if not schedule.cron:
        return int(schedule.start_at is not None and after < schedule.start_at <= until)
    if schedule.start_at is not None:
        after = max(after, schedule.start_at - MICROSECOND)
    return _where(schedule).count(_following_second(after), _following_second(until)) if until > after else 0


def latest_occurrence(schedule: Schedule, *, after: datetime, until: datetime, nth: int = 1) -> datetime | None:
    """The `nth` latest occurrence in (after, until]; None if there are fewer."""
    if count_occurrences(schedule, after=after, until=until) < nth:
        return None
    low, high = after, until  # at least `nth` occurrences are later than `low`, fewer are later than `high`
    if schedule.every is not None:
        anchor, step = _grid(schedule)
        end = until if schedule.end_date is None else min(until, schedule.end_date)
        return anchor + ((end - anchor) // step - nth + 1) * step
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        if count_occurrences(schedule, after=middle, until=until) >= nth:
            low = middle
        else:
            high = middle
    return next_occurrence(schedule, after=low)


def due_at(schedule: Schedule, job_id: UUID, occurrence: datetime) -> datetime:
    """When an occurrence of a job may run: the same on every machine, at most half the interval later."""
    if not schedule.jitter:
        return occurrence
    digest = blake2b(job_id.bytes + to_ms(occurrence).to_bytes(8, "big", signed=True), digest_size=8).digest()
    span = timedelta(milliseconds=schedule.jitter)
    following = next_on_grid(schedule, after=occurrence) if schedule.recurring else None
    if following is not None:
        span = min(span, (following - occurrence) / 2)
    return occurrence + timedelta(milliseconds=int.from_bytes(digest, "big") % (span // timedelta(milliseconds=1) + 1))


def _until_end(schedule: Schedule, occurrence: datetime | None) -> datetime | None:
    if occurrence is None or (schedule.end_date is not None and occurrence > schedule.end_date):
        return None
    return occurrence


def _grid(schedule: Schedule) -> tuple[datetime, timedelta]:
    anchor = schedule.anchor_at or schedule.start_at
    if anchor is None or schedule.every is None:
        raise ValueError("an interval without an anchor has no grid")
    return anchor, timedelta(milliseconds=schedule.every)


def _where(schedule: Schedule) -> CronInZone:
    return cron_in_zone(schedule.cron, schedule.tz, schedule.dst_gap, schedule.dst_overlap)


def _following_second(moment: datetime) -> int:
    """The first whole second after a moment, since the epoch."""
    return (moment - EPOCH) // _SECOND + 1
