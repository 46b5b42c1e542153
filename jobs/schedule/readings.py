"""Clock readings that a change of the clock takes from a cron, or gives it twice; how a reading is written.

The other side of `wallclock`: that says when a cron runs, this says why not at a moment at which its reading
would have come. Pure. Readings and instants are whole seconds (see `core.zones`).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.times import EPOCH
from core.zones import LAST_YEAR, Segment, segments_of_year, year_of
from jobs.cron import parse_cron
from jobs.schedule.model import Schedule
from jobs.schedule.wallclock import cron_in_zone

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockChange:
    """A reading of the cron for which nothing runs at its moment: in a `gap` it does not exist, else it comes twice
    and the other one counts. `runs_at` is the moment that runs in its place, None where none does."""

    gap: bool
    reading: str
    runs_at: datetime | None


def clock_change(schedule: Schedule, at: datetime) -> ClockChange | None:
    """What a change of the clock did to a cron at that moment, which is none of its occurrences; None where nothing.

    A reading in a gap is looked for at the moment that it would have had without the change.
    """
    if not schedule.cron or at.microsecond:
        return None
    cron = parse_cron(schedule.cron)
    rules = cron_in_zone(schedule.cron, schedule.tz, schedule.dst_gap, schedule.dst_overlap)
    moment = (at - EPOCH) // _SECOND
    if year_of(moment) >= LAST_YEAR:
        return None
    before, segment, after = _around(schedule.tz, moment)
    old, new = moment + before.offset, moment + segment.offset
    if segment.begin + segment.offset > old >= segment.begin + before.offset and cron.count_readings(old, old + 1):
        return ClockChange(gap=True, reading=written(old), runs_at=_instant(segment.begin) if rules.shifts else None)
    if not cron.count_readings(new, new + 1):
        return None
    if rules.first_only and new < segment.first_new:
        return ClockChange(gap=False, reading=written(new), runs_at=_instant(new - before.offset))
    if rules.last_only and new >= segment.last_final:
        return ClockChange(gap=False, reading=written(new), runs_at=_instant(new - after.offset))
    return None


def written(reading: int) -> str:
    """2026-03-08 02:30"""
    return f"{day(reading)} {clock(reading)}"


def day(reading: int) -> str:
    return f"{EPOCH + timedelta(seconds=reading):%Y-%m-%d}"


def clock(reading: int) -> str:
    moment = EPOCH + timedelta(seconds=reading)
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"


def _around(tz: str, moment: int) -> tuple[Segment, Segment, Segment]:
    """The segment of a moment, and its neighbours."""
    year = year_of(moment)
    begins, segments = segments_of_year(tz, year)
    index = bisect_right(begins, moment) - 1
    before = segments[index - 1] if index else segments_of_year(tz, year - 1)[1][-1]
    after = segments[index + 1] if index + 1 < len(segments) else segments_of_year(tz, year + 1)[1][0]
    return before, segments[index], after


def _instant(moment: int) -> datetime:
    return EPOCH + timedelta(seconds=moment)
