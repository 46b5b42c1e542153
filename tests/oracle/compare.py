"""Ours beside cronsim, around one change of one zone's clock. Differences that are meant have a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache

from croniter import croniter
from cronsim import CronSim

from core.times import EPOCH
from core.zones import segments_of_year, zone
from jobs.cron import parse_cron
from jobs.schedule.wallclock import cron_in_zone

FIRST_YEAR, LAST_YEAR = 1970, 2037
AROUND = 86_400  # seconds before and after a change
FAR_YEARS = 1  # an occurrence further away is in no window

# Names of the intended differences. Anything else is a fault of ours.
SIX_FIELDS = "six fields: ours treats fixed times as with five, cronsim as wildcards"
PART_OF_AN_HOUR = (
    "the clock is set by part of an hour: cronsim's steps of whole hours pass over wildcard times that the clock shows"
)
STAYS = (
    "the clock is set at a time like 00:01 or 02:30: cronsim may stay there for ever, so it is not asked; "
    "ours is what croniter matches"
)
SECONDS_OF_A_GAP = "the gap ends between two minutes: ours at that second, cronsim at the next whole minute"


@dataclass(slots=True)
class Tally:
    """What was compared, and what came out."""

    cases: int = 0
    occurrences: int = 0
    intended: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.cases += other.cases
        self.occurrences += other.occurrences
        self.intended += other.intended
        self.faults += other.faults


def changes(name: str) -> list[int]:
    """The moments at which the zone's offset changes, from 1970 to 2037."""
    return [at for at, _, _ in _all_changes(name)]


@lru_cache(maxsize=4)
def _all_changes(name: str) -> tuple[tuple[int, int, int], ...]:
    """(moment, offset before, offset after)"""
    found = []
    before = segments_of_year(name, FIRST_YEAR - 1)[1][-1].offset
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        for segment in segments_of_year(name, year)[1]:
            if segment.offset != before:
                found.append((segment.begin, before, segment.offset))
            before = segment.offset
    return tuple(found)


def compare(name: str, change: int, crons: Sequence[str], tally: Tally) -> None:
    """All crons from a day before the change to a day after."""
    begin, end = change - AROUND, change + AROUND
    for cron in crons:
        tally.cases += 1
        mine = ours(cron, name, begin, end)
        tally.occurrences += len(mine)
        if parse_cron(cron).wildcard and _not_on_the_hour(name, begin, end):
            if mine == _shown(cron, name, begin, end):
                tally.intended[STAYS] += 1
            else:
                tally.faults.append(told(cron, name, change, mine, []))
            continue
        six = len(cron.split()) == 6
        theirs = [] if six and _not_on_the_hour(name, begin, end) else cronsim(cron, name, begin, end)
        if mine != theirs:
            why = intended(cron, name, begin, end, mine, theirs)
            if why is None:
                tally.faults.append(told(cron, name, change, mine, theirs))
            else:
                tally.intended[why] += 1


def ours(cron: str, name: str, begin: int, end: int) -> list[int]:
    """Occurrences in (begin, end], with the default policies."""
    where = cron_in_zone(cron, name, "shift", "first")
    found = []
    at = where.next(begin + 1, horizon_years=FAR_YEARS)
    while at is not None and at <= end:
        found.append(at)
        at = where.next(at + 1, horizon_years=FAR_YEARS)
    return found


def cronsim(cron: str, name: str, begin: int, end: int) -> list[int]:
    """The same, by cronsim."""
    found: list[int] = []
    for local in CronSim(cron, (EPOCH + timedelta(seconds=begin)).astimezone(zone(name))):
        at = int(local.timestamp())
        if at > end:
            break
        found.append(at)
    return found


