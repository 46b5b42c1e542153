"""Times at the edge: milliseconds since the epoch outside, aware UTC datetimes inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_MOST_DIGITS = 20  # of a number that is told again: 1e300 is one, too
MAX_MILLISECONDS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z: the last time Python and SQL hold


def to_ms(value: datetime) -> int:
    """Milliseconds since the epoch, rounded down."""
    return (value - EPOCH) // _MILLISECOND


def to_ms_or_none(value: datetime | None) -> int | None:
    return None if value is None else to_ms(value)


def from_ms(value: int) -> datetime:
    """The moment that many milliseconds after the epoch. ValueError outside years 1970–9999."""
    if not 0 <= value <= MAX_MILLISECONDS:
        raise ValueError(f"{str(value)[:_MOST_DIGITS]} is not a time in milliseconds between 1970 and 9999")
    return EPOCH + timedelta(milliseconds=value)


def later(value: datetime, by: timedelta) -> datetime:
    """That much later, at most the last time there is: the year 9999 is a time that callers send."""
    last = datetime.max.replace(tzinfo=UTC)
    return last if value > last - by else value + by


def parse_time(value: object, zone: tzinfo = UTC) -> datetime:
    """A time as the API takes it: milliseconds, or ISO 8601 (naive: in `zone`).

    ValueError, with a sentence for the caller, for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("must be milliseconds since the epoch or an ISO 8601 date and time")
    if isinstance(value, (int, float)):
        if value in (float("inf"), float("-inf")) or value != int(value):
            raise ValueError("must be a whole number of milliseconds")
        return from_ms(int(value))
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value!r} is neither milliseconds nor an ISO 8601 date and time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{value!r} is not between 1970 and 9999") from None
    if moment < EPOCH:
        raise ValueError(f"{value!r} is before 1970")
    return moment
