"""From clock readings to instants: what a cron means in a zone, at the changes of its offset too.

Time in a zone is a row of segments of constant offset. Within one, clock readings and instants
differ by a constant; all policy is about where a segment's usable readings begin and end, and about
what falls into the gap before the next. Instants and readings are whole seconds (see `core.zones`).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

from core.zones import LAST_YEAR, Segment, segments_of_year, year_of
from jobs.cron import Cron, parse_cron


@dataclass(slots=True, eq=False)
class CronInZone:
    """A cron on the clock of a zone, under the policies for gaps and overlaps."""

    cron: Cron
    tz: str
    shifts: bool  # what falls into a gap runs at the first instant after it
    first_only: bool  # of two equal readings only the first counts
    last_only: bool

    def next(self, from_: int, *, horizon_years: int) -> int | None:
        """The first occurrence at or after `from_`; None if there is none in that many years.

        Bounded: at most a few segments a year, each with one look into the cron.
        """
        if self.tz == "UTC":
            return self.cron.next_reading(from_, horizon_years=horizon_years)
        year = year_of(from_)
        last_year = min(year + horizon_years, LAST_YEAR)
        begins, segments = segments_of_year(self.tz, year)
        index = bisect_right(begins, from_) - 1
        segment, at = segments[index], from_
        if self.shifts and at == segment.begin and self._falls_before(segment, year, index):
            return at
        searched = reading = -1
        while True:
            start = at + segment.offset
            if self.first_only and start < segment.first_new:
                start = segment.first_new
            if not searched <= start <= reading:
                found = self.cron.next_reading(start, horizon_years=horizon_years)
                if found is None:
                    return None
                searched, reading = start, found
            end = segment.end + segment.offset
            if reading < (segment.last_final if self.last_only else end):
                return reading - segment.offset
            index += 1
            if index == len(segments):
                year, index = year + 1, 0
                if year > last_year:
                    return None
                segments = segments_of_year(self.tz, year)[1]
            segment = segments[index]
            at = segment.begin
            if self.shifts and end <= reading < at + segment.offset:
                return at

    def count(self, from_: int, until: int) -> int:
        """How many occurrences are in [from_, until), without making each."""
        if self.tz == "UTC":
            return self.cron.count_readings(from_, until)
        count = 0
        ended: int | None = None  # the reading at which the segment before ended
        for year in range(year_of(from_) - 1, year_of(until) + 1):  # a gap may end where the year begins
            for segment in segments_of_year(self.tz, year)[1]:
                low, high = max(segment.begin, from_), min(segment.end, until)
                if low < high:
                    if self.shifts and ended is not None and from_ <= segment.begin:
                        count += self._run_after_gap(ended, segment.begin + segment.offset)
                    first, last = low + segment.offset, high + segment.offset
                    count += self.cron.count_readings(
                        max(first, segment.first_new) if self.first_only else first,
                        min(last, segment.last_final) if self.last_only else last,
                    )
                ended = segment.end + segment.offset
        return count

    def _falls_before(self, segment: Segment, year: int, index: int) -> bool:
        """Whether something of the gap right before this segment runs at its begin."""
        before = segments_of_year(self.tz, year)[1][index - 1] if index else segments_of_year(self.tz, year - 1)[1][-1]
        return self.cron.count_readings(before.end + before.offset, segment.begin + segment.offset) > 0

    def _run_after_gap(self, gap_begins: int, gap_ends: int) -> int:
        """1 for what fell into a gap, unless an occurrence is at its end anyway."""
        at_end = self.cron.count_readings(gap_ends, gap_ends + 1)
        return int(not at_end and self.cron.count_readings(gap_begins, gap_ends) > 0)


@lru_cache(maxsize=8192)
def cron_in_zone(expression: str, tz: str, dst_gap: str, dst_overlap: str) -> CronInZone:
    """The cron with its policies; wildcard ones run at every reading that the clock shows."""
    cron = parse_cron(expression)
    fixed = not cron.wildcard
    return CronInZone(
        cron=cron,
        tz=tz,
        shifts=fixed and dst_gap == "shift",
        first_only=fixed and dst_overlap == "first",
        last_only=fixed and dst_overlap == "last",
    )
