"""A schedule told before it exists: its next occurrences, a sentence, and notes where the clock changes.

Serves the API, the admin and the command line. Pure; bounded by the number of occurrences asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from core.times import EPOCH, MICROSECOND
from core.zones import Segment, segments_of_year, year_of, zone
from jobs.cron import Cron, parse_cron
from jobs.schedule.model import Schedule
from jobs.schedule.occurrences import occurrences
from jobs.schedule.readings import clock, day, written
from jobs.schedule.sentence import describe_cron

MOST_OCCURRENCES = 100
MOST_NOTES = 20
MOST_YEARS = 30  # of clock changes that are looked through
_TOLD_READINGS = 3  # clock readings named in one note
_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"), (1, "millisecond"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """`local` are the occurrences as ISO 8601 with the offset of the schedule's zone at that moment."""

    occurrences: tuple[datetime, ...]
    local: tuple[str, ...]
    description: str
    notes: tuple[str, ...]


def preview(schedule: Schedule, *, count: int, after: datetime) -> Preview:
    """The next `count` occurrences (at most `limit`) strictly later than `after`, and what to know of them."""
    if schedule.limit is not None:
        count = min(count, schedule.limit)
    if schedule.recurring:
        found = tuple(islice(occurrences(schedule, after=after), min(count, MOST_OCCURRENCES)))
    else:
        found = (max(schedule.start_at or after + MICROSECOND, after + MICROSECOND),)
    where = zone(schedule.tz)
    return Preview(
        occurrences=found,
        local=tuple(at.astimezone(where).isoformat(timespec=_precision(at)) for at in found),
        description=describe(schedule),
        notes=_bounded(_notes(schedule, after, found[-1])) if found else (),
    )


def describe(schedule: Schedule) -> str:
    """The schedule as a sentence: "At 09:00, only on Monday (America/New_York)", "Every 2 hours", "Once"."""
    if schedule.every is not None:
        return f"Every {describe_interval(schedule.every)}"
    if schedule.cron:
        sentence = describe_cron(schedule.cron)
        return sentence if schedule.tz == "UTC" else f"{sentence} ({schedule.tz})"
    return "Once"


def describe_interval(milliseconds: int) -> str:
    """7 200 000 → "2 hours"; 90 000 → "90 seconds": the largest unit that divides it."""
    size, name = next((size, name) for size, name in _UNITS if milliseconds % size == 0)
    number = milliseconds // size
    return name if number == 1 else f"{number} {name}s"


def _precision(at: datetime) -> str:
    return "milliseconds" if at.microsecond else "seconds"


def _bounded(notes: Iterator[str]) -> tuple[str, ...]:
    told = tuple(islice(notes, MOST_NOTES + 1))
    return told if len(told) <= MOST_NOTES else (*told[:MOST_NOTES], "and more")


def _notes(schedule: Schedule, after: datetime, last: datetime) -> Iterator[str]:
    """What the times alone do not say."""
    if schedule.jitter and schedule.recurring:
        yield f"each run begins up to {describe_interval(schedule.jitter)} after its time (jitter)"
    if schedule.cron:
        yield from _clock_changes(schedule, after, last)


def _clock_changes(schedule: Schedule, after: datetime, last: datetime) -> Iterator[str]:
    """A note for each change of the clock, up to the last occurrence, that touches the cron."""
    cron = parse_cron(schedule.cron)
    begin, end = ((moment - EPOCH) // timedelta(seconds=1) for moment in (after, last))
    before: Segment | None = None
    for year in range(year_of(begin), min(year_of(end), year_of(begin) + MOST_YEARS) + 1):
        for segment in segments_of_year(schedule.tz, year)[1]:
            if before is not None and segment.offset != before.offset:
                twice = max(before.offset - segment.offset, 0)  # what the clock shows again began so long before
                if begin < segment.begin <= end + twice and (note := _note(schedule, cron, segment, before)):
                    yield note
            before = segment


def _note(schedule: Schedule, cron: Cron, segment: Segment, before: Segment) -> str | None:
    """What the change from one segment to the next means for the cron; None when nothing."""
    old, new = segment.begin + before.offset, segment.begin + segment.offset
    readings = _readings(cron, min(old, new), max(old, new))
    if not readings:
        return None
    named = _named(readings)
    several = len(readings) > 1
    if new > old:
        text = f"{named} {'do' if several else 'does'} not exist in {schedule.tz}"
        if cron.wildcard or schedule.dst_gap == "skip":
            return f"{text}: {'they do' if several else 'it does'} not run"
        shown = clock(new) if day(new) == day(readings[0]) else written(new)
        return f"{text}: {'run once' if several else 'runs'} at {shown}"
    text = f"{named} {'happen' if several else 'happens'} twice in {schedule.tz}"
    policy = "both" if cron.wildcard else schedule.dst_overlap
    verb = "run" if several else "runs"
    return f"{text}: {verb} " + {"both": "both times", "first": "at the first", "last": "at the last"}[policy]


def _readings(cron: Cron, begin: int, end: int) -> list[int]:
    """The first matching clock readings in [begin, end), one more than a note names."""
    found: list[int] = []
    at = cron.next_reading(begin, horizon_years=1)
    while at is not None and at < end and len(found) <= _TOLD_READINGS:
        found.append(at)
        at = cron.next_reading(at + 1, horizon_years=1)
    return found


def _named(readings: list[int]) -> str:
    """2026-03-08 02:15, 02:30 and 02:45"""
    told = readings[:_TOLD_READINGS]
    names = [
        clock(reading) if index and day(reading) == day(told[index - 1]) else written(reading)
        for index, reading in enumerate(told)
    ]
    if len(readings) > _TOLD_READINGS:
        return f"{', '.join(names)} and more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
