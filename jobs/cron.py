"""The cron dialect: an expression → sets of numbers → clock readings. Pure; knows no time zones.

Five fields, or six with leading seconds; names; `@daily` and friends; `L`, `LW`, `15W` in
day-of-month; `5L`, `1#2` in day-of-week. Where both days are restricted, either matches; a day field
that starts with `*` does not restrict (Debian cron: `*/2` then narrows the other instead).

Clock readings are whole seconds since 1970-01-01 00:00 *on the clock*, as integers.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

LONGEST_EXPRESSION = 255  # characters; every minute of the hour, written out, is 169
LONGEST_GAP_YEARS = 48  # a 29 February on a given weekday: at most 40 years, across 2100
CACHED = 8192  # parsed expressions; each is a few hundred bytes

DAY = 86_400
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LAST_ORDINAL = date(9998, 12, 31).toordinal()

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = {
    name: index
    for index, name in enumerate(
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1
    )
}
_DAYS = {name: index for index, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])}


class BadCron(ValueError):
    """The expression is not in the dialect. The text names the field and says what would be right."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        if text in self.names:
            return self.names[text]
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and self.low <= int(text) <= self.high):
            known = f"{self.low}-{self.high}" + (
                f" or {'-'.join(list(self.names)[:: len(self.names) - 1])}" if self.names else ""
            )
            raise BadCron(f"{text!r} in {self.name} is not a value of that field ({known})")
        return int(text)


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day-of-month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day-of-week", 0, 7, _DAYS),
)