def intended(cron: str, name: str, begin: int, end: int, mine: list[int], theirs: list[int]) -> str | None:
    """The name of a difference that is meant, and is exactly what its name says; else None."""
    fields = cron.split()
    gaps = _gap_ends(name, begin - 60, end)
    if len(fields) == 6 and not parse_cron(cron).wildcard:
        five = cronsim(" ".join(fields[1:]), name, begin - 60, end)
        return SIX_FIELDS if mine == _with_seconds(cron, name, five, gaps, begin, end) else None
    if sorted({_at_whole_minute(at, name, gaps) for at in mine}) == theirs:
        return SECONDS_OF_A_GAP
    if _set_by_part_of_an_hour(name, begin, end) and parse_cron(cron).wildcard and set(theirs) < set(mine):
        missing = set(mine) - set(theirs)
        return PART_OF_AN_HOUR if all(_shown_and_matching(cron, at, name) for at in missing) else None
    return None


def told(cron: str, name: str, change: int, mine: list[int], theirs: list[int]) -> str:
    """A difference, for a person: what only one of the two has."""
    only_ours = [_local(at, name) for at in mine if at not in theirs]
    only_theirs = [_local(at, name) for at in theirs if at not in mine]
    return (
        f"{name}, change at {_local(change, name)}: {cron!r}: only ours {only_ours[:6]}, only theirs {only_theirs[:6]}"
    )


def _with_seconds(cron: str, name: str, minutes: list[int], gaps: set[int], begin: int, end: int) -> list[int]:
    """What five fields say, with the seconds of six: what was moved to the end of a gap runs once, there."""
    parsed = parse_cron(cron)
    ends = {_at_whole_minute(gap, name, gaps): gap for gap in gaps}  # where cronsim puts them → where they are
    found: set[int] = set()
    for at in minutes:
        local = (EPOCH + timedelta(seconds=at)).astimezone(zone(name))
        if at in ends and (local.hour not in parsed.hours or local.minute not in parsed.minutes):
            found.add(ends[at])
        else:
            found |= {at + second for second in parsed.seconds}
    return sorted(at for at in found if begin < at <= end)


def _set_by_part_of_an_hour(name: str, begin: int, end: int) -> bool:
    return any(begin - AROUND < at <= end and (after - before) % 3600 for at, before, after in _all_changes(name))


def _shown(cron: str, name: str, begin: int, end: int) -> list[int]:
    """Every moment in (begin, end] at which the clock shows what matches, looked at one after the other."""
    minute, hour, day, month, weekday = croniter.expand(" ".join(cron.split()[-5:]))[0]
    assert day == ["*"]  # then the fields are simply all to be met
    minutes = []
    for at in range(begin - begin % 60, end + 1, 60):
        local = (EPOCH + timedelta(seconds=at)).astimezone(zone(name))
        met = ((local.minute, minute), (local.hour, hour), (local.month, month), (local.isoweekday() % 7, weekday))
        if all(wanted == ["*"] or value in wanted for value, wanted in met):
            minutes.append(at)
    seconds = parse_cron(cron).seconds
    return [at + second for at in minutes for second in seconds if begin < at + second <= end]


def _not_on_the_hour(name: str, begin: int, end: int) -> bool:
    """Whether the clock is set, within a day, at a reading that is no full hour."""
    changes_here = (change for change in _all_changes(name) if begin - AROUND < change[0] <= end + AROUND)
    return any((at + before) % 3600 for at, before, _ in changes_here)


def _shown_and_matching(cron: str, at: int, name: str) -> bool:
    """What the clock shows at that moment matches the cron, as croniter reads it."""
    local = (EPOCH + timedelta(seconds=at)).astimezone(zone(name)).replace(tzinfo=None)
    return bool(croniter.match(cron, local, second_at_beginning=True))


def _gap_ends(name: str, begin: int, end: int) -> set[int]:
    return {at for at, before, after in _all_changes(name) if begin < at <= end and after > before}


def _at_whole_minute(at: int, name: str, gaps: set[int]) -> int:
    if at not in gaps:
        return at
    second = (EPOCH + timedelta(seconds=at)).astimezone(zone(name)).second
    return at + (60 - second) % 60


def _local(at: int, name: str) -> str:
    return (EPOCH + timedelta(seconds=at)).astimezone(zone(name)).isoformat()
