"""Times that expressions compute and write: `$DateAdd`'s units and arithmetic, `$Format`'s tokens. In UTC.

A time is milliseconds since the epoch or ISO 8601; one without an offset is in UTC.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.fields import nearest
from core.times import from_ms, parse_time, to_ms
from executors.expressions.errors import ExpressionError

_UNITS = {
    "millisecond": timedelta(milliseconds=1), "ms": timedelta(milliseconds=1), "second": timedelta(seconds=1),
    "sec": timedelta(seconds=1), "minute": timedelta(minutes=1), "min": timedelta(minutes=1), "hour": timedelta(hours=1),
    "day": timedelta(days=1), "week": timedelta(weeks=1),
}  # fmt: skip
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
# English in every locale: what a run writes does not depend on its machine.
_NAMES_OF_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_NAMES_OF_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LONGEST = 64  # characters of a time, a number, a unit or a zone
_ISO_DATE = 8  # digits of 20260131, which is a date; any other number of digits is milliseconds
# Longer tokens come first; `[text]` is that text.
_TOKEN = re.compile(r"\[([^\]]*)\]|YYYY|YY|MMMM|MMM|MM|M|DD|D|dddd|ddd|HH|H|hh|h|mm|m|ss|s|A|a")


class Moment(int):
    """A time in ms since the epoch: what `$Now` and `$DateAdd` stand for."""


def date_add(moment: Any, amount: Any, unit: Any) -> Moment:
    try:
        begin = parse_time(_number_of(moment))
        return Moment(to_ms(_moved(begin, _amount(amount), _unit(unit))))
    except ExpressionError:
        raise
    except (ValueError, OverflowError, TypeError):
        raise ExpressionError(
            "$DateAdd cannot be computed: it takes a time (ms or ISO 8601), a number and a unit, and gives a time "
            "between 1970 and 9999"
        ) from None


def format_date(moment: Any, pattern: Any, zone: Any = "UTC") -> str:
    """The time as `pattern` says, in the time zone of that IANA name."""
    if not isinstance(pattern, str):
        raise ExpressionError("the format of a date must be a text, such as 'YYYY-MM-DD'")
    try:
        local = _time(moment).astimezone(_zone(zone))
    except ExpressionError:
        raise
    except (ValueError, OverflowError, TypeError):
        raise ExpressionError("what is to be formatted is no time: give milliseconds or ISO 8601") from None
    written = _written(local)
    return _TOKEN.sub(lambda token: written[token[0]] if token[1] is None else token[1], pattern)


def _written(at: datetime) -> dict[str, str]:
    hour = at.hour % 12 or 12
    month, day = _NAMES_OF_MONTHS[at.month - 1], _NAMES_OF_DAYS[at.weekday()]
    return {
        "YYYY": f"{at.year:04}", "YY": f"{at.year % 100:02}",
        "MMMM": month, "MMM": month[:3], "MM": f"{at.month:02}", "M": str(at.month),
        "DD": f"{at.day:02}", "D": str(at.day), "dddd": day, "ddd": day[:3],
        "HH": f"{at.hour:02}", "H": str(at.hour), "hh": f"{hour:02}", "h": str(hour),
        "mm": f"{at.minute:02}", "m": str(at.minute), "ss": f"{at.second:02}", "s": str(at.second),
        "A": "AM" if at.hour < 12 else "PM", "a": "am" if at.hour < 12 else "pm",
    }  # fmt: skip


def _time(value: Any) -> datetime:
    """Any time of ISO 8601, also one before 1970: nothing is computed with it."""
    value = _number_of(value)
    if not isinstance(value, str):
        return parse_time(value)
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _number_of(value: Any) -> Any:
    """Milliseconds may come as text, such as from a URL. ValueError for a text that is too long for any time."""
    if isinstance(value, str) and len(value) > _LONGEST:
        raise ValueError(f"{value[:20]!r}… is neither milliseconds nor an ISO 8601 date and time")
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) != _ISO_DATE:
        return int(value[:20])
    return value


def _zone(name: Any) -> tzinfo:
    try:
        if isinstance(name, str) and len(name) <= _LONGEST:
            return UTC if name == "UTC" else ZoneInfo(name)
        raise ValueError("no name of a zone")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ExpressionError("the time zone of a date must be an IANA name, such as 'Europe/Paris'") from None


def _moved(begin: datetime, count: float, unit: str) -> datetime:
    if unit in _UNITS:
        moved = begin + _UNITS[unit] * count
    else:
        months = begin.year * 12 + begin.month - 1 + int(count * _MONTHS[unit])
        year, month = divmod(months, 12)
        moved = begin.replace(year=year, month=month + 1, day=min(begin.day, monthrange(year, month + 1)[1]))
    return from_ms(to_ms(moved)).astimezone(UTC)


def _amount(value: Any) -> float:
    if isinstance(value, bool) or (isinstance(value, str) and len(value) > _LONGEST):
        raise TypeError("no number")
    return float(value)


def _unit(text: Any) -> str:
    name = text.lower() if isinstance(text, str) and len(text) <= _LONGEST else ""
    for spelling in (name, name.removesuffix("s")):
        if spelling in _UNITS or spelling in _MONTHS:
            return spelling
    raise ExpressionError(f"the unit of $DateAdd must be one of {', '.join(sorted([*_UNITS, *_MONTHS]))}")


def check_date_add(arguments: Sequence[object]) -> None:
    """What can be told before a run: a wrong unit, an amount that is no number, a time that is none."""
    moment, amount, unit = arguments
    if isinstance(unit, (int, float)):
        raise ExpressionError(f"the unit of $DateAdd must be a text in quotes, such as 'days', not {unit}")
    if isinstance(unit, str):
        _check_unit(unit)
    if isinstance(amount, str):
        raise ExpressionError(f"the amount of $DateAdd must be a number, not {amount[:40]!r}")
    if isinstance(moment, (str, int, float)):
        try:
            parse_time(_number_of(moment))
        except ValueError as error:
            raise ExpressionError(f"the time of $DateAdd: {error}") from None


def check_format(arguments: Sequence[object]) -> None:
    """A pattern or a zone that is written in the expression itself can be told before a run."""
    _, pattern, *zone = arguments
    if pattern is None or isinstance(pattern, (int, float)):
        raise ExpressionError("the format of a date must be a text in quotes, such as 'YYYY-MM-DD'")
    if zone and isinstance(zone[0], (str, int, float)):
        _zone(zone[0])


def _check_unit(text: str) -> None:
    try:
        _unit(text)
    except ExpressionError as error:
        meant = nearest(text[:_LONGEST], [*_UNITS, *_MONTHS])
        if meant is None:
            raise
        raise ExpressionError(f"{text[:40]!r} is no unit of time: did you mean {meant!r}?", error.code) from None