@dataclass(slots=True, eq=False)
class Cron:
    """A parsed expression. `wildcard`: its minute or hour starts with `*` (Debian's distinction)."""

    expression: str  # without aliases
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    wildcard: bool
    either_day: bool  # both day fields restrict: one of them is enough
    days: frozenset[int]
    last_day: bool  # L
    last_weekday: bool  # LW
    nearest_weekdays: frozenset[int]  # 15W
    weekdays: frozenset[int]  # 0 is Sunday
    last_weekdays: frozenset[int]  # 5L
    nth_weekdays: frozenset[tuple[int, int]]  # 1#2: (weekday, which)
    _layouts: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict, repr=False)

    def next_reading(self, from_: int, *, horizon_years: int = LONGEST_GAP_YEARS) -> int | None:
        """The first matching clock reading at or after `from_`; None if there is none in that many years."""
        day, rest = divmod(from_, DAY)
        ordinal = day + _EPOCH_ORDINAL
        today = self._next_day(ordinal, horizon_years)
        if today is None:
            return None
        if today == ordinal:
            found = self._next_in_day(rest)
            if found is not None:
                return day * DAY + found
            today = self._next_day(ordinal + 1, horizon_years)
            if today is None:
                return None
        return (today - _EPOCH_ORDINAL) * DAY + self.hours[0] * 3600 + self.minutes[0] * 60 + self.seconds[0]

    def count_readings(self, from_: int, until: int) -> int:
        """How many clock readings in [from_, until) match."""
        if until <= from_:
            return 0
        (first, begin), (last, end) = divmod(from_, DAY), divmod(until, DAY)
        first, last = first + _EPOCH_ORDINAL, last + _EPOCH_ORDINAL
        whole = len(self.hours) * len(self.minutes) * len(self.seconds) * self._count_days(first, last)
        return (
            whole
            + (self._count_in_day(end) if end and self._count_days(last, last + 1) else 0)
            - (self._count_in_day(begin) if begin and self._count_days(first, first + 1) else 0)
        )

    def _count_in_day(self, until: int) -> int:
        """Matching seconds of a day before `until`."""
        (hour, rest), hours = divmod(until, 3600), self.hours
        minute, second = divmod(rest, 60)
        at = bisect_left(hours, hour)
        count = at * len(self.minutes) * len(self.seconds)
        if at < len(hours) and hours[at] == hour:
            within = bisect_left(self.minutes, minute)
            count += within * len(self.seconds)
            if within < len(self.minutes) and self.minutes[within] == minute:
                count += bisect_left(self.seconds, second)
        return count

    def _count_days(self, from_: int, until: int) -> int:
        """Matching days (ordinals) in [from_, until)."""
        if until <= from_:
            return 0
        start = date.fromordinal(from_)
        year, month, first = start.year, start.month, from_ - start.day + 1
        count = 0
        while first < until:
            length = _length(year, month)
            if month in self.months:
                days = self.days_of((first + 6) % 7, length)
                low = bisect_left(days, from_ - first + 1) if from_ > first else 0
                high = bisect_left(days, until - first + 1) if until < first + length else len(days)
                count += high - low
            first += length
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return count

    def _next_in_day(self, second: int) -> int | None:
        """The first matching second of a day at or after `second`."""
        hours, minutes = self.hours, self.minutes
        hour, rest = divmod(second, 3600)
        at = bisect_left(hours, hour)
        if at == len(hours):
            return None
        if hours[at] == hour:
            minute, second = divmod(rest, 60)
            within = bisect_left(minutes, minute)
            if within < len(minutes) and minutes[within] == minute:
                last = bisect_left(self.seconds, second)
                if last < len(self.seconds):
                    return hour * 3600 + minute * 60 + self.seconds[last]
                within += 1
            if within < len(minutes):
                return hour * 3600 + minutes[within] * 60 + self.seconds[0]
            at += 1
            if at == len(hours):
                return None
        return hours[at] * 3600 + minutes[0] * 60 + self.seconds[0]

    def _next_day(self, ordinal: int, horizon_years: int) -> int | None:
        """The first matching day (proleptic ordinal) at or after `ordinal`."""
        if not 0 < ordinal <= _LAST_ORDINAL:
            return None
        start = date.fromordinal(ordinal)
        year, month, day = start.year, start.month, start.day
        first = ordinal - day + 1
        last_year = min(year + horizon_years, 9998)
        while year <= last_year:
            length = _length(year, month)
            if month in self.months:
                days = self.days_of((first + 6) % 7, length)
                at = bisect_left(days, day) if day > 1 else 0
                if at < len(days):
                    return first + days[at] - 1
            first, day = first + length, 1
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return None

    def days_of(self, first_weekday: int, length: int) -> tuple[int, ...]:
        """The matching days of a month that begins on that weekday (0 is Monday) and is that long."""
        days = self._layouts.get((first_weekday, length))
        if days is None:
            days = self._layouts[first_weekday, length] = tuple(self._match_days(first_weekday, length))
        return days

    def _match_days(self, first_weekday: int, length: int) -> Iterator[int]:
        dates = {day for day in self.days if day <= length}
        if self.last_day:
            dates.add(length)
        if self.last_weekday:
            dates.add(_nearest_weekday(length, first_weekday, length))
        dates |= {_nearest_weekday(day, first_weekday, length) for day in self.nearest_weekdays if day <= length}
        for day in range(1, length + 1):
            weekday = (first_weekday + day) % 7  # 0 is Sunday
            matches = (
                weekday in self.weekdays
                or (weekday in self.last_weekdays and day + 7 > length)
                or (weekday, (day + 6) // 7) in self.nth_weekdays
            )
            if (matches or day in dates) if self.either_day else (matches and day in dates):
                yield day


def _length(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in {4, 6, 9, 11} else 31


def _nearest_weekday(day: int, first_weekday: int, length: int) -> int:
    """Monday to Friday, nearest to that day, never in another month."""
    weekday = (first_weekday + day - 1) % 7  # 0 is Monday
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < length else day - 2
    return day


@lru_cache(maxsize=CACHED)
def parse_cron(expression: str) -> Cron:
    """The expression, parsed. BadCron, with what would be right, for anything outside the dialect."""
    text = expression.strip()
    if len(text) > LONGEST_EXPRESSION:
        raise BadCron(f"it has {len(text)} characters, at most {LONGEST_EXPRESSION} are accepted")
    if text.startswith("@"):
        if text.lower() not in ALIASES:
            raise BadCron(f"{text!r} is not known: use one of {', '.join(sorted(ALIASES))}, or five fields")
        text = ALIASES[text.lower()]
    parts = text.upper().split()
    if len(parts) not in {5, 6}:
        raise BadCron(
            f"it has {len(parts)} fields: use five (minute hour day-of-month month day-of-week), or six with seconds first"
        )
    if len(parts) == 5:
        parts.insert(0, "0")
    parts = ["*" if index in {3, 5} and part == "?" else part for index, part in enumerate(parts)]
    days, weekdays = _Days(), _Weekdays()
    seconds, minutes, hours = (_numbers(_FIELDS[index], parts[index]) for index in range(3))
    days.read(parts[3])
    months = _numbers(_FIELDS[4], parts[4])
    weekdays.read(parts[5])
    return Cron(
        expression=" ".join(parts if len(text.split()) == 6 else parts[1:]),
        seconds=tuple(sorted(seconds)),
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        months=frozenset(months),
        wildcard=parts[1].startswith("*") or parts[2].startswith("*"),
        either_day=not parts[3].startswith("*") and not parts[5].startswith("*"),
        days=frozenset(days.plain),
        last_day=days.last,
        last_weekday=days.last_weekday,
        nearest_weekdays=frozenset(days.nearest),
        weekdays=frozenset(weekdays.plain),
        last_weekdays=frozenset(weekdays.last),
        nth_weekdays=frozenset(weekdays.nth),
    )


class _Days:
    """The day-of-month field."""

    def __init__(self) -> None:
        self.plain: set[int] = set()
        self.nearest: set[int] = set()
        self.last = self.last_weekday = False

    def read(self, text: str) -> None:
        known = _FIELDS[3]
        for item in text.split(","):
            if item == "L":
                self.last = True
            elif item in {"LW", "WL"}:
                self.last_weekday = True
            elif re.fullmatch(r"\d{1,2}W|W\d{1,2}", item):
                self.nearest.add(known.number(item.strip("W")))
            elif "L" in item or "W" in item:
                raise BadCron(f"{item!r} in day-of-month: only L (last day), LW (last weekday) and 15W are known")
            else:
                self.plain |= _item(known, item)


class _Weekdays:
    """The day-of-week field; 7 is Sunday too."""

    def __init__(self) -> None:
        self.plain: set[int] = set()
        self.last: set[int] = set()
        self.nth: set[tuple[int, int]] = set()

    def read(self, text: str) -> None:
        known = _FIELDS[5]
        for item in text.split(","):
            if "#" in item:
                day, _, which = item.partition("#")
                if which not in {"1", "2", "3", "4", "5"}:
                    raise BadCron(f"{item!r} in day-of-week: after # comes 1 to 5, as in 1#2, the second Monday")
                self.nth.add((known.number(day) % 7, int(which)))
            elif item == "L":
                raise BadCron("'L' in day-of-week needs a day: 5L is the last Friday of the month")
            elif len(item) > 1 and item not in _DAYS and (item[0] == "L" or item[-1] == "L"):
                self.last.add(known.number(item[1:] if item[0] == "L" else item[:-1]) % 7)
            else:
                self.plain |= {day % 7 for day in _item(known, item)}


def _numbers(known: _Field, text: str) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        found |= _item(known, item)
    return found


def _item(known: _Field, text: str) -> set[int]:
    """One item of a list: `*`, `5`, `1-5`, `*/10`, `1-31/2`, `5/15`."""
    if not text:
        raise BadCron(f"an item of {known.name} is empty")
    span, slash, step_text = text.partition("/")
    high = 6 if known.name == "day-of-week" else known.high
    if span == "*":
        first, last = known.low, high
    elif "-" in span:
        from_text, _, to_text = span.partition("-")
        first, last = known.number(from_text), known.number(to_text)
        if first > last:  # 22-2, FRI-MON: on, past the end of the field
            last += high - known.low + 1
    else:
        first = known.number(span)
        last = max(high, first) if slash else first
    if not slash:
        return _around(range(first, last + 1), known.low, high)
    if not (step_text.isascii() and step_text.isdigit() and int(step_text[:6]) > 0):
        raise BadCron(f"the step of {text!r} in {known.name} must be a number from 1")
    step = int(step_text[:6])
    if step > known.high:
        raise BadCron(
            f"the step of {text!r} in {known.name} is longer than the field ({known.low}-{known.high}): "
            "use `every` for intervals that do not fit a clock"
        )
    return _around(range(first, last + 1, step), known.low, high)


def _around(values: range, low: int, high: int) -> set[int]:
    """The values, those past the end of the field counted on from its beginning."""
    return {value if value <= high else value - (high - low + 1) for value in values}
