"""Time zones: the pinned `tzdata` package is the only source, on every machine and for every library.

Owns the lookup of IANA names and where on the clock an offset changes. Never decides what a
schedule does at such a change (`jobs.schedule` does).
"""

from __future__ import annotations

import zoneinfo
from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import metadata, resources
from itertools import pairwise
from typing import NamedTuple

from core.fields import nearest
from core.times import EPOCH

TZDATA_VERSION = metadata.version("tzdata")  # pinned in dependencies.in, so the same on every machine

PROBE_SECONDS = 6 * 3600  # no zone changes its offset twice within that time
LOOK_AROUND_SECONDS = 2 * 86_400  # the clock is never set by more than a day
LAST_YEAR = 9998  # one year short of what datetime holds, so that no offset leaves it

# Two machines with different system zones would otherwise disagree about the same schedule.
zoneinfo.reset_tzpath(to=())

NAMES: frozenset[str] = frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split()) - {
    "Factory"
}


class Segment(NamedTuple):
    """Instants of one offset, cut at the turn of the UTC year too. All in seconds: instants since the
    epoch, clock readings since 1970-01-01 00:00 on the clock."""

    begin: int
    end: int  # exclusive
    offset: int
    first_new: int  # from this reading on the clock shows nothing that it has shown before
    last_final: int  # up to this reading (exclusive) it shows nothing that it will show again


class UnknownZone(ValueError):
    """There is no such time zone. The text names the one that was probably meant."""


@lru_cache(maxsize=1024)
def zone(name: str) -> zoneinfo.ZoneInfo:
    """The zone of that IANA name. UnknownZone if there is none: names are case-sensitive."""
    if name not in NAMES:
        meant = nearest(name, NAMES)
        hint = f"did you mean {meant!r}?" if meant else "use one such as 'Europe/Berlin', 'America/New_York' or 'UTC'"
        raise UnknownZone(f"{name[:100]!r} is not an IANA time zone: {hint}")
    return zoneinfo.ZoneInfo(name)


def version_key(version: str) -> tuple[int, ...]:
    """A tzdata version (`2026.6`) as something that can be compared; an unknown one is the oldest."""
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def offset_at(name: str, at: int) -> int:
    """The offset from UTC, in seconds, at that many seconds since the epoch."""
    begins, segments = segments_of_year(name, year_of(at))
    return segments[bisect_right(begins, at) - 1].offset


@lru_cache(maxsize=8192)
def segments_of_year(name: str, year: int) -> tuple[tuple[int, ...], tuple[Segment, ...]]:
    """The segments of a UTC year, and where each begins."""
    begin, end = _start_of(year), _start_of(year + 1)
    first, changes = _changes(name, begin - LOOK_AROUND_SECONDS, end + LOOK_AROUND_SECONDS)
    bounds = [begin, *(at for at, _, _ in changes if begin < at < end), end]
    segments = []
    for low, high in pairwise(bounds):
        offset = next((after for at, _, after in reversed(changes) if at <= low), first)
        first_new = max([low + offset, *(at + before for at, before, _ in changes if at <= low)])
        last_final = min([high + offset, *(at + after for at, _, after in changes if at >= high)])
        segments.append(Segment(low, high, offset, first_new, last_final))
    return tuple(bounds[:-1]), tuple(segments)


def _changes(name: str, begin: int, end: int) -> tuple[int, list[tuple[int, int, int]]]:
    """The offset at `begin`, and each change up to `end`: when, the offset before, the offset after."""
    where = zone(name)

    def offset(at: int) -> int:
        found = (EPOCH + timedelta(seconds=at)).astimezone(where).utcoffset()
        return 0 if found is None else int(found.total_seconds())

    first = before = offset(begin)
    changes = []
    for low in range(begin, end, PROBE_SECONDS):
        high = min(low + PROBE_SECONDS, end)
        after = offset(high)
        if after != before:
            changes.append((_moment_of_change(offset, low, high, before), before, after))
        before = after
    return first, changes


def _moment_of_change(offset: Callable[[int], int], low: int, high: int, before: int) -> int:
    """The first second in (low, high] whose offset is no longer `before`."""
    while high - low > 1:
        middle = (low + high) // 2
        if offset(middle) == before:
            low = middle
        else:
            high = middle
    return high


def localize(local: datetime, name: str, *, later: bool = False) -> datetime:
    """The instant of a clock reading. In a gap: the first instant after it; in an overlap: the first of two, or
    the `later`."""
    where = zone(name)
    early, late = local.replace(tzinfo=where, fold=0), local.replace(tzinfo=where, fold=1)
    before, after = early.utcoffset(), late.utcoffset()
    if before is None or after is None or before >= after:
        return (late if later else early).astimezone(UTC)
    low, high = (int((moment.astimezone(UTC) - EPOCH).total_seconds()) for moment in (late, early))
    return EPOCH + timedelta(seconds=_changes(name, low, high)[1][0][0])


def year_of(at: int) -> int:
    """The UTC year of that many seconds since the epoch."""
    return (EPOCH + timedelta(seconds=at)).year


def _start_of(year: int) -> int:
    return int((datetime(year, 1, 1, tzinfo=UTC) - EPOCH).total_seconds())
