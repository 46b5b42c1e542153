"""Times that expressions compute: `$DateAdd`'s units and arithmetic, in UTC."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from core.fields import nearest
from core.times import from_ms, parse_time, to_ms
from executors.expressions.errors import ExpressionError

_UNITS = {
    "millisecond": timedelta(milliseconds=1), "ms": timedelta(milliseconds=1), "second": timedelta(seconds=1),
    "sec": timedelta(seconds=1), "minute": timedelta(minutes=1), "min": timedelta(minutes=1), "hour": timedelta(hours=1),
    "day": timedelta(days=1), "week": timedelta(weeks=1),
}  # fmt: skip
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


class Moment(int):
    """A time in ms since the epoch: what `$Now` and `$DateAdd` stand for."""


def date_add(moment: Any, amount: Any, unit: Any) -> Moment:
    try:
        begin = parse_time(float(moment) if isinstance(moment, str) and moment.isdecimal() else moment)
        count = float(amount)
        return Moment(to_ms(_moved(begin, count, _unit(unit))))
    except ExpressionError:
        raise
    except (ValueError, OverflowError, TypeError) as error:
        raise ExpressionError(f"$DateAdd({moment}, {amount}, {unit!r}) cannot be computed: {error}") from None


def _moved(begin: datetime, count: float, unit: str) -> datetime:
    if unit in _UNITS:
        moved = begin + _UNITS[unit] * count
    else:
        months = begin.year * 12 + begin.month - 1 + int(count * _MONTHS[unit])
        year, month = divmod(months, 12)
        moved = begin.replace(year=year, month=month + 1, day=min(begin.day, monthrange(year, month + 1)[1]))
    return from_ms(to_ms(moved)).astimezone(UTC)


def _unit(text: Any) -> str:
    name = str(text).lower()
    for spelling in (name, name.removesuffix("s")):
        if spelling in _UNITS or spelling in _MONTHS:
            return spelling
    known = sorted([*_UNITS, *_MONTHS])
    meant = nearest(name, known)
    raise ExpressionError(
        f"{str(text)[:40]!r} is no unit of time: " + (f"did you mean {meant!r}?" if meant else ", ".join(known))
    )


def check_date_add(arguments: Sequence[object]) -> None:
    """What can be told before a run: a wrong unit, an amount that is no number, a time that is none."""
    moment, amount, unit = arguments
    if isinstance(unit, (int, float)):
        raise ExpressionError(f"the unit of $DateAdd must be a text in quotes, such as 'days', not {unit}")
    if isinstance(unit, str):
        _unit(unit)
    if isinstance(amount, str):
        raise ExpressionError(f"the amount of $DateAdd must be a number, not {amount[:40]!r}")
    if isinstance(moment, (str, int, float)):
        try:
            parse_time(moment)
        except ValueError as error:
            raise ExpressionError(f"the time of $DateAdd: {error}") from None
